//! The nftables table `inet sampan`, as data: runtime writes it over netlink, [`text`] for `nft -f`.
//!
//! Made once with its chains and rules; networks and containers are elements of its sets. It accepts and drops only
//! what goes to our bridges; everything else passes on to the host's own tables, which are never touched.
//! Needs Linux 5.7 (`iifname` in postrouting).

use super::{Published, Shared};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const TABLE: &str = "sampan";
/// The bridges of all networks.
pub const BRIDGES: &str = "bridges";
/// Each bridge with itself, because a rule cannot compare two loaded values.
pub const LOOPS: &str = "loops";

/// The bridges of networks without a way out.
pub const INTERNAL: &str = "internal";
/// Those whose containers leave with an address of the host.
pub const MASKED: &str = "masked";

/// The subnets of all networks.
pub const SUBNETS4: &str = "subnets4";
pub const SUBNETS6: &str = "subnets6";

/// The maps of published ports: from where a packet goes to where it shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// Protocol, address, port.
    At4,
    At6,
    /// Protocol, port: at every address of the host.
    Any4,
    Any6,
}

impl Map {
    pub const ALL: [Self; 4] = [Self::At4, Self::At6, Self::Any4, Self::Any6];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::At4 => "at4",
            Self::At6 => "at6",
            Self::Any4 => "any4",
            Self::Any6 => "any6",
        }
    }

    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        matches!(self, Self::At6 | Self::Any6)
    }

    #[must_use]
    pub const fn has_address(self) -> bool {
        matches!(self, Self::At4 | Self::At6)
    }

    const fn address(self) -> &'static str {
        if self.is_ipv6() { "ipv6_addr" } else { "ipv4_addr" }
    }

    pub(super) fn key(self, of_type: bool) -> String {
        let family = if self.is_ipv6() { "ip6" } else { "ip" };
        let (protocol, address, port) = match of_type {
            true => ("inet_proto", self.address().to_owned(), "inet_service"),
            false => ("meta l4proto", format!("{family} daddr"), "th dport"),
        };
        if self.has_address() { format!("{protocol} . {address} . {port}") } else { format!("{protocol} . {port}") }
    }
}

/// Where a base chain is called; the number is the priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before connection tracking.
    Raw,
    Prerouting,
    /// Behind all that others have there, and before the packet is routed.
    Entered,
    /// Behind all that others have there.
    Input,
    Output,
    Forward,
    Postrouting,
}

impl Hook {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Raw => "type filter hook prerouting priority raw; policy accept;",
            Self::Prerouting => "type nat hook prerouting priority dstnat; policy accept;",
            Self::Entered => "type filter hook prerouting priority 400; policy accept;",
            Self::Input => "type filter hook input priority 400; policy accept;",
            Self::Output => "type nat hook output priority -100; policy accept;",
            Self::Forward => "type filter hook forward priority filter; policy accept;",
            Self::Postrouting => "type nat hook postrouting priority srcnat; policy accept;",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// Came in by one of our bridges.
    FromBridge,
    /// Came in a second time: see [`super::entry`].
    FromEntry,
    FromInternal,
    FromMasked,
    /// Goes out by one.
    ToBridge,
    NotToBridge,
    /// Goes out by the bridge by which it came.
    WithinBridge,
    FromSubnet4,
    FromSubnet6,
    FromLoopback4,
    ToLoopback4,
    NotToLoopback6,
    Established,
    /// Its destination was translated.
    Translated,
    /// Its destination is an address of the host.
    ToHost,
}

impl Match {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::FromBridge => "iifname @bridges",
            Self::FromEntry => "iifname \"sampan-in\"",
            Self::FromInternal => "iifname @internal",
            Self::FromMasked => "iifname @masked",
            Self::ToBridge => "oifname @bridges",
            Self::NotToBridge => "oifname != @bridges",
            Self::WithinBridge => "iifname . oifname @loops",
            Self::FromSubnet4 => "ip saddr @subnets4",
            Self::FromSubnet6 => "ip6 saddr @subnets6",
            Self::FromLoopback4 => "ip saddr 127.0.0.0/8",
            Self::ToLoopback4 => "ip daddr 127.0.0.0/8",
            Self::NotToLoopback6 => "ip6 daddr != ::1",
            Self::Established => "ct state established,related",
            Self::Translated => "ct status dnat",
            Self::ToHost => "fib daddr type local",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Accept,
    Drop,
    Goto(&'static str),
    Masquerade,
    /// To what the map says; passes on what is not in it.
    Translate(Map),
}

impl Action {
    fn text(self) -> String {
        match self {
            Self::Accept => "accept".into(),
            Self::Drop => "drop".into(),
            Self::Goto(chain) => format!("goto {chain}"),
            Self::Masquerade => "masquerade".into(),
            Self::Translate(map) => {
                let family = if map.is_ipv6() { "ip6" } else { "ip" };
                format!("dnat {family} to {} map @{}", map.key(false), map.name())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub matches: &'static [Match],
    pub action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    pub name: &'static str,
    pub hook: Option<Hook>,
    pub rules: &'static [Rule],
}

const fn rule(matches: &'static [Match], action: Action) -> Rule {
    Rule { matches, action }
}

/// A neighbour's packet for 127.0.0.1: the kernel drops it as a martian when it is routed, which is after this, so it
/// must not be given another destination here (CVE-2020-8558). The host's own pass through output.
const NOT_FROM_LOOPBACK: Rule = rule(&[Match::ToLoopback4], Action::Accept);

/// Where packets cannot enter twice.
const DIRECT: &[Rule] = &[NOT_FROM_LOOPBACK, rule(&[Match::ToHost], Action::Goto("published"))];

/// `direct`: published ports do not ask the host's rules for input.
#[must_use]
pub fn chains(direct: bool) -> Vec<Chain> {
    let mut chains = CHAINS.to_vec();
    for chain in chains.iter_mut().filter(|chain| direct && chain.hook == Some(Hook::Prerouting)) {
        chain.rules = DIRECT;
    }
    chains
}

/// In an order in which every chain comes after those that it goes to.
const CHAINS: &[Chain] = &[
    Chain {
        name: "published",
        hook: None,
        rules: &[
            rule(&[], Action::Translate(Map::At4)),
            rule(&[], Action::Translate(Map::Any4)),
            rule(&[], Action::Translate(Map::At6)),
            // The kernel takes no answer for ::1 from another link than lo (there is no route_localnet in IPv6), so a
            // translated connection would hang. Left alone it is refused at once, and clients go on to 127.0.0.1.
            rule(&[Match::NotToLoopback6], Action::Translate(Map::Any6)),
        ],
    },
    Chain {
        name: "enter",
        hook: None,
        rules: &[
            rule(&[Match::Established], Action::Accept),
            rule(&[Match::Translated], Action::Accept),
            // Only where bridged packets are shown to nftables (br_netfilter).
            rule(&[Match::WithinBridge], Action::Accept),
            rule(&[], Action::Drop),
        ],
    },
    Chain {
        name: "inside",
        hook: None,
        rules: &[rule(&[Match::WithinBridge], Action::Accept), rule(&[], Action::Drop)],
    },
    Chain {
        name: "raw",
        hook: Some(Hook::Raw),
        rules: &[
            // route_localnet, which 127.0.0.1 needs, would let a container reach what listens on the host's loopback
            // only (CVE-2020-8558). Answers for 127.0.0.1 are still addressed to the bridge here.
            rule(&[Match::FromBridge, Match::ToLoopback4], Action::Drop),
            rule(&[Match::FromBridge, Match::FromLoopback4], Action::Drop),
        ],
    },
    Chain {
        name: "prerouting",
        hook: Some(Hook::Prerouting),
        rules: &[
            NOT_FROM_LOOPBACK,
            // Others go to the host, whose own rules for input come next, and then enter once more.
            rule(&[Match::FromEntry, Match::ToHost], Action::Goto("published")),
            rule(&[Match::FromBridge, Match::ToHost], Action::Goto("published")),
        ],
    },
    Chain { name: "output", hook: Some(Hook::Output), rules: &[rule(&[Match::ToHost], Action::Goto("published"))] },
    Chain {
        name: "forward",
        hook: Some(Hook::Forward),
        rules: &[
            // First: what it could reach by a published port is out, too.
            rule(&[Match::FromInternal], Action::Goto("inside")),
            rule(&[Match::ToBridge], Action::Goto("enter")),
        ],
    },
    Chain {
        name: "postrouting",
        hook: Some(Hook::Postrouting),
        rules: &[
            rule(&[Match::FromMasked, Match::NotToBridge], Action::Masquerade),
            // From a container to a published port, by the host's address: the answer must come back this way. Told by
            // the address, because bridged packets (br_netfilter) have no incoming interface here.
            rule(&[Match::ToBridge, Match::Translated, Match::FromSubnet4], Action::Masquerade),
            rule(&[Match::ToBridge, Match::Translated, Match::FromSubnet6], Action::Masquerade),
            rule(&[Match::ToBridge, Match::FromLoopback4], Action::Masquerade),
        ],
    },
];

/// The table without elements, as `nft -f` reads it.
#[must_use]
pub fn text(direct: bool) -> String {
    let mut text = format!("table inet {TABLE} {{\n");
    for set in [BRIDGES, INTERNAL, MASKED] {
        let _ = writeln!(text, "\tset {set} {{ type ifname; }}");
    }
    let _ = writeln!(text, "\tset {LOOPS} {{ type ifname . ifname; }}");
    for (set, address) in [(SUBNETS4, "ipv4_addr"), (SUBNETS6, "ipv6_addr")] {
        let _ = writeln!(text, "\tset {set} {{ type {address}; flags interval; }}");
    }
    for map in Map::ALL {
        let (name, key, address) = (map.name(), map.key(true), map.address());
        let _ = writeln!(text, "\tmap {name} {{ type {key} : {address} . inet_service; }}");
    }
    for chain in chains(direct) {
        let _ = writeln!(text, "\tchain {} {{", chain.name);
        if let Some(hook) = chain.hook {
            let _ = writeln!(text, "\t\t{}", hook.text());
        }
        for rule in chain.rules {
            let words = rule.matches.iter().map(|part| part.text().to_owned()).chain([rule.action.text()]);
            let _ = writeln!(text, "\t\t{}", words.collect::<Vec<_>>().join(" "));
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    text
}

/// The elements of a network.
#[must_use]
pub fn network_text(shared: &Shared) -> String {
    let (bridge, net4) = (&shared.bridge, shared.subnet4);
    let mut text = format!(
        "add element inet {TABLE} {BRIDGES} {{ \"{bridge}\" }}\n\
         add element inet {TABLE} {LOOPS} {{ \"{bridge}\" . \"{bridge}\" }}\n\
         add element inet {TABLE} {SUBNETS4} {{ {net4} }}\n"
    );
    for set in sets_of(shared) {
        let _ = writeln!(text, "add element inet {TABLE} {set} {{ \"{bridge}\" }}");
    }
    if let Some(net6) = shared.subnet6 {
        let _ = writeln!(text, "add element inet {TABLE} {SUBNETS6} {{ {net6} }}");
    }
    text
}

/// Which sets a network's bridge is in, but [`BRIDGES`], where all are.
pub fn sets_of(shared: &Shared) -> impl Iterator<Item = &'static str> {
    let masked = !shared.traits.unmasked && !shared.traits.internal;
    let sets = [(INTERNAL, shared.traits.internal), (MASKED, masked)];
    sets.into_iter().filter(|(_, is_in)| *is_in).map(|(set, _)| set)
}

/// An element of a map of published ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    pub map: Map,
    /// Protocol and port as asked for at `host`; unspecified for [`Map::Any4`] and [`Map::Any6`].
    pub published: Published,
    pub host: IpAddr,
    pub to: IpAddr,
}

impl Element {
    #[must_use]
    pub fn text(&self) -> String {
        let (map, to, container_port) = (self.map.name(), self.to, self.published.container_port);
        format!("add element inet {TABLE} {map} {{ {} : {to} . {container_port} }}\n", self.key())
    }

    pub(super) fn key(&self) -> String {
        let (protocol, port) = (self.published.protocol.name(), self.published.host_port);
        let host = if self.map.has_address() { format!("{} . ", self.host) } else { String::new() };
        format!("{protocol} . {host}{port}")
    }
}

/// The elements that publish these ports of the container with these addresses. A port at all addresses of the host is
/// two elements where the container has IPv6.
#[must_use]
pub fn elements(published: &[Published], to4: Ipv4Addr, to6: Option<Ipv6Addr>) -> Vec<Element> {
    published.iter().flat_map(|&published| of(published, to4, to6)).collect()
}

fn of(published: Published, to4: Ipv4Addr, to6: Option<Ipv6Addr>) -> Vec<Element> {
    let element = |map, host, to| Element { map, published, host, to };
    let any4 = element(Map::Any4, Ipv4Addr::UNSPECIFIED.into(), to4.into());
    let any6 = to6.map(|to6| element(Map::Any6, Ipv6Addr::UNSPECIFIED.into(), to6.into()));
    match (published.host_ip, to6) {
        (None, _) => [any4].into_iter().chain(any6).collect(),
        (Some(IpAddr::V4(ip)), _) if ip.is_unspecified() => vec![any4],
        (Some(IpAddr::V4(ip)), _) => vec![element(Map::At4, ip.into(), to4.into())],
        (Some(IpAddr::V6(ip)), _) if ip.is_unspecified() => any6.into_iter().collect(),
        (Some(IpAddr::V6(ip)), Some(to6)) => vec![element(Map::At6, ip.into(), to6.into())],
        (Some(IpAddr::V6(_)), None) => Vec::new(),
    }
}
