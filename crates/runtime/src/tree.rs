//! Removing files and changing their owner, also those of an ordinary user's subordinate ids.

use crate::error::{Error, Result};
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
    // The limit of a container's layer, if it has one: the filesystem would remember it for nobody.
    crate::quota::release(&Path::new(path).join("upper"));
    match sys::tree::remove_path(Path::new(path)) {
        // Only then: two more programs and a process are too much for what mostly is the caller's own.
        Err(error) if mapped && matches!(error.errno, Errno::ACCESS | Errno::PERM) => {
            with_subordinate_ids(&format!("remove({path:?})"), || sys::tree::remove_path(Path::new(path)))
        }
        other => Ok(other?),
    }
}

/// Give a directory and all below it to this owner. `mapped`: an id of the user namespace that [`remove`] uses, too.
///
/// # Errors
/// The first call that failed.
pub fn chown(path: &str, owner: (u32, u32), mapped: bool) -> Result<()> {
    let work = || sys::tree::chown(Path::new(path), owner);
    if mapped {
        return with_subordinate_ids(&format!("chown({path:?}, {}, {})", owner.0, owner.1), work);
    }
    Ok(work()?)
}

/// In a user namespace with the caller's own maps, as its root. `call`: for the message.
fn with_subordinate_ids(call: &str, work: impl FnOnce() -> sys::Result<()>) -> Result<()> {
    apart(call, true, false, work)
}

/// By a process of its own. `mapped`: as root of a user namespace with the caller's own maps; `mounts`: what it mounts
/// only it sees, and that goes with it. `call`: for the message.
///
/// # Errors
/// What the work says.
pub(crate) fn apart(call: &str, mapped: bool, mounts: bool, work: impl FnOnce() -> sys::Result<()>) -> Result<()> {
    let one = SingleThread::check()?;
    let (ours, theirs) = sync::pair()?;
    let user = if mapped { sys::process::CLONE_NEWUSER as u64 } else { 0 };
    let mount = if mounts { sys::process::CLONE_NEWNS as u64 } else { 0 };
    let child = sys::process::fork(one, user | mount, || after_maps(&theirs, work))?;
    let ready = if mapped { map(child.pid) } else { Ok(()) }.and_then(|()| sync::go(&ours));
    if ready.is_err() {
        rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL).ok();
    }
    let exit = sys::process::wait(&child)?;
    ready?;
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(errno) => {
            let errno = Errno::from_raw_os_error(errno.into());
            let how = if mapped { " with the caller's subordinate ids" } else { "" };
            Err(sys::Error::new(format!("{call}{how}"), errno).into())
        }
        signal => Err(Error::Died(signal)),
    }
}

/// All that this user has, or himself alone.
fn map(pid: i32) -> Result<()> {
    let host = observe::host()?;
    let (uid, gid) = plan::host::rootless_maps(&host);
    apply::id_maps(pid, &uid, &gid, host.subordinate.is_some())
}

/// In the child: root once the parent has written the maps. The errno as exit code, 0 for none.
fn after_maps(sync: &OwnedFd, work: impl FnOnce() -> sys::Result<()>) -> u8 {
    // It waits for its parent, so it must not outlive it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
    let go = rustix::net::recv(sync, &mut [0u8; 1], RecvFlags::empty());
    let done = go.map(drop).and_then(|()| work().map_err(|error| error.errno));
    done.map_or_else(|errno| errno.raw_os_error() as u8, |()| 0)
}
