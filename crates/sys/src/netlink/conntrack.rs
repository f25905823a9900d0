//! Connection tracking over netlink: forgetting flows (linux/netfilter/nfnetlink_conntrack.h).

use super::message::Attributes;
use super::{Batch, Socket};
use crate::{Error, Result};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP4_DESTINATION: u16 = 2;
const IP6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;

/// Each is answered, and unread answers fill the socket's buffer.
const DELETED_AT_ONCE: usize = 100;

/// A flow, as its first packet was.
struct Flow {
    /// `struct nfgenmsg`
    header: [u8; 4],
    protocol: u8,
    to: SocketAddr,
    /// As the kernel wrote it.
    tuple: Vec<u8>,
}

impl Socket {
    /// Forgets the flows of `protocol` (as IANA numbers it) whose first packet went to where `wanted` says: their next
    /// packet is a first one again. A kernel without this interface keeps them until they are idle.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn forget_flows(&self, protocol: u8, wanted: impl Fn(SocketAddr) -> bool) -> Result<()> {
        let mut list = Batch::new();
        list.dump(GET, &[0; 4]);
        let mut flows = Vec::new();
        let wanted = |flow: &Flow| flow.protocol == protocol && wanted(flow.to);
        match self.try_send(&list, |_, payload| flows.extend(read(payload).filter(wanted)))? {
            None | Some(Errno::INVAL | Errno::OPNOTSUPP) => (),
            Some(errno) => return Err(Error::new("IPCTNL_MSG_CT_GET", errno)),
        }
        for flows in flows.chunks(DELETED_AT_ONCE) {
            let mut batch = Batch::new();
            for flow in flows {
                batch.request(DELETE, 0, &flow.header, |m| m.nest(TUPLE_ORIGINAL, |m| m.put(&flow.tuple)));
            }
            match self.try_send(&batch, |_, _| ())? {
                // Over by itself.
                None | Some(Errno::NOENT) => (),
                Some(errno) => return Err(Error::new("IPCTNL_MSG_CT_DELETE", errno)),
            }
        }
        Ok(())
    }
}

fn read(payload: &[u8]) -> Option<Flow> {
    let find =
        |attributes, wanted| Attributes::new(attributes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let tuple = find(payload.get(4..)?, TUPLE_ORIGINAL)?;
    let (ips, protocol) = (find(tuple, TUPLE_IP)?, find(tuple, TUPLE_PROTOCOL)?);
    let ip4 = find(ips, IP4_DESTINATION).and_then(<[u8]>::first_chunk::<4>).map(|ip| IpAddr::from(Ipv4Addr::from(*ip)));
    let ip6 = find(ips, IP6_DESTINATION).and_then(<[u8]>::first_chunk::<16>).map(|ip| Ipv6Addr::from(*ip).into());
    let port = u16::from_be_bytes(*find(protocol, PROTOCOL_DESTINATION)?.first_chunk()?);
    Some(Flow {
        header: [*payload.first()?, 0, 0, 0],
        protocol: *find(protocol, PROTOCOL_NUMBER)?.first()?,
        to: SocketAddr::new(ip4.or(ip6)?, port),
        tuple: tuple.to_vec(),
    })
}
