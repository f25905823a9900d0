//! Removing a container's files, also those of an ordinary user's subordinate ids.

use crate::error::Result;
use crate::{apply, observe, sync};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::process::{Exit, SingleThread};

/// Remove a directory and all below it; gone already is success. `mapped`: it holds files of the caller's subordinate
/// ids, which only root of a user namespace with the caller's maps may remove.
///
/// # Errors
/// The first call that failed.
pub fn remove(path: &str, mapped: bool) -> Result<()> {
    match sys::tree::remove_path(Path::new(path)) {
        // Only then: two more programs and a process are too much for what mostly is the caller's own.
        Err(error) if mapped && matches!(error.errno, Errno::ACCESS | Errno::PERM) => remove_mapped(path, error),
        other => Ok(other?),
    }
}

/// `why` it could not be removed without.
fn remove_mapped(path: &str, why: sys::Error) -> Result<()> {
    let host = observe::host()?;
    if host.subordinate.is_none() {
        return Err(why.into());
    }
    let (uid, gid) = plan::host::rootless_maps(&host);
    let one = SingleThread::check()?;
    let (ours, theirs) = sync::pair()?;
    let child = sys::process::fork(one, sys::process::CLONE_NEWUSER as u64, || work(&theirs, path))?;
    let mapped = apply::id_maps(child.pid, &uid, &gid, true).and_then(|()| sync::go(&ours));
    if mapped.is_err() {
        rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL).ok();
    }
    let exit = sys::process::wait(&child)?;
    mapped?;
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(errno) => {
            let errno = Errno::from_raw_os_error(errno.into());
            Err(sys::Error::new(format!("remove({path:?}) with the caller's subordinate ids"), errno).into())
        }
        Exit::Signal(_) => Err(why.into()),
    }
}

/// In the child: root once the parent has written the maps. The errno as exit code, 0 for none.
fn work(sync: &OwnedFd, path: &str) -> u8 {
    // It waits for its parent, so it must not outlive it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
    let go = rustix::net::recv(sync, &mut [0u8; 1], RecvFlags::empty());
    let removed = go.map(drop).and_then(|()| sys::tree::remove_path(Path::new(path)).map_err(|error| error.errno));
    removed.map_or_else(|errno| errno.raw_os_error() as u8, |()| 0)
}
