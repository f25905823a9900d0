//! Networks as objects: made, listed, looked at, used by containers that are in several, kept apart, and taken away.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::{OUTSIDE4, OUTSIDE6, UPLINK4, World, serve};
use ground::{Ran, ran};
use serde_json::Value;
use std::net::Ipv4Addr;

/// Not a test: what runs in containers and at the neighbour's.
#[test]
#[ignore = "a server, run by the others"]
fn server() {
    serve();
}

trait Networks {
    fn network(&self, words: &[&str]) -> Ran;
    fn inspect(&self, name: &str) -> Value;
}

impl Networks for World {
    fn network(&self, words: &[&str]) -> Ran {
        let words = [&["network"], words].concat();
        self.host.inside(|| ran(self.ground.command(&words).output().unwrap()))
    }

    fn inspect(&self, name: &str) -> Value {
        let mut all: Value = serde_json::from_str(&self.network(&["inspect", name]).ok()).unwrap();
        all[0].take()
    }
}

#[test]
fn a_network_is_made_listed_and_removed() {
    let Some(world) = World::new() else { return };
    let before = world.picture();
    let id = world.network(&["create", "--label", "app=shop", "--label", "b", "one"]).ok();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let wide = ["--subnet", "10.9.8.0/24", "--gateway", "10.9.8.254", "--ip-range", "10.9.8.128/25", "--ipv6"];
    world.network(&[&["create", "--internal", "-o", "mtu=1300"], wide.as_slice(), &["two"]].concat()).ok();
    world.network(&["create", "one"]).fails(1, "there is a network of that name already");
    assert_eq!(world.network(&["create", "--ignore", "one"]).ok(), id);
    let nameless = world.network(&["create"]).ok();

    let listed = world.network(&["ls"]).ok();
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].join(" "), "NETWORK ID NAME DRIVER SCOPE");
    let names: Vec<&str> = lines[1..].iter().map(|words| words[1]).collect();
    assert_eq!(names, ["bridge", "host", "net1", "none", "one", "two"]);
    assert_eq!(lines[5], [&id[..12], "one", "bridge", "local"]);
    let of = |filter: &str| world.network(&["ls", "--filter", filter, "--format", "{{.Name}}"]).ok().replace('\n', " ");
    assert_eq!(of("type=custom"), "net1 one two");
    assert_eq!(of("label=app"), "one");
    assert_eq!(of("label=app=none"), "");
    assert_eq!(of("driver=host"), "host");
    assert_eq!(of("name=tw"), "two");
    assert_eq!(of(&format!("id={}", &id[..6])), "one");
    assert_eq!(of("dangling=true"), "net1 one two");
    assert_eq!(world.network(&["ls", "-q", "--no-trunc", "--filter", "name=^one$"]).ok(), id);
    let labels =
        world.network(&["ls", "--filter", "name=^one$", "--format", "{{.Label \"app\"}} {{.Labels}} {{.IPv6}}"]);
    assert_eq!(labels.ok(), "shop app=shop,b= false");

    let two = world.inspect("two");
    assert_eq!(two["IPAM"]["Config"][0]["Subnet"], "10.9.8.0/24");
    assert_eq!(two["IPAM"]["Config"][0]["Gateway"], "10.9.8.254");
    assert_eq!(two["IPAM"]["Config"][0]["IPRange"], "10.9.8.128/25");
    assert!(two["IPAM"]["Config"][1]["Subnet"].as_str().unwrap().starts_with("fd"));
    assert_eq!(
        (&two["Internal"], &two["EnableIPv6"], &two["Options"]["mtu"]),
        (&true.into(), &true.into(), &"1300".into())
    );
    assert_eq!(world.network(&["inspect", "-f", "{{.Name}} {{.Id}}", &id[..9]]).ok(), format!("one {id}"));
    let missing = world.network(&["inspect", "-f", "{{.Name}}", "one", "nope"]);
    missing.fails(1, "cannot find network nope");
    assert_eq!(missing.out, "one\n");
    assert_eq!(world.network(&["exists", "one"]).code, 0);
    let absent = world.network(&["exists", "nope"]);
    assert_eq!((absent.code, absent.out.as_str(), absent.err.as_str()), (1, "", ""));

    world.network(&["update", "--dns-add", "192.0.2.53,192.0.2.54", "one"]).ok();
    world.network(&["update", "--dns-add=192.0.2.55", "--dns-drop=192.0.2.53", &id[..9]]).ok();
    assert_eq!(world.inspect("one")["NetworkDNSServers"], serde_json::json!(["192.0.2.54", "192.0.2.55"]));
    world.network(&["update", "--dns-add=192.0.2.53", "bridge"]).fails(1, "have no resolver of sampan's");
    world.network(&["update", "--dns-add=x", "one"]).fails(1, "not an IP address");

    world.network(&["rm", "bridge"]).fails(1, "it is always there");
    world.network(&["rm", "nope"]).fails(1, "cannot find network nope");
    world.network(&["rm", "-f", "nope"]).ok();
    assert_eq!(world.network(&["rm", "two", &nameless]).ok(), format!("two\n{nameless}"));
    assert_eq!(world.network(&["prune", "-f", "--filter", "label=none"]).ok(), "");
    assert_eq!(world.network(&["prune", "-f"]).ok(), "Deleted Networks:\none");
    world.network(&["prune"]).fails(1, "add --force");
    std::fs::remove_dir(world.ground.dir.join("data/networks")).unwrap();
    let own = |text: &str| text.lines().filter(|line| !line.contains("/data") && !line.contains("/state")).count();
    assert_eq!(own(&before), own(&world.picture()));
}

#[test]
fn what_cannot_be_had_is_refused() {
    let Some(world) = World::new() else { return };
    world.network(&["create", "--subnet", "10.9.8.0/24", "one"]).ok();
    for (words, why) in [
        ("--subnet 10.9.0.0/16 x", "10.9.0.0/16 overlaps with 10.9.8.0/24 of the network one"),
        ("--subnet 192.0.2.0/25 x", "192.0.2.0/25 overlaps with 192.0.2.0/24, which this host has a route to"),
        ("--subnet 10.8.0.0/24 --subnet 10.7.0.0/24 x", "more than one subnet of a family"),
        ("--subnet 10.8.0.0 x", "not a subnet"),
        ("--gateway 10.8.0.1 x", "the gateway 10.8.0.1 has no subnet"),
        ("--subnet 10.8.0.0/24 --gateway 10.7.0.1 x", "the gateway 10.7.0.1 is no address"),
        ("--ip-range 10.8.0.0/28 x", "the range 10.8.0.0/28 has no subnet"),
        ("-d overlay x", "this version has no driver overlay"),
        ("-d macvlan --subnet 192.0.2.0/24 x", "no link of the host is named"),
        ("-d macvlan -o parent=up0 x", "no address is asked for of others"),
        ("-d macvlan -o parent=nope --subnet 192.0.2.0/24 x", "this host has no link nope"),
        ("-d ipvlan -o parent=up0 -o mode=bridge --subnet 192.0.2.0/24 x", "unknown mode \"bridge\""),
        ("-o parent=up0 x", "a bridge has no parent and no mode"),
        ("-d nope x", "there is no driver nope"),
        ("-o vlan=3 x", "unknown option \"vlan\""),
        ("-o isolate=false x", "networks are isolated from each other"),
        ("--ipam-driver dhcp x", "addresses are always chosen by sampan"),
        ("--interface-name up0 x", "there is a link or a network's bridge up0 already"),
        ("host", "this name has a meaning of its own"),
        ("a/b", "no name of a network"),
    ] {
        let words: Vec<&str> = std::iter::once("create").chain(words.split(' ')).collect();
        world.network(&words).fails(1, why);
    }
    assert_eq!(world.network(&["ls", "-q", "--filter", "type=custom"]).ok().lines().count(), 1);
    world.run(&["--network=nope"], "true").fails(125, "cannot find network nope");
    world
        .run(&["--network=host", "--network=one"], "true")
        .fails(125, "a container has either networks or one of none");
    world.run(&["--network=one:ip=10.9.7.7"], "true").fails(125, "the network one has 10.9.8.0/24");
    world.run(&["--network=one", "--ip6=fd00::9"], "true").fails(125, "the network one has no IPv6");
    world.run(&["--network-alias=db"], "true").fails(125, "names are known on networks that a user made only");
    // A route that came later.
    world.host.sh(&format!("ip route add 10.9.8.128/25 via {OUTSIDE4}"));
    world.run(&["--network=one"], "true").fails(125, "overlaps with 10.9.8.128/25");
}

#[test]
fn a_container_in_several_networks() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    world.network(&["create", "--subnet", "10.9.1.0/24", "one"]).ok();
    world.network(&["create", "--subnet", "10.9.2.0/24", "--subnet", "fd09:2::/80", "-o", "mtu=1300", "two"]).ok();
    world.network(&["create", "--subnet", "10.9.3.0/24", "--internal", "inner"]).ok();
    let look = "ip -o -4 address | cut -d' ' -f2,7; ip route; cat /sys/class/net/lan0/mtu; cat /etc/hosts | tail -4; ip -6 -o address | grep -v fe80 | cut -d' ' -f2,7";
    let networks = [
        "--network=inner:ip=10.9.3.7",
        "--network=two:ip=10.9.2.7,mac=02:00:00:00:00:09,interface_name=lan0",
        "--network=name=one,ip=10.9.1.7",
        "--hostname=box",
    ];
    let seen = world.run(&networks, look).ok();
    let lines: Vec<&str> = seen.lines().map(str::trim).collect();
    for line in [
        "eth0 10.9.3.7/24",
        "lan0 10.9.2.7/24",
        "eth1 10.9.1.7/24",
        // Of those with a way out the first by name, as docker has it.
        "default via 10.9.1.1 dev eth1",
        "1300",
        "10.9.3.7\tbox",
        "fd09:2::a09:207\tbox",
        "lan0 fd09:2::a09:207/80",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{seen}");
    }
    assert_eq!(seen.matches("default").count(), 1, "{seen}");
    let first = [networks.as_slice(), &["--network=bridge:gw-priority=5"]].concat();
    let seen = world.run(&first, &format!("ip route | grep default; nc {OUTSIDE4} 80")).ok();
    assert!(seen.starts_with("default via 10.137.0.1 dev eth2") && seen.ends_with("192.0.2.1 80"), "{seen}");

    // A published port leads to the network that leads out.
    let web = world.serve(&["--network=inner", "--network=one:ip=10.9.1.8", "-p", "8080:80"], "80");
    assert_eq!(world.outside.ask(UPLINK4, 8080), Ok(format!("{OUTSIDE4} 80")));
    let (name, id) = (world.ps(), world.inspect("one"));
    let member = id["Containers"].as_object().unwrap().iter().next().unwrap();
    assert!(name.contains(&member.0[..12]), "{name} {id}");
    assert_eq!((&member.1["IPv4Address"], &member.1["IPv6Address"]), (&"10.9.1.8/24".into(), &"".into()));
    let used = world.network(&["rm", "one", "two"]);
    used.fails(1, "cannot remove network one\n  containers are in it: ");
    assert_eq!(used.out, "two\n");
    assert_eq!(world.network(&["ls", "--filter", "dangling=true", "-q"]).ok(), "");
    web.end();
}

#[test]
fn networks_are_kept_apart_and_an_internal_one_has_no_way_out() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    world.network(&["create", "--subnet", "10.9.1.0/24", "--ipv6", "one"]).ok();
    world.network(&["create", "--subnet", "10.9.2.0/24", "--ipv6", "--internal", "inner"]).ok();
    world
        .network(&["create", "--subnet", "10.9.3.0/24", "-o", "com.docker.network.bridge.enable_icc=false", "apart"])
        .ok();
    let web = world.serve(&["--network=one:ip=10.9.1.8", "-p", "8080:80"], "80");
    let inner = world.serve(&["--network=inner:ip=10.9.2.8"], "80");
    let apart = world.serve(&["--network=apart:ip=10.9.3.8", "-p", "8081:80"], "80");
    let try_all = |network: &str, targets: &[String]| {
        let network = format!("--network={network}");
        // Even one that makes itself a way.
        let route = "ip route replace default via $(ip route | sed -n 's/\\.0\\/24.*/.1/p' | head -1)";
        let asks: String = targets.iter().map(|to| format!("echo \"$(nc -w 1 {to} 80 2>&1 | head -1)\";")).collect();
        world.run(&[&network, "--cap-add=NET_ADMIN"], &format!("{route}; {asks}")).ok()
    };
    let outside = OUTSIDE4.to_string();
    let answers = |text: &str| text.lines().filter(|line| line.ends_with(" 80")).count();
    let reach = |network: &str, to: &str| answers(&try_all(network, &[to.to_owned()])) == 1;
    assert!(reach("one", "10.9.1.8") && reach("one", &outside) && reach("inner", "10.9.2.8"));
    for (network, to) in [
        ("one", "10.9.2.8"),
        ("one", "10.9.3.8"),
        ("inner", "10.9.1.8"),
        ("inner", &outside),
        ("inner", &OUTSIDE6.to_string()),
        ("apart", "10.9.1.8"),
        ("apart", "10.9.3.8"),
    ] {
        assert!(!reach(network, to), "{network} reaches {to}");
    }
    assert!(reach("apart", &outside));
    // What is published is published to whoever reaches the host, but not to who has no way out.
    let at_port = |network: &str| {
        let script = format!(
            "ip route replace default via $(ip route | sed -n 's/\\.0\\/24.*/.1/p' | head -1); nc -w 1 {UPLINK4} 8080; true"
        );
        world.run(&[&format!("--network={network}"), "--cap-add=NET_ADMIN"], &script).ok()
    };
    assert_eq!(answers(&at_port("apart")), 1);
    assert_eq!(answers(&at_port("inner")), 0);
    assert_eq!(world.outside.ask(UPLINK4, 8081), Ok(format!("{OUTSIDE4} 80")));
    world.outside.cannot_reach(Ipv4Addr::new(10, 9, 2, 8), 80);
    let ran = world.run(&["--network=inner", "-p", "9999:80"], "true");
    assert!(ran.err.contains("published ports have no effect"), "{ran:?}");
    for server in [web, inner, apart] {
        server.end();
    }
}

#[test]
fn nothing_is_left_of_networks_that_were_made() {
    let Some(world) = World::new() else { return };
    world.network(&["create", "--subnet", "10.9.1.0/24", "--ipv6", "one"]).ok();
    world.network(&["create", "--subnet", "10.9.2.0/24", "--internal", "two"]).ok();
    world.run(&["--network=none"], "true").ok();
    let before = world.picture();
    let flags =
        ["--network=one:alias=a,alias=b", "--network=two", "--network=bridge", "-p", "8080:80", "--name", "web"];
    world.wait(&flags).end();
    world.is_as(&before, "a container");
    drop(world.wait(&flags));
    world.ps();
    world.is_as(&before, "kill -9 of sampan");
    let other = world.wait(&["--network=one:alias=a", "-p", "9090:90"]);
    let with_other = world.picture();
    drop(world.wait(&flags));
    world.ps();
    world.is_as(&with_other, "kill -9 of one of two");
    other.end();
    world.is_as(&before, "the last");
    // One that is removed at once, while its bridge lingers, and made anew.
    world.run(&["--network=one"], "true").ok();
    world.network(&["rm", "one"]).ok();
    world.network(&["create", "--subnet", "10.9.7.0/24", "one"]).ok();
    assert!(world.run(&["--network=one"], "ip -o -4 address").ok().contains("10.9.7."));
}

#[test]
fn one_that_is_started_again_at_once_has_its_links_again() {
    let Some(world) = World::new() else { return };
    let sampan = |words: &[&str]| world.host.inside(|| ran(world.ground.command(words).output().unwrap()));
    let rootfs = format!("{}:O", world.ground.rootfs().display());
    world.network(&["create", "one"]).ok();
    let flags = ["run", "-d", "--name=a", "--dns=192.0.2.53", "--network=bridge", "--network=one", "--rootfs", &rootfs];
    sampan(&[flags.as_slice(), &["sleep", "1000"]].concat()).ok();
    let links = || sampan(&["exec", "a", "ip", "-o", "-4", "address"]).ok();
    let before = links();
    assert_eq!(before.lines().count(), 3, "{before}");
    // The kernel has not taken the last namespace apart by then.
    for _ in 0..5 {
        sampan(&["restart", "-t", "0", "a"]).ok();
        assert_eq!(links().lines().count(), 3);
    }
    sampan(&["rm", "-f", "a"]).ok();
}

/// Its neighbours are those of the host's link, with nothing in between.
#[test]
fn a_container_is_on_the_network_of_a_parent() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    // Each its own address: the neighbour remembers for a while whose it was.
    for (driver, mode, last) in [("macvlan", "bridge", 71), ("ipvlan", "l2", 72)] {
        let probe = format!("ip link add link up0 name probe type {driver} && ip link delete probe");
        if !world
            .host
            .inside(|| std::process::Command::new("sh").args(["-c", &probe]).output().unwrap().status.success())
        {
            println!("skipped: this kernel has no {driver}");
            continue;
        }
        let before = world.picture();
        let parent = ["--subnet=192.0.2.0/24", "--ip-range=192.0.2.64/28", "-o=parent=up0", &format!("-o=mode={mode}")];
        world.network(&[&["create", "-d", driver, "--gateway=192.0.2.2"], &parent[..], &["lan"]].concat()).ok();
        let look = format!("nc {OUTSIDE4} 80; echo; ip -o -4 address show eth0; ip route");
        let seen = world.run(&["--network=lan", "--ip=192.0.2.70"], &look).ok();
        assert!(seen.starts_with("192.0.2.70 80\n") && seen.contains("default via 192.0.2.2 dev eth0"), "{seen}");
        let chosen = world.run(&["--network=lan"], &format!("nc {OUTSIDE4} 80")).ok();
        let number: u8 = chosen.split([' ', '.']).nth(3).unwrap().parse().unwrap();
        assert!((64..80).contains(&number), "{chosen}");
        world.run(&["--network=lan", "-p=8080:80"], "true").fails(125, "are reached at their own addresses");
        // Its neighbour reaches it, at any port.
        let web = world.serve(&["--network=lan", &format!("--ip=192.0.2.{last}"), "--name=web"], "80 82");
        assert_eq!(world.outside.ask(Ipv4Addr::new(192, 0, 2, last), 82), Ok(format!("{OUTSIDE4} 82")));
        world.network(&["disconnect", "lan", "web"]).fails(1, "stop it first");
        web.end();
        world.network(&["rm", "lan"]).ok();
        std::fs::remove_dir(world.ground.dir.join("data/networks")).unwrap();
        let own = |text: &str| text.lines().filter(|line| !line.contains("/data") && !line.contains("/state")).count();
        assert_eq!(own(&before), own(&world.picture()));
    }
}
