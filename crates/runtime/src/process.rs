//! A process that another command made: who it is, whether it lives, and signals for it.

use crate::error::Result;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::os::fd::OwnedFd;
pub use sys::signal::{Signal, Unknown};

/// A number and when it started, in clock ticks since boot: together they name one process for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub start: u64,
}

impl Process {
    /// The one that has this number now.
    #[must_use]
    pub fn now(pid: i32) -> Self {
        Self { pid, start: sys::process::start_time(pid).unwrap_or_default() }
    }

    /// One that has ended and was not reaped does not.
    #[must_use]
    pub fn lives(self) -> bool {
        sys::process::stat(self.pid).is_some_and(|stat| stat.start == self.start && !matches!(stat.state, 'Z' | 'X'))
    }

    /// `None` when it is gone.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            // It is held now, so the number cannot be reused after this look.
            Ok(pidfd) => Ok(self.lives().then_some(pidfd)),
            // ENOENT, of older kernels EINVAL: by now the number is a thread's of another process (pidfd_open(2)).
            Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(sys::Error::new(format!("pidfd_open({})", self.pid), errno).into()),
        }
    }

    /// Wait for its end, so long at most: whether it came.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(self, time: Option<std::time::Duration>) -> Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec};
        let Some(pidfd) = self.open()? else { return Ok(true) };
        let end = time.and_then(|time| std::time::Instant::now().checked_add(time));
        loop {
            let left = end.map(|end| end.saturating_duration_since(std::time::Instant::now()));
            let left = left
                .map(|left| Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) });
            match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], left.as_ref()) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(sys::Error::new("poll(pidfd)", errno).into()),
                Ok(ready) => return Ok(ready > 0),
            }
        }
    }

    /// Whether it was there to get it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn signal(self, signal: Signal) -> Result<bool> {
        let Some(pidfd) = self.open()? else { return Ok(false) };
        match sys::signal::send(&pidfd, signal) {
            Err(error) if error.errno == Errno::SRCH => Ok(false),
            done => Ok(done.map(|()| true)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn a_number_that_is_a_threads_by_now_is_no_process() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let number = rustix::thread::gettid().as_raw_nonzero().get();
            let _ = tell.send(number);
            let _ = ended.recv();
        });
        let number = told.recv().unwrap();
        assert!(matches!(Process::now(number).open(), Ok(None)));
        assert!(crate::undo::kill_process(number, 0).is_ok());
        drop(end);
        thread.join().unwrap();
    }
}
