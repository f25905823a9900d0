//! Bytes between the caller's end and the container's pty.
//!
//! Invariant: a direction reads only when all that it read before is written, so that memory is bounded and a slow
//! reader slows the writer. No fd that is not ready is read or written.
//! Must not: make the caller's own fds non-blocking: their file description is also the shell's.

use super::detach::Matcher;
use super::{Source, Terminal, Watched};
use crate::backlog::Backlog;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionbio, read, retry_on_intr};
use std::mem;
use sys::signal::Signal;
use sys::terminal::{self, Raw, Size};
use sys::{Error, Result};

/// What a terminal holds at most, and what fits into a pipe that poll calls writable (pipe(7), PIPE_BUF), so that a
/// write does not block even where the fd does.
const CHUNK: usize = 4096;

/// More than the kernel holds of a pty's output. A process that outlives the container's init may go on writing (it
/// can, in a shared pid namespace): no more than this is waited for.
const TAIL: usize = 64 * 1024;

pub struct Pump<'a> {
    master: &'a mut Option<OwnedFd>,
    /// Held open so that the pty does not hang up, and poll does not spin, while the container has it closed.
    peer: Option<OwnedFd>,
    input: Option<Input<'a>>,
    to_master: Backlog,
    stdout: End<'a>,
    to_stdout: Backlog,
    /// The caller's terminal, whose size the pty has.
    window: Option<BorrowedFd<'a>>,
    raw: Option<Raw>,
    tail: usize,
}

struct Input<'a> {
    fd: End<'a>,
    is_terminal: bool,
    matcher: Matcher,
}

/// What a round of copying came to.
pub enum Flow {
    Open,
    Detached,
    /// The caller's end failed; the pty is hung up.
    Broken(Error),
}

impl<'a> Pump<'a> {
    pub fn new(terminal: Terminal<'a>) -> Result<Self> {
        let Terminal { master, stdin, stdout, plain, detach_keys } = terminal;
        let peer = master.as_ref().map(prepare).transpose()?;
        let input = stdin.map(|fd| Input {
            fd: End::of(fd),
            is_terminal: terminal::is_terminal(fd),
            matcher: Matcher::new(detach_keys),
        });
        let tty = stdin.filter(|fd| terminal::is_terminal(fd));
        let pump = Self {
            master,
            peer,
            input,
            to_master: Backlog::default(),
            stdout: End::of(stdout),
            to_stdout: Backlog::default(),
            window: Some(stdout).filter(|fd| terminal::is_terminal(fd)).or(tty),
            raw: tty.map(|tty| Raw::enter(tty, plain)).transpose()?,
            tail: TAIL,
        };
        pump.resize()?;
        Ok(pump)
    }

    pub fn signalled(&mut self, signal: Signal) -> Result<()> {
        match signal {
            Signal::WINCH => self.resize(),
            // We may have been stopped: the shell has changed the mode, and the window may have changed unseen.
            Signal::CONT => {
                self.raw.iter().for_each(Raw::again);
                self.resize()
            }
            _ => Ok(()),
        }
    }

    fn resize(&self) -> Result<()> {
        // Of a window that has gone there is no size; reading from it will say so.
        match (&self.master, self.window.map(Size::of)) {
            (Some(master), Some(Ok(size))) => size.apply(master),
            _ => Ok(()),
        }
    }

    pub fn watch<'b>(&'b self, watched: &mut Watched<'b>) {
        let mut add = |source, fd: BorrowedFd<'b>, flags| watched.push((source, PollFd::from_borrowed_fd(fd, flags)));
        let Some(master) = self.master.as_ref().map(AsFd::as_fd) else {
            return;
        };
        if self.to_stdout.is_empty() {
            add(Source::MasterIn, master, PollFlags::IN);
        } else {
            add(Source::Stdout, self.stdout.as_fd(), PollFlags::OUT);
        }
        if !self.to_master.is_empty() {
            add(Source::MasterOut, master, PollFlags::OUT);
        } else if let Some(input) = &self.input {
            add(Source::Stdin, input.fd.as_fd(), PollFlags::IN);
        }
    }

    /// Does what `ready` allows. What the user types is for the container only while it is `running`.
    pub fn advance(&mut self, ready: &[Source], running: bool) -> Result<Flow> {
        if !running {
            self.input = None;
        }
        if ready.contains(&Source::MasterIn) {
            self.fill();
        }
        if ready.contains(&Source::Stdout)
            && let Err(errno) = self.to_stdout.write_to(&self.stdout)
        {
            self.hang_up();
            return Ok(Flow::Broken(Error::new("write(stdout)", errno)));
        }
        if ready.contains(&Source::MasterOut)
            && let Some(master) = &*self.master
            && self.to_master.write_to(master).is_err()
        {
            // The container has hung up its own terminal (vhangup(2)); what was typed has nowhere to go.
            self.to_master.clear();
        }
        if ready.contains(&Source::Stdin) { self.take_input() } else { Ok(Flow::Open) }
    }

    fn take_input(&mut self) -> Result<Flow> {
        let Some(input) = &mut self.input else {
            return Ok(Flow::Open);
        };
        let mut typed = [0; CHUNK];
        match retry_on_intr(|| read(&input.fd, &mut typed)) {
            Err(Errno::AGAIN) => Ok(Flow::Open),
            Ok(len) if len > 0 => {
                if !input.matcher.pass(&typed[..len], &mut self.to_master.bytes) {
                    return Ok(Flow::Open);
                }
                // What was typed before the keys, in the same read.
                if let Some(master) = &*self.master {
                    let _ = self.to_master.write_to(master);
                }
                Ok(Flow::Detached)
            }
            // In raw mode nobody can type an end of file: the window was closed or the line dropped.
            end if input.is_terminal => {
                self.hang_up();
                Ok(Flow::Broken(Error::new("read(stdin)", end.err().unwrap_or(Errno::IO))))
            }
            // The end of a pipe or a file ends the typing, not the terminal.
            _ => {
                self.input = None;
                Ok(Flow::Open)
            }
        }
    }

    /// True once everything written by a container that has ended is written out. Reading to EAGAIN is enough: the
    /// read itself flushes what the kernel still has queued between the two ends.
    pub fn drained(&mut self) -> bool {
        self.to_stdout.is_empty() && (self.tail == 0 || !self.fill_tail())
    }

    fn fill_tail(&mut self) -> bool {
        let len = self.fill();
        self.tail = self.tail.saturating_sub(len);
        len > 0
    }

    /// Reads what the container wrote, if anything: the number of bytes.
    fn fill(&mut self) -> usize {
        let Some(master) = &*self.master else { return 0 };
        let mut chunk = [0; CHUNK];
        // EAGAIN, or EIO once the container has hung up its terminal: no bytes either way.
        let len = retry_on_intr(|| read(master, &mut chunk)).unwrap_or(0);
        self.to_stdout.bytes.extend_from_slice(&chunk[..len]);
        len
    }

    /// What a closed window does: the kernel sends SIGHUP to the container's session, and its reads and writes fail.
    /// The user's terminal is usable again, so that Ctrl-C reaches a container that goes on regardless.
    fn hang_up(&mut self) {
        self.input = None;
        self.peer = None;
        self.raw = None;
        self.to_stdout.clear();
        self.to_master.clear();
        drop(mem::take(self.master));
    }
}

pub(crate) fn prepare(master: &OwnedFd) -> Result<OwnedFd> {
    ioctl_fionbio(master, true).map_err(Error::of(|| "ioctl(ptmx, FIONBIO)".to_owned()))?;
    terminal::peer(master)
}

/// One of the caller's fds: our own description of it where we can have one, so that it need not block.
pub(crate) enum End<'a> {
    Own(OwnedFd),
    Shared(BorrowedFd<'a>),
}

impl<'a> End<'a> {
    pub fn of(fd: BorrowedFd<'a>) -> Self {
        terminal::reopen_nonblocking(fd).map_or(Self::Shared(fd), Self::Own)
    }
}

impl AsFd for End<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(fd) => fd.as_fd(),
            Self::Shared(fd) => *fd,
        }
    }
}
