//! The network as a user sees it: what a container has and reaches, who reaches it, and that nothing of it is left.
//!
//! Invariant: every host here is a network namespace of the test's own, with rules and an uplink of its own, and a
//! neighbour behind that; the machine's network is never entered.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::{
    GATEWAY4, Host, MOMENT, OUTSIDE4, OUTSIDE6, PATIENCE, UPLINK4, UPLINK6, World, ask_udp, client, serve,
};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Not a test: what runs in containers and at the neighbour's.
#[test]
#[ignore = "a server, run by the others"]
fn server() {
    serve();
}

#[test]
fn a_container_has_one_link_and_a_way_out() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    let look = format!(
        "ip -o link | cut -d: -f2; ip -o -4 address; ip route; ip -6 route; cat /proc/sys/net/ipv6/conf/eth0/accept_ra
         nc {OUTSIDE4} 80; echo; nc {OUTSIDE6} 80"
    );
    let seen = world.run(&["--ip", "10.137.7.8", "--mac-address", "02:00:00:00:07:08"], &look).ok();
    let mut lines = seen.lines().map(str::trim);
    let mut next = || lines.next().unwrap();
    assert_eq!([next(), next()].map(|link| link.split('@').next().unwrap()), ["lo", "eth0"], "{seen}");
    assert!(next().contains("lo    inet 127.0.0.1/8 "), "{seen}");
    assert!(next().contains("eth0    inet 10.137.7.8/16 brd 10.137.255.255 "), "{seen}");
    assert_eq!(next(), "default via 10.137.0.1 dev eth0", "{seen}");
    assert_eq!(next(), "10.137.0.0/16 dev eth0 scope link  src 10.137.7.8", "{seen}");
    for part in ["\ndefault via fd", "::1 dev eth0  metric 1024 \n", "\n0\n192.0.2.1 80\nfd02::1 80"] {
        assert!(seen.contains(part), "{part:?} is not in\n{seen}");
    }
    let link = world.run(&["--mac-address", "02:00:00:00:07:08"], "ip -o link show eth0").ok();
    assert!(link.contains("link/ether 02:00:00:00:07:08 ") && link.contains(" mtu 1400 "), "{link}");
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(world) = World::new() else { return };
    let at_uplink = format!("{UPLINK4}:8082:80");
    let at_uplink6 = format!("[{UPLINK6}]:8083:80/tcp");
    let flags = [
        ["-p", "8080:80"],
        ["-p", "8080:81/udp"],
        ["-p", &at_uplink],
        ["-p", &at_uplink6],
        ["-p", "8090-8092:80-82"],
        ["-p", "80"],
        ["-p", "8100-8109:82/udp"],
    ]
    .concat();
    let web = world.serve(&[flags.as_slice(), &["--name", "web"]].concat(), "80 81 82");
    let from_outside4 = |port| Ok(format!("{OUTSIDE4} {port}"));
    let from_outside6 = |port| Ok(format!("{OUTSIDE6} {port}"));
    let outside = &world.outside;
    for (port, inside) in [(8080, 80), (8090, 80), (8091, 81), (8092, 82)] {
        assert_eq!(outside.ask(UPLINK4, port), from_outside4(inside));
        assert_eq!(outside.ask(UPLINK6, port), from_outside6(inside));
    }
    assert_eq!(outside.ask_udp(UPLINK4, 8080), from_outside4(81));
    assert_eq!(outside.ask_udp(UPLINK6, 8080), from_outside6(81));
    assert_eq!(outside.ask(UPLINK4, 8082), from_outside4(80));
    assert_eq!(outside.ask(UPLINK6, 8083), from_outside6(80));
    // The host itself, at its own address, and at its loopback, from which nothing can be forwarded as it is.
    assert_eq!(world.host.ask(UPLINK4, 8080), Ok(format!("{UPLINK4} 80")));
    assert_eq!(world.host.ask(UPLINK6, 8091), Ok(format!("{UPLINK6} 81")));
    assert_eq!(world.host.ask(Ipv4Addr::LOCALHOST, 8080), Ok(format!("{GATEWAY4} 80")));
    assert_eq!(world.host.ask_udp(Ipv4Addr::LOCALHOST, 8080), Ok(format!("{GATEWAY4} 81")));

    let listed = world.ps();
    let ports = listed.lines().nth(1).unwrap();
    for part in [
        "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8080->81/udp, [::]:8080->81/udp, 192.0.2.1:8082->80/tcp, ",
        "[fd02::1]:8083->80/tcp, 0.0.0.0:8090->80/tcp, ",
    ] {
        assert!(ports.contains(part), "{part} is not in {ports}");
    }
    // The free ones that sampan chose.
    for (end, ask) in [
        ("->80/tcp", Host::ask as fn(&Host, Ipv4Addr, u16) -> _),
        ("->82/udp", Host::ask_udp as fn(&Host, Ipv4Addr, u16) -> _),
    ] {
        let mut chosen = ports.split_whitespace().filter_map(|port| {
            let port = port.trim_end_matches(',').strip_suffix(end)?.strip_prefix("0.0.0.0:")?;
            port.parse::<u16>().ok().filter(|port| !matches!(port, 8080..=8092))
        });
        let port = chosen.next().unwrap();
        let answer: Result<String, ErrorKind> = ask(outside, UPLINK4, port);
        assert!(answer.is_ok(), "{port}: {answer:?}");
    }

    // What was not published, and what was at another address.
    for port in [80, 81, 82, 8082] {
        outside.cannot_reach(UPLINK6, port);
    }
    outside.cannot_reach(UPLINK4, 8083);
    web.end();
    outside.cannot_reach(UPLINK4, 8080);
}

#[test]
fn publish_all_gives_each_exposed_port_one_of_the_host() {
    let Some(world) = World::new() else { return };
    let flags = ["-P", "--expose=81-82", "--expose=82/udp", "--expose=81", "-p", "8080:80", "--expose=80"];
    let web = world.serve(&flags, "80 81 82");
    let listed = world.ps();
    let ports: Vec<&str> = listed.split_whitespace().filter_map(|word| word.strip_prefix("0.0.0.0:")).collect();
    // In the order of the flags, each once; and the one that has its port already gets no other.
    let (chosen, inside): (Vec<u16>, Vec<&str>) = ports
        .iter()
        .map(|port| port.trim_end_matches(',').split_once("->").unwrap())
        .map(|(port, inside)| (port.parse::<u16>().unwrap(), inside))
        .unzip();
    assert_eq!(inside, ["80/tcp", "81/tcp", "82/tcp", "82/udp"], "{listed}");
    for (port, inside) in chosen[..3].iter().zip(80..) {
        assert_eq!(world.outside.ask(UPLINK4, *port), Ok(format!("{OUTSIDE4} {inside}")));
    }
    assert_eq!(world.outside.ask_udp(UPLINK4, chosen[3]), Ok(format!("{OUTSIDE4} 82")));
    web.end();

    // Without -P a word for who reads it, as in docker.
    let web = world.serve(&["--expose=81"], "81");
    assert!(!world.ps().contains("->"));
    web.end();
}

#[test]
fn a_container_is_not_reached_by_other_ways() {
    let Some(world) = World::new() else { return };
    let flags = ["-p", "127.0.0.1:8081:80", "-p", "8080:80", "--ip", "10.137.7.8"];
    let web = world.serve(&flags, "80 81");
    assert_eq!(world.host.ask(Ipv4Addr::LOCALHOST, 8081), Ok(format!("{GATEWAY4} 80")));
    // Published for the host only; and nothing is by the container's own address, of which the neighbour knows the way.
    world.outside.cannot_reach(UPLINK4, 8081);
    world.outside.cannot_reach(Ipv4Addr::new(10, 137, 7, 8), 80);
    world.outside.cannot_reach(Ipv4Addr::new(10, 137, 7, 8), 81);
    assert_eq!(world.outside.ask(UPLINK4, 8080), Ok(format!("{OUTSIDE4} 80")));
    // A neighbour may send what is addressed to 127.0.0.1 (CVE-2020-8558).
    world.outside.sh(&format!(
        "sysctl -qw net.ipv4.conf.up0.route_localnet=1; ip route add 127.0.0.0/8 via {UPLINK4} dev up0 src {OUTSIDE4}"
    ));
    world.outside.cannot_reach(Ipv4Addr::LOCALHOST, 8081);
    world.outside.cannot_reach(Ipv4Addr::LOCALHOST, 8080);
    web.end();
}

#[test]
fn a_port_that_is_taken_is_refused_before_anything_is_touched() {
    let Some(world) = World::new() else { return };
    let web = world.serve(&["--name", "web", "-p", "8080:80"], "80");
    let listener = world.host.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 9000)).unwrap());
    let before = world.picture();
    let refused = |port: &str, message: &str| {
        let ran = world.run(&["-p", port], "true");
        ran.fails(125, message);
        assert!(ran.err.starts_with("error: cannot publish ") && ran.err.contains("\nhint: "), "{}", ran.err);
        world.is_as(&before, port);
    };
    refused("9000:80", "cannot publish 9000/tcp\n  a process of this host has that port\n");
    refused("127.0.0.1:9000:80", "cannot publish 127.0.0.1:9000/tcp\n  a process of this host has that port\n");
    refused("8080:81", "cannot publish 8080/tcp\n  container web has that port\n");
    refused("127.0.0.1:8080:81", "cannot publish 127.0.0.1:8080/tcp\n  container web has that port\n");
    refused("198.51.100.1:80:80", "no link of this host has that address\n");
    world.run(&["-p", "9000:80/udp", "-p", "8080:80/udp"], "true").ok();
    drop(listener);
    web.end();
    world.run(&["-p", "9000:80", "-p", "8080:80"], "true").ok();
}

#[test]
fn names_are_as_asked() {
    let Some(world) = World::new() else { return };
    let look = "cat /etc/hosts; cat /etc/resolv.conf; hostname; cat /etc/hostname";
    let flags = [
        ["--ip", "10.137.7.8"],
        ["--hostname", "box"],
        ["--add-host", "db:10.0.0.7"],
        ["--add-host", "me:host-gateway"],
        ["--dns", "192.0.2.53"],
        ["--dns", "fd02::53"],
        ["--dns-search", "example.org"],
        ["--dns-option", "ndots:2"],
    ]
    .concat();
    let seen = world.run(&flags, look).ok();
    for line in [
        "127.0.0.1\tlocalhost",
        "10.0.0.7\tdb",
        "10.137.0.1\tme",
        "10.137.7.8\tbox",
        "search example.org",
        "options ndots:2",
        "nameserver 192.0.2.53",
        "nameserver fd02::53",
        "box",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line:?} is not in\n{seen}");
    }
    assert_eq!(seen.matches("nameserver").count(), 2, "{seen}");
    // Whatever this machine's resolvers are: none on a loopback, which would be the container's own.
    let seen = world.run(&["--network=bridge"], "cat /etc/resolv.conf").ok();
    assert!(!seen.contains("nameserver 127.") && !seen.contains("nameserver ::1"), "{seen}");
}

#[test]
fn a_container_may_have_no_network_or_anothers() {
    let Some(world) = World::new() else { return };
    let look = "ip -o link | cut -d' ' -f2; ip route";
    assert_eq!(world.run(&["--network=none"], look).ok(), "lo:");
    let hosts = world.host.sh("readlink /proc/self/ns/net");
    let _server = world.serve_outside();
    let script = format!("readlink /proc/self/ns/net; nc {OUTSIDE4} 80");
    assert_eq!(world.run(&["--network=host"], &script).ok(), format!("{hosts}{UPLINK4} 80"));
    let web = world.serve(&["--name", "web", "--ip", "10.137.7.8"], "80");
    let seen = world.run(&["--network=container:web"], "nc 127.0.0.1 80; echo; cat /etc/hosts").ok();
    assert!(seen.starts_with("127.0.0.1 80\n") && seen.contains("\n10.137.7.8\t"), "{seen}");
    // A neighbour of the same bridge.
    assert_eq!(world.run(&["--ip", "10.137.7.9"], "nc 10.137.7.8 80").ok(), "10.137.7.9 80");
    web.end();
}

#[test]
fn a_firewall_that_drops_is_named_and_the_hint_helps() {
    let Some(world) = World::new() else { return };
    let _server = world.serve_outside();
    let out = |seconds| world.run(&[], &format!("nc -w {seconds} {OUTSIDE4} 80; true"));
    world.host.sh("nft 'chain ip filter FORWARD { policy drop; }'");
    let ran = out(1);
    assert_eq!(ran.out, "", "{ran:?}");
    assert!(ran.err.starts_with("warning: the firewall of this host drops "), "{ran:?}");
    assert!(ran.err.contains(": chain ip filter FORWARD ends with a drop"), "{ran:?}");
    let hint = ran.err.lines().find_map(|line| line.trim().strip_prefix("hint: ")).unwrap();
    world.host.sh(hint);
    let ran = out(9);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("192.0.2.1 80", ""));
    assert!(world.host.sh("nft list chain ip filter FORWARD").contains("oifname \"sampan0\" accept"));
}

/// A client that never falls silent, such as a game's or a tunnel's: to the kernel all of it is one flow.
#[test]
fn a_client_that_goes_on_sending_reaches_the_next_container() {
    let Some(world) = World::new() else { return };
    let to = SocketAddr::new(UPLINK4.into(), 8080);
    let client = world.outside.inside(|| client(to));
    let reaches = |when: &str, expected: Option<u16>| {
        let expected = expected.map(|port| format!("{OUTSIDE4} {port}"));
        let patience = if expected.is_some() { PATIENCE } else { MOMENT };
        assert_eq!(ask_udp(&client, to, patience).ok(), expected, "{when}");
    };
    reaches("before", None);
    let first = world.serve(&["-p", "8080:80/udp", "--ip", "10.137.7.8"], "80 81");
    reaches("first", Some(80));
    first.end();
    reaches("after the first", None);
    let second = world.serve(&["-p", "8080:81/udp"], "80 81");
    reaches("second", Some(81));
    // Not published, but at the address of one that was.
    second.end();
    let third = world.serve(&["--ip", "10.137.7.8"], "80 81");
    reaches("third", None);
    third.end();
}

#[test]
fn nothing_is_left_of_a_network() {
    let Some(world) = World::new() else { return };
    world.run(&["--network=none"], "true").ok();
    let before = world.picture();
    let flags = ["-p", "8080:80", "-p", "127.0.0.1:8080:80/udp"];
    world.wait(&flags).end();
    world.is_as(&before, "a container");
    // Killed, with a port that somebody else's leaves alone.
    drop(world.wait(&flags));
    world.ps();
    world.is_as(&before, "kill -9 of sampan");
    let other = world.wait(&["-p", "9090:90"]);
    let with_other = world.picture();
    drop(world.wait(&flags));
    world.ps();
    world.is_as(&with_other, "kill -9 of one of two");
    other.end();
    world.is_as(&before, "the last");
}
