//! Terminals and ptys.
//!
//! Invariant: a terminal put into raw mode gets its old mode back when its [`Raw`] goes, and when the process panics
//! (the release profile aborts, so that Drop alone would not do). Only `kill -9` can prevent it.
//! Must not: change a file description that others share: no O_NONBLOCK on an fd that was inherited.

use crate::{Error, Result};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{self, OptionalActions, Termios, Winsize};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

pub use rustix::termios::isatty as is_terminal;

/// A window's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

impl Size {
    /// # Errors
    /// `ioctl(TIOCGWINSZ)` failed: ENOTTY if `terminal` is none.
    pub fn of(terminal: impl AsFd) -> Result<Self> {
        let size = termios::tcgetwinsize(&terminal).map_err(Error::of(|| call("TIOCGWINSZ", &terminal)))?;
        Ok(Self { rows: size.ws_row, columns: size.ws_col })
    }

    /// The kernel sends SIGWINCH to the terminal's foreground group if this changes anything.
    ///
    /// # Errors
    /// `ioctl(TIOCSWINSZ)` failed.
    pub fn apply(self, terminal: impl AsFd) -> Result<()> {
        let size = Winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 };
        termios::tcsetwinsize(&terminal, size).map_err(Error::of(|| call("TIOCSWINSZ", &terminal)))
    }
}

fn call(request: &str, fd: impl AsFd) -> String {
    format!("ioctl({}, {request})", fd.as_fd().as_raw_fd())
}

/// Newlines come out of this pty as they went in.
///
/// # Errors
/// `ioctl(TCGETS)` or `ioctl(TCSETS)` failed.
pub fn leave_newlines(master: impl AsFd) -> Result<()> {
    let mut mode = termios::tcgetattr(&master).map_err(Error::of(|| call("TCGETS", &master)))?;
    mode.output_modes.remove(termios::OutputModes::ONLCR);
    termios::tcsetattr(&master, OptionalActions::Now, &mode).map_err(Error::of(|| call("TCSETS", &master)))
}

/// Opens the other end of a pty by its master, wherever its devpts is mounted (ioctl_tty(2), TIOCGPTPEER), and not as
/// our controlling terminal.
///
/// # Errors
/// `ioctl(TIOCGPTPEER)` failed: EIO if the pty is still locked.
pub fn peer(master: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(Error::of(|| call("TIOCGPTPEER", &master)))
}

/// A non-blocking file description of our own for what `fd` is open on; None where there is no such thing (a file
/// has its offset to share, a socket cannot be opened, a terminal may be another user's after `su`): then `fd` itself
/// serves, with a poll before each call.
#[must_use]
pub fn reopen_nonblocking(fd: impl AsFd) -> Option<OwnedFd> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd).ok()?.st_mode);
    if kind != FileType::Fifo && !is_terminal(&fd) {
        return None;
    }
    let access = rustix::fs::fcntl_getfl(&fd).ok()? & OFlags::RWMODE;
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()
}

/// What the terminal in raw mode was like before. Static, because the panic hook has to find it.
static SAVED: Mutex<Option<Saved>> = Mutex::new(None);

struct Saved {
    terminal: OwnedFd,
    mode: Termios,
    processes_output: bool,
}

fn saved() -> MutexGuard<'static, Option<Saved>> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A terminal in raw mode for as long as this lives. One at a time in a process.
///
/// Raw is cfmakeraw(3): no echo, no line, no signals, and no output processing. The container's pty keeps the kernel's
/// default (OPOST, ONLCR), so `\n` becomes `\r\n` once, there, as docker and podman have it. Where that pty has it taken
/// away ([`leave_newlines`]), this terminal goes on with it.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// A background process is stopped here by the kernel (SIGTTOU) until its shell puts it in the foreground.
    /// `processes_output`: as it did before.
    ///
    /// # Errors
    /// `ioctl(TCGETS)` or `ioctl(TCSETS)` failed, or EBUSY: there is another `Raw`.
    pub fn enter(terminal: BorrowedFd<'_>, processes_output: bool) -> Result<Self> {
        static HOOK: Once = Once::new();
        let mut saved = saved();
        if saved.is_some() {
            return Err(Error::new(call("TCSETS", terminal), Errno::BUSY));
        }
        let mode = termios::tcgetattr(terminal).map_err(Error::of(|| call("TCGETS", terminal)))?;
        let terminal =
            rustix::io::fcntl_dupfd_cloexec(terminal, 3).map_err(Error::of(|| "fcntl(F_DUPFD)".to_owned()))?;
        let state = Saved { terminal, mode, processes_output };
        make_raw(&state)?;
        *saved = Some(state);
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                restore();
                report(info);
            }));
        });
        Ok(Self(()))
    }

    /// Raw again after SIGCONT: a shell takes its own mode when a job stops, and need not give ours back.
    pub fn again(&self) {
        if let Some(state) = saved().as_ref().filter(|state| in_foreground(&state.terminal)) {
            // If the terminal has gone, the next read says so.
            let _ = make_raw(state);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn make_raw(state: &Saved) -> Result<()> {
    let mut raw = state.mode.clone();
    raw.make_raw();
    if state.processes_output {
        raw.output_modes = state.mode.output_modes;
    }
    set(&state.terminal, &raw).map_err(Error::of(|| call("TCSETS", &state.terminal)))
}

fn restore() {
    // Never from the background: it would spoil the mode of the program in front, and SIGTTOU would stop us before
    // the undo. If it fails the terminal has gone, and nobody is left to tell.
    if let Some(state) = saved().take().filter(|state| in_foreground(&state.terminal)) {
        let _ = set(&state.terminal, &state.mode);
    }
}

/// At once, not after a drain: output was processed when it was written, and a stuck terminal would hold us up.
fn set(terminal: &OwnedFd, mode: &Termios) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| termios::tcsetattr(terminal, OptionalActions::Now, mode))
}

/// Also true where there is no job control: a terminal that is not our controlling one.
fn in_foreground(terminal: &OwnedFd) -> bool {
    termios::tcgetpgrp(terminal).map_or(true, |group| group == rustix::process::getpgrp())
}
