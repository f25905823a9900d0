//! This program once more, as a child that asks something of a container: how it ended, and the last that it said.

use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// So much of what it says is kept.
const SAID: usize = 4096;

#[derive(Debug)]
pub struct Probe {
    child: Child,
    pidfd: OwnedFd,
    output: PipeReader,
    said: Vec<u8>,
}

impl Probe {
    /// # Errors
    /// The kernel's.
    pub fn start<'a>(words: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> io::Result<Self> {
        let (output, theirs) = io::pipe()?;
        ioctl_fionbio(&output, true)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("sampan").args(words).stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { child, pidfd, output, said: Vec::new() })
    }

    /// Ready when there is something to do for [`Probe::turn`].
    #[must_use]
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.pidfd.as_fd(), self.output.as_fd()]
    }

    /// How it ended, if it has: the code, or -1 for a signal.
    pub fn turn(&mut self) -> Option<i32> {
        let ended = self.child.try_wait();
        let mut bytes = [0; SAID];
        // What it has left in the container may hold the pipe, and go on writing.
        for _ in 0..64 {
            match read(&self.output, &mut bytes) {
                Ok(length @ 1..) => {
                    self.said.extend_from_slice(&bytes[..length]);
                    self.said.drain(..self.said.len().saturating_sub(SAID));
                }
                Err(Errno::INTR) => {}
                _ => break,
            }
        }
        match ended {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.code().unwrap_or(-1)),
            Err(_) => Some(-1),
        }
    }

    /// Its time is over.
    pub fn kill(&mut self) {
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
        let _ = self.child.wait();
    }

    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).into_owned()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.kill();
    }
}
