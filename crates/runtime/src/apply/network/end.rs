//! Leaving a network, and taking away what nobody uses any more.

use super::state;
use super::{Left, entry, firewall, forwarding};
use crate::lock::Lock;
use rustix::io::Errno;
use std::net::Ipv4Addr;
use std::path::Path;
use sys::Result;
use sys::netlink::{Batch, Protocol, Socket};

/// Takes away the container's elements, names and leases in all networks that it is in. Quick; what takes long is
/// [`retire`]'s.
///
/// # Errors
/// The call that was refused; "already gone" is none.
pub fn leave_all(state_dir: &Path, container: &str) -> Result<Left> {
    let Some(lock) = Lock::take_existing(state_dir)? else {
        return Ok(Left::Others);
    };
    let mut left = Left::Others;
    for (network, address) in state::memberships(state_dir, container)? {
        if leave(state_dir, &network, address, container, &lock)? == Left::Nobody {
            left = Left::Nobody;
        }
    }
    // It may have been killed before it was in any.
    forget_member(state_dir, container)?;
    Ok(left)
}

fn forget_member(state_dir: &Path, container: &str) -> Result<()> {
    state::remove_directory(&state::members(state_dir, container))?;
    state::remove_directory(&state_dir.join(".members")).map(drop)
}

/// One network of the container.
///
/// # Errors
/// As [`leave_all`].
pub fn leave(state_dir: &Path, network: &str, address: Ipv4Addr, container: &str, _locked: &Lock) -> Result<Left> {
    let leases = state::leases(state_dir, network);
    if let Some(lease) = state::holder(state_dir, network, address)
        // A lease without a name was not written whole: nobody else can have it, the lock was held.
        && (lease.container == container || lease.container.is_empty())
    {
        if !lease.published.is_empty() {
            firewall::withdraw(&Socket::open(Protocol::Netfilter)?, state_dir, &lease)?;
        }
        state::unlink_names(state_dir, network, &lease)?;
        state::remove(&leases.join(address.to_string()))?;
    }
    let left = if state::remove_directory(&leases)? { Left::Nobody } else { Left::Others };
    // Last: by it all the rest is found.
    state::remove(&state::members(state_dir, container).join(network))?;
    forget_member(state_dir, container)?;
    Ok(left)
}

/// Removes each network that nobody is in: its bridge, its record, and with the last one the table, the directory, and
/// what was switched on. Takes the lock while it waits for the kernel to remove a bridge (20 to 100 ms), so it is for a
/// process that nobody waits for. May be run at any time, any number of times.
///
/// # Errors
/// The call that was refused.
pub fn retire(state_dir: &Path) -> Result<()> {
    Lock::take_existing(state_dir)?.map_or(Ok(()), |lock| retire_with(state_dir, &lock))
}

pub(super) fn retire_with(state_dir: &Path, _locked: &Lock) -> Result<()> {
    let (mut dead, mut alive) = (Vec::new(), Vec::new());
    for network in state::networks(state_dir)? {
        let gone = state::remove_directory(&state::leases(state_dir, &network))?;
        if gone { dead.push(network) } else { alive.push(network) }
    }
    if alive.is_empty() {
        firewall::delete(&Socket::open(Protocol::Netfilter)?, state_dir)?;
        if entry::is_wanted(state_dir) {
            entry::remove(&Socket::open(Protocol::Route)?)?;
        }
        forwarding::put_back(state_dir)?;
    } else if !dead.is_empty() {
        let (netfilter, route) = (Socket::open(Protocol::Netfilter)?, Socket::open(Protocol::Route)?);
        firewall::rebuild(&netfilter, &route, state_dir, &alive)?;
    }
    remove_bridges(state_dir, &dead)?;
    // The records last: they say what there is to remove.
    for network in &dead {
        let directory = state_dir.join(network);
        state::remove_directory(&directory.join("names"))?;
        forget(&directory.join("record"))?;
        state::remove_directory(&directory)?;
    }
    if alive.is_empty() {
        forget(&state::host(state_dir))?;
        entry::forget(state_dir)?;
        state::remove_directory(&state::ports(state_dir))?;
        state::remove_directory(&state_dir.join(".members"))?;
        state::remove_directory(state_dir)?;
    }
    Ok(())
}

fn forget(file: &Path) -> Result<()> {
    state::remove(&state::unfinished(file))?;
    state::remove(file)
}

fn remove_bridges(state_dir: &Path, networks: &[String]) -> Result<()> {
    if networks.is_empty() {
        return Ok(());
    }
    let socket = Socket::open(Protocol::Route)?;
    for network in networks {
        let mut batch = Batch::new();
        let shared = state::shared(state_dir, network);
        if shared.as_ref().is_some_and(|shared| shared.parent.is_some()) {
            continue;
        }
        // Without a record no bridge of another name was made.
        let bridge = shared.map(|shared| shared.bridge);
        batch.delete_link(&bridge.unwrap_or_else(|| plan::network::bridge_name(network)));
        match socket.apply(&batch) {
            Err(error) if error.errno != Errno::NODEV => return Err(error),
            _ => (),
        }
    }
    Ok(())
}
