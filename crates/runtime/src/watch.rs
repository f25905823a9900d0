//! Waiting for files to change: inotify(7).
//!
//! Invariant: what changes between a look and a [`Watch::wait`] ends the wait at once, if it was added before the look.
//! Must not: say what changed; the caller looks again.

use crate::error::Result;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, retry_on_intr};
use std::path::Path;
use std::time::Duration;
use sys::Error;

#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// # Errors
    /// The kernel's: a user may have only so many (fs.inotify.max_user_instances).
    pub fn new() -> Result<Self> {
        let made = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        Ok(Self(made.map_err(Error::of(|| "inotify_init1()".to_owned()))?))
    }

    /// A directory: what is made, written, renamed and removed in it. A file: that it is written, renamed or removed.
    /// What is not there is no error, and does not change.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&self, path: &Path) -> Result<()> {
        // ATTRIB is what a file's own watch tells when its name goes (inotify(7)).
        let changes = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::ATTRIB;
        match inotify::add_watch(&self.0, path, changes) {
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::new(format!("inotify_add_watch({})", path.display()), errno).into()),
        }
    }

    /// Until something changed, one of these can be read, or so long.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, fds: &[BorrowedFd<'_>], most: Duration) -> Result<()> {
        let mut polled = vec![PollFd::new(&self.0, PollFlags::IN)];
        polled.extend(fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let most = Timespec::try_from(most).ok();
        match rustix::event::poll(&mut polled, most.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("poll(inotify)", errno).into()),
        }
        // What changed is not asked; the caller looks. An empty queue ends the next wait only for what is new.
        let mut events = [0; 4096];
        while retry_on_intr(|| rustix::io::read(&self.0, &mut events)).is_ok_and(|length| length > 0) {}
        Ok(())
    }
}

/// Whether reading from it would not wait: there is something, or its other end is closed.
///
/// # Errors
/// The kernel's.
pub fn is_readable(fd: BorrowedFd<'_>) -> std::io::Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(retry_on_intr(|| rustix::event::poll(&mut polled, Some(&Timespec::default())))? > 0)
}
