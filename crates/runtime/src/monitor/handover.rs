//! From one execution of this program to the next, in the same process: what is open goes along by its number.
//!
//! The process keeps its children, its pid and its locks (execve(2)); everything else of its memory goes.

use crate::error::Result;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use sys::process::{Child, SingleThread};

/// What the program is called when it is one.
pub const NAME: &str = "sampan-monitor";

/// A child that goes on when this process has ended, at once in this directory of cgroup v2 if there is one: whoever ends
/// all that is in the caller's cgroup, as at the end of a session or of a service, is to leave it alone.
///
/// # Errors
/// The kernel's.
pub fn fork(apart: Option<&str>, work: impl FnOnce() -> u8) -> Result<Child> {
    let dir = apart.and_then(|path| std::fs::File::open(path).ok());
    Ok(sys::process::fork_into(SingleThread::check()?, dir.as_ref().map(AsFd::as_fd), work)?)
}

/// Until that child has gone, and with it its locks.
pub fn wait(child: &Child) {
    sys::process::wait(child).ok();
}

/// In that child: nothing of the caller's stays with it, neither his terminal nor his files nor his directory.
pub fn leave() {
    sys::process::close_on_exec();
    sys::process::leave_terminal();
    super::standing::leave_session();
    let _ = std::env::set_current_dir("/");
}

/// Execute this program as the monitor of this container, which reads the text. Comes back with an error only.
///
/// # Errors
/// The kernel's.
pub fn execute(id: &str, text: &str, passed: &[&OwnedFd]) -> Result<std::convert::Infallible> {
    // Not among the words, which everybody can read. A pipe takes so much without a reader (pipe(7)).
    let (reads, mut writes) = std::io::pipe().map_err(sys::Error::of_io(|| "pipe2()".to_owned()))?;
    writes.write_all(text.as_bytes()).map_err(sys::Error::of_io(|| "write(pipe)".to_owned()))?;
    let reads = OwnedFd::from(reads);
    for fd in passed.iter().chain([&&reads]) {
        sys::process::keep_open(fd)?;
    }
    let error = Command::new("/proc/self/exe").arg0(NAME).args([id, &number(&reads).to_string()]).exec();
    Err(sys::Error::of_io(|| "execve(\"/proc/self/exe\")".to_owned())(error).into())
}

/// What was left to this process, if it is a monitor: an empty text where that is not to be had.
#[must_use]
pub fn asked(words: &[std::ffi::OsString]) -> Option<String> {
    if words.first().is_none_or(|name| name != NAME) {
        return None;
    }
    // ps(1) shows the last part of the path otherwise, which is `exe`.
    sys::process::set_name(c"sampan-monitor");
    let mut text = String::new();
    let number = words.get(2).and_then(|number| number.to_str()?.parse().ok());
    if let Some(pipe) = number.and_then(|number| take(number).ok()) {
        let _ = std::fs::File::from(pipe).read_to_string(&mut text);
    }
    Some(text)
}

/// What was passed, by its number.
///
/// # Errors
/// `EBADF`.
pub fn take(number: RawFd) -> Result<OwnedFd> {
    Ok(sys::process::take_over(number)?)
}

#[must_use]
pub fn number(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}
