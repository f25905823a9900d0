//! What a user asks of a new network, and what it is then.

use super::connect::HostNetwork;
use super::parent::Parent;
use super::shared::{Shared, Traits};
use super::subnet::{Net4, Net6, Network, bridge_name, free4, free6};
use crate::Rejected;
use std::net::{IpAddr, Ipv4Addr};

/// What is asked for; what is absent is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    pub name: String,
    /// The bridge's name.
    pub bridge: Option<String>,
    pub subnets: Vec<Network>,
    pub ranges: Vec<Network>,
    pub gateways: Vec<IpAddr>,
    pub ipv6: bool,
    pub mtu: Option<u32>,
    pub traits: Traits,
    /// Of one without a bridge: its subnet is the parent's network.
    pub parent: Option<Parent>,
}

/// A network that somebody defined. It lasts; [`Shared`] is there while containers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub bridge: String,
    pub subnet4: Net4,
    pub subnet6: Option<Net6>,
    /// Bytes; `None`: that of the link of the default route.
    pub mtu: Option<u32>,
    pub traits: Traits,
    pub parent: Option<Parent>,
}

impl Definition {
    pub fn subnets(&self) -> impl Iterator<Item = Network> {
        [Some(self.subnet4.into()), self.subnet6.map(Network::from)].into_iter().flatten()
    }
}

/// `others`: the subnets of all networks that are defined, with the network's name.
///
/// # Errors
/// Subnets, gateways and ranges that are none, are taken, or do not go together.
pub fn define(wish: &Wish, host: &HostNetwork, others: &[(String, Network)]) -> Result<Definition, Rejected> {
    let refuse = |why: String| Rejected::new(format!("cannot create network {}", wish.name), why);
    for subnet in &wish.subnets {
        check(subnet, host, others, wish.parent.is_some())
            .map_err(|why| refuse(why).hint("choose another --subnet, or leave it to sampan"))?;
    }
    let (fours, sixes): (Vec<&Network>, Vec<&Network>) = wish.subnets.iter().partition(|net| net.ip.is_ipv4());
    if fours.len() > 1 || sixes.len() > 1 {
        return Err(refuse("more than one subnet of a family".to_owned()).hint("one of IPv4 and one of IPv6 at most"));
    }
    if wish.parent.is_some() && fours.is_empty() {
        return Err(refuse("no address is asked for of others (DHCP)".to_owned())
            .hint("--subnet names the network of the parent, --ip-range the part of it that is for containers"));
    }
    let mut subnet4 = four(&fours, wish, host, others).map_err(&refuse)?;
    let mut subnet6 = six(&sixes, wish, host, others).map_err(&refuse)?;
    for gateway in &wish.gateways {
        match gateway {
            IpAddr::V4(ip) if !fours.is_empty() => {
                subnet4 = subnet4
                    .with_gateway(*ip)
                    .ok_or_else(|| refuse(outside(*ip)).hint(format!("name one of {subnet4}")))?
            }
            IpAddr::V6(ip) if !sixes.is_empty() => {
                let moved =
                    subnet6.and_then(|net| net.with_gateway(*ip)).ok_or_else(|| outside(*ip)).map_err(&refuse)?;
                subnet6 = Some(moved);
            }
            ip => return Err(refuse(format!("the gateway {ip} has no subnet")).hint("add --subnet")),
        }
    }
    for range in &wish.ranges {
        subnet4 = ranged(subnet4, !fours.is_empty(), range).map_err(&refuse)?;
    }
    if let Some(net) = subnet6.filter(|net| 128 - net.prefix() < 32 - subnet4.prefix()) {
        return Err(refuse(format!("{net} has fewer addresses than {subnet4}")).hint("a container has one of each"));
    }
    let least = if subnet6.is_some() { 1280 } else { 68 };
    if let Some(mtu) = wish.mtu.filter(|mtu| !(least..=65535).contains(mtu)) {
        return Err(refuse(format!("an MTU of {mtu} is not from {least} to 65535 bytes")));
    }
    let parent = wish.parent.clone();
    let bridge = match parent {
        Some(_) => String::new(),
        None => wish.bridge.clone().unwrap_or_else(|| bridge_name(&wish.name)),
    };
    Ok(Definition { name: wish.name.clone(), bridge, subnet4, subnet6, mtu: wish.mtu, traits: wish.traits, parent })
}

fn outside(ip: impl Into<IpAddr>) -> String {
    format!("the gateway {} is no address of a host in the subnet", ip.into())
}

/// `known`: this host may have a route to it.
fn check(subnet: &Network, host: &HostNetwork, others: &[(String, Network)], known: bool) -> Result<(), String> {
    let special = match subnet.ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_multicast() || ip.octets()[0] == 0 || ip.octets()[0] >= 240,
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() || ip.is_unicast_link_local(),
    };
    if special || subnet.prefix == 0 {
        return Err(format!("{subnet} is no subnet for hosts"));
    }
    if let Some((name, other)) = others.iter().find(|(_, other)| other.overlaps(subnet.ip, subnet.prefix)) {
        return Err(format!("{subnet} overlaps with {other} of the network {name}"));
    }
    match host.taken.iter().find(|taken| !known && taken.overlaps(subnet.ip, subnet.prefix)) {
        Some(taken) => Err(format!("{subnet} overlaps with {taken}, which this host has a route to")),
        None => Ok(()),
    }
}

fn taken(host: &HostNetwork, others: &[(String, Network)]) -> Vec<Network> {
    host.taken.iter().copied().chain(others.iter().map(|(_, net)| *net)).collect()
}

fn four(asked: &[&Network], wish: &Wish, host: &HostNetwork, others: &[(String, Network)]) -> Result<Net4, String> {
    match asked.first() {
        Some(&&net @ Network { ip: IpAddr::V4(ip), prefix }) => {
            Net4::new(ip, prefix).ok_or_else(|| format!("{net} has no room for a container"))
        }
        // The first is left to the default network, whose containers shall find the same again.
        _ => free4(
            &[taken(host, others), vec![Network { ip: Ipv4Addr::new(10, 137, 0, 0).into(), prefix: 16 }]].concat(),
        )
        .ok_or_else(|| format!("every private IPv4 range is taken; name one for {} with --subnet", wish.name)),
    }
}

fn six(
    asked: &[&Network],
    wish: &Wish,
    host: &HostNetwork,
    others: &[(String, Network)],
) -> Result<Option<Net6>, String> {
    if (wish.ipv6 || !asked.is_empty()) && !host.ipv6 {
        return Err("this host has no IPv6".to_owned());
    }
    match asked.first() {
        Some(&&net @ Network { ip: IpAddr::V6(ip), prefix }) => {
            Net6::new(ip, prefix).map(Some).ok_or_else(|| format!("{net} has no room for a container"))
        }
        _ if wish.ipv6 => {
            let found = free6(&host.seed, &wish.name, &taken(host, others));
            found.map(Some).ok_or_else(|| "no local IPv6 subnet is free".to_owned())
        }
        _ => Ok(None),
    }
}

fn ranged(subnet: Net4, asked: bool, range: &Network) -> Result<Net4, String> {
    match range.ip {
        IpAddr::V6(_) => Err(format!("{range}: an IPv6 address follows the container's IPv4 address")),
        IpAddr::V4(_) if !asked => Err(format!("the range {range} has no subnet")),
        IpAddr::V4(ip) => {
            subnet.with_range(ip, range.prefix).ok_or_else(|| format!("the range {range} is no part of {subnet}"))
        }
    }
}

/// # Errors
/// What a route of the host, or a link, has taken since.
pub(super) fn begin(definition: &Definition, host: &HostNetwork) -> Result<Shared, Rejected> {
    let Definition { name, bridge, subnet4, subnet6, mtu, traits, parent } = definition.clone();
    let refuse = |why: String| {
        Rejected::new(format!("cannot begin network {name}"), why).hint(format!(
            "take away what is in the way, or remove the network and create it anew: sampan network rm {name}"
        ))
    };
    for subnet in definition.subnets() {
        let taken = host.taken.iter().find(|taken| taken.overlaps(subnet.ip, subnet.prefix));
        if let Some(taken) = taken.filter(|_| parent.is_none()) {
            return Err(refuse(format!("its subnet {subnet} overlaps with {taken}, which this host has a route to")));
        }
    }
    if host.foreign_bridge {
        return Err(refuse(format!("this host has a link {bridge} already")));
    }
    let subnet6 = subnet6.filter(|_| host.ipv6);
    let mtu = mtu.or(host.mtu).unwrap_or(1500);
    // What its containers send is not forwarded by this host.
    let dropped_by = if parent.is_none() { host.dropped_by.clone() } else { Vec::new() };
    let direct = host.direct && parent.is_none();
    Ok(Shared { name, bridge, subnet4, subnet6, mtu, traits, dropped_by, direct, parent })
}
