//! Between the command that makes a container and the one that starts it: two named pipes.
//!
//! The container's process reads the gate, which it holds for writing too, so that it sees no end of file; whoever
//! starts it writes a byte. By then he has opened the outcome, of which the container's process holds the writing end
//! until its exec: an end of file without a word means that the exec worked.
//!
//! Pipes and not sockets, because what the process waits and speaks with, read(2) and write(2), every filter of a
//! container's own lets through.

use crate::error::{Error, Result};
use plan::order::{gate_at, outcome_at};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use sys::child::Report;

fn open(path: &str, flags: OFlags) -> Result<OwnedFd> {
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(sys::Error::of(|| format!("open({path:?})")))?)
}

/// The child's end of the gate.
pub(crate) fn child(gate: &str) -> Result<OwnedFd> {
    open(gate, OFlags::RDWR)
}

/// The child's end of the outcome, for writing only.
pub(crate) fn child_outcome(outcome: &str) -> Result<OwnedFd> {
    // So that the other does not wait for a reader (fifo(7)).
    let _both = open(outcome, OFlags::RDWR)?;
    open(outcome, OFlags::WRONLY)
}

/// Whether the container of this directory still waits, if it lives.
#[must_use]
pub fn is_closed(data: &str) -> bool {
    std::path::Path::new(&gate_at(data)).exists()
}

/// Let the container of this directory go on, and wait until it has executed its command. `command` and `why`, which
/// words a step that failed by its number, are for the message. What comes from `terminal` until then goes to standard output.
///
/// # Errors
/// It is not there any more; what failed after the gate.
pub fn pass(
    data: &str,
    command: &str,
    why: impl Fn(usize) -> Option<String>,
    terminal: Option<&OwnedFd>,
) -> Result<()> {
    let (gate, outcome) = (gate_at(data), outcome_at(data));
    let mut reader = File::from(open(&outcome, OFlags::RDONLY | OFlags::NONBLOCK)?);
    rustix::fs::fcntl_setfl(&reader, OFlags::empty())
        .map_err(sys::Error::of(|| format!("fcntl({outcome:?}, F_SETFL)")))?;
    let knocker = open(&gate, OFlags::WRONLY | OFlags::NONBLOCK)?;
    rustix::io::write(&knocker, &[1]).map_err(sys::Error::of(|| format!("write({gate:?})")))?;
    drop(knocker);
    std::fs::remove_file(&gate).map_err(sys::Error::of_io(|| format!("unlink({gate:?})")))?;
    if let Some(terminal) = terminal {
        show(terminal, &reader)?;
    }
    let mut bytes = Vec::with_capacity(Report::SIZE);
    reader.read_to_end(&mut bytes).map_err(sys::Error::of_io(|| format!("read({outcome:?})")))?;
    Report::parse(&bytes).map_or(Ok(()), |report| Err(failure(report, command, why)))
}

/// Until there is something to read, or the end, at the other: who writes to a terminal that nobody reads waits.
fn show(terminal: &OwnedFd, other: &File) -> Result<()> {
    let call = || "poll(terminal)".to_owned();
    let mut buffer = [0u8; 4096];
    let mut listens = true;
    loop {
        let mut both = [PollFd::new(other, PollFlags::IN), PollFd::new(terminal, PollFlags::IN)];
        let polled = if listens { &mut both[..] } else { &mut both[..1] };
        match rustix::event::poll(polled, None) {
            Err(Errno::INTR) => continue,
            polled => polled.map_err(sys::Error::of(call))?,
        };
        let [ended, written] = both.map(|fd| !fd.revents().is_empty());
        if written {
            match rustix::io::read(terminal, &mut buffer) {
                Ok(0) | Err(Errno::IO) => listens = false,
                Err(Errno::INTR | Errno::AGAIN) => {}
                read => {
                    let length = read.map_err(sys::Error::of(call))?;
                    // Who reads it no more does not end it.
                    let mut out = std::io::stdout();
                    let _ = out.write_all(&buffer[..length]).and_then(|()| out.flush());
                }
            }
        } else if ended {
            return Ok(());
        }
    }
}

fn failure(report: Report, command: &str, why: impl Fn(usize) -> Option<String>) -> Error {
    if report.step == Report::EXEC {
        let source = sys::Error::new("execve", Errno::from_raw_os_error(report.errno));
        return Error::Exec { command: command.to_owned(), source };
    }
    let source = Error::of_child(report);
    match why(usize::from(report.step)) {
        Some(why) => Error::Late { why, source: Box::new(source) },
        None => source,
    }
}
