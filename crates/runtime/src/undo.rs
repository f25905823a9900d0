//! Undo verbs to syscalls. Idempotent: "already gone" is success. All errors are collected, none stops the rest.

use crate::error::{Error, Result};
use crate::journal::Journal;
use plan::cgroup::Undo;
use plan::undo::Verb;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::os::fd::AsFd as _;
use std::path::Path;
use sys::process::{Exit, SingleThread};

/// Replay a journal and remove it, unless something could not be undone: then it stays for the next try. `keep`: the
/// directory of a container that is to stay after its end.
pub fn replay(mut journal: Journal, keep: Option<&str>) -> Vec<Error> {
    let mut verbs = match journal.verbs() {
        Ok(verbs) => verbs,
        Err(error) => return vec![error],
    };
    verbs.retain(|verb| !matches!(verb, Verb::RemoveTree { path, .. } if Some(path.as_str()) == keep));
    let mut errors: Vec<Error> = verbs.iter().flat_map(undo).collect();
    if errors.is_empty() {
        errors.extend(journal.remove().err());
    }
    errors
}

/// The same for a container that is to be started once more: the lease stays, and nothing else, if all could be undone.
pub fn rewind(journal: &mut Journal) -> Vec<Error> {
    let verbs = match journal.verbs() {
        Ok(verbs) => verbs,
        Err(error) => return vec![error],
    };
    let mut errors: Vec<Error> = verbs.iter().flat_map(undo).collect();
    if errors.is_empty() {
        errors.extend(journal.empty().err());
    }
    errors
}

fn undo(verb: &Verb) -> Vec<Error> {
    match verb {
        Verb::Cgroup(Undo::Remove { dir, keep }) => {
            crate::apply::cgroup::remove_all(dir, keep).into_iter().map(Error::from).collect()
        }
        verb => undo_one(verb).err().into_iter().collect(),
    }
}

fn undo_one(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Kill { pid, start } => kill_process(*pid, *start),
        Verb::Unmount { path } => Ok(unmount(path)?),
        Verb::UnmountIn { namespace, path } => unmount_in(namespace, path),
        Verb::RemoveFile { path } => match rustix::fs::unlink(path.as_str()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(sys::Error::new(format!("unlink({path:?})"), errno).into()),
        },
        Verb::RemoveTree { path, mapped } => crate::tree::remove(path, *mapped),
        Verb::LeaveVolume { at, users, user } => crate::volume::leave(at, Path::new(users), user),
        Verb::Cgroup(Undo::StopUnit { address, unit }) => crate::systemd::stop(address, unit),
        Verb::Cgroup(Undo::Thaw { dir }) => Ok(crate::apply::cgroup::go_on(dir)?),
        Verb::Cgroup(Undo::Remove { .. }) => Ok(()),
        Verb::Network(undo) => Ok(crate::apply::network::undo(undo).map(drop)?),
    }
}

pub(crate) fn unmount(path: &str) -> sys::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::NOENT | Errno::INVAL) => Ok(()),
        Err(errno) => Err(sys::Error::new(format!("umount2({path:?}, MNT_DETACH)"), errno)),
    }
}

/// By a child: who has entered a mount namespace has that one's root, and does not come back to his own.
fn unmount_in(namespace: &str, path: &str) -> Result<()> {
    let Ok(there) = sys::process::open_namespace(namespace) else { return Ok(()) };
    let work = || {
        match sys::process::setns(there.as_fd(), sys::process::CLONE_NEWNS).and_then(|()| unmount(path)) {
            // No namespace any more.
            Ok(()) | Err(sys::Error { errno: Errno::INVAL, .. }) => 0,
            Err(error) => error.errno.raw_os_error() as u8,
        }
    };
    let child = sys::process::fork(SingleThread::check()?, 0, work)?;
    match sys::process::wait(&child)? {
        Exit::Code(0) => Ok(()),
        Exit::Code(errno) => {
            let errno = Errno::from_raw_os_error(errno.into());
            Err(sys::Error::new(format!("umount2({path:?}, MNT_DETACH) in {namespace}"), errno).into())
        }
        signal => Err(Error::Died(signal)),
    }
}

/// SIGKILL for the process that had this number and started then, in clock ticks since boot, and wait until it is gone:
/// what follows removes what it stands on.
///
/// # Errors
/// The kernel's.
pub fn kill_process(pid: i32, start: u64) -> Result<()> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(()) };
    let pidfd = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        // ENOENT, of older kernels EINVAL: by now the number is a thread's of another process (pidfd_open(2)).
        Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => return Ok(()),
        Err(errno) => return Err(sys::Error::new(format!("pidfd_open({pid})"), errno).into()),
    };
    // The pidfd is held, so the number cannot be reused between this look and the signal.
    if sys::process::start_time(pid) != Some(start) {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(sys::Error::new(format!("pidfd_send_signal({pid}, SIGKILL)"), errno).into()),
    }
    let mut poll = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    match rustix::event::poll(&mut poll, Some(&patience)) {
        Ok(0) => Err(sys::Error::new(format!("waiting for process {pid} to end"), Errno::TIMEDOUT).into()),
        Ok(_) | Err(_) => Ok(()),
    }
}
