//! CRIU, which saves the processes of a container in files and makes them again from these (docs/adr/0010-criu.md).
//!
//! It is called as `criu swrk FD`, one process for one request, and speaks protocol buffers over that socket
//! (criu.org/RPC). While it works it tells where it is, and waits for our word each time.

mod message;
mod root;
mod wire;

pub use message::{Features, Kind, Options};
pub use root::{Root, Target, inside};

use crate::error::{Error, Result};
use crate::{observe, sync};
use message::Answer;
use plan::Rejected;
use rustix::io::{Errno, FdFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags};
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sys::process::Child;

/// Where CRIU is, and the process that it is about.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub pid: Option<i32>,
    /// The master of a terminal that nobody holds.
    pub file: Option<OwnedFd>,
}

/// A process of it that waits for its request.
#[derive(Debug)]
pub struct Criu {
    child: Child,
    socket: OwnedFd,
}

/// The oldest that has all that is asked here (events of lazy pages, pid namespaces of others).
const OLDEST: [u64; 3] = [3, 15, 0];

fn cannot(why: impl Into<String>) -> Rejected {
    Rejected::new("cannot use criu", why)
}

impl Criu {
    /// With our standard files, or none. Before it is executed `attach` runs with its pid, then `prepare` in its process, in
    /// new namespaces. The files it inherits under the same numbers.
    ///
    /// # Errors
    /// It is not installed; what `prepare` met.
    pub fn start(
        stdio: bool,
        files: &[BorrowedFd<'_>],
        namespaces: u64,
        attach: &mut dyn FnMut(i32) -> Result<()>,
        prepare: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let program = find()?;
        let (ours, theirs) = sync::pair()?;
        let exec = || {
            prepare()?;
            for file in files {
                keep(*file)?;
            }
            keep(theirs.as_fd())?;
            let mut command = Command::new(&program);
            command.arg("swrk").arg(theirs.as_raw_fd().to_string());
            if !stdio {
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            }
            let error = command.exec();
            Err(sys::Error::of_io(|| format!("execve({program:?})"))(error).into())
        };
        Ok(Self { child: root::fork(namespaces, attach, exec)?, socket: ours })
    }

    /// Without files, and as we are.
    ///
    /// # Errors
    /// It is not installed.
    pub fn bare() -> Result<Self> {
        Self::start(false, &[], 0, &mut |_| Ok(()), || Ok(()))
    }

    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    /// The pid of what was restored, as the last answer has it.
    ///
    /// Where CRIU saves or restores cgroups it mounts the v2 tree, without a word about its settings, and the kernel takes
    /// that for all of its mounts: the host would lose `nsdelegate` and what else it has (CRIU's issue 3029). They are put
    /// back.
    ///
    /// # Errors
    /// What CRIU says, or `at` did: then it gives up.
    pub fn ask(self, kind: Kind, options: &Options, at: &mut dyn FnMut(Event) -> Result<()>) -> Result<Option<i32>> {
        let before = observe::cgroup::unified_settings()?;
        let mut failed = None;
        let asked = self.talk(message::ask(kind, options).as_bytes(), &mut |event| match at(event) {
            Ok(()) => true,
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        let ended = self.end();
        let put_back = match before {
            Some((at, flags)) if observe::cgroup::unified_settings()? != Some((at.clone(), flags.clone())) => {
                sys::mount::reconfigure(&at, &flags.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ => Ok(()),
        };
        if let Some(error) = failed {
            return Err(error);
        }
        let answer = asked?;
        // After a dump in advance it waits for the next request, and is let down.
        if kind != Kind::PreDump {
            ended?;
        }
        put_back?;
        Ok(answer.pid)
    }

    fn talk(&self, request: &[u8], at: &mut dyn FnMut(Event) -> bool) -> Result<Answer> {
        self.send(request)?;
        loop {
            let (answer, file) = self.receive()?;
            if let (Some(name), true) = (answer.event.clone(), answer.success) {
                let success = at(Event { name, pid: answer.pid, file });
                self.send(message::heard(success).as_bytes())?;
                continue;
            }
            if answer.success {
                return Ok(answer);
            }
            let errno = match answer.errno {
                0 => String::new(),
                errno => format!(" ({})", sys::errno_words(Errno::from_raw_os_error(errno))),
            };
            let message = answer.message.lines().rfind(|line| !line.is_empty()).unwrap_or("it failed");
            return Err(Rejected::new("criu", format!("{message}{errno}")).into());
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            // It is gone; what it said before that is still to be read.
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(sys::Error::new("send(criu)", errno).into()),
        }
    }

    fn receive(&self) -> Result<(Answer, Option<OwnedFd>)> {
        let mut bytes = vec![0; 64 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let parts = &mut [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR | Errno::CONNRESET) => {}
                other => break other.map_err(sys::Error::of(|| "recvmsg(criu)".into()))?,
            }
        };
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        if received.bytes == 0 {
            return Err(Rejected::new("criu", "it ended without an answer").into());
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(sys::Error::new("recvmsg(criu)", Errno::MSGSIZE).into());
        }
        Ok((Answer::parse(&bytes[..received.bytes]), file))
    }

    fn end(self) -> Result<()> {
        let Self { child, socket } = self;
        drop(socket);
        match sys::process::wait(&child)? {
            sys::process::Exit::Code(0) => Ok(()),
            exit => Err(Error::Late { why: "criu".into(), source: Box::new(Error::Ended(exit)) }),
        }
    }
}

fn keep(file: BorrowedFd<'_>) -> Result<()> {
    let call = || format!("fcntl({}, F_SETFD)", file.as_raw_fd());
    Ok(rustix::io::fcntl_setfd(file, FdFlags::empty()).map_err(sys::Error::of(call))?)
}

fn find() -> Result<PathBuf> {
    let missing = || cannot("it is not in PATH").hint("install criu (Debian, Fedora: criu)");
    Ok(observe::in_path("criu").ok_or_else(missing)?)
}

/// # Errors
/// It is not installed, or too old.
pub fn check() -> Result<()> {
    let criu = Criu::bare()?;
    let answer = criu.talk(message::version().as_bytes(), &mut |_| true);
    // Whatever it ends with: it has answered or not.
    let _ = criu.end();
    let version = answer?.version;
    if version >= OLDEST {
        return Ok(());
    }
    let words = |version: [u64; 3]| version.map(|number| number.to_string()).join(".");
    Err(cannot(format!("it is version {}, and {} is the oldest that will do", words(version), words(OLDEST))).into())
}

/// What this kernel has for it.
///
/// # Errors
/// It is not installed, or does not work here.
pub fn features() -> Result<Features> {
    let criu = Criu::bare()?;
    let answer = criu.talk(message::features().as_bytes(), &mut |_| true);
    let _ = criu.end();
    Ok(answer?.features)
}

/// The end of its log, as far as it is about an error.
#[must_use]
pub fn excerpt(log: &Path) -> Option<String> {
    const MOST: usize = 5;
    let text = String::from_utf8_lossy(&std::fs::read(log).ok()?).into_owned();
    let errors: Vec<&str> = text.lines().filter(|line| line.contains("Error")).collect();
    let all: Vec<&str> = text.lines().collect();
    let lines = if errors.is_empty() { all } else { errors };
    let last = &lines[lines.len().saturating_sub(MOST)..];
    (!last.is_empty()).then(|| last.join("\n"))
}

/// To whoever waits for the pages of a container (`--status-fd`).
///
/// # Errors
/// The kernel's.
pub fn tell_status(fd: i32) -> Result<()> {
    let path = format!("/proc/self/fd/{fd}");
    let call = || format!("write({fd}, \\0)");
    let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(sys::Error::of_io(call))?;
    Ok(file.write_all(&[0]).map_err(sys::Error::of_io(call))?)
}
