//! What the containers of one network share.

use super::subnet::{Mac, Net4, Net6, mac_of};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A network: its bridge and its subnets. The record of it in the state directory outlives no container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub name: String,
    pub bridge: String,
    pub subnet4: Net4,
    /// `None`: the host has no IPv6.
    pub subnet6: Option<Net6>,
    /// Bytes; of the link that the default route leaves by, so that no packet must be cut.
    pub mtu: u32,
    /// Chains of other tables that drop what is forwarded unless a rule accepts it, and have none that names the bridge:
    /// "ip filter FORWARD".
    pub dropped_by: Vec<String>,
}

/// First line of a record.
const VERSION: &str = "sampan-network 1";

impl Shared {
    #[must_use]
    pub fn bridge_mac(&self) -> Mac {
        mac_of(self.subnet4.gateway())
    }

    #[must_use]
    pub fn record(&self) -> String {
        let mut text = format!("{VERSION}\nbridge {}\nmtu {}\n", self.bridge, self.mtu);
        let _ = writeln!(text, "subnet4 {} {}", self.subnet4.at(0), self.subnet4.prefix());
        if let Some(net) = self.subnet6 {
            let _ = writeln!(text, "subnet6 {}", net.at(0));
        }
        for chain in &self.dropped_by {
            let _ = writeln!(text, "dropped-by {chain}");
        }
        text
    }

    /// `None` for a record that is torn or of another version: the network is then made anew.
    #[must_use]
    pub fn parse(name: &str, record: &str) -> Option<Self> {
        let mut lines = record.lines();
        lines.next().filter(|line| *line == VERSION)?;
        let (mut bridge, mut mtu, mut subnet4, mut subnet6, mut dropped_by) = (None, None, None, None, Vec::new());
        for line in lines {
            match line.split_once(' ')? {
                ("bridge", rest) => bridge = Some(rest.to_owned()),
                ("mtu", rest) => mtu = Some(rest.parse().ok()?),
                ("subnet4", rest) => {
                    let (ip, prefix) = rest.split_once(' ')?;
                    subnet4 = Net4::new(ip.parse::<Ipv4Addr>().ok()?, prefix.parse().ok()?);
                }
                ("subnet6", rest) => subnet6 = Some(Net6::new(rest.parse::<Ipv6Addr>().ok()?)),
                ("dropped-by", rest) => dropped_by.push(rest.to_owned()),
                _ => return None,
            }
        }
        Some(Self { name: name.to_owned(), bridge: bridge?, subnet4: subnet4?, subnet6, mtu: mtu?, dropped_by })
    }
}
