//! The console socket: a terminal, or another file, handed to whoever asked for it.

use crate::error::Result;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// With the name of the file, which the protocol asks for.
///
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
