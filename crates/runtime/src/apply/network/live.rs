//! Networks of a container that runs: one more, or one less.
//!
//! Invariant: all of it under the lock of the state directory, and in the order of a start: what is to be given back is
//! written down first. Whoever is killed in between leaves what the container's own end gives back.

use super::device::{inside, socket_in};
use super::{Context, Left, Lock, apply_attach, apply_host, configure, firewall, leave, no_link, state};
use plan::network::{Connection, InitStep, Lease, Shared};
use rustix::io::Errno;
use std::fs;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::netlink::{Batch, Protocol, Socket};
use sys::{Error, Result};

/// `namespace` is that of the process `pid`. What fails is given back.
///
/// # Errors
/// The call that was refused.
pub fn connect(state_dir: &Path, connection: &Connection, namespace: &OwnedFd, pid: u32, lock: &Lock) -> Result<()> {
    let done = plug(connection, namespace, pid, lock);
    if done.is_err() {
        disconnect(state_dir, &connection.shared.name, &connection.lease, lock)?;
    }
    done
}

fn plug(connection: &Connection, namespace: &OwnedFd, pid: u32, lock: &Lock) -> Result<()> {
    let mut context = Context::new();
    connection.host.iter().try_for_each(|step| apply_host(step, &mut context, lock))?;
    connection.attach.iter().try_for_each(|step| apply_attach(step, &mut context, pid))?;
    connection.init.iter().try_for_each(|step| within(step, namespace))
}

/// A step of the child's, done for it.
fn within(step: &InitStep, namespace: &OwnedFd) -> Result<()> {
    let write = |path: String, text: &str| {
        inside(namespace, || fs::write(&path, text).map_err(Error::of_io(|| format!("write({path}, {text:?})"))))
    };
    match step {
        InitStep::Loopback => super::up(namespace),
        InitStep::NoAdvertisements { link } => write(InitStep::accept_ra(link), "0"),
        InitStep::NoIpv6 { link } => write(InitStep::disable_ipv6(link), "1"),
        InitStep::Configure { link, address4, address6, gateway4, gateway6 } => {
            let socket = socket_in(namespace)?;
            let index = socket.link(link)?.ok_or_else(|| no_link(link))?.index;
            if gateway4.is_some() {
                without_default_routes(&socket)?;
            }
            let mut batch = Batch::new();
            configure(&mut batch, index, (*address4, *address6), (*gateway4, *gateway6));
            socket.apply(&batch)
        }
        InitStep::Connected { name, bridge } => {
            let mut batch = Batch::new();
            batch.get_link(name);
            batch.get_link(bridge);
            Socket::open(Protocol::Route)?.send(&batch, |_, _| ())
        }
    }
}

/// Takes the container's link in the network away, then its lease.
///
/// # Errors
/// The call that was refused; "already gone" is none.
pub fn disconnect(state_dir: &Path, network: &str, lease: &Lease, lock: &Lock) -> Result<Left> {
    // A lease that was not written whole: there is no link yet.
    if lease.cable.is_empty() {
        return leave(state_dir, network, lease.address4, &lease.container, lock);
    }
    let mut batch = Batch::new();
    batch.delete_link(&lease.cable);
    match Socket::open(Protocol::Route)?.apply(&batch) {
        Err(error) if error.errno != Errno::NODEV => Err(error),
        _ => leave(state_dir, network, lease.address4, &lease.container, lock),
    }
}

/// What somebody left who was killed while he connected: it is in no network that nobody asked for. Whether there was
/// something.
///
/// # Errors
/// As [`disconnect`].
pub fn clear(state_dir: &Path, network: &str, container: &str, lock: &Lock) -> Result<bool> {
    let all = state::memberships(state_dir, container)?;
    let Some((_, address)) = all.into_iter().find(|(known, _)| known == network) else { return Ok(false) };
    let lease = state::holder(state_dir, network, address).filter(|lease| lease.container == container);
    let lease = lease.unwrap_or_else(|| Lease { container: container.to_owned(), ..Lease::parse(address, "") });
    disconnect(state_dir, network, &lease, lock).map(|_| true)
}

/// The container's default routes go by this network from now on.
///
/// # Errors
/// The call that was refused.
pub fn lead(shared: &Shared, lease: &Lease, namespace: &OwnedFd) -> Result<()> {
    let socket = socket_in(namespace)?;
    let index = socket.link(&lease.link)?.ok_or_else(|| no_link(&lease.link))?.index;
    without_default_routes(&socket)?;
    let gateway6 = shared.subnet6.filter(|_| lease.address6.is_some()).map(|net| IpAddr::from(net.gateway()));
    let mut batch = Batch::new();
    for gateway in [Some(IpAddr::from(shared.subnet4.gateway())), gateway6].into_iter().flatten() {
        batch.add_default_route(gateway, index);
    }
    socket.apply(&batch)
}

/// # Errors
/// The call that was refused; that there is none is no error.
fn without_default_routes(socket: &Socket) -> Result<()> {
    for family in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
        let mut batch = Batch::new();
        batch.delete_default_route(family);
        match socket.apply(&batch) {
            Err(error)
                if !matches!(error.errno, Errno::SRCH | Errno::NOENT | Errno::AFNOSUPPORT | Errno::OPNOTSUPP) =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The ports of one lease lead to the other from now on; their names are the container's already.
///
/// # Errors
/// The call that was refused.
pub fn move_ports(state_dir: &Path, from: (&str, &Lease), to: (&str, &Lease), _locked: &Lock) -> Result<()> {
    let (old, published) = (from.1, from.1.published.clone());
    if published.is_empty() {
        return Ok(());
    }
    let socket = Socket::open(Protocol::Netfilter)?;
    let new = Lease { published, ..to.1.clone() };
    // Two say so for a moment: whoever gives them back then finds one that has nothing.
    state::rewrite(state_dir, to.0, &new)?;
    firewall::withdraw(&socket, state_dir, old)?;
    state::rewrite(state_dir, from.0, &Lease { published: Vec::new(), ..old.clone() })?;
    firewall::publish(&socket, state_dir, &new)
}
