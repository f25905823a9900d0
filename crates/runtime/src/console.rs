//! The console socket: a terminal, or another file, handed to whoever asked for it.

use crate::error::Result;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::termios::{OptionalActions, OutputModes};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The master of a pty, with the name that the protocol asks for. Its newlines stay newlines: what is read there goes
/// through the terminal of who reads, which makes of them what it needs.
///
/// # Errors
/// Nobody listens at the socket.
pub fn send_terminal(socket: &Path, master: impl AsFd) -> Result<()> {
    let call = || "tcsetattr(console)".to_owned();
    let mut modes = rustix::termios::tcgetattr(&master).map_err(sys::Error::of(call))?;
    modes.output_modes.remove(OutputModes::ONLCR);
    rustix::termios::tcsetattr(&master, OptionalActions::Now, &modes).map_err(sys::Error::of(call))?;
    send(socket, master, b"/dev/ptmx")
}

/// # Errors
/// Nobody listens at the socket.
pub fn send(socket: &Path, fd: impl AsFd, name: &[u8]) -> Result<()> {
    let stream = UnixStream::connect(socket).map_err(sys::Error::of_io(|| format!("connect({socket:?})")))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(&stream, &[IoSlice::new(name)], &mut control, SendFlags::NOSIGNAL)
        .map_err(sys::Error::of(|| format!("sendmsg({socket:?}, SCM_RIGHTS)")))?;
    Ok(())
}
