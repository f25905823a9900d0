//! The second entry: how a published port obeys what the host's own rules for input say (docs/adr/0016-input.md).
//!
//! A packet for a published port is not translated when it comes: it is the host's, and meets the host's chains at the
//! hook `input`. What is left behind all of them is sent into a cable of which both ends are the host's, and comes in by
//! its other end, with its source and destination as they were; there it is translated, and so are all later packets of
//! its connection, at once, wherever they come in.

use super::firewall::{Hook, Map, Match, TABLE};
use super::{Mac, firewall, mac_text};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The end that packets are sent into.
pub const EXIT: &str = "sampan-out";
/// The end by which they come in.
pub const ENTRY: &str = "sampan-in";
/// Of both ends: nobody asks who has an address there (`arp off`), so each takes the other's for its own.
pub const MAC: Mac = [0x02, 0x53, 0, 0, 0, 1];
pub const MTU: u32 = 65535;
/// The dummy address of IPv4 (RFC 7600): where the kernel looks back by which way a packet came (`rp_filter`), it believes
/// none by a link without an address.
pub const DUMMY4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
/// Where packets are sent: on the link, and nobody's.
pub const NEXT6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// A routing table, and the rule that leads to it: rules that ask whether the answer would go by the link by which an IPv6
/// packet came (firewalld's `IPv6_rpfilter`) ask for the packet's mark, and find a way by the entry.
pub const ROUTES: u32 = 13700;
/// What is sent has this mark until it has come in.
pub const MARK: u32 = 0x7361_6d70;

/// Chains of the tables `ip sampan` and `ip6 sampan`.
pub const INPUT: &str = "input";
pub const AGAIN: &str = "again";
pub const ENTERED: &str = "entered";
/// Their sets: protocol, address, port; and protocol, port.
pub const AT: &str = "at";
pub const ANY: &str = "any";

/// A table of one family: the kernel duplicates packets (`dup`) in those only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub is_ipv6: bool,
    /// Where packets are sent.
    pub next: IpAddr,
}

pub const FAMILIES: [Family; 2] = [
    Family { name: "ip", is_ipv6: false, next: IpAddr::V4(DUMMY4) },
    Family { name: "ip6", is_ipv6: true, next: IpAddr::V6(NEXT6) },
];

impl Family {
    /// The maps of the other table whose keys are the elements of [`AT`] and [`ANY`].
    #[must_use]
    pub const fn sets(self) -> [(&'static str, Map); 2] {
        match self.is_ipv6 {
            false => [(AT, Map::At4), (ANY, Map::Any4)],
            true => [(AT, Map::At6), (ANY, Map::Any6)],
        }
    }
}

/// By these links come the host itself, and who was here before: they pass.
pub const PASS: [&str; 2] = ["lo", ENTRY];

fn table_text(family: Family) -> String {
    let mut text = format!("table {} {TABLE} {{\n", family.name);
    for (set, map) in family.sets() {
        let _ = writeln!(text, "\tset {set} {{ type {}; }}", map.key(true));
    }
    let next = family.next;
    let _ = writeln!(
        text,
        "\tchain {AGAIN} {{\n\t\tmeta mark set {MARK:#x} dup to {next} device \"{EXIT}\"\n\t\tdrop\n\t}}"
    );
    let _ = writeln!(text, "\tchain {INPUT} {{\n\t\t{}", Hook::Input.text());
    for link in PASS {
        let _ = writeln!(text, "\t\tiifname \"{link}\" accept");
    }
    for (set, map) in family.sets() {
        let _ = writeln!(text, "\t\t{} {} @{set} goto {AGAIN}", Match::ToHost.text(), map.key(false));
    }
    let hook = Hook::Entered.text();
    let _ = writeln!(text, "\t}}\n\tchain {ENTERED} {{\n\t\t{hook}\n\t\tiifname \"{ENTRY}\" meta mark set 0x0\n\t}}");
    text + "}\n"
}

/// The elements beside those of the maps.
#[must_use]
pub fn elements_text(elements: &[firewall::Element]) -> String {
    let mut text = String::new();
    for (family, (set, map)) in FAMILIES.iter().flat_map(|family| family.sets().map(|set| (family, set))) {
        for element in elements.iter().filter(|element| element.map == map) {
            let _ = writeln!(text, "add element {} {TABLE} {set} {{ {} }}", family.name, element.key());
        }
    }
    text
}

pub(super) fn shell(state_dir: &str) -> String {
    let mac = mac_text(MAC);
    let tables: String = FAMILIES.into_iter().map(table_text).collect();
    let file = crate::shell::quote(&format!("{state_dir}/.entry"));
    format!(
        ": >{file}
ip link show {ENTRY} >/dev/null 2>&1 || {{
	ip link add {EXIT} address {mac} mtu {MTU} numtxqueues 1 numrxqueues 1 arp off \\
		type veth peer name {ENTRY} address {mac} mtu {MTU} numtxqueues 1 numrxqueues 1 arp off
	sysctl -qw net.ipv4.conf.{ENTRY}.rp_filter=2 net.ipv4.conf.{ENTRY}.forwarding=1
	ip link set {ENTRY} up; ip link set {EXIT} up
	ip address add {DUMMY4}/32 dev {ENTRY}
	if [ -e /proc/sys/net/ipv6 ]; then
		ip -6 route add default dev {ENTRY} table {ROUTES}
		ip -6 rule add fwmark {MARK:#x} lookup {ROUTES} priority {ROUTES}
	fi
}}
nft list table ip {TABLE} >/dev/null 2>&1 || nft -f - <<'EOF'
{tables}EOF"
    )
}
