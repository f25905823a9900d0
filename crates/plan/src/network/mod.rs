//! The network of a container: a bridge that containers share, a veth pair of its own, one nftables table.
//!
//! Invariant: the address, the subnet and the rules are functions of the request and of [`HostNetwork`]; nothing here
//! looks at the host. A container adds elements to sets, never rules, so that the ten-thousandth starts like the first.

mod connect;
mod define;
mod device;
pub mod entry;
pub mod files;
pub mod firewall;
mod lease;
mod parent;
mod pasta;
pub mod resolver;
mod shared;
mod step;
mod subnet;

pub use connect::{Connection, HostNetwork, Request, Taken, Why, check_ports, connect};
pub use define::{Definition, Wish, define};
pub use device::{Device, Links, devices};
pub use lease::Lease;
pub use parent::{Mode, Parent, Part};
pub use pasta::Pasta;
pub use shared::{Shared, Traits};
pub use step::{AttachStep, HostStep, InitStep, LINK, Undo};
pub use subnet::{Mac, Net4, Net6, Network, bridge_name, mac_of, mac_text, parse_mac};

use std::fmt;
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// As IANA numbers it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.name() == name)
    }
}

/// A port of the container that is reachable at a port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Published {
    /// `None`: all addresses of the host, both families. `0.0.0.0` and `::` are all addresses of one family.
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

impl Published {
    /// Whether both cannot be published at once: the same port at addresses of which one covers the other.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let covers = |a: Option<IpAddr>, b: Option<IpAddr>| match (a, b) {
            (None, _) => true,
            (Some(a), Some(b)) => a == b || a.is_unspecified() && a.is_ipv4() == b.is_ipv4(),
            (Some(_), None) => false,
        };
        self.protocol == other.protocol
            && self.host_port == other.host_port
            && (covers(self.host_ip, other.host_ip) || covers(other.host_ip, self.host_ip))
    }

    /// The name of the port in the state directory: `tcp.8080.0.0.0.0`, unique to protocol, port and address.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}.{}", self.protocol.name(), self.host_port, self.host())
    }

    /// What [`Published::file_name`] made; the container's port is not in it and reads as 0.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (protocol, rest) = name.split_once('.')?;
        let (port, host) = rest.split_once('.')?;
        let host_ip = if host == "all" { None } else { Some(host.parse().ok()?) };
        Some(Self { host_ip, host_port: port.parse().ok()?, container_port: 0, protocol: Protocol::parse(protocol)? })
    }

    fn host(&self) -> String {
        self.host_ip.map_or_else(|| "all".to_owned(), |ip| ip.to_string())
    }
}

/// `0.0.0.0:8080/tcp`, `[::1]:53/udp`, `8080/tcp` for all addresses.
impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            None => write!(f, "{}", self.host_port)?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.host_port)?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.host_port)?,
        }
        write!(f, "/{}", self.protocol.name())
    }
}

/// FNV-1a: spreads names over addresses, the same on every host and in every version.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
