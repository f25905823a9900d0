//! The exchange that a freshly cloned child may do: no heap, no locks, raw calls.

use super::Socket;
use super::answer::{Answer, Answers};
use super::message::{Batch, HEADER, length};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::AsRawFd as _;

/// What fits on the child's stack; two addresses and two routes take some 300 bytes.
const LIMIT: usize = 1024;

/// Messages of rtnetlink, all acknowledged, about links of which one is known by name only until the child runs: the
/// kernel numbers a link when it comes into the namespace, and its number depends on which tunnel modules are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InChild {
    name: CString,
    bytes: Vec<u8>,
    holes: Vec<usize>,
    /// Of another network namespace; else one is made in the child's own.
    socket: Option<libc::c_int>,
}

impl InChild {
    /// `name` is the link that [`super::BY_NAME`] stands for in `batch`. `None`: the name is no link's name, or the
    /// batch is longer than a child can send.
    #[must_use]
    pub fn new(name: &str, batch: &Batch) -> Option<Self> {
        let fits = (1..libc::IFNAMSIZ).contains(&name.len()) && batch.bytes().len() <= LIMIT;
        let name = CString::new(name).ok().filter(|_| fits)?;
        Some(Self { name, bytes: batch.bytes().to_vec(), holes: batch.holes().to_vec(), socket: None })
    }

    /// By this socket, which stays open until the child has it.
    #[must_use]
    pub fn by(self, socket: &Socket) -> Self {
        Self { socket: Some(socket.fd.as_raw_fd()), ..self }
    }

    /// # Errors
    /// The errno of the first message that was refused, and its number from 1 (0: the exchange itself failed).
    pub fn run(&self) -> Result<(), (u32, Errno)> {
        if let Some(fd) = self.socket {
            return self.exchange(fd);
        }
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(failed());
        }
        let done = self.exchange(fd);
        // SAFETY: `fd` was made here and is used nowhere else.
        unsafe { libc::close(fd) };
        done
    }

    fn exchange(&self, fd: libc::c_int) -> Result<(), (u32, Errno)> {
        let mut buffer = [0u8; LIMIT];
        let bytes = buffer.get_mut(..self.bytes.len()).ok_or((0, Errno::TOOBIG))?;
        bytes.copy_from_slice(&self.bytes);
        if !self.holes.is_empty() {
            let index = self.index(fd)?.to_ne_bytes();
            for &hole in &self.holes {
                bytes.get_mut(hole..hole + 4).ok_or((0, Errno::INVAL))?.copy_from_slice(&index);
            }
        }
        // SAFETY: the pointer and the length are those of `bytes`.
        if unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) } < 0 {
            return Err(failed());
        }
        acknowledged(fd, count(bytes))
    }

    /// netdevice(7): any socket will do.
    fn index(&self, fd: libc::c_int) -> Result<libc::c_int, (u32, Errno)> {
        // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.name.as_bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: the kernel reads and writes one `ifreq`.
        if unsafe { libc::ioctl(fd, libc::SIOCGIFINDEX, &raw mut request) } < 0 {
            return Err(failed());
        }
        // SAFETY: SIOCGIFINDEX has just written this member.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex })
    }
}

fn failed() -> (u32, Errno) {
    (0, Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)))
}

fn count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = length(bytes) {
        count += 1;
        bytes = bytes.get(length.max(HEADER).next_multiple_of(4)..).unwrap_or_default();
    }
    count
}

fn acknowledged(fd: libc::c_int, mut open: usize) -> Result<(), (u32, Errno)> {
    let mut buffer = [0u8; 2048];
    while open > 0 {
        // SAFETY: the pointer and the length are those of `buffer`.
        let length = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(length) else {
            return Err(failed());
        };
        for answer in Answers::new(buffer.get(..length).unwrap_or_default()) {
            match answer {
                Answer::Done => open = open.saturating_sub(1),
                Answer::Refused { sequence, errno, .. } => return Err((sequence, errno)),
                Answer::Data { .. } => (),
            }
        }
    }
    Ok(())
}
