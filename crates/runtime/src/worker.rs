//! This program once more, as a child with pipes: for work that needs threads, which the process that makes containers
//! must not have.
//!
//! Invariant: it dies with its parent. Of an ordinary user it is root of a user namespace with the caller's ids, so that
//! what it makes can belong to them.

use crate::error::Result;
use crate::{apply, observe, sync};
use rustix::net::RecvFlags;
use rustix::process::Signal;
use std::io::{BufReader, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use sys::process::{Child, Exit, SingleThread};

/// What the program is called when it is one.
pub const NAME: &str = "sampan-worker";

#[derive(Debug)]
pub struct Worker {
    child: Child,
    /// Its standard input.
    pub input: Input,
    /// Its standard output.
    pub output: BufReader<PipeReader>,
}

/// Whether this process is one. It then dies with its parent.
pub fn is_asked(words: &[std::ffi::OsString]) -> bool {
    let asked = words.first().is_some_and(|name| name == NAME);
    if asked {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
    }
    asked
}

/// # Errors
/// The kernel's, or that of newuidmap.
pub fn start() -> Result<Worker> {
    begin(!observe::is_machines_root() && observe::euid() != 0)
}

/// Of an ordinary user, too, with his own rights, with which he may enter his containers.
///
/// # Errors
/// The kernel's.
pub fn start_as_caller() -> Result<Worker> {
    begin(false)
}

fn begin(own_users: bool) -> Result<Worker> {
    let pipe = || std::io::pipe().map_err(sys::Error::of_io(|| "pipe2(O_CLOEXEC)".to_owned()));
    let ((theirs_in, input), (output, theirs_out)) = (pipe()?, pipe()?);
    let host = own_users.then(observe::host).transpose()?;
    let maps = host.as_ref().map(|host| (plan::host::rootless_maps(host), host.subordinate.is_some()));
    let one = SingleThread::check()?;
    let (ours, theirs) = sync::pair()?;
    let namespaces = if maps.is_some() { sys::process::CLONE_NEWUSER as u64 } else { 0 };
    let child = sys::process::fork(one, namespaces, || execute(&theirs, theirs_in, theirs_out))?;
    let ready = match &maps {
        // Of one id he is the master himself.
        Some(((uid, gid), helpers)) => apply::id_maps(child.pid, uid, gid, *helpers),
        None => Ok(()),
    };
    if let Err(error) = ready.and_then(|()| sync::go(&ours)) {
        rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL).ok();
        sys::process::wait(&child)?;
        return Err(error);
    }
    let output = BufReader::with_capacity(1 << 17, output);
    Ok(Worker { child, input: Input(Some(input)), output })
}

/// In the child, once its ids are there. Comes back with an errno only.
fn execute(sync: &OwnedFd, input: PipeReader, output: PipeWriter) -> u8 {
    // It waits for its parent, so it must not outlive it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
    if let Err(errno) = rustix::net::recv(sync, &mut [0u8; 1], RecvFlags::empty()) {
        return errno.raw_os_error() as u8;
    }
    let error = Command::new("/proc/self/exe").arg0(NAME).stdin(input).stdout(output).exec();
    error.raw_os_error().unwrap_or(1) as u8
}

/// Until it is closed.
#[derive(Debug)]
pub struct Input(Option<PipeWriter>);

impl std::io::Write for Input {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.as_mut().map_or_else(|| Err(std::io::ErrorKind::BrokenPipe.into()), |pipe| pipe.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Worker {
    /// It then reads the end of its input.
    pub fn close_input(&mut self) {
        self.input.0 = None;
    }

    /// How it ended.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(self) -> Result<Exit> {
        drop((self.input, self.output));
        Ok(sys::process::wait(&self.child)?)
    }
}
