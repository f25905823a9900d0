//! How commands speak with a container's monitor: packets over a socket of its own, one kind and what goes with it.
//!
//! | from | kind | what goes with it |
//! |---|---|---|
//! | client | `Attach` | what is wanted of it; output follows from then on |
//! | client | `Input`, `InputEnd` | bytes for standard input; that there are no more |
//! | client | `Window` | rows and columns of its terminal |
//! | client | `Signal` | one for the container's first process; answered by `Done` or `Refused` |
//! | client | `Stop` | the signal that asks for it, and how long until SIGKILL; answered by `Ended` |
//! | client | `Wait` | answered by `Ended` |
//! | client | `HangUp` | nobody reads this output any more |
//! | client | `Detach` | it goes, and standard input stays open |
//! | monitor | `Output`, `Error` | bytes of standard output and error |
//! | monitor | `Ended` | how the container ended, when all of it is undone |
//! | monitor | `Done`, `Refused` | what came of a signal |
//!
//! Must not: be trusted by who listens further than its file's mode goes: it is its owner's, as the state directory is.

use crate::error::Result;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use sys::Error;
use sys::signal::Signal;

/// So much is read from the container, and sent, at once.
pub const CHUNK: usize = 16 << 10;

/// Who is at the other end, as the kernel knows it (unix(7), SO_PEERCRED).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub pid: i32,
    pub uid: u32,
}

/// What the container says goes to one of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    Attach {
        input: bool,
    },
    Input(&'a [u8]),
    InputEnd,
    Window {
        rows: u16,
        columns: u16,
    },
    Signal(Signal),
    /// Without a signal or a time: the container's own. A negative time has no end. `keep`: also one that goes with its
    /// end stays. `passing`: it is not to be remembered.
    Stop {
        signal: Option<Signal>,
        milliseconds: Option<i64>,
        keep: bool,
        passing: bool,
    },
    Wait,
    HangUp,
    Detach,
    Output(Stream, &'a [u8]),
    Ended {
        code: u8,
        out_of_memory: bool,
    },
    Done,
    Refused(&'a str),
}

impl Packet<'_> {
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let with = |kind: u8, rest: &[u8]| {
            let mut bytes = Vec::with_capacity(1 + rest.len());
            bytes.push(kind);
            bytes.extend_from_slice(rest);
            bytes
        };
        match self {
            Self::Attach { input } => with(b'A', &[u8::from(*input)]),
            Self::Input(bytes) => with(b'I', bytes),
            Self::InputEnd => with(b'E', &[]),
            Self::Window { rows, columns } => with(b'R', [rows.to_le_bytes(), columns.to_le_bytes()].as_flattened()),
            Self::Signal(signal) => with(b'K', &signal.as_raw().to_le_bytes()),
            Self::Stop { signal, milliseconds, keep, passing } => {
                let signal = signal.map_or(0, Signal::as_raw).to_le_bytes();
                let time = milliseconds.unwrap_or(i64::MIN).to_le_bytes();
                with(b'S', &[signal.as_slice(), time.as_slice(), &[u8::from(*keep) | u8::from(*passing) << 1]].concat())
            }
            Self::Wait => with(b'W', &[]),
            Self::HangUp => with(b'H', &[]),
            Self::Detach => with(b'D', &[]),
            Self::Output(Stream::Output, bytes) => with(b'o', bytes),
            Self::Output(Stream::Error, bytes) => with(b'e', bytes),
            Self::Ended { code, out_of_memory } => with(b'x', &[*code, u8::from(*out_of_memory)]),
            Self::Done => with(b'd', &[]),
            Self::Refused(why) => with(b'r', why.as_bytes()),
        }
    }

    /// `None` for what is no packet.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Packet<'_>> {
        let (kind, rest) = bytes.split_first()?;
        let number = |at: usize| Some(i32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let half = |at: usize| Some(u16::from_le_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        Some(match kind {
            b'A' => Packet::Attach { input: rest.first() == Some(&1) },
            b'I' => Packet::Input(rest),
            b'E' => Packet::InputEnd,
            b'R' => Packet::Window { rows: half(0)?, columns: half(2)? },
            b'K' => Packet::Signal(Signal::from_raw(number(0)?)?),
            b'S' => {
                let time = i64::from_le_bytes(rest.get(4..12)?.try_into().ok()?);
                let milliseconds = (time != i64::MIN).then_some(time);
                {
                    let flags = rest.get(12).copied().unwrap_or_default();
                    let (keep, passing) = (flags & 1 != 0, flags & 2 != 0);
                    Packet::Stop { signal: Signal::from_raw(number(0)?), milliseconds, keep, passing }
                }
            }
            b'W' => Packet::Wait,
            b'H' => Packet::HangUp,
            b'D' => Packet::Detach,
            b'o' => Packet::Output(Stream::Output, rest),
            b'e' => Packet::Output(Stream::Error, rest),
            b'x' => Packet::Ended { code: *rest.first()?, out_of_memory: rest.get(1) == Some(&1) },
            b'd' => Packet::Done,
            b'r' => Packet::Refused(std::str::from_utf8(rest).ok()?),
            _ => return None,
        })
    }
}

/// Two ends that are connected.
///
/// # Errors
/// The kernel's.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    crate::sync::pair()
}

/// Listen at this path; what was there goes.
///
/// # Errors
/// The kernel's.
pub fn serve(path: &Path) -> Result<OwnedFd> {
    let call = || format!("bind({path:?})");
    let (_directory, address) = address(path)?;
    let socket = open()?;
    std::fs::remove_file(path).ok();
    bind(&socket, &address).map_err(Error::of(call))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(Error::of_io(call))?;
    listen(&socket, 128).map_err(Error::of(|| format!("listen({path:?})")))?;
    Ok(socket)
}

/// `None` where nobody listens.
///
/// # Errors
/// The kernel's.
pub fn call(path: &Path) -> Result<Option<OwnedFd>> {
    let (_directory, address) = match address(path) {
        Err(crate::Error::Sys(error)) if error.errno == Errno::NOENT => return Ok(None),
        address => address?,
    };
    let socket = open()?;
    match retry_on_intr(|| connect(&socket, &address)) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(errno) => Err(Error::new(format!("connect({path:?})"), errno).into()),
    }
}

fn open() -> Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(Error::of(|| "socket(AF_UNIX, SOCK_SEQPACKET)".into()))?)
}

/// By the number of its directory, which stays open meanwhile: an address holds no more than 108 bytes (unix(7)), and a
/// path may be longer.
pub(crate) fn address(path: &Path) -> Result<(OwnedFd, SocketAddrUnix)> {
    use rustix::fs::{Mode, OFlags};
    // A name alone has an empty parent (Path::parent).
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let open = open.map_err(Error::of(|| format!("open({directory:?}, O_PATH)")))?;
    let name = path.file_name().unwrap_or_default();
    let address = SocketAddrUnix::new(Path::new(&format!("/proc/self/fd/{}", open.as_raw_fd())).join(name));
    Ok((open, address.map_err(Error::of(|| format!("an address for {path:?}")))?))
}

/// The next client, who does not keep this process waiting.
#[must_use]
pub fn accept(listener: &OwnedFd) -> Option<(OwnedFd, Peer)> {
    let client = retry_on_intr(|| accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)).ok()?;
    let peer = peer(&client)?;
    Some((client, peer))
}

#[must_use]
pub fn peer(client: &OwnedFd) -> Option<Peer> {
    let found = rustix::net::sockopt::socket_peercred(client).ok()?;
    Some(Peer { pid: found.pid.as_raw_pid(), uid: found.uid.as_raw() })
}

/// # Errors
/// `EAGAIN` where the other end has enough for now; `EPIPE` where there is none.
pub fn send(socket: impl AsFd, packet: &[u8], wait: bool) -> rustix::io::Result<()> {
    let flags = if wait { SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL | SendFlags::DONTWAIT };
    retry_on_intr(|| rustix::net::send(&socket, packet, flags)).map(drop)
}

/// The next packet, in this buffer; an empty one is the end.
///
/// # Errors
/// `EAGAIN` where there is none now and it shall not wait.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], wait: bool) -> rustix::io::Result<&[u8]> {
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let length = match retry_on_intr(|| rustix::net::recv(&socket, &mut *buffer, flags)) {
        Ok((length, _)) => length,
        Err(Errno::CONNRESET) => 0,
        Err(errno) => return Err(errno),
    };
    Ok(&buffer[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_as_they_went_in() {
        for packet in [
            Packet::Attach { input: true },
            Packet::Input(b"abc"),
            Packet::InputEnd,
            Packet::Window { rows: 24, columns: 300 },
            Packet::Signal(Signal::TERM),
            Packet::Stop { signal: None, milliseconds: Some(-1), keep: true, passing: false },
            Packet::Stop { signal: Some(Signal::INT), milliseconds: None, keep: false, passing: true },
            Packet::Wait,
            Packet::HangUp,
            Packet::Detach,
            Packet::Output(Stream::Output, b""),
            Packet::Output(Stream::Error, &[0, 255]),
            Packet::Ended { code: 137, out_of_memory: true },
            Packet::Done,
            Packet::Refused("no"),
        ] {
            assert_eq!(Packet::parse(&packet.bytes()), Some(packet));
        }
        for bytes in [&b""[..], b"K", b"K\0\0\0\0", b"S\0\0", b"?", b"r\xff"] {
            assert_eq!(Packet::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_path_is_no_obstacle_and_who_calls_is_known() {
        let directory = std::env::temp_dir().join(format!("sampan-channel-{}-{}", std::process::id(), "x".repeat(90)));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        assert!(call(&path).unwrap().is_none());
        let listener = serve(&path).unwrap();
        let client = call(&path).unwrap().unwrap();
        let (server, peer) = accept(&listener).unwrap();
        assert_eq!(peer.pid, std::process::id().cast_signed());
        send(&client, &Packet::Wait.bytes(), true).unwrap();
        let mut buffer = [0; CHUNK];
        assert_eq!(Packet::parse(receive(&server, &mut buffer, true).unwrap()), Some(Packet::Wait));
        assert_eq!(receive(&server, &mut buffer, false), Err(Errno::AGAIN));
        drop(client);
        assert!(receive(&server, &mut buffer, true).unwrap().is_empty());
        drop(listener);
        assert!(call(&path).unwrap().is_none());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
