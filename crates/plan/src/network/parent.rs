//! Networks without a bridge: a container's link is a part of a link of the host's, its parent, and on that one's network.
//!
//! Nothing is made on the host: no bridge, no forwarding, no rules. The kernel lets the host and such a container not
//! speak to each other by this link.

use crate::network::{Mac, mac_text};
use crate::shell::quote;

/// A link of the host's, and how containers are parts of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub link: String,
    pub mode: Mode,
}

/// As ip-link(8) calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With Ethernet addresses of their own.
    Macvlan(u32),
    /// With that of the parent.
    Ipvlan(u16),
}

const MACVLAN: [(&str, u32); 4] = [("bridge", 4), ("private", 1), ("vepa", 2), ("passthru", 8)];
const IPVLAN: [(&str, u16); 3] = [("l2", 0), ("l3", 1), ("l3s", 2)];

impl Mode {
    /// `mode`: the first one where none is named.
    #[must_use]
    pub fn of(kind: &str, mode: Option<&str>) -> Option<Self> {
        let find = |name: &str| mode.is_none_or(|mode| mode == name);
        match kind {
            "macvlan" => MACVLAN.iter().find(|(name, _)| find(name)).map(|(_, number)| Self::Macvlan(*number)),
            "ipvlan" => IPVLAN.iter().find(|(name, _)| find(name)).map(|(_, number)| Self::Ipvlan(*number)),
            _ => None,
        }
    }

    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        let known = match self {
            Self::Macvlan(number) => MACVLAN.iter().find(|(_, known)| *known == number).map(|(name, _)| *name),
            Self::Ipvlan(number) => IPVLAN.iter().find(|(_, known)| *known == number).map(|(name, _)| *name),
        };
        known.unwrap_or_default()
    }
}

/// A container's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub parent: Parent,
    pub link: String,
    /// Not of ipvlan.
    pub mac: Option<Mac>,
    /// Bytes; `None`: the parent's.
    pub mtu: Option<u32>,
}

impl Part {
    pub(super) fn why(&self) -> String {
        format!("the container's {} is a part of the host's {}, and on its network", self.link, self.parent.link)
    }

    pub(super) fn shell(&self) -> String {
        let Self { parent: Parent { link: parent, mode }, link, mac, mtu } = self;
        let mac = mac.map_or_else(String::new, |mac| format!(" address {}", mac_text(mac)));
        let mtu = mtu.map_or_else(String::new, |mtu| format!(" mtu {mtu}"));
        let (kind, mode) = (mode.kind(), mode.name());
        format!("ip link add link {} name {}{mac}{mtu} netns $PID type {kind} mode {mode}", quote(parent), quote(link))
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;

    #[test]
    fn modes_have_the_names_of_ip_link() {
        assert_eq!(Mode::of("macvlan", None), Some(Mode::Macvlan(4)));
        assert_eq!(Mode::of("ipvlan", Some("l3s")).map(Mode::name), Some("l3s"));
        assert_eq!((Mode::of("macvlan", Some("l2")), Mode::of("bridge", None)), (None, None));
    }
}
