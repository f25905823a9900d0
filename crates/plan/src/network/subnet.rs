//! Subnets, and choosing one that collides with nothing on the host.

use super::hash;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A link-layer address.
pub type Mac = [u8; 6];

/// An IPv4 subnet; the address is the subnet's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net4 {
    base: u32,
    prefix: u8,
}

impl Net4 {
    /// The subnet that `ip` is in. `None`: there is no such prefix length, or it leaves no room for a gateway and a
    /// container (31, 32).
    #[must_use]
    pub fn new(ip: Ipv4Addr, prefix: u8) -> Option<Self> {
        (1..=30).contains(&prefix).then(|| Self { base: ip.to_bits() & (u32::MAX << (32 - prefix)), prefix })
    }

    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The address at `offset` from the subnet's own.
    #[must_use]
    pub fn at(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base + offset)
    }

    /// The bridge's own address, the first of the subnet.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.at(1)
    }

    /// The first address behind the subnet.
    #[must_use]
    pub fn end(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.wrapping_add(1 << (32 - self.prefix)))
    }

    /// Addresses that a container can have: without the network's, the gateway's and the broadcast's.
    #[must_use]
    pub fn room(&self) -> u32 {
        (u32::MAX >> self.prefix) - 2
    }

    #[must_use]
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        ip.to_bits() >> (32 - self.prefix) == self.base >> (32 - self.prefix)
    }

    /// Whether a container may have `ip`.
    #[must_use]
    pub fn holds(&self, ip: Ipv4Addr) -> bool {
        self.contains(ip) && (2..2 + self.room()).contains(&(ip.to_bits() - self.base))
    }
}

impl fmt::Display for Net4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.at(0), self.prefix)
    }
}

/// An IPv6 subnet of 64 bits; a container's address in it ends with its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net6(u64);

impl Net6 {
    /// The `/64` that `ip` is in.
    #[must_use]
    pub fn new(ip: Ipv6Addr) -> Self {
        Self((ip.to_bits() >> 64) as u64)
    }

    #[must_use]
    pub fn at(&self, interface: u64) -> Ipv6Addr {
        Ipv6Addr::from_bits(u128::from(self.0) << 64 | u128::from(interface))
    }

    #[must_use]
    pub fn gateway(&self) -> Ipv6Addr {
        self.at(1)
    }

    /// The first address behind the subnet.
    #[must_use]
    pub fn end(&self) -> Ipv6Addr {
        Self(self.0.wrapping_add(1)).at(0)
    }

    /// The address of the container whose IPv4 address is `ip`.
    #[must_use]
    pub fn beside(&self, ip: Ipv4Addr) -> Ipv6Addr {
        self.at(ip.to_bits().into())
    }

    /// Whether a container may have `ip`.
    #[must_use]
    pub fn holds(&self, ip: Ipv6Addr) -> bool {
        Self::new(ip) == *self && ip != self.at(0) && ip != self.gateway()
    }
}

impl fmt::Display for Net6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/64", self.at(0))
    }
}

/// A destination that is taken: of a route, or the network of an address. A default route takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub ip: IpAddr,
    pub prefix: u8,
}

impl Network {
    fn overlaps(&self, ip: IpAddr, prefix: u8) -> bool {
        let common = self.prefix.min(prefix);
        match (self.ip, ip) {
            _ if self.prefix == 0 => false,
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= common.into(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= common.into(),
            _ => false,
        }
    }
}

/// The first of our candidates that overlaps with nothing that is taken: 10.137-254.0.0/16, 172.16-31.0.0/16,
/// 192.168.0-255.0/24. They begin where neither docker (172.17), podman (10.88), nor common home networks are.
pub(super) fn free4(taken: &[Network]) -> Option<Net4> {
    let tens = (137..=254).map(|n| (Ipv4Addr::new(10, n, 0, 0), 16));
    let mids = (16..=31).map(|n| (Ipv4Addr::new(172, n, 0, 0), 16));
    let smalls = (0..=255).map(|n| (Ipv4Addr::new(192, 168, n, 0), 24));
    tens.chain(mids)
        .chain(smalls)
        .find(|&(ip, prefix)| !taken.iter().any(|network| network.overlaps(ip.into(), prefix)))
        .and_then(|(ip, prefix)| Net4::new(ip, prefix))
}

/// A unique local subnet (RFC 4193, section 3.2): `seed` (the machine's) and the network's name make the 40 bits.
pub(super) fn free6(seed: &str, network: &str, taken: &[Network]) -> Option<Net6> {
    (0..16u8)
        .map(|attempt| hash(&[seed, network, &attempt.to_string()]) >> 24)
        .map(|global| Net6(0xfd << 56 | global << 16))
        .find(|net| !taken.iter().any(|network| network.overlaps(net.at(0).into(), 64)))
}

/// Locally administered, and the same whenever the address is the same: neighbours need not learn anew.
#[must_use]
pub fn mac_of(ip: Ipv4Addr) -> Mac {
    let [a, b, c, d] = ip.octets();
    [0x02, 0x53, a, b, c, d]
}

#[must_use]
pub fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A unicast address in colon notation.
#[must_use]
pub fn parse_mac(text: &str) -> Option<Mac> {
    let byte = |part: &str| {
        let two_digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        two_digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
    };
    let mut bytes = text.split([':', '-']).map(byte);
    let mut mac = [0; 6];
    for byte in &mut mac {
        *byte = bytes.next()??;
    }
    (bytes.next().is_none() && mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

/// The bridge of a network: a link's name has 15 characters at most, a network's more.
#[must_use]
pub fn bridge_name(network: &str) -> String {
    if network == "bridge" { "sampan0".to_owned() } else { format!("sampan-{:08x}", hash(&[network]) as u32) }
}

/// The host's end of a container's veth pair: new with every container, because the link of one that just ended may
/// still be dying under its name.
#[must_use]
pub fn link_name(container: &str) -> String {
    format!("sp{:012x}", hash(&[container]) >> 16)
}
