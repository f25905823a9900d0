//! Links over rtnetlink: bridges, veth pairs (rtnetlink(7), ip-link(8)).

use super::message::{Attributes, CREATE, number};
use super::{Batch, Socket};
use crate::Result;
use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, BorrowedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
const IFF_NOARP: u32 = 0x80;

pub(super) fn message_name(kind: u16) -> (&'static str, usize) {
    use super::address::{
        ADDRESS_HEADER, ROUTE_HEADER, RTM_DELADDR, RTM_DELROUTE, RTM_DELRULE, RTM_GETADDR, RTM_GETROUTE, RTM_NEWADDR,
        RTM_NEWROUTE, RTM_NEWRULE,
    };
    const LINK: usize = super::message::HEADER + 16;
    match kind {
        RTM_NEWLINK => ("RTM_NEWLINK", LINK),
        RTM_DELLINK => ("RTM_DELLINK", LINK),
        RTM_GETLINK => ("RTM_GETLINK", LINK),
        RTM_NEWADDR => ("RTM_NEWADDR", ADDRESS_HEADER),
        RTM_DELADDR => ("RTM_DELADDR", ADDRESS_HEADER),
        RTM_GETADDR => ("RTM_GETADDR", ADDRESS_HEADER),
        RTM_NEWROUTE => ("RTM_NEWROUTE", ROUTE_HEADER),
        RTM_DELROUTE => ("RTM_DELROUTE", ROUTE_HEADER),
        RTM_GETROUTE => ("RTM_GETROUTE", ROUTE_HEADER),
        RTM_NEWRULE => ("RTM_NEWRULE", ROUTE_HEADER),
        RTM_DELRULE => ("RTM_DELRULE", ROUTE_HEADER),
        _ => ("rtnetlink message", LINK),
    }
}

/// A link-layer address.
pub type Mac = [u8; 6];

/// A link as the kernel lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    /// Bytes.
    pub mtu: u32,
    /// The index of the bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// `veth`, `bridge` …; empty for a device of hardware.
    pub kind: String,
}

/// Where the other end of a pair goes.
#[derive(Debug, Clone, Copy)]
pub enum Namespace<'a> {
    Fd(BorrowedFd<'a>),
    /// The network namespace of this process.
    Pid(u32),
}

/// A veth pair by one message: the near end is up and a port of `master`, the far end is in another namespace from its
/// first moment and never seen in this one. The far end stays down: the kernel cannot open it before both ends are tied
/// (`ENOTCONN`), and whoever gives it addresses sets it up in the same batch.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    pub name: &'a str,
    pub master: u32,
    pub mtu: u32,
    pub peer: &'a str,
    pub peer_mac: Mac,
    pub namespace: Namespace<'a>,
}

/// A link that is a part of another: macvlan, ipvlan.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub name: &'a str,
    /// Its index.
    pub parent: u32,
    pub pid: u32,
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    pub kind: &'a str,
    pub mode: &'a [u8],
}

/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE`
const PART_MODE: u16 = 1;

impl Batch {
    /// `ip link add NAME address MAC mtu MTU up type bridge`
    pub fn add_bridge(&mut self, name: &str, mac: Mac, mtu: u32) {
        self.request(RTM_NEWLINK, CREATE, &header(0, IFF_UP), |m| {
            m.string(IFLA_IFNAME, name);
            m.attribute(IFLA_ADDRESS, &mac);
            m.u32(IFLA_MTU, mtu);
            m.nest(IFLA_LINKINFO, |m| m.attribute(IFLA_INFO_KIND, b"bridge"));
        });
    }

    /// `ip link add NAME master BRIDGE up type veth peer name PEER address MAC netns …`
    pub fn add_veth(&mut self, veth: &Veth<'_>) {
        self.request(RTM_NEWLINK, CREATE, &header(0, IFF_UP), |m| {
            m.string(IFLA_IFNAME, veth.name);
            m.u32(IFLA_MTU, veth.mtu);
            m.u32(IFLA_MASTER, veth.master);
            one_queue(m);
            m.nest(IFLA_LINKINFO, |m| {
                m.attribute(IFLA_INFO_KIND, b"veth");
                m.nest(IFLA_INFO_DATA, |m| m.nest(VETH_INFO_PEER, |m| peer(m, veth)));
            });
        });
    }

    /// `ip link add NAME address MAC mtu MTU arp off up type veth peer name PEER address MAC mtu MTU arp off`: both ends are
    /// here, and each takes what is sent to the other for its own.
    pub fn add_cable(&mut self, name: &str, peer: &str, mac: Mac, mtu: u32) {
        let end = |m: &mut Self, name: &str| {
            m.string(IFLA_IFNAME, name);
            m.attribute(IFLA_ADDRESS, &mac);
            m.u32(IFLA_MTU, mtu);
            one_queue(m);
        };
        self.request(RTM_NEWLINK, CREATE, &header(0, IFF_UP | IFF_NOARP), |m| {
            end(m, name);
            m.nest(IFLA_LINKINFO, |m| {
                m.attribute(IFLA_INFO_KIND, b"veth");
                m.nest(IFLA_INFO_DATA, |m| {
                    m.nest(VETH_INFO_PEER, |m| {
                        m.put(&header(0, IFF_NOARP));
                        end(m, peer);
                    });
                });
            });
        });
    }

    /// `ip link add link PARENT name NAME address MAC mtu MTU netns PID type macvlan mode MODE`: made in the namespace of that
    /// process. `mode`: ipvlan's has two bytes.
    pub fn add_part(&mut self, part: &Part<'_>) {
        self.request(RTM_NEWLINK, CREATE, &header(0, 0), |m| {
            m.string(IFLA_IFNAME, part.name);
            m.u32(IFLA_LINK, part.parent);
            m.u32(IFLA_NET_NS_PID, part.pid);
            if let Some(mac) = part.mac {
                m.attribute(IFLA_ADDRESS, &mac);
            }
            if let Some(mtu) = part.mtu {
                m.u32(IFLA_MTU, mtu);
            }
            m.nest(IFLA_LINKINFO, |m| {
                m.attribute(IFLA_INFO_KIND, part.kind.as_bytes());
                m.nest(IFLA_INFO_DATA, |m| m.attribute(PART_MODE, part.mode));
            });
        });
    }

    /// `ip link set NAME type bridge_slave hairpin on`: frames may leave by the port by which they came.
    pub fn set_hairpin(&mut self, name: &str) {
        self.port_option(name, IFLA_BRPORT_MODE);
    }

    /// `ip link set NAME type bridge_slave isolated on`: no frames to and from other isolated ports (Linux 4.18).
    pub fn set_isolated(&mut self, name: &str) {
        self.port_option(name, IFLA_BRPORT_ISOLATED);
    }

    fn port_option(&mut self, name: &str, option: u16) {
        self.request(RTM_NEWLINK, 0, &header(0, 0), |m| {
            m.string(IFLA_IFNAME, name);
            m.nest(IFLA_LINKINFO, |m| {
                m.attribute(IFLA_INFO_SLAVE_KIND, b"bridge");
                m.nest(IFLA_INFO_SLAVE_DATA, |m| m.attribute(option, &[1]));
            });
        });
    }

    /// `ip link set dev INDEX netns NAMESPACE name NAME`
    pub fn move_link(&mut self, index: u32, name: &str, namespace: BorrowedFd<'_>) {
        self.request(RTM_NEWLINK, 0, &header(index, 0), |m| {
            m.string(IFLA_IFNAME, name);
            m.u32(IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
        });
    }

    /// `ip link set dev INDEX up`
    pub fn set_up(&mut self, index: u32) {
        self.about_link(RTM_NEWLINK, 0, &header(index, IFF_UP), |_| (), index);
    }

    /// `ip link set dev INDEX master BRIDGE`
    pub fn set_master(&mut self, index: u32, master: u32) {
        self.request(RTM_NEWLINK, 0, &header(index, 0), |m| m.u32(IFLA_MASTER, master));
    }

    /// `ip link delete NAME`. Slow: the kernel waits for readers of the device (RCU), some 20-100 ms.
    pub fn delete_link(&mut self, name: &str) {
        self.request(RTM_DELLINK, 0, &header(0, 0), |m| m.string(IFLA_IFNAME, name));
    }

    /// Since Linux 6.8 the kernel catches up with the link's carrier before it answers.
    pub fn get_link(&mut self, name: &str) {
        self.request(RTM_GETLINK, 0, &header(0, 0), |m| m.string(IFLA_IFNAME, name));
    }
}

/// The kernel would make one for each CPU, and each is a directory in sysfs; a veth sends without queueing.
fn one_queue(m: &mut Batch) {
    m.u32(IFLA_NUM_TX_QUEUES, 1);
    m.u32(IFLA_NUM_RX_QUEUES, 1);
}

fn peer(m: &mut Batch, veth: &Veth<'_>) {
    m.put(&header(0, 0));
    m.string(IFLA_IFNAME, veth.peer);
    m.attribute(IFLA_ADDRESS, &veth.peer_mac);
    m.u32(IFLA_MTU, veth.mtu);
    one_queue(m);
    match veth.namespace {
        Namespace::Fd(fd) => m.u32(IFLA_NET_NS_FD, fd.as_raw_fd().cast_unsigned()),
        Namespace::Pid(pid) => m.u32(IFLA_NET_NS_PID, pid),
    }
}

/// `struct ifinfomsg`: family and type unspecified, the same bits as flags and as mask of flags.
fn header(index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&flags.to_ne_bytes());
    header
}

impl Socket {
    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// What rtnetlink says.
    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        let mut batch = Batch::new();
        batch.get_link(name);
        let mut found = None;
        match self.try_send(&batch, |_, payload| found = read(payload))? {
            Some(Errno::NODEV) => Ok(None),
            Some(errno) => Err(crate::Error::new(format!("RTM_GETLINK {name}"), errno)),
            None => Ok(found),
        }
    }

    /// All links of the namespace.
    ///
    /// # Errors
    /// What rtnetlink says.
    pub fn links(&self) -> Result<Vec<Link>> {
        let mut batch = Batch::new();
        batch.dump(RTM_GETLINK, &header(0, 0));
        let mut links = Vec::new();
        self.send(&batch, |_, payload| links.extend(read(payload)))?;
        Ok(links)
    }
}

fn read(payload: &[u8]) -> Option<Link> {
    let index = number(payload.get(4..)?);
    let up = number(payload.get(8..)?) & IFF_UP != 0;
    let mut link = Link { index, up, ..Link::default() };
    for (kind, value) in Attributes::new(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_MTU => link.mtu = number(value),
            IFLA_MASTER => link.master = Some(number(value)),
            IFLA_LINKINFO => {
                link.kind =
                    Attributes::new(value).find(|a| a.0 == IFLA_INFO_KIND).map_or_else(String::new, |a| text(a.1))
            }
            _ => (),
        }
    }
    Some(link)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}
