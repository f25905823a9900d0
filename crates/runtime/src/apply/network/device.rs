//! A link of the host's, moved into another network namespace as it is.

use plan::network::Device;
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use sys::netlink::{Batch, Protocol, Socket};
use sys::{Error, Result};

/// `pid` is in the namespace, where the device names none.
///
/// # Errors
/// The call that was refused.
pub(super) fn give(device: &Device, host: &Socket, pid: u32) -> Result<()> {
    let Device { name, inside, namespace } = device;
    let path = namespace.clone().unwrap_or_else(|| format!("/proc/{pid}/ns/net"));
    let namespace = sys::process::open_namespace(&path)?;
    let container = socket_in(&namespace)?;
    // Before it is moved: the kernel renames it after, and who fails then leaves it in a namespace that goes.
    if container.link(inside)?.is_some() {
        return Err(Error::new(format!("RTM_NEWLINK {inside}: the container has such a link"), Errno::EXIST));
    }
    let link = host.link(name)?.ok_or_else(|| super::no_link(name))?;
    // The kernel takes them from a link that leaves.
    let addresses = host.lasting_addresses(link.index)?;
    let mut batch = Batch::new();
    batch.move_link(link.index, inside, namespace.as_fd());
    host.apply(&batch)?;
    let index = container.link(inside)?.ok_or_else(|| super::no_link(inside))?.index;
    let mut batch = Batch::new();
    for address in addresses {
        batch.add_address(sys::netlink::address::Address { link: index, ..address });
    }
    batch.set_up(index);
    container.apply(&batch)
}

/// A socket stays in the namespace in which it was made.
///
/// # Errors
/// The call that was refused.
pub(crate) fn socket_in(namespace: &OwnedFd) -> Result<Socket> {
    inside(namespace, || Socket::open(Protocol::Route))
}

/// In that network namespace, and back, whatever came of it.
///
/// # Errors
/// Those of `work`, and of the way there and back.
pub(crate) fn inside<T>(namespace: &OwnedFd, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // A namespace is a thread's own.
    let own = sys::process::open_namespace("/proc/thread-self/ns/net")?;
    sys::process::setns(namespace.as_fd(), sys::process::CLONE_NEWNET)?;
    let done = work();
    sys::process::setns(own.as_fd(), sys::process::CLONE_NEWNET)?;
    done
}
