//! The console socket: a terminal, or another file, handed to whoever asked for it; and a secret typed at one.

use crate::error::Result;
use crate::monitor::channel;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, connect, socket_with,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// With the name of the file, which the protocol asks for.
///
/// # Errors
/// Nobody listens at the socket.
pub fn send(socket: &Path, fd: impl AsFd, name: &[u8]) -> Result<()> {
    let (_directory, address) = channel::address(socket)?;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(sys::Error::of(|| "socket(AF_UNIX, SOCK_STREAM)".to_owned()))?;
    connect(&stream, &address).map_err(sys::Error::of(|| format!("connect({socket:?})")))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(&stream, &[IoSlice::new(name)], &mut control, SendFlags::NOSIGNAL)
        .map_err(sys::Error::of(|| format!("sendmsg({socket:?}, SCM_RIGHTS)")))?;
    Ok(())
}

/// A line that is typed without being shown. `None`: interrupted, or the end of the input.
///
/// # Errors
/// The terminal cannot be used.
pub fn secret(terminal: std::os::fd::BorrowedFd<'_>) -> Result<Option<String>> {
    // Raw, and so not without its own ctrl-c: a process that dies leaves a terminal as it is.
    let _raw = sys::terminal::Raw::enter(terminal, false)?;
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        match rustix::io::read(terminal, &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(sys::Error::new("read(terminal)", errno).into()),
            Ok(0) => return Ok(None),
            Ok(_) => match byte[0] {
                b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                // ctrl-c, ctrl-d, ctrl-z
                3 | 4 | 26 => return Ok(None),
                // ctrl-u
                21 => line.clear(),
                8 | 127 => _ = line.pop(),
                other => line.push(other),
            },
        }
    }
}

/// Newlines come out of the terminal as they went in.
///
/// # Errors
/// The kernel's.
pub fn leave_newlines(master: &OwnedFd) -> Result<()> {
    Ok(sys::terminal::leave_newlines(master)?)
}
