//! Subnets, and choosing one that collides with nothing on the host.

use super::hash;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A link-layer address.
pub type Mac = [u8; 6];

/// An IPv4 subnet, the bridge's address in it, and where containers get theirs from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net4 {
    base: u32,
    prefix: u8,
    gateway: u32,
    /// First address and number of the part that addresses are chosen from.
    pool: (u32, u32),
}

impl Net4 {
    /// The subnet that `ip` is in, with its first address for the bridge. `None`: there is no such prefix length, or it
    /// leaves no room for a gateway and a container (31, 32).
    #[must_use]
    pub fn new(ip: Ipv4Addr, prefix: u8) -> Option<Self> {
        let base = ip.to_bits() & mask4(prefix);
        // Without the network's own address and the broadcast's.
        let pool = (base.wrapping_add(1), (u32::MAX.checked_shr(prefix.into()).unwrap_or(0)).saturating_sub(1));
        (1..=30).contains(&prefix).then(|| Self { base, prefix, gateway: base + 1, pool })
    }

    /// With another address for the bridge; `None`: the subnet has it not.
    #[must_use]
    pub fn with_gateway(self, ip: Ipv4Addr) -> Option<Self> {
        let gateway = ip.to_bits();
        self.is_host(ip).then_some(Self { gateway, ..self })
    }

    /// Addresses are chosen from this part only; `None`: it is no part, or has none.
    #[must_use]
    pub fn with_range(self, ip: Ipv4Addr, prefix: u8) -> Option<Self> {
        let inside = prefix >= self.prefix && prefix <= 32 && self.contains(ip);
        let size = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let start = ip.to_bits() & !size;
        let first = start.max(self.base + 1);
        let last = (start | size).min(self.end_bits().wrapping_sub(2));
        let pool = (first, last.checked_sub(first).map_or(0, |room| room + 1));
        (inside && pool.1 > 0 && pool != (self.gateway, 1)).then_some(Self { pool, ..self })
    }

    /// As [`Net4::pool`] said.
    #[must_use]
    pub(super) fn with_pool(self, first: Ipv4Addr, count: u32) -> Option<Self> {
        let last = first.to_bits().checked_add(count.checked_sub(1)?)?;
        let inside = self.is_host(first) && self.is_host(Ipv4Addr::from_bits(last));
        inside.then_some(Self { pool: (first.to_bits(), count), ..self })
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

    /// The bridge's own address.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.gateway)
    }

    /// The first address behind the subnet.
    #[must_use]
    pub fn end(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.end_bits())
    }

    fn end_bits(&self) -> u32 {
        self.base.wrapping_add(1 << (32 - self.prefix))
    }

    /// Where addresses are chosen from: the first, and how many; the gateway may be one of them.
    #[must_use]
    pub fn pool(&self) -> (Ipv4Addr, u32) {
        (Ipv4Addr::from_bits(self.pool.0), self.pool.1)
    }

    #[must_use]
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        ip.to_bits() >> (32 - self.prefix) == self.base >> (32 - self.prefix)
    }

    /// Neither the network's own nor the broadcast's.
    fn is_host(&self, ip: Ipv4Addr) -> bool {
        self.contains(ip) && ip.to_bits() != self.base && ip.to_bits() != self.end_bits().wrapping_sub(1)
    }

    /// Whether a container may have `ip`.
    #[must_use]
    pub fn holds(&self, ip: Ipv4Addr) -> bool {
        self.is_host(ip) && ip != self.gateway()
    }
}

impl fmt::Display for Net4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.at(0), self.prefix)
    }
}

/// An IPv6 subnet; a container's address in it ends as its IPv4 address does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net6 {
    base: u128,
    prefix: u8,
    gateway: u128,
}

impl Net6 {
    /// The subnet that `ip` is in, with its first address for the bridge. `None`: there is no such prefix length, or it
    /// leaves no room.
    #[must_use]
    pub fn new(ip: Ipv6Addr, prefix: u8) -> Option<Self> {
        let base = ip.to_bits() & mask6(prefix);
        (1..=126).contains(&prefix).then(|| Self { base, prefix, gateway: base + 1 })
    }

    /// With another address for the bridge; `None`: the subnet has it not.
    #[must_use]
    pub fn with_gateway(self, ip: Ipv6Addr) -> Option<Self> {
        let gateway = ip.to_bits();
        (self.contains(ip) && gateway != self.base).then_some(Self { gateway, ..self })
    }

    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    #[must_use]
    pub fn at(&self, offset: u64) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.base | u128::from(offset))
    }

    #[must_use]
    pub fn gateway(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.gateway)
    }

    /// The first address behind the subnet.
    #[must_use]
    pub fn end(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.base.wrapping_add(1 << (128 - self.prefix)))
    }

    /// The address of the container whose IPv4 address is `ip`: with as many of its bits as there is room for.
    #[must_use]
    pub fn beside(&self, ip: Ipv4Addr) -> Ipv6Addr {
        let room = u128::MAX >> self.prefix;
        Ipv6Addr::from_bits(self.base | u128::from(ip.to_bits()) & room)
    }

    #[must_use]
    pub fn contains(&self, ip: Ipv6Addr) -> bool {
        ip.to_bits() >> (128 - self.prefix) == self.base >> (128 - self.prefix)
    }

    /// Whether a container may have `ip`.
    #[must_use]
    pub fn holds(&self, ip: Ipv6Addr) -> bool {
        self.contains(ip) && ip.to_bits() != self.base && ip != self.gateway()
    }
}

impl fmt::Display for Net6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.at(0), self.prefix)
    }
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// A destination that is taken: of a route, or the network of an address. A default route takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub ip: IpAddr,
    pub prefix: u8,
}

impl From<Net4> for Network {
    fn from(net: Net4) -> Self {
        Self { ip: net.at(0).into(), prefix: net.prefix }
    }
}

impl From<Net6> for Network {
    fn from(net: Net6) -> Self {
        Self { ip: net.at(0).into(), prefix: net.prefix }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl FromStr for Network {
    type Err = ();

    /// `10.1.0.0/16`; bits behind the prefix are left out.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (ip, prefix) = text.split_once('/').ok_or(())?;
        let ip: IpAddr = ip.parse().map_err(drop)?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|prefix| digits && *prefix <= most).ok_or(())?;
        let ip = match ip {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & mask4(prefix)).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & mask6(prefix)).into(),
        };
        Ok(Self { ip, prefix })
    }
}

impl Network {
    #[must_use]
    pub fn overlaps(&self, ip: IpAddr, prefix: u8) -> bool {
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
        .map(|global| Ipv6Addr::from_bits(u128::from(0xfd << 56 | global << 16) << 64))
        .filter_map(|ip| Net6::new(ip, 64))
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

/// The host's end of a container's veth pair: new each time that a container comes, because the link of one that just
/// ended, and is started again, may still be dying under its name.
#[must_use]
pub fn link_name(container: &str, network: &str, moment: u64) -> String {
    format!("sp{:012x}", hash(&[container, network, &moment.to_string()]) >> 16)
}
