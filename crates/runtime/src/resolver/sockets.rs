//! Where a container asks: two sockets in its network namespace, and port 53 that leads to them.

use crate::apply::network::device::inside;
use crate::apply::network::{LOOPBACK, firewall};
use plan::network::resolver::ADDRESS;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use sys::netlink::{Batch, Protocol, Socket};
use sys::{Error, Result};

/// They keep the namespace alive: to be dropped when the container has ended.
#[derive(Debug)]
pub struct Sockets {
    pub udp: OwnedFd,
    pub tcp: OwnedFd,
    pub namespace: OwnedFd,
}

/// As many connections may wait.
const BACKLOG: i32 = 16;

impl Sockets {
    /// In the network namespace of this process. The port is the kernel's choice and 53 is led there, so that a server of
    /// the container's own can have port 53.
    ///
    /// # Errors
    /// The call that was refused.
    pub fn open(pid: u32) -> Result<Self> {
        let namespace = sys::process::open_namespace(&format!("/proc/{pid}/ns/net"))?;
        let (udp, tcp) = inside(&namespace, || {
            // An address of the loopback is one when that is up.
            let mut batch = Batch::new();
            batch.set_up(LOOPBACK);
            Socket::open(Protocol::Route)?.apply(&batch)?;
            let (udp, tcp) = (bound(SocketType::DGRAM)?, bound(SocketType::STREAM)?);
            listen(&tcp, BACKLOG).map_err(Error::of(|| "listen".to_owned()))?;
            firewall::redirect(&Socket::open(Protocol::Netfilter)?, port(&udp)?, port(&tcp)?)?;
            Ok((udp, tcp))
        })?;
        Ok(Self { udp, tcp, namespace })
    }
}

fn bound(kind: SocketType) -> Result<OwnedFd> {
    let protocol = if kind == SocketType::DGRAM { ipproto::UDP } else { ipproto::TCP };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(AddressFamily::INET, kind, flags, Some(protocol)).map_err(Error::of(|| "socket".to_owned()))?;
    let any = SocketAddrV4::new(ADDRESS, 0);
    bind(&socket, &any).map_err(Error::of(|| format!("bind({any})")))?;
    Ok(socket)
}

fn port(socket: &OwnedFd) -> Result<u16> {
    let name = getsockname(socket).and_then(SocketAddr::try_from);
    Ok(name.map_err(Error::of(|| "getsockname".to_owned()))?.port())
}
