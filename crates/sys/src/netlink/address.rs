//! Addresses and routes over rtnetlink (rtnetlink(7), ip-address(8), ip-route(8)).

use super::message::{Attributes, CREATE, HEADER, number};
use super::{Batch, Socket};
use crate::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_GETROUTE: u16 = 26;
pub(super) const RTM_NEWRULE: u16 = 32;
pub(super) const RTM_DELRULE: u16 = 33;
pub(super) const ADDRESS_HEADER: usize = HEADER + 8;
pub(super) const ROUTE_HEADER: usize = HEADER + 12;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 0x02;
const IFA_F_PERMANENT: u8 = 0x80;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_NOWHERE: u8 = 255;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// An address of a link, with the length of its network's prefix in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub link: u32,
    pub ip: IpAddr,
    pub prefix: u8,
    /// The other side's, of a point-to-point link; the prefix is that of its network.
    pub peer: Option<IpAddr>,
}

/// A unicast route; no `gateway`: the destination is on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    pub link: u32,
}

impl Batch {
    /// `ip address add IP[ peer PEER]/PREFIX dev LINK [nodad]`. An IPv6 address is not checked for duplicates: it is usable at
    /// once, and the caller has made sure that nobody else has it.
    pub fn add_address(&mut self, address: Address) {
        let (family, octets) = octets(address.ip);
        let flags = if address.ip.is_ipv6() { IFA_F_NODAD } else { 0 };
        let mut header = [family, address.prefix, flags, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&address.link.to_ne_bytes());
        let attributes = |m: &mut Self| {
            m.attribute(IFA_LOCAL, &octets);
            m.attribute(IFA_ADDRESS, &address.peer.map_or_else(|| octets.clone(), |peer| self::octets(peer).1));
            if let Some(broadcast) = broadcast(address) {
                m.attribute(IFA_BROADCAST, &broadcast.octets());
            }
        };
        self.about_link(RTM_NEWADDR, CREATE, &header, attributes, address.link);
    }

    /// `ip route add default via GATEWAY dev LINK`
    pub fn add_default_route(&mut self, gateway: IpAddr, link: u32) {
        let (family, octets) = octets(gateway);
        let header = [family, 0, 0, 0, RT_TABLE_MAIN as u8, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
        self.request(RTM_NEWROUTE, CREATE, &header, |m| {
            m.attribute(RTA_GATEWAY, &octets);
            m.link_index(RTA_OIF, link);
        });
    }
}

const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;

const FR_ACT_TO_TBL: u8 = 1;

impl Batch {
    /// `ip -6 rule add fwmark MARK lookup TABLE priority TABLE`
    pub fn add_rule6(&mut self, mark: u32, table: u32) {
        self.request(RTM_NEWRULE, CREATE, &rule6(), |m| {
            m.u32(FRA_FWMARK, mark);
            m.u32(FRA_TABLE, table);
            m.u32(FRA_PRIORITY, table);
        });
    }

    /// `ip -6 rule delete priority PRIORITY`
    pub fn delete_rule6(&mut self, priority: u32) {
        self.request(RTM_DELRULE, 0, &rule6(), |m| m.u32(FRA_PRIORITY, priority));
    }

    /// `ip -6 route add default dev LINK table TABLE`
    pub fn add_default_route6_in(&mut self, table: u32, link: u32) {
        let header = [libc::AF_INET6 as u8, 0, 0, 0, 0, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0, 0, 0, 0];
        self.request(RTM_NEWROUTE, CREATE, &header, |m| {
            m.link_index(RTA_OIF, link);
            m.u32(RTA_TABLE, table);
        });
    }
}

/// `struct fib_rule_hdr`
const fn rule6() -> [u8; 12] {
    [libc::AF_INET6 as u8, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]
}

impl Batch {
    /// `ip route delete default`, of the family of this address.
    pub fn delete_default_route(&mut self, family: IpAddr) {
        // Whatever its protocol and scope are (RT_SCOPE_NOWHERE stands for any).
        let header = [octets(family).0, 0, 0, 0, RT_TABLE_MAIN as u8, 0, RT_SCOPE_NOWHERE, 0, 0, 0, 0, 0];
        self.request(RTM_DELROUTE, 0, &header, |_| ());
    }
}

impl Socket {
    /// All addresses of the namespace, both families.
    ///
    /// # Errors
    /// What rtnetlink says.
    pub fn addresses(&self) -> Result<Vec<Address>> {
        let mut batch = Batch::new();
        batch.dump(RTM_GETADDR, &[0; 8]);
        let mut addresses = Vec::new();
        self.send(&batch, |_, payload| addresses.extend(read_address(payload)))?;
        Ok(addresses)
    }

    /// Those of a link that somebody gave it for good and for all the world: permanent, of global scope.
    ///
    /// # Errors
    /// What rtnetlink says.
    pub fn lasting_addresses(&self, link: u32) -> Result<Vec<Address>> {
        let mut batch = Batch::new();
        batch.dump(RTM_GETADDR, &[0; 8]);
        let mut addresses = Vec::new();
        let lasts =
            |payload: &[u8]| matches!(payload, [_, _, flags, RT_SCOPE_UNIVERSE, ..] if flags & IFA_F_PERMANENT != 0);
        let mut keep = |payload: &[u8]| addresses.extend(read_address(payload).filter(|address| address.link == link));
        self.send(&batch, |_, payload| {
            if lasts(payload) {
                keep(payload)
            }
        })?;
        Ok(addresses)
    }

    /// The unicast routes of all tables but `local`, both families.
    ///
    /// # Errors
    /// What rtnetlink says.
    pub fn routes(&self) -> Result<Vec<Route>> {
        let mut batch = Batch::new();
        batch.dump(RTM_GETROUTE, &[0; 12]);
        let mut routes = Vec::new();
        self.send(&batch, |_, payload| routes.extend(read_route(payload)))?;
        Ok(routes)
    }
}

fn octets(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (libc::AF_INET as u8, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6 as u8, ip.octets().to_vec()),
    }
}

fn broadcast(address: Address) -> Option<Ipv4Addr> {
    match address.ip {
        IpAddr::V4(ip) if address.prefix < 31 && address.peer.is_none() => {
            Some(Ipv4Addr::from_bits(ip.to_bits() | u32::MAX.checked_shr(address.prefix.into()).unwrap_or(0)))
        }
        _ => None,
    }
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::from(*bytes.first_chunk()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes.first_chunk()?).into()),
        _ => None,
    }
}

fn read_address(payload: &[u8]) -> Option<Address> {
    let (family, prefix) = (*payload.first()?, *payload.get(1)?);
    let link = number(payload.get(4..)?);
    let attributes = payload.get(8..)?;
    let find = |wanted| Attributes::new(attributes).find(|(kind, _)| *kind == wanted);
    let read = |kind| find(kind).and_then(|(_, bytes)| ip(family, bytes));
    // On a point-to-point link IFA_ADDRESS is the other side's; IPv6 has IFA_LOCAL only there.
    let (address, local) = (read(IFA_ADDRESS), read(IFA_LOCAL));
    let ip = local.or(address)?;
    Some(Address { link, ip, prefix, peer: address.filter(|address| *address != ip) })
}

fn read_route(payload: &[u8]) -> Option<Route> {
    let (family, prefix, kind) = (*payload.first()?, *payload.get(1)?, *payload.get(7)?);
    let mut table = u32::from(*payload.get(4)?);
    let (mut destination, mut gateway, mut link) = (None, None, 0);
    for (kind, value) in Attributes::new(payload.get(12..)?) {
        match kind {
            RTA_DST => destination = ip(family, value),
            RTA_GATEWAY => gateway = ip(family, value),
            RTA_OIF => link = number(value),
            RTA_TABLE => table = number(value),
            _ => (),
        }
    }
    let any =
        if i32::from(family) == libc::AF_INET { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    (kind == RTN_UNICAST && table != RT_TABLE_LOCAL).then_some(Route {
        destination: destination.unwrap_or(any),
        prefix,
        gateway,
        link,
    })
}
