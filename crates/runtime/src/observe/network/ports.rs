//! Whether ports can be published: no container has them, and no process of the host.

use crate::apply::network::state;
use plan::network::{Protocol, Published, Taken, Why};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::{Error, Result};

/// Sockets bound to the published ports. While one lives, no other process can bind the port; it does not listen, so
/// what the firewall does not translate is refused as on a closed port. Whoever runs the container keeps it until the
/// elements are in, or for as long as the container runs, so that a later server of the host sees that the port is
/// taken instead of never hearing a client.
#[derive(Debug, Default)]
pub struct Held(#[expect(dead_code, reason = "only holds them open")] Vec<OwnedFd>);

/// More are tried, but let go at once: a descriptor each would use up the limit of open files.
const HELD: usize = 256;

/// # Errors
/// The state directory cannot be read.
pub fn ports(state_dir: &Path, published: &[Published]) -> Result<(Vec<Taken>, Held)> {
    let (mut taken, mut held) = (Vec::new(), Vec::new());
    if published.is_empty() {
        return Ok((taken, Held(held)));
    }
    let directory = state::ports(state_dir);
    let known: Vec<(String, Published)> = state::names(&directory)?
        .into_iter()
        .filter_map(|name| Published::from_file_name(&name).map(|port| (name, port)))
        .collect();
    for &port in published {
        match known.iter().find(|(_, other)| other.collides(&port)) {
            Some((name, _)) => {
                let id = fs::read_link(directory.join(name)).unwrap_or_default();
                taken.push(Taken { published: port, why: Why::Container(id.to_string_lossy().into_owned()) });
            }
            None => match try_port(&port) {
                Ok(sockets) => held.extend(sockets.into_iter().take(HELD.saturating_sub(held.len()))),
                Err(why) => taken.push(Taken { published: port, why }),
            },
        }
    }
    Ok((taken, Held(held)))
}

fn try_port(port: &Published) -> std::result::Result<Vec<OwnedFd>, Why> {
    let hosts = match port.host_ip {
        Some(ip) => vec![ip],
        None => vec![IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()],
    };
    let mut sockets = Vec::new();
    for host in hosts {
        match bound(SocketAddr::new(host, port.host_port), port.protocol) {
            Ok(socket) => sockets.push(socket),
            // A kernel without IPv6, or without SCTP: nobody can listen there.
            Err(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => (),
            Err(Errno::ADDRNOTAVAIL) if port.host_ip.is_none() => (),
            Err(errno) => return Err(why(errno)),
        }
    }
    Ok(sockets)
}

fn why(errno: Errno) -> Why {
    match errno {
        Errno::ADDRINUSE => Why::Process,
        Errno::ADDRNOTAVAIL => Why::NotLocal,
        Errno::ACCESS => Why::Privileged,
        errno => Why::Other(Error::new("bind", errno).to_string()),
    }
}

/// The port of a listener that the kernel let us have (0 asks for any), which is closed again: the claim proper comes
/// later, with the lease, and finds out if somebody was faster.
#[must_use]
pub fn listen(address: Option<IpAddr>, port: u16, protocol: Protocol) -> Option<u16> {
    let at = SocketAddr::new(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
    let socket = bound(at, protocol).ok()?;
    let local = rustix::net::getsockname(&socket).ok()?;
    Some(SocketAddr::try_from(local).ok()?.port())
}

fn bound(address: SocketAddr, protocol: Protocol) -> std::result::Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections that only wait for their end (TIME_WAIT) do not count; a listener still does. For UDP the option
    // would let both have the port.
    if protocol != Protocol::Udp {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}
