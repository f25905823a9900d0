//! A command's side of a container that a monitor watches: its streams and signals go through the monitor's socket.
//!
//! Invariant: what the monitor has sent is written out before the end is reported; the caller's terminal has its mode
//! back, as after every return. Nothing is read that cannot be passed on, so memory is bounded.
//! Must not: make the caller's own fds non-blocking: their file description is also the shell's.

use crate::backlog::Backlog;
use crate::error::Result;
use crate::monitor::channel::{self, CHUNK, Packet, Stream};
use crate::supervise::{self, Action, End, Event, Matcher, Policy};
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, read, retry_on_intr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;
use sys::signal::{Signal, Signals};
use sys::terminal::{Raw, Size, is_terminal};

/// The caller's end.
pub struct Caller<'a> {
    /// What is typed there is for the container.
    pub stdin: Option<BorrowedFd<'a>>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// The container has a terminal: the caller's, if it is one, is in raw mode meanwhile.
    pub tty: bool,
    pub detach_keys: supervise::DetachKeys,
    pub forward_signals: bool,
    /// The container is this caller's: when his end has gone, its own is hung up.
    pub owner: bool,
    /// The first process, to know what it ignores.
    pub pidfd: Option<OwnedFd>,
}

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Ended {
        code: u8,
        out_of_memory: bool,
    },
    /// The user typed the detach keys.
    Detached,
    /// Signals are not forwarded, and this one was for the caller.
    Interrupted(Signal),
    /// The caller's end has gone.
    Broken,
    /// The monitor has, without a word.
    Lost,
}

/// Copy until there is a reason to leave.
///
/// # Errors
/// A call failed that should not.
pub fn attach(monitor: &OwnedFd, caller: Caller<'_>, signals: &Signals, tell: &mut dyn FnMut(Event)) -> Result<Left> {
    Attached::new(monitor, caller)?.run(signals, tell)
}

struct Attached<'a> {
    monitor: &'a OwnedFd,
    input: Option<End<'a>>,
    matcher: Option<Matcher>,
    outputs: [(End<'a>, Backlog); 2],
    /// Not yet taken by the monitor.
    pending: Option<Vec<u8>>,
    window: Option<BorrowedFd<'a>>,
    raw: Option<Raw>,
    policy: Policy,
    owner: bool,
    pidfd: Option<OwnedFd>,
    buffer: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Monitor,
    Input,
    Output(usize),
}

impl<'a> Attached<'a> {
    fn new(monitor: &'a OwnedFd, caller: Caller<'a>) -> Result<Self> {
        let Caller { stdin, stdout, stderr, tty, detach_keys, forward_signals, owner, pidfd } = caller;
        let terminal = stdin.filter(|fd| tty && is_terminal(fd));
        let window = Some(stdout).filter(|fd| is_terminal(fd)).or(terminal).filter(|_| tty);
        let output = |fd| (End::of(fd), Backlog::default());
        Ok(Self {
            monitor,
            input: stdin.map(End::of),
            matcher: terminal.map(|_| Matcher::new(detach_keys)),
            outputs: [output(stdout), output(stderr)],
            pending: None,
            window,
            raw: terminal.map(|terminal| Raw::enter(terminal, false)).transpose()?,
            policy: Policy::new(forward_signals),
            owner,
            pidfd,
            buffer: vec![0; CHUNK + 1].into_boxed_slice(),
        })
    }

    fn run(mut self, signals: &Signals, tell: &mut dyn FnMut(Event)) -> Result<Left> {
        self.resize();
        let mut left = None;
        loop {
            if let (Some(left), true) = (left, self.outputs.iter().all(|(_, backlog)| backlog.is_empty())) {
                return Ok(left);
            }
            for source in self.wait(signals, left.is_some())? {
                let over = match source {
                    Source::Signals => self.signalled(signals, tell)?,
                    Source::Monitor => self.receive(),
                    Source::Input => self.take_input(),
                    Source::Output(at) => self.write(at, tell),
                };
                match over {
                    // Before that what has come is written.
                    Some(end @ (Left::Ended { .. } | Left::Lost)) => left = Some(end),
                    Some(over) => return Ok(over),
                    None => {}
                }
            }
        }
    }

    fn wait(&self, signals: &Signals, ended: bool) -> Result<Vec<Source>> {
        let mut watched = vec![(Source::Signals, PollFd::new(signals, PollFlags::IN))];
        let full = self.outputs.iter().any(|(_, backlog)| !backlog.is_empty());
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !full);
        flags.set(PollFlags::OUT, self.pending.is_some());
        if !ended && !flags.is_empty() {
            watched.push((Source::Monitor, PollFd::new(self.monitor, flags)));
        }
        if let (Some(input), None, false) = (&self.input, &self.pending, ended) {
            watched.push((Source::Input, PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)));
        }
        for (at, (output, backlog)) in self.outputs.iter().enumerate() {
            if !backlog.is_empty() {
                watched.push((Source::Output(at), PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT)));
            }
        }
        let (sources, mut fds): (Vec<_>, Vec<_>) = watched.into_iter().unzip();
        retry_on_intr(|| rustix::event::poll(&mut fds, None)).map_err(sys::Error::of(|| "poll()".to_owned()))?;
        let ready = sources.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(source, _)| source).collect())
    }

    fn signalled(&mut self, signals: &Signals, tell: &mut dyn FnMut(Event)) -> Result<Option<Left>> {
        while let Some(signal) = signals.next()? {
            match signal {
                Signal::WINCH => self.resize(),
                // We may have been stopped: the shell has changed the mode, and the window may have changed unseen.
                Signal::CONT => {
                    self.raw.iter().for_each(Raw::again);
                    self.resize();
                }
                _ => {}
            }
            match self.policy.decide(signal, Instant::now()) {
                Action::Drop => {}
                Action::Pass => self.send(&Packet::Signal(signal)),
                Action::Stop => {
                    // Looked up before it is sent: afterwards the process may be gone.
                    let ignored = self.pidfd.as_ref().is_some_and(|pidfd| supervise::ignores(pidfd.as_fd(), signal));
                    self.send(&Packet::Signal(signal));
                    if ignored {
                        tell(Event::Ignored(signal));
                    }
                }
                Action::Kill => {
                    tell(Event::Killing(signal));
                    self.send(&Packet::Signal(Signal::KILL));
                }
                Action::Leave => return Ok(Some(Left::Interrupted(signal))),
            }
        }
        Ok(None)
    }

    fn resize(&mut self) {
        // Of a window that has gone there is no size; reading from it will say so.
        if let Some(Ok(Size { rows, columns })) = self.window.map(Size::of) {
            self.send(&Packet::Window { rows, columns });
        }
    }

    /// Few and small, so what the monitor does not take at once waits for it; one that has gone is heard of by reading.
    fn send(&mut self, packet: &Packet<'_>) {
        if let Some(pending) = self.pending.take() {
            let _ = channel::send(self.monitor, &pending, true);
        }
        let _ = channel::send(self.monitor, &packet.bytes(), true);
    }

    fn receive(&mut self) -> Option<Left> {
        if let Some(pending) = self.pending.take()
            && channel::send(self.monitor, &pending, false) == Err(Errno::AGAIN)
        {
            self.pending = Some(pending);
        }
        if self.outputs.iter().any(|(_, backlog)| !backlog.is_empty()) {
            return None;
        }
        let bytes = match channel::receive(self.monitor, &mut self.buffer, false) {
            Err(Errno::AGAIN) => return None,
            received => received.unwrap_or_default(),
        };
        match Packet::parse(bytes) {
            None => return Some(Left::Lost),
            Some(Packet::Ended { code, out_of_memory }) => return Some(Left::Ended { code, out_of_memory }),
            Some(Packet::Output(stream, bytes)) => {
                let at = usize::from(stream == Stream::Error);
                self.outputs[at].1.bytes.extend_from_slice(bytes);
            }
            Some(_) => {}
        }
        None
    }

    fn write(&mut self, at: usize, tell: &mut dyn FnMut(Event)) -> Option<Left> {
        let (output, backlog) = &mut self.outputs[at];
        let Err(errno) = backlog.write_to(output.as_fd()) else { return None };
        backlog.clear();
        if !self.owner {
            return Some(Left::Broken);
        }
        // Nobody reads what it says: as a pipe or a closed window would tell it.
        tell(Event::HungUp(sys::Error::new("write(stdout)", errno)));
        self.leave_terminal();
        None
    }

    fn leave_terminal(&mut self) {
        self.input = None;
        self.raw = None;
        self.send(&Packet::HangUp);
    }

    fn take_input(&mut self) -> Option<Left> {
        let input = self.input.as_ref()?;
        let mut typed = [0; 4096];
        match retry_on_intr(|| read(input.as_fd(), &mut typed)) {
            Err(Errno::AGAIN) => None,
            Ok(length) if length > 0 => {
                let mut passed = Vec::new();
                let detached = match &mut self.matcher {
                    Some(matcher) => matcher.pass(&typed[..length], &mut passed),
                    None => {
                        passed.extend_from_slice(&typed[..length]);
                        false
                    }
                };
                if !passed.is_empty() {
                    self.pass(&Packet::Input(&passed));
                }
                if detached {
                    self.send(&Packet::Detach);
                    return Some(Left::Detached);
                }
                None
            }
            // In raw mode nobody can type an end of file: the window was closed or the line dropped.
            _ if self.matcher.is_some() => {
                if !self.owner {
                    return Some(Left::Broken);
                }
                self.leave_terminal();
                None
            }
            _ => {
                self.input = None;
                self.send(&Packet::InputEnd);
                None
            }
        }
    }

    /// The container may take its time to read: meanwhile its output goes on.
    fn pass(&mut self, packet: &Packet<'_>) {
        let bytes = packet.bytes();
        if channel::send(self.monitor, &bytes, false) == Err(Errno::AGAIN) {
            self.pending = Some(bytes);
        }
    }
}
