//! A terminal whose user has left, while what uses it goes on.
//!
//! Somebody has to hold it: the hang-up would end its session (tty_ioctl(4)). And to read it: what nobody reads stops
//! its writer.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, read, retry_on_intr};
use sys::Result;
use sys::process::SingleThread;
use sys::signal::Signals;

/// Leaves that to a process of its own, which ends with the one that the pidfd stands for.
///
/// # Errors
/// The kernel's.
pub fn hold(terminal: &OwnedFd, pidfd: &OwnedFd) -> Result<()> {
    let one = SingleThread::check()?;
    // Which stay blocked: the caller's own terminal may hang up before the other has left its session.
    let _signals = Signals::take()?;
    sys::process::fork(one, 0, || {
        sys::process::leave_caller_with(terminal.as_fd(), pidfd.as_fd());
        drain();
        0
    })
    .map(drop)
}

/// From standard input, until what standard output stands for has ended.
fn drain() {
    let (terminal, process) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut is_open = true;
    loop {
        let mut fds = [process, terminal].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let watched = if is_open { &mut fds[..] } else { &mut fds[..1] };
        if retry_on_intr(|| poll(watched, None)).is_err() || !fds[0].revents().is_empty() {
            return;
        }
        // EIO: its other end is closed, by all (pty(7)).
        let got = retry_on_intr(|| read(terminal, &mut [0u8; 4096]));
        is_open = !matches!(got, Ok(0)) && got.err().is_none_or(|errno| errno == Errno::AGAIN);
    }
}
