//! What the network planner makes of plain values.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn request(id: &str) -> Request {
    Request {
        container: id.into(),
        network: "bridge".into(),
        ip: None,
        ip6: None,
        mac: None,
        mtu: None,
        published: Vec::new(),
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
    let mut all: Vec<_> = candidates(net, "x").map(|ip| ip.octets()[3]).collect();
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
fn hosts_has_the_container_and_what_was_added() {
    use files::{ExtraHost, Own, hosts};
    let own = Own {
        address4: Some(Ipv4Addr::new(10, 137, 0, 2)),
        address6: None,
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
