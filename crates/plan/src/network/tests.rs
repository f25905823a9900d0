//! What the network planner makes of plain values.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn request(id: &str) -> Request {
    Request {
        container: id.into(),
        network: "bridge".into(),
        link: "eth0".into(),
        leads_out: true,
        ..Request::default()
    }
}

fn host() -> HostNetwork {
    HostNetwork {
        state_dir: "/run/sampan/networks".into(),
        ipv6: true,
        seed: "machine".into(),
        ..HostNetwork::default()
    }
}

fn tcp(host_ip: Option<IpAddr>, host_port: u16) -> Published {
    Published { host_ip, host_port, container_port: 80, protocol: Protocol::Tcp }
}

#[test]
fn a_subnet_avoids_every_route() {
    let mut host = host();
    host.taken = vec![
        Network { ip: Ipv4Addr::UNSPECIFIED.into(), prefix: 0 },
        Network { ip: Ipv4Addr::new(10, 137, 4, 0).into(), prefix: 24 },
        Network { ip: Ipv4Addr::new(10, 138, 0, 0).into(), prefix: 15 },
    ];
    let connection = connect(&request("a"), &host).unwrap();
    assert_eq!(connection.shared.subnet4.to_string(), "10.140.0.0/16");
    host.taken.push(Network { ip: Ipv4Addr::new(10, 0, 0, 0).into(), prefix: 8 });
    host.taken.push(Network { ip: Ipv4Addr::new(172, 16, 0, 0).into(), prefix: 12 });
    assert_eq!(connect(&request("a"), &host).unwrap().shared.subnet4.to_string(), "192.168.0.0/24");
    host.taken.push(Network { ip: Ipv4Addr::new(192, 168, 0, 0).into(), prefix: 16 });
    assert_eq!(connect(&request("a"), &host).unwrap_err().what, "cannot create network bridge");
}

#[test]
fn the_same_input_gives_the_same_addresses() {
    let one = connect(&request("a"), &host()).unwrap();
    assert_eq!(one, connect(&request("a"), &host()).unwrap());
    let net6 = one.shared.subnet6.unwrap();
    assert_eq!(net6.gateway().octets()[0], 0xfd);
    assert_eq!(one.lease.address6, Some(net6.beside(one.lease.address4)));
    assert_eq!(one.mac[2..], one.lease.address4.octets());
    assert_ne!(one.lease.address4, connect(&request("b"), &host()).unwrap().lease.address4);
}

#[test]
fn candidates_are_all_addresses_once() {
    let net = Net4::new(Ipv4Addr::new(10, 0, 0, 0), 29).unwrap();
    let mut all: Vec<_> = lease::candidates(net, "x").map(|ip| ip.octets()[3]).collect();
    all.sort_unstable();
    assert_eq!(all, [2, 3, 4, 5, 6]);
}

#[test]
fn what_is_written_reads_back() {
    let mut request = request("a");
    request.published = vec![tcp(None, 80), tcp(Some(Ipv6Addr::LOCALHOST.into()), 81)];
    let mut host = host();
    host.dropped_by = vec!["ip filter FORWARD".into()];
    request.published.pop();
    let made = connect(&request, &host).unwrap();
    assert_eq!(Shared::parse("bridge", &made.shared.record()), Some(made.shared.clone()));
    assert_eq!(Lease::parse(made.lease.address4, &made.lease.text()), made.lease);
    let torn = &made.lease.text()[..made.lease.text().len() - 1];
    assert!(Lease::parse(made.lease.address4, torn).published.is_empty());
    for port in [tcp(None, 80), tcp(Some(Ipv6Addr::UNSPECIFIED.into()), 81), tcp(Some(Ipv4Addr::LOCALHOST.into()), 8)] {
        assert_eq!(Published::from_file_name(&port.file_name()), Some(Published { container_port: 0, ..port }));
    }
    for undo in made.host.iter().flat_map(HostStep::undo) {
        assert_eq!(crate::undo::Verb::parse(undo.line().trim_end()), Some(undo));
    }
    assert_eq!(made.warnings.len(), 1);
}

#[test]
fn wrong_requests_are_rejected() {
    let what = |change: &dyn Fn(&mut Request, &mut HostNetwork)| {
        let (mut request, mut host) = (request("a"), host());
        change(&mut request, &mut host);
        connect(&request, &host).unwrap_err().to_string()
    };
    let gateway = Ipv4Addr::new(10, 137, 0, 1);
    assert!(what(&|r, _| r.ip = Some(gateway)).starts_with("cannot use address 10.137.0.1: the network bridge has"));
    assert!(what(&|r, _| r.ip6 = Some(Ipv6Addr::LOCALHOST)).starts_with("cannot use address ::1"));
    assert!(what(&|r, _| r.mtu = Some(100)).contains("1280"));
    let wild = || vec![tcp(None, 80)];
    let taken = |why| vec![Taken { published: tcp(None, 80), why }];
    assert!(what(&|r, h| (r.published, h.ports) = (wild(), taken(Why::Process))).contains("process of this host"));
    let other = Why::Container("web".into());
    assert!(what(&|r, h| (r.published, h.ports) = (wild(), taken(other.clone()))).contains("container web"));
    let twice = || vec![tcp(Some(Ipv4Addr::LOCALHOST.into()), 80), tcp(None, 80)];
    assert!(what(&|r, _| r.published = twice()).contains("twice"));
    assert!(what(&|r, _| r.published = vec![tcp(Some(Ipv6Addr::LOCALHOST.into()), 80)]).contains("loopback"));
}

#[test]
fn a_mac_is_parsed_strictly() {
    assert_eq!(parse_mac("02:42:ac:11:00:02"), Some([2, 0x42, 0xac, 0x11, 0, 2]));
    for wrong in
        ["", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "01:00:00:00:00:00", "2:42:ac:11:00:02", "+2:42:ac:11:00:02"]
    {
        assert_eq!(parse_mac(wrong), None, "{wrong}");
    }
}

#[test]
fn resolvers_on_the_loopback_are_replaced() {
    use files::{Dns, resolv_conf};
    let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
    let real = "nameserver 192.168.1.1\nsearch home\n";
    let none = Dns::default();
    assert_eq!(resolv_conf(stub, Some(real), &none).text, "search home\nnameserver 192.168.1.1\n");
    let alone = resolv_conf(stub, None, &none);
    assert_eq!(alone.text, "search lan\noptions edns0 trust-ad\n");
    assert!(alone.warning.unwrap().contains("loopback"));
    assert_eq!(resolv_conf("nameserver ::1\nnameserver 9.9.9.9\n", Some(real), &none).text, "nameserver 9.9.9.9\n");
    let own = Dns {
        servers: vec![Ipv4Addr::new(1, 1, 1, 1).into()],
        search: vec![".".into()],
        options: vec!["ndots:2".into()],
    };
    let given = resolv_conf(stub, None, &own);
    assert_eq!((given.text.as_str(), given.warning), ("options ndots:2\nnameserver 1.1.1.1\n", None));
}

#[test]
fn a_container_with_a_resolver_asks_that() {
    use files::{Dns, resolver_conf};
    let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
    let none = Dns::default();
    assert_eq!(
        resolver_conf(stub, Some("search home\noptions rotate\nnameserver 9.9.9.9\n"), &none),
        "nameserver 127.0.0.11\nsearch home\noptions rotate ndots:0\n"
    );
    assert_eq!(resolver_conf("", None, &none), "nameserver 127.0.0.11\noptions ndots:0\n");
    let own =
        Dns { servers: vec![Ipv4Addr::LOCALHOST.into()], search: vec![".".into()], options: vec!["ndots:2".into()] };
    assert_eq!(resolver_conf(stub, None, &own), "nameserver 127.0.0.11\noptions ndots:2\n");
}

#[test]
fn hosts_has_the_container_and_what_was_added() {
    use files::{ExtraHost, Own, hosts};
    let own = Own {
        addresses: vec![Ipv4Addr::new(10, 137, 0, 2).into()],
        gateway: Some(Ipv4Addr::new(10, 137, 0, 1).into()),
    };
    let extra: Vec<_> =
        ["db:10.0.0.7", "host:host-gateway", "six=[fd00::1]"].map(|text| ExtraHost::parse(text).unwrap()).to_vec();
    let text = hosts("web", "lan", &own, &extra).unwrap();
    for line in ["10.0.0.7\tdb", "10.137.0.1\thost", "fd00::1\tsix", "10.137.0.2\tweb.lan web", "127.0.0.1\tlocalhost"]
    {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(hosts("web", "", &Own::default(), &extra).is_err());
    assert!(ExtraHost::parse("db").is_err() && ExtraHost::parse("a b:1.1.1.1").is_err());
}

fn net(text: &str) -> Network {
    text.parse().unwrap()
}

fn wish(subnets: &[&str]) -> Wish {
    Wish { name: "mine".into(), subnets: subnets.iter().map(|text| net(text)).collect(), ..Wish::default() }
}

#[test]
fn a_network_is_as_it_was_wished() {
    let others = [("other".to_owned(), net("10.137.0.0/16"))];
    let free = define(&wish(&[]), &host(), &others).unwrap();
    assert_eq!((free.subnet4.to_string(), free.subnet6), ("10.138.0.0/16".to_owned(), None));
    assert!(free.bridge.len() < 16 && free.bridge.starts_with("sampan-"));
    let mut all = wish(&["10.9.8.0/24", "fd00:9::/64"]);
    all.gateways = vec!["10.9.8.254".parse().unwrap(), "fd00:9::fe".parse().unwrap()];
    all.ranges = vec![net("10.9.8.128/26")];
    all.traits = Traits { internal: true, named: true, ..Traits::default() };
    let made = define(&all, &host(), &others).unwrap();
    let mut asked = Request { definition: Some(made.clone()), network: "mine".into(), ..request("a") };
    asked.names = vec!["Web".into()];
    let one = connect(&asked, &host()).unwrap();
    assert!((128..192).contains(&one.lease.address4.octets()[3]), "{:?}", one.lease);
    assert_eq!(one.lease.names, ["Web"]);
    assert_eq!(Shared::parse("mine", &one.shared.record()), Some(one.shared.clone()));
    assert_eq!(Lease::parse(one.lease.address4, &one.lease.text()), one.lease);
    let InitStep::Configure { gateway4: None, gateway6: None, address6: Some((_, 64)), .. } = &one.init[1] else {
        panic!("{:?}", one.init)
    };
    assert!(one.host[0].shell().contains("/names/web/"), "{}", one.host[0].shell());
    let mut later = host();
    later.taken = vec![net("10.9.0.0/16")];
    assert!(connect(&asked, &later).unwrap_err().why.contains("overlaps with 10.9.0.0/16"));
}

#[test]
fn a_network_that_cannot_be_is_refused() {
    let others = [("other".to_owned(), net("10.137.0.0/16"))];
    let mut routed = host();
    routed.taken = vec![net("10.20.0.0/16"), net("0.0.0.0/0")];
    let why = |change: &dyn Fn(&mut Wish)| {
        let mut asked = wish(&["10.9.8.0/24"]);
        change(&mut asked);
        define(&asked, &routed, &others).unwrap_err().why
    };
    let subnets = |texts: &[&str]| wish(texts).subnets;
    assert!(why(&|w| w.subnets = subnets(&["10.137.5.0/24"])).contains("of the network other"));
    assert!(why(&|w| w.subnets = subnets(&["10.20.5.0/24"])).contains("has a route to"));
    assert!(why(&|w| w.subnets = subnets(&["10.9.8.0/24", "10.9.9.0/24"])).contains("more than one"));
    for none in ["127.3.0.0/16", "224.0.0.0/8", "0.0.0.0/0", "10.1.1.1/32", "10.1.1.0/31", "::1/128", "fe80::/64"] {
        assert!(why(&|w| w.subnets = subnets(&[none])).contains("no "), "{none}");
    }
    assert!(why(&|w| w.gateways = vec!["10.9.9.1".parse().unwrap()]).contains("gateway"));
    assert!(why(&|w| w.gateways = vec!["10.9.8.255".parse().unwrap()]).contains("gateway"));
    assert!(why(&|w| w.gateways = vec!["fd00::1".parse().unwrap()]).contains("no subnet"));
    for none in ["10.9.9.0/26", "10.9.0.0/16", "10.9.8.1/32", "fd00::/64", "10.9.8.255/32"] {
        assert!(why(&|w| w.ranges = vec![net(none)]).contains("range") || none.starts_with("fd"), "{none}");
    }
    assert!(why(&|w| w.subnets = subnets(&["10.9.8.0/24", "fd00:9::/122"])).contains("fewer"));
    assert!(why(&|w| w.mtu = Some(60)).contains("MTU"));
    for text in ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/-1", "x/8", "fd00::/129", ""] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}
