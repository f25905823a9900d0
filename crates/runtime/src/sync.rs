//! The conversation of parent and child over one SEQPACKET pair.
//!
//! | from | message | meaning |
//! |---|---|---|
//! | parent | one byte | *go*: ids and cgroup are set (only when the plan has such steps) |
//! | parent | one byte | *attached*: the links are there (only when it has links) |
//! | child | `CONSOLE` and an fd | the master of the container's terminal |
//! | child | `SHIFT` and an fd | a mount whose ids the parent shall shift; it answers with one byte (only when only the child can reach it) |
//! | child | `HOOKS` | the parent may run its hooks; it answers with one byte (only when there are some) |
//! | child | `LISTENER` | the number of the filter's listener, or that itself (only when it has one) |
//! | child | `READY` | every step is done |
//! | parent | one byte | *execute*: others can see the container; what follows is the seccomp filter, if it comes last, and the exec |
//! | child | `FAILED` | step, call and errno; the child is gone |
//! | – | end of file | after `READY`: the exec worked, because every fd of the child closes on it; or the child waits for its start (`gate`) |
//!
//! The parent sends as early as it can and never waits for an answer in between; the child waits once, before the exec.

use crate::error::Result;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketFlags,
    SocketType,
};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use sys::Error;
use sys::child::Report;

/// The two ends: the parent's and the child's.
///
/// # Errors
/// The kernel's.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(Error::of(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)".into()))?)
}

/// Let the child go on. A child that is gone is no error here: its report says why.
///
/// # Errors
/// The kernel's.
pub fn go(sync: &OwnedFd) -> Result<()> {
    match rustix::net::send(sync, &[1], SendFlags::NOSIGNAL) {
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(errno) => Err(Error::new("send(sync, go)", errno).into()),
    }
}

/// The child's next message and the fd with it; `None` at the end.
///
/// # Errors
/// The kernel's.
pub fn receive(sync: &OwnedFd) -> Result<Option<(Report, Option<OwnedFd>)>> {
    let mut bytes = [0u8; Report::SIZE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match rustix::net::recvmsg(sync, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            // Gone with a byte of ours unread: told once, and before what it has sent, which is still to come (unix(7)).
            Err(Errno::INTR | Errno::CONNRESET) => {}
            other => break other.map_err(Error::of(|| "recvmsg(sync)".into()))?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Error::new("recvmsg(sync)", Errno::MSGSIZE).into());
    }
    Ok(Report::parse(&bytes).map(|report| (report, fd)))
}
