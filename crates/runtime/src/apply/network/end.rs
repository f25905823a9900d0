//! Leaving a network, and taking away what nobody uses any more.

use super::state::{self, Lock};
use super::{Left, firewall, forwarding};
use rustix::io::Errno;
use std::net::Ipv4Addr;
use std::path::Path;
use sys::Result;
use sys::netlink::{Batch, Protocol, Socket};

/// Takes away the container's elements, names and lease. Quick; what takes long is [`retire`]'s.
///
/// # Errors
/// The call that was refused; "already gone" is none.
pub fn leave(state_dir: &Path, network: &str, address: Ipv4Addr, container: &str) -> Result<Left> {
    let Some(_lock) = Lock::take_existing(state_dir)? else {
        return Ok(Left::Others);
    };
    let leases = state::leases(state_dir, network);
    if let Some(lease) = state::holder(state_dir, network, address)
        // A lease without a name was not written whole: nobody else can have it, the lock was held.
        && (lease.container == container || lease.container.is_empty())
    {
        if !lease.published.is_empty() {
            firewall::withdraw(&Socket::open(Protocol::Netfilter)?, &lease)?;
        }
        state::unlink_names(state_dir, network, &lease)?;
        state::remove(&leases.join(address.to_string()))?;
    }
    Ok(if state::remove_directory(&leases)? { Left::Nobody } else { Left::Others })
}

/// Removes each network that nobody is in: its bridge, its record, and with the last one the table, the directory, and
/// what was switched on. Takes the lock while it waits for the kernel to remove a bridge (20 to 100 ms), so it is for a
/// process that nobody waits for. May be run at any time, any number of times.
///
/// # Errors
/// The call that was refused.
pub fn retire(state_dir: &Path) -> Result<()> {
    let Some(_lock) = Lock::take_existing(state_dir)? else {
        return Ok(());
    };
    let (mut dead, mut alive) = (Vec::new(), Vec::new());
    for network in state::networks(state_dir)? {
        let gone = state::remove_directory(&state::leases(state_dir, &network))?;
        if gone { dead.push(network) } else { alive.push(network) }
    }
    if alive.is_empty() {
        firewall::delete(&Socket::open(Protocol::Netfilter)?)?;
        forwarding::put_back(state_dir)?;
    } else if !dead.is_empty() {
        firewall::rebuild(&Socket::open(Protocol::Netfilter)?, state_dir, &alive)?;
    }
    remove_bridges(&dead)?;
    // The records last: they say what there is to remove.
    for network in &dead {
        let directory = state_dir.join(network);
        forget(&directory.join("record"))?;
        state::remove_directory(&directory)?;
    }
    if alive.is_empty() {
        forget(&state::host(state_dir))?;
        state::remove_directory(&state::ports(state_dir))?;
        state::remove_directory(state_dir)?;
    }
    Ok(())
}

fn forget(file: &Path) -> Result<()> {
    state::remove(&state::unfinished(file))?;
    state::remove(file)
}

fn remove_bridges(networks: &[String]) -> Result<()> {
    if networks.is_empty() {
        return Ok(());
    }
    let socket = Socket::open(Protocol::Route)?;
    for network in networks {
        let mut batch = Batch::new();
        batch.delete_link(&plan::network::bridge_name(network));
        match socket.apply(&batch) {
            Err(error) if error.errno != Errno::NODEV => return Err(error),
            _ => (),
        }
    }
    Ok(())
}
