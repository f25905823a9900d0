//! Names of containers on their networks, and networks of containers that run: one more, one less, and the next start.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::{OUTSIDE4, UPLINK4, World, serve};
use ground::{Ran, ran, until};
use std::net::{Ipv4Addr, UdpSocket};

/// Not a test: what runs in containers and at the neighbour's.
#[test]
#[ignore = "a server, run by the others"]
fn server() {
    serve();
}

impl World {
    fn call(&self, words: &[&str]) -> Ran {
        self.host.inside(|| ran(self.ground.command(words).output().unwrap()))
    }

    /// A container that its monitor watches.
    #[track_caller]
    fn detached(&self, flags: &[&str]) -> String {
        let rootfs = format!("{}:O", self.ground.rootfs().display());
        let words = [
            &["run", "-d"],
            flags,
            &["--rootfs", &rootfs, "sh", "-c", "trap exit TERM; while :; do sleep 1 & wait; done"],
        ]
        .concat();
        self.call(&words).ok()
    }

    fn exec(&self, container: &str, script: &str) -> Ran {
        self.call(&["exec", container, "sh", "-c", script])
    }

    /// The addresses that a container finds by a name.
    fn finds(&self, container: &str, name: &str) -> Vec<String> {
        let said = self.exec(container, &format!("nslookup {name} | sed '1,/^$/d' | sed -n 's/^Address: *//p'")).out;
        let mut found: Vec<String> = said.lines().map(str::to_owned).collect();
        found.sort();
        found
    }

    #[track_caller]
    fn away(&self, containers: &[&str]) {
        self.call(&[&["rm", "-f"], containers].concat()).ok();
    }
}

#[test]
fn containers_find_each_other_by_name() {
    let Some(world) = World::new() else { return };
    for network in ["one", "two"] {
        world.call(&["network", "create", network]).ok();
    }
    world.call(&["network", "create", "--disable-dns", "mute"]).ok();
    world.detached(&["--name=web", "--network=one:ip=10.138.0.7,alias=www,alias=both", "--hostname=box"]);
    let db = world.detached(&["--name=db", "--network=one:ip=10.138.0.8,alias=both"]);
    world.detached(&["--name=far", "--network=two"]);
    world.detached(&["--name=dumb", "--network=mute"]);
    for name in ["web", "WEB", "www", "box", "web.one"] {
        assert_eq!(world.finds("db", name), ["10.138.0.7"], "{name}");
    }
    assert_eq!(world.finds("web", &db[..12]), ["10.138.0.8"]);
    assert_eq!(world.finds("web", "both"), ["10.138.0.7", "10.138.0.8"]);
    for (from, name) in [("far", "web"), ("web", "far"), ("web", "nobody")] {
        assert!(world.finds(from, name).is_empty(), "{from} finds {name}");
    }
    assert!(world.exec("web", "nslookup 10.138.0.8").ok().contains("name = db.one"));
    let conf = world.exec("web", "cat /etc/resolv.conf").ok();
    assert!(conf.starts_with("nameserver 127.0.0.11\n") && conf.contains("ndots:0"), "{conf}");
    assert!(!world.exec("dumb", "cat /etc/resolv.conf").ok().contains("127.0.0.11"));
    // By name it is reached, and after its next start, too, whatever address that has.
    world.exec("db", "ping -c1 -w3 www").ok();
    world.call(&["restart", "-t", "0", "web"]).ok();
    assert_eq!(world.finds("db", "www"), ["10.138.0.7"]);
    world.call(&["stop", "-t", "0", "web"]).ok();
    assert!(world.finds("db", "web").is_empty());
    world.away(&["web", "db", "far", "dumb"]);
    world.call(&["network", "rm", "one", "two", "mute"]).ok();
}

#[test]
fn other_names_are_asked_for_outside() {
    let Some(world) = World::new() else { return };
    world.call(&["network", "create", "one"]).ok();
    // A server of names at the neighbour's, which says the same to all questions.
    let socket = world.outside.inside(|| UdpSocket::bind((OUTSIDE4, 53)).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut reply = buffer[..length].to_vec();
            (reply[2], reply[3], reply[7]) = (reply[2] | 0x80, 0x80, 1);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9]);
            let _ = socket.send_to(&reply, from);
        }
    });
    world.detached(&["--name=a", "--network=one", &format!("--dns={OUTSIDE4}"), "--dns-search=example.org"]);
    let said = world.exec("a", "nslookup -type=a other.example.org; cat /etc/resolv.conf").ok();
    assert!(said.contains("203.0.113.9") && said.contains("search example.org"), "{said}");
    world.away(&["a"]);
}

#[test]
fn a_running_container_comes_and_goes() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    world.call(&["network", "create", "--subnet=10.9.1.0/24", "one"]).ok();
    world.call(&["network", "create", "--subnet=10.9.2.0/24", "--ipv6", "two"]).ok();
    world.call(&["network", "create", "--subnet=10.9.3.0/24", "--internal", "inner"]).ok();
    let program = format!("{}:/server:ro", std::env::current_exe().unwrap().display());
    let rootfs = format!("{}:O", world.ground.rootfs().display());
    let serve = "SAMPAN_TEST_PORTS=80 /server --exact server --ignored --nocapture";
    let words = [
        "run",
        "-d",
        "-i",
        "--name=web",
        "--network=two",
        "-p",
        "8080:80",
        "-v",
        &program,
        "--rootfs",
        &rootfs,
        "sh",
        "-c",
        serve,
    ];
    let web = world.call(&words).ok();
    world.detached(&["--name=cli", "--network=one"]);
    let from_outside =
        || until("the port leads there", || world.outside.ask(UPLINK4, 8080) == Ok(format!("{OUTSIDE4} 80")));
    from_outside();
    assert!(world.finds("cli", "web").is_empty());

    world.call(&["network", "connect", "--ip=10.9.1.7", "--alias=www", "one", "web"]).ok();
    assert_eq!(world.finds("cli", "www"), ["10.9.1.7"]);
    assert!(world.exec("cli", "nc -w 3 10.9.1.7 80").ok().ends_with(" 80"));
    let look = "ip -o -4 address | cut -d' ' -f2,7; ip route; cat /etc/hosts; ip -6 route | grep default";
    let seen = world.exec("web", look).out;
    // By name "one" comes first, so it leads out now, and the port leads there.
    for line in ["eth1 10.9.1.7/24", &format!("10.9.1.7\t{}", &web[..12])] {
        assert!(seen.lines().any(|seen| seen.trim() == line), "{line:?} is not in\n{seen}");
    }
    assert!(seen.contains("default via 10.9.1.1 dev eth1") && seen.matches("default").count() == 1, "{seen}");
    from_outside();
    assert!(world.exec("web", &format!("nc -w 3 {OUTSIDE4} 80")).ok().starts_with("192.0.2.1"));
    let inspected = world.call(&["network", "inspect", "one"]).ok();
    assert!(inspected.contains(&web) && inspected.contains("10.9.1.7/24"), "{inspected}");
    let place = world.call(&["inspect", "-f", "{{json .NetworkSettings.Networks}}", "web"]).ok();
    let place: serde_json::Value = serde_json::from_str(&place).unwrap();
    let (one, two) = (&place["one"], &place["two"]);
    assert_eq!(
        (&one["IPAddress"], &one["IPPrefixLen"], &one["Gateway"]),
        (&"10.9.1.7".into(), &24.into(), &"10.9.1.1".into())
    );
    assert_eq!(
        (&one["Aliases"][0], &one["InterfaceName"], &one["DNSNames"][0]),
        (&"www".into(), &"eth1".into(), &"web".into())
    );
    assert!(
        two["GlobalIPv6Address"].as_str().unwrap().starts_with("fd") && two["NetworkID"] != one["NetworkID"],
        "{two}"
    );
    let in_one = ["ps", "--filter", "network=one", "--format", "{{.Names}} {{.Networks}}"];
    assert_eq!(world.call(&in_one).ok(), "cli one\nweb one,two");
    world.call(&["network", "connect", "one", "web"]).fails(1, "it is in it already");
    world.call(&["network", "rm", "one"]).fails(1, "containers are in it: cli, web");

    world.call(&["network", "connect", "inner", "web"]).ok();
    assert!(world.exec("web", look).out.contains("default via 10.9.1.1 dev eth1"));
    world.call(&["network", "disconnect", "one", "web"]).ok();
    let seen = world.exec("web", look).out;
    assert!(seen.contains("default via 10.9.2.1 dev eth0") && !seen.contains("10.9.1."), "{seen}");
    assert!(seen.contains("default via fd"), "{seen}");
    from_outside();
    assert!(world.finds("cli", "web").is_empty());
    world.call(&["network", "disconnect", "one", "web"]).fails(1, "it is not in it");

    // What was done to it lasts.
    world.call(&["network", "connect", "--gw-priority=7", "bridge", "web"]).ok();
    world.call(&["stop", "-t0", "web"]).ok();
    world.call(&["network", "disconnect", "two", "web"]).ok();
    world.call(&["network", "connect", "one", "web"]).ok();
    world.call(&["start", "web"]).ok();
    let seen = world.exec("web", look).out;
    assert!(seen.contains("default via 10.137.0.1") && seen.contains("10.9.1.") && seen.contains("10.9.3."), "{seen}");
    assert!(!seen.contains("10.9.2."), "{seen}");
    from_outside();
    world.call(&["network", "connect", "none", "web"]).fails(1, "cannot be one of several");
    world.call(&["network", "connect", "nope", "web"]).fails(1, "cannot find network nope");
    world.call(&["network", "connect", "one", "nope"]).fails(1, "cannot find container nope");
    world.call(&["network", "connect", "--ip=10.9.9.9", "two", "cli"]).fails(1, "the network two has 10.9.2.0/24");
    let _ = Ipv4Addr::LOCALHOST;
    world.away(&["web", "cli"]);
}

#[test]
fn nothing_is_left_of_who_came_while_it_ran() {
    let Some(world) = World::new() else { return };
    for network in ["one", "two"] {
        world.call(&["network", "create", "--ipv6", network]).ok();
    }
    world.detached(&["--name=a", "--network=one", "-p", "8080:80"]);
    let with_one = world.picture();
    let names = |text: &str| -> Vec<String> {
        // Counters, logs, and the index of new links aside.
        text.lines().filter(|line| !line.contains("/data/") && !line.contains("@if")).map(str::to_owned).collect()
    };
    world.call(&["network", "connect", "two", "a"]).ok();
    assert_ne!(names(&world.picture()), names(&with_one));
    world.call(&["network", "disconnect", "two", "a"]).ok();
    until("all of it to go", || names(&world.picture()) == names(&with_one));
    // The container's own end gives back what came later; so does the next command, when all of its processes were killed.
    world.call(&["network", "connect", "two", "a"]).ok();
    world.call(&["rm", "-f", "a"]).ok();
    let state = world.ground.dir.join("state/networks");
    until("the networks to go", || !state.exists());
    world.detached(&["--name=a", "--network=one"]);
    world.call(&["network", "connect", "two", "a"]).ok();
    let record = world.ground.record("a");
    for process in ["monitor", "pid"] {
        let _ = std::process::Command::new("kill").args(["-9", &record[process].to_string()]).status();
    }
    until("the networks to go", || {
        world.ps();
        !state.exists()
    });
    world.away(&["a"]);
}

#[test]
fn connect_is_killed_at_any_time() {
    let Some(world) = World::new() else { return };
    for network in ["one", "two"] {
        world.call(&["network", "create", network]).ok();
    }
    world.detached(&["--name=a", "--network=one"]);
    for round in 0..30u64 {
        let mut command = world.ground.command(&["network", "connect", "--alias=x", "two", "a"]);
        let mut child = world.host.inside(|| command.spawn().unwrap());
        std::thread::sleep(std::time::Duration::from_micros(round * 1500));
        let _ = child.kill();
        child.wait().unwrap();
        // Whatever came of it, it can be taken back, and done.
        let taken = world.call(&["network", "disconnect", "two", "a"]);
        assert!(taken.code == 0 || taken.err.contains("it is not in it"), "round {round}: {taken:?}");
    }
    world.call(&["network", "connect", "two", "a"]).ok();
    assert_eq!(world.finds("a", "a").len(), 2);
    world.away(&["a"]);
    let state = world.ground.dir.join("state/networks");
    until("the networks to go", || !state.exists());
}
