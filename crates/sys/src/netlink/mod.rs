//! Synchronous netlink: several messages in one `sendmsg`, every answer checked.
//!
//! The kernel handles a whole buffer inside `sendmsg` and queues the answers before it returns, so no call here waits:
//! an answer that is not there is an error (netlink(7)).
//!
//! Invariant: a message's sequence number is its place in the batch, from 1, so an error names the message.
//! Must not: know what the messages mean; that is [`link`], [`address`] and `nft`.

pub mod address;
mod answer;
mod conntrack;
mod in_child;
pub mod link;
pub(crate) mod message;

pub use in_child::InChild;
pub use message::{BY_NAME, Batch};

use crate::{Error, Result};
use answer::{Answer, Answers};
use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// The families of netlink that are spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: links, addresses, routes.
    Route,
    /// `NETLINK_NETFILTER`: nftables, conntrack.
    Netfilter,
}

/// Large enough for what the kernel puts into one answer of a dump (32 KiB, netlink(7)).
const ANSWER: usize = 32 * 1024;

/// A netlink socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    protocol: Protocol,
}

impl Socket {
    /// # Errors
    /// What `socket` or `setsockopt` says.
    pub fn open(protocol: Protocol) -> Result<Self> {
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        };
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, number) };
        if fd < 0 {
            return Err(last_error(|| format!("socket(AF_NETLINK, SOCK_RAW, {number})")));
        }
        // SAFETY: `fd` was just made and nobody else has it.
        let socket = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, protocol };
        // CAP_ACK leaves the request out of the answer; EXT_ACK adds the kernel's own words on what was wrong.
        socket.option(libc::NETLINK_CAP_ACK)?;
        socket.option(libc::NETLINK_EXT_ACK)?;
        Ok(socket)
    }

    fn option(&self, option: libc::c_int) -> Result<()> {
        let one: libc::c_int = 1;
        // SAFETY: the pointer and the length are those of `one`.
        let done = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const one).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if done < 0 { Err(last_error(|| format!("setsockopt(SOL_NETLINK, {option})"))) } else { Ok(()) }
    }

    /// Sends the batch and reads the answers; each message of an answer that is not an acknowledgement is handed to
    /// `each` with its type and its payload (the header left out).
    ///
    /// # Errors
    /// The first message that was refused, with the kernel's explanation. Messages after it may have been executed:
    /// only nftables makes a batch one transaction.
    pub fn send(&self, batch: &Batch, mut each: impl FnMut(u16, &[u8])) -> Result<()> {
        match self.exchange(batch, None, &mut each)? {
            None => Ok(()),
            Some(refusal) => Err(refusal.explain(self.protocol, batch)),
        }
    }

    /// As [`Socket::send`] for a batch whose messages only change things.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub fn apply(&self, batch: &Batch) -> Result<()> {
        self.send(batch, |_, _| ())
    }

    /// As [`Socket::apply`], but what is there already (`EEXIST`) is as good as made.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub fn ensure(&self, batch: &Batch) -> Result<()> {
        match self.exchange(batch, Some(Errno::EXIST), &mut |_, _| ())? {
            None => Ok(()),
            Some(refusal) => Err(refusal.explain(self.protocol, batch)),
        }
    }

    /// As [`Socket::send`], but a refusal is a value: the errno of the first refused message, if any was.
    ///
    /// # Errors
    /// Only when the exchange itself fails.
    pub fn try_send(&self, batch: &Batch, mut each: impl FnMut(u16, &[u8])) -> Result<Option<Errno>> {
        Ok(self.exchange(batch, None, &mut each)?.map(|refusal| refusal.errno))
    }

    fn exchange(
        &self,
        batch: &Batch,
        tolerated: Option<Errno>,
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<Option<Refusal>> {
        let bytes = batch.bytes();
        // SAFETY: the pointer and the length are those of `bytes`.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 {
            return Err(last_error(|| format!("send(netlink, {} bytes)", bytes.len())));
        }
        let mut buffer = vec![0u8; ANSWER];
        let (mut open, mut refusal) = (batch.expected(), None);
        while open > 0 {
            let length = self.receive(&mut buffer)?;
            for answer in Answers::new(&buffer[..length]) {
                match answer {
                    Answer::Done => open -= 1,
                    Answer::Data { kind, payload } => each(kind, payload),
                    Answer::Refused { sequence, errno, .. } if Some(errno) == tolerated => {
                        open = open.saturating_sub(usize::from(batch.expects(sequence)));
                    }
                    Answer::Refused { sequence, errno, text } => {
                        let first = refusal.get_or_insert(Refusal { sequence, errno, text: text.to_owned() });
                        // nftables refuses a batch as a whole at its first message, and then answers nothing more.
                        if batch.closes_at(first.sequence) {
                            return Ok(refusal);
                        }
                        open = open.saturating_sub(usize::from(batch.expects(sequence)));
                    }
                }
            }
        }
        Ok(refusal)
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: the pointer and the length are those of `buffer`.
        let length = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
        usize::try_from(length).map_err(|_| last_error(|| "recv(netlink)".into()))
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

struct Refusal {
    sequence: u32,
    errno: Errno,
    text: String,
}

impl Refusal {
    fn explain(self, protocol: Protocol, batch: &Batch) -> Error {
        let mut call = batch.describe(protocol, self.sequence);
        if !self.text.is_empty() {
            call.push_str(": ");
            call.push_str(&self.text);
        }
        Error::new(call, self.errno)
    }
}

fn last_error(call: impl FnOnce() -> String) -> Error {
    Error::of_io(call)(std::io::Error::last_os_error())
}

#[cfg(test)]
mod tests;
