//! The service manager's socket (sd_notify(3)): the container has one of its own, and what it says goes on to the
//! manager of its caller.
//!
//! Invariant: files that come along are closed unseen, which is also the answer to a BARRIER.
//! Must not: wait for what the container says longer than the container lives.

use crate::error::Result;
use crate::monitor::channel;
use plan::Rejected;
use plan::notify::{Heard, LONGEST, heard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, bind, connect, socket_with,
};
use std::ffi::{OsStr, OsString};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::Error;

/// As long systemd is waited for, as by runc and crun.
const BARRIER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// At once, before anything else is looked at.
const MANY: usize = 64;

/// A container's socket, its caller's, and the process of the host's that is the service.
#[derive(Debug)]
pub struct Relay {
    inside: OwnedFd,
    manager: OsString,
    main: i32,
}

impl Relay {
    /// At this path; what was there goes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(path: &Path, manager: OsString, main: i32) -> Result<Self> {
        let call = || format!("bind({path:?})");
        let inside = socket()?;
        let (_directory, address) = channel::address(path)?;
        std::fs::remove_file(path).ok();
        bind(&inside, &address).map_err(Error::of(call))?;
        // Any user of the container may speak.
        rustix::fs::chmod(path, Mode::from_raw_mode(0o777)).map_err(Error::of(call))?;
        Ok(Self { inside, manager, main })
    }

    /// Pass on what is there: whether it says that the service is ready.
    ///
    /// # Errors
    /// The manager does not hear it.
    pub fn pass(&self) -> Result<bool> {
        let mut ready = false;
        let mut datagram = [0; LONGEST + 1];
        for _ in 0..MANY {
            let got = retry_on_intr(|| rustix::net::recv(&self.inside, &mut datagram, RecvFlags::DONTWAIT));
            let length = match got {
                Err(Errno::AGAIN) => break,
                got => got.map_err(Error::of(|| "recv(notify.sock)".to_owned()))?.0,
            };
            if let Some(Heard { text, ready: now }) = heard(&datagram[..length], self.main) {
                ready |= now;
                let manager = self.connect()?;
                let sent = retry_on_intr(|| rustix::net::send(&manager, text.as_bytes(), SendFlags::NOSIGNAL));
                sent.map_err(Error::of(|| format!("send({:?})", self.manager)))?;
            }
        }
        Ok(ready)
    }

    /// Pass on until the service is ready and its manager knows, or `process` has ended.
    ///
    /// # Errors
    /// As of [`Relay::pass`].
    pub fn wait(&self, process: BorrowedFd<'_>) -> Result<()> {
        loop {
            let mut both = [PollFd::new(&self.inside, PollFlags::IN), PollFd::from_borrowed_fd(process, PollFlags::IN)];
            retry_on_intr(|| poll(&mut both, None)).map_err(Error::of(|| "poll(notify.sock)".to_owned()))?;
            let ended = !both[1].revents().is_empty();
            if self.pass()? {
                return self.barrier();
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Until the manager has read all: of who has ended before, it does not know any more of which service he was.
    fn barrier(&self) -> Result<()> {
        let (reader, writer) = std::io::pipe().map_err(Error::of_io(|| "pipe2()".to_owned()))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [writer.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let text = [IoSlice::new(b"BARRIER=1")];
        rustix::net::sendmsg(&self.connect()?, &text, &mut control, SendFlags::NOSIGNAL)
            .map_err(Error::of(|| format!("sendmsg({:?}, SCM_RIGHTS)", self.manager)))?;
        drop(writer);
        let mut ended = [PollFd::new(&reader, PollFlags::IN)];
        retry_on_intr(|| poll(&mut ended, Some(&BARRIER))).map_err(Error::of(|| "poll(pipe)".to_owned()))?;
        Ok(())
    }

    fn connect(&self) -> Result<OwnedFd> {
        let call = || format!("connect({:?})", self.manager);
        let manager = socket()?;
        let (_directory, address) = address(&self.manager)?;
        retry_on_intr(|| connect(&manager, &address)).map_err(Error::of(call))?;
        Ok(manager)
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }
}

fn socket() -> Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(Error::of(|| "socket(AF_UNIX, SOCK_DGRAM)".to_owned()))?)
}

/// A path, or an abstract name after an `@`. The directory is to be kept open meanwhile.
fn address(manager: &OsStr) -> Result<(Option<OwnedFd>, SocketAddrUnix)> {
    match manager.as_bytes() {
        [b'@', name @ ..] => {
            let address = SocketAddrUnix::new_abstract_name(name);
            Ok((None, address.map_err(Error::of(|| format!("an address for {manager:?}")))?))
        }
        [b'/', ..] => channel::address(Path::new(manager)).map(|(directory, address)| (Some(directory), address)),
        _ => {
            let why = "it is neither a path nor the name of an abstract socket";
            Err(Rejected::new(format!("cannot use the NOTIFY_SOCKET {}", manager.display()), why).into())
        }
    }
}

/// # Errors
/// It is no name of a socket that could be used.
pub fn check(manager: &OsStr) -> Result<()> {
    match manager.as_bytes() {
        [b'@' | b'/', _, ..] => Ok(()),
        _ => address(manager).map(drop),
    }
}
