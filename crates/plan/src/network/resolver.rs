//! Where a container asks for names: a resolver of its own, at an address of its own loopback.

use super::firewall::{Element, Map};
use super::{Protocol, Published};
use std::net::Ipv4Addr;

/// docker's: programs know it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Of the container's own table.
pub const CHAIN: &str = "output";
const PORT: u16 = 53;

/// Port 53 leads to these, so that it stays free for a server of the container's own.
#[must_use]
pub fn redirects(udp: u16, tcp: u16) -> [Element; 2] {
    [(Protocol::Udp, udp), (Protocol::Tcp, tcp)].map(|(protocol, container_port)| {
        let published = Published { host_ip: Some(ADDRESS.into()), host_port: PORT, container_port, protocol };
        Element { map: Map::At4, published, host: ADDRESS.into(), to: ADDRESS.into() }
    })
}

pub(super) fn shell() -> String {
    format!("# no shell equivalent: the process that watches the container answers at {ADDRESS}, port {PORT}")
}
