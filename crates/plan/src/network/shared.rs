//! What the containers of one network share.

use super::parent::{Mode, Parent};
use super::subnet::{Mac, Net4, Net6, mac_of};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A network: its bridge and its subnets. The record of it in the state directory outlives no container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub name: String,
    pub bridge: String,
    pub subnet4: Net4,
    /// `None`: the network has no IPv6, or the host has none.
    pub subnet6: Option<Net6>,
    /// Bytes; of the link that the default route leaves by, so that no packet must be cut.
    pub mtu: u32,
    pub traits: Traits,
    /// Chains of other tables that drop what is forwarded unless a rule accepts it, and have none that names the bridge:
    /// "ip filter FORWARD".
    pub dropped_by: Vec<String>,
    /// Published ports do not ask the host's rules for input, because the kernel cannot let packets enter twice.
    pub direct: bool,
    /// Then there is no bridge.
    pub parent: Option<Parent>,
}

/// How a network differs from the default one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traits {
    /// No way out, and none in.
    pub internal: bool,
    /// Packets leave with the container's own address: others know the way to it.
    pub unmasked: bool,
    /// Its containers do not reach each other.
    pub apart: bool,
    /// Its containers find each other by name.
    pub named: bool,
}

impl Traits {
    const WORDS: [&str; 4] = ["internal", "unmasked", "apart", "named"];

    fn all(&mut self) -> [&mut bool; 4] {
        [&mut self.internal, &mut self.unmasked, &mut self.apart, &mut self.named]
    }
}

/// First line of a record.
const VERSION: &str = "sampan-network 1";

impl Shared {
    #[must_use]
    pub fn bridge_mac(&self) -> Mac {
        mac_of(self.subnet4.gateway())
    }

    /// Addresses for this container, in the order in which it tries them.
    pub fn candidates(&self, container: &str) -> impl Iterator<Item = Ipv4Addr> {
        let subnet6 = self.subnet6;
        let fits = move |ip: &Ipv4Addr| subnet6.is_none_or(|net| net.holds(net.beside(*ip)));
        super::lease::candidates(self.subnet4, container).filter(fits)
    }

    #[must_use]
    pub fn record(&self) -> String {
        let mut text = format!("{VERSION}\nbridge {}\nmtu {}\n", self.bridge, self.mtu);
        let (first, count) = self.subnet4.pool();
        let (net, gateway) = (self.subnet4, self.subnet4.gateway());
        let _ = writeln!(text, "subnet4 {} {} {gateway} {first} {count}", net.at(0), net.prefix());
        if let Some(net) = self.subnet6 {
            let _ = writeln!(text, "subnet6 {} {} {}", net.at(0), net.prefix(), net.gateway());
        }
        let mut traits = self.traits;
        for (_, word) in traits.all().into_iter().zip(Traits::WORDS).filter(|(has, _)| **has) {
            let _ = writeln!(text, "trait {word}");
        }
        for chain in &self.dropped_by {
            let _ = writeln!(text, "dropped-by {chain}");
        }
        if let Some(Parent { link, mode }) = &self.parent {
            let _ = writeln!(text, "parent {link} {} {}", mode.kind(), mode.name());
        }
        if self.direct {
            text.push_str("direct yes\n");
        }
        text
    }

    /// `None` for a record that is torn or of another version: the network is then made anew.
    #[must_use]
    pub fn parse(name: &str, record: &str) -> Option<Self> {
        let mut lines = record.lines();
        lines.next().filter(|line| *line == VERSION)?;
        let (mut bridge, mut mtu, mut subnet4, mut subnet6) = (None, None, None, None);
        let (mut traits, mut dropped_by, mut direct, mut parent) = (Traits::default(), Vec::new(), false, None);
        for line in lines {
            match line.split_once(' ')? {
                ("bridge", rest) => bridge = Some(rest.to_owned()),
                ("mtu", rest) => mtu = Some(rest.parse().ok()?),
                ("subnet4", rest) => subnet4 = Some(net4(rest)?),
                ("subnet6", rest) => subnet6 = Some(net6(rest)?),
                ("trait", word) => {
                    let at = Traits::WORDS.iter().position(|known| *known == word)?;
                    *traits.all()[at] = true;
                }
                ("dropped-by", rest) => dropped_by.push(rest.to_owned()),
                ("direct", "yes") => direct = true,
                ("parent", rest) => parent = Some(read_parent(rest)?),
                _ => return None,
            }
        }
        let (bridge, subnet4, mtu) = (bridge?, subnet4?, mtu?);
        Some(Self { name: name.to_owned(), bridge, subnet4, subnet6, mtu, traits, dropped_by, direct, parent })
    }
}

fn read_parent(text: &str) -> Option<Parent> {
    let mut words = text.split(' ');
    let (link, kind, mode) = (words.next()?, words.next()?, words.next()?);
    Some(Parent { link: link.to_owned(), mode: Mode::of(kind, Some(mode))? })
}

fn net4(text: &str) -> Option<Net4> {
    let mut words = text.split(' ');
    let (ip, prefix): (Ipv4Addr, u8) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let net = Net4::new(ip, prefix)?.with_gateway(words.next()?.parse().ok()?)?;
    net.with_pool(words.next()?.parse().ok()?, words.next()?.parse().ok()?)
}

fn net6(text: &str) -> Option<Net6> {
    let mut words = text.split(' ');
    let (ip, prefix): (Ipv6Addr, u8) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Net6::new(ip, prefix)?.with_gateway(words.next()?.parse().ok()?)
}
