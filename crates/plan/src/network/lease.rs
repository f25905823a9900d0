//! Leases: which container has which address and which ports.

use super::subnet::{Mac, Net4, mac_text, parse_mac};
use super::{Protocol, Published, hash};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A container's place in a network. Written to a file named by the address, made exclusively, before anything else of
/// the container is: whoever cleans up finds there what it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub container: String,
    pub address4: Ipv4Addr,
    pub address6: Option<Ipv6Addr>,
    pub mac: Mac,
    /// The link, as the container sees it.
    pub link: String,
    /// Its other end, on the host.
    pub cable: String,
    /// What the container's default route goes by: the highest of its networks.
    pub priority: i32,
    /// By which others of the network find the container; the first is what its address is called.
    pub names: Vec<String>,
    pub published: Vec<Published>,
}

impl Lease {
    #[must_use]
    pub fn text(&self) -> String {
        let Self { container, link, cable, priority, .. } = self;
        let mac = mac_text(self.mac);
        let mut text = format!("container {container}\nmac {mac}\nlink {link}\ncable {cable}\npriority {priority}\n");
        if let Some(ip) = self.address6 {
            let _ = writeln!(text, "address6 {ip}");
        }
        for name in &self.names {
            let _ = writeln!(text, "name {name}");
        }
        for port in &self.published {
            let (name, host) = (port.protocol.name(), port.host());
            let _ = writeln!(text, "publish {name} {host} {} {}", port.host_port, port.container_port);
        }
        text
    }

    /// Lines that are torn are left out: a lease that was not written whole belongs to a container that never came to
    /// publish anything.
    #[must_use]
    pub fn parse(address4: Ipv4Addr, text: &str) -> Self {
        let mut lease = Self {
            container: String::new(),
            address4,
            address6: None,
            mac: Mac::default(),
            link: String::new(),
            cable: String::new(),
            priority: 0,
            names: Vec::new(),
            published: Vec::new(),
        };
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["container", id] => lease.container = (*id).to_owned(),
                ["address6", ip] => lease.address6 = ip.parse().ok(),
                ["mac", mac] => lease.mac = parse_mac(mac).unwrap_or_default(),
                ["link", link] => lease.link = (*link).to_owned(),
                ["cable", cable] => lease.cable = (*cable).to_owned(),
                ["priority", priority] => lease.priority = priority.parse().unwrap_or_default(),
                ["name", name] => lease.names.push((*name).to_owned()),
                ["publish", rest @ ..] => lease.published.extend(published(rest)),
                _ => (),
            }
        }
        lease
    }
}

fn published(words: &[&str]) -> Option<Published> {
    let [protocol, host, host_port, container_port] = words else {
        return None;
    };
    Some(Published {
        host_ip: if *host == "all" { None } else { Some(host.parse().ok()?) },
        host_port: host_port.parse().ok()?,
        container_port: container_port.parse().ok()?,
        protocol: Protocol::parse(protocol)?,
    })
}

/// Every address of the subnet that a container may have, in the order in which `container` tries them. It begins
/// where the container's id says, so that the first is nearly always free, without a list of those that are not, and
/// the address of one that just ended is not taken at once.
pub(super) fn candidates(subnet: Net4, container: &str) -> impl Iterator<Item = Ipv4Addr> {
    let (start, count) = subnet.pool();
    let first = (hash(&[container]) >> 32) as u32 % count;
    let at = move |step: u32| (u64::from(first) + u64::from(step)) % u64::from(count);
    (0..count)
        .map(move |step| Ipv4Addr::from_bits(start.to_bits() + at(step) as u32))
        .filter(move |ip| subnet.holds(*ip))
}
