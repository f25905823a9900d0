//! What stays with a container that nobody waits for: one process, which watches it, keeps what it says, and serves the
//! commands that are about it.
//!
//! One thread, one poll, and no timer while nothing is due: an idle container causes no wake-up. It is this program,
//! executed anew once the container runs ([`handover`]), so that none of the memory that a start takes stays.
//!
//! Invariant: what the container wrote is kept before anybody is told that it ended; nobody is told so before all of it
//! is undone. A client that does not read slows the container as a pipe would, and loses nothing.
//! Must not: block on a client, print, know what an image or a network is.

pub mod channel;
mod client;
pub mod handover;
pub mod standing;

use crate::backlog::Backlog;
use crate::error::Result;
use channel::{CHUNK, Packet, Peer, Stream};
use client::Client;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::{Errno, ioctl_fionbio, read, retry_on_intr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
pub use sys::process::Exit;
use sys::signal::{self, Signal};
use sys::terminal::Size;

/// What a container that has ended may have left in its pipes, where others hold them open and go on writing.
const TAIL: usize = 1 << 20;

/// So long clients have to take the last words.
const FAREWELL: Duration = Duration::from_secs(10);

/// The container's side, as its monitor holds it.
#[derive(Debug)]
pub struct Ends {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The master of its terminal; it then has no pipes.
    pub terminal: Option<OwnedFd>,
    pub input: Option<OwnedFd>,
    /// Of standard output and error.
    pub outputs: [Option<OwnedFd>; 2],
}

/// What else there is to do.
pub trait Beside {
    /// The container has said something.
    fn said(&mut self, stream: Stream, bytes: &[u8]);

    /// A signal is about to be sent: a process that is frozen would not see it.
    fn before_signal(&mut self, signal: Signal);

    /// More to watch.
    fn watched(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Something of that is ready, or it is time: what to ask of the container for it.
    fn turn(&mut self, now: Instant) -> Option<Stop> {
        let _ = now;
        None
    }

    /// When it is time next.
    fn due(&self) -> Option<Instant> {
        None
    }
}

/// How the container is asked to end where nothing else is said.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    pub signal: Signal,
    /// `None`: for ever.
    pub patience: Option<Duration>,
    /// Standard input ends with the first client's.
    pub input_once: bool,
}

/// A wish that it ends, which somebody had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// `None`: the monitor's own.
    pub by: Option<Peer>,
    pub signal: Signal,
    /// When it is killed.
    pub deadline: Option<Instant>,
    /// It was: it had not ended by then.
    pub overdue: bool,
    /// Also one that goes with its end stays.
    pub keep: bool,
    /// It is not to be remembered.
    pub passing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub exit: Exit,
    pub stop: Option<Stop>,
    /// The last one that was sent through the monitor.
    pub signal: Option<(Peer, Signal)>,
}

#[derive(Debug)]
pub struct Monitor {
    listener: OwnedFd,
    clients: Vec<Client>,
    manners: Manners,
    stop: Option<Stop>,
    signal: Option<(Peer, Signal)>,
    buffer: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Exit,
    Listener,
    Client(usize),
    Output(Stream),
    Input,
    Beside,
}

impl Monitor {
    /// `first`: a client that is attached already, and whether its input is the container's.
    #[must_use]
    pub fn new(listener: OwnedFd, first: Option<(OwnedFd, bool)>, manners: Manners) -> Self {
        let client = |(socket, input)| {
            let peer = channel::peer(&socket).unwrap_or(Peer { pid: 0, uid: u32::MAX });
            let mut client = Client::new(socket, peer);
            (client.attached, client.waits, client.input) = (true, true, input);
            client
        };
        let clients = first.map(client).into_iter().collect();
        Self { listener, clients, manners, stop: None, signal: None, buffer: vec![0; CHUNK].into_boxed_slice() }
    }

    #[must_use]
    pub fn manners(&self) -> Manners {
        self.manners
    }

    #[must_use]
    pub fn listener(&self) -> &OwnedFd {
        &self.listener
    }

    /// Until the container has ended and all that it said is kept.
    ///
    /// # Errors
    /// A call failed that should not. The container may still run.
    pub fn watch(&mut self, ends: Ends, beside: &mut dyn Beside) -> Result<Ended> {
        let mut held = Held::new(ends)?;
        loop {
            for source in self.wait(&held, beside)? {
                match source {
                    Source::Exit => {
                        let exit = reap(&held.pidfd)?;
                        self.drain(&mut held, beside);
                        return Ok(Ended { exit, stop: self.stop.take(), signal: self.signal.take() });
                    }
                    Source::Listener => self.welcome(),
                    Source::Client(at) => self.attend(at, Some(&mut held), beside),
                    Source::Output(stream) => _ = self.read(stream, &mut held, beside),
                    Source::Input => held.feed(),
                    Source::Beside => {}
                }
            }
            let now = Instant::now();
            if let Some(stop) = beside.turn(now) {
                self.stop(stop, Some(&held), beside);
            }
            self.enforce(now, &held, beside);
            self.clients.retain(|client| !client.gone);
        }
    }

    /// Until it is time, or somebody asks for the end: then true.
    ///
    /// # Errors
    /// poll(2).
    pub fn rest(&mut self, until: Instant, beside: &mut dyn Beside) -> Result<bool> {
        while self.stop.is_none() {
            let now = Instant::now();
            if now >= until {
                return Ok(false);
            }
            let mut watched = vec![(Source::Listener, PollFd::new(&self.listener, PollFlags::IN))];
            watch_clients(&self.clients, false, &mut watched);
            for source in poll(watched, Some(until - now))? {
                match source {
                    Source::Listener => self.welcome(),
                    Source::Client(at) => self.attend(at, None, beside),
                    _ => {}
                }
            }
            self.clients.retain(|client| !client.gone);
        }
        Ok(true)
    }

    /// All are told how it ended, and go.
    pub fn dismiss(&mut self, code: u8, out_of_memory: bool) {
        // Those, too, that have called and were not heard yet.
        self.welcome();
        for client in &mut self.clients {
            while let Ok(packet) = channel::receive(&client.socket, &mut self.buffer, false) {
                match Packet::parse(packet) {
                    None => break,
                    Some(Packet::Wait | Packet::Stop { .. } | Packet::Attach { .. }) => client.waits = true,
                    Some(Packet::Signal(_)) => client.tell(&Packet::Refused("it has ended")),
                    Some(_) => {}
                }
            }
            if client.waits {
                client.tell(&Packet::Ended { code, out_of_memory });
            }
        }
        let end = Instant::now() + FAREWELL;
        while self.clients.iter().any(Client::is_behind) {
            let left = end.saturating_duration_since(Instant::now());
            let mut watched = Vec::new();
            watch_clients(&self.clients, false, &mut watched);
            watched.retain(|(source, _)| matches!(source, Source::Client(at) if self.clients[*at].is_behind()));
            match poll(watched, Some(left)) {
                Ok(ready) if !ready.is_empty() => {}
                _ => break,
            }
            self.clients.iter_mut().for_each(Client::push);
        }
        self.clients.clear();
    }

    fn wait(&self, held: &Held, beside: &dyn Beside) -> Result<Vec<Source>> {
        let mut watched = vec![
            (Source::Exit, PollFd::new(&held.pidfd, PollFlags::IN)),
            (Source::Listener, PollFd::new(&self.listener, PollFlags::IN)),
        ];
        watch_clients(&self.clients, !held.backlog.is_empty(), &mut watched);
        if !self.clients.iter().any(Client::is_behind) {
            let outputs = [Stream::Output, Stream::Error].into_iter().zip(held.outputs());
            watched.extend(outputs.filter_map(|(stream, fd)| {
                Some((Source::Output(stream), PollFd::from_borrowed_fd(fd?, PollFlags::IN)))
            }));
        }
        if let (false, Some(input)) = (held.backlog.is_empty(), held.input()) {
            watched.push((Source::Input, PollFd::from_borrowed_fd(input, PollFlags::OUT)));
        }
        let more = beside.watched().into_iter();
        watched.extend(more.map(|fd| (Source::Beside, PollFd::from_borrowed_fd(fd, PollFlags::IN))));
        let deadline = self.stop.as_ref().filter(|stop| !stop.overdue).and_then(|stop| stop.deadline);
        let due = [deadline, beside.due()].into_iter().flatten().min();
        poll(watched, due.map(|due| due.saturating_duration_since(Instant::now())))
    }

    fn welcome(&mut self) {
        // The listener blocks: it is asked only when somebody is there.
        while matches!(poll(vec![(Source::Listener, PollFd::new(&self.listener, PollFlags::IN))], Some(Duration::ZERO)),
            Ok(ready) if !ready.is_empty())
        {
            match channel::accept(&self.listener) {
                Some((socket, peer)) => self.clients.push(Client::new(socket, peer)),
                None => return,
            }
        }
    }

    /// One packet of a client's. `held`: of a container that runs.
    fn attend(&mut self, at: usize, held: Option<&mut Held>, beside: &mut dyn Beside) {
        let Some(client) = self.clients.get_mut(at) else { return };
        client.push();
        let peer = client.peer;
        let mut buffer = std::mem::take(&mut self.buffer);
        let packet = match channel::receive(&client.socket, &mut buffer, false) {
            Err(Errno::AGAIN) => {
                self.buffer = buffer;
                return;
            }
            Err(_) => &[][..],
            Ok(packet) => packet,
        };
        match Packet::parse(packet) {
            None => {
                client.gone = true;
                if client.input
                    && self.manners.input_once
                    && let Some(held) = held
                {
                    held.end_input();
                }
            }
            Some(Packet::Attach { input }) => (client.attached, client.waits, client.input) = (true, true, input),
            Some(Packet::Wait) => client.waits = true,
            Some(Packet::Detach) => (client.gone, client.input) = (true, false),
            Some(Packet::Input(bytes)) => {
                if let (true, Some(held)) = (client.input, held) {
                    held.take_input(bytes);
                }
            }
            Some(Packet::InputEnd) => {
                if let (true, true, Some(held)) = (client.input, self.manners.input_once, held) {
                    held.end_input();
                }
            }
            Some(Packet::Window { rows, columns }) => {
                if let Some(terminal) = held.and_then(|held| held.terminal.as_ref()) {
                    // One that was hung up has no size.
                    let _ = Size { rows, columns }.apply(terminal);
                }
            }
            Some(Packet::HangUp) => {
                if let Some(held) = held {
                    held.hang_up();
                }
            }
            Some(Packet::Signal(signal)) => {
                let answer = self.signal(peer, signal, held.as_deref(), beside);
                if let Some(client) = self.clients.get_mut(at) {
                    client.tell(&answer.as_ref().map_or_else(|why| Packet::Refused(why), |()| Packet::Done));
                }
            }
            Some(Packet::Stop { signal, milliseconds, keep, passing }) => {
                client.waits = true;
                let patience = match milliseconds {
                    None => self.manners.patience,
                    Some(time) => u64::try_from(time).ok().map(Duration::from_millis),
                };
                let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
                let signal = signal.unwrap_or(self.manners.signal);
                let stop = Stop { by: Some(peer), signal, deadline, overdue: false, keep, passing };
                self.stop(stop, held.as_deref(), beside);
            }
            // A monitor's own words.
            Some(Packet::Output(..) | Packet::Ended { .. } | Packet::Done | Packet::Refused(_)) => client.gone = true,
        }
        self.buffer = buffer;
    }

    fn signal(
        &mut self,
        peer: Peer,
        signal: Signal,
        held: Option<&Held>,
        beside: &mut dyn Beside,
    ) -> std::result::Result<(), String> {
        let Some(held) = held else { return Err("it does not run".to_owned()) };
        beside.before_signal(signal);
        signal::send(&held.pidfd, signal).map_err(|error| error.to_string())?;
        self.signal = Some((peer, signal));
        // One that it may end from: it is not to be restarted then.
        if signal == Signal::KILL || signal == self.manners.signal {
            self.stop.get_or_insert(Stop {
                by: Some(peer),
                signal,
                deadline: None,
                overdue: false,
                keep: false,
                passing: false,
            });
        }
        Ok(())
    }

    /// Whoever asks again can only make it sooner.
    fn stop(&mut self, stop: Stop, held: Option<&Held>, beside: &mut dyn Beside) {
        let asked = self.stop.get_or_insert(stop);
        asked.keep |= stop.keep;
        asked.passing &= stop.passing;
        asked.deadline = match (asked.deadline, stop.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(held) = held {
            beside.before_signal(stop.signal);
            // ESRCH: its end is about to be told. What the kernel refuses, the deadline's does not.
            let _ = signal::send(&held.pidfd, stop.signal);
            if let (Some(peer), _) = (stop.by, &held) {
                self.signal = Some((peer, stop.signal));
            }
        }
    }

    /// SIGKILL, when it is time.
    fn enforce(&mut self, now: Instant, held: &Held, beside: &mut dyn Beside) {
        let Some(stop) = &mut self.stop else { return };
        if !stop.overdue && stop.deadline.is_some_and(|deadline| now >= deadline) {
            stop.overdue = true;
            beside.before_signal(Signal::KILL);
            let _ = signal::send(&held.pidfd, Signal::KILL);
        }
    }

    /// What the container wrote, if anything, to the log and the clients: the number of bytes.
    fn read(&mut self, stream: Stream, held: &mut Held, beside: &mut dyn Beside) -> usize {
        let Some(output) = held.output(stream) else { return 0 };
        match retry_on_intr(|| read(output, &mut self.buffer[..])) {
            Err(Errno::AGAIN) => 0,
            // The end; EIO is that of a terminal.
            Ok(0) | Err(_) => {
                held.close(stream);
                0
            }
            Ok(length) => {
                let bytes = &self.buffer[..length];
                beside.said(stream, bytes);
                let packet = Packet::Output(stream, bytes);
                for client in self.clients.iter_mut().filter(|client| client.attached) {
                    client.tell(&packet);
                }
                length
            }
        }
    }

    fn drain(&mut self, held: &mut Held, beside: &mut dyn Beside) {
        for stream in [Stream::Output, Stream::Error] {
            let mut tail = TAIL;
            while tail > 0 {
                match self.read(stream, held, beside) {
                    0 => break,
                    length => tail = tail.saturating_sub(length),
                }
            }
        }
    }
}

/// `full`: the container takes no more input for now.
fn watch_clients<'a>(clients: &'a [Client], full: bool, watched: &mut Vec<(Source, PollFd<'a>)>) {
    for (at, client) in clients.iter().enumerate() {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !(full && client.input));
        flags.set(PollFlags::OUT, client.is_behind());
        watched.push((Source::Client(at), PollFd::new(&client.socket, flags)));
    }
}

/// Without a time: until something is ready.
fn poll(watched: Vec<(Source, PollFd<'_>)>, time: Option<Duration>) -> Result<Vec<Source>> {
    // Never too early: whoever wakes before it is time would do so again and again.
    let time = time.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let (sources, mut fds): (Vec<_>, Vec<_>) = watched.into_iter().unzip();
    match rustix::event::poll(&mut fds, time.as_ref()) {
        Err(Errno::INTR) => return Ok(Vec::new()),
        polled => _ = polled.map_err(sys::Error::of(|| "poll()".to_owned()))?,
    }
    let ready = sources.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|(source, _)| source).collect())
}

fn reap(pidfd: &OwnedFd) -> Result<Exit> {
    let child = sys::process::Child { pid: 0, pidfd: pidfd.try_clone().map_err(sys::Error::of_io(|| "dup()".into()))? };
    Ok(sys::process::wait(&child)?)
}

/// [`Ends`] in use.
struct Held {
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    /// So that the terminal does not hang up, and poll not spin, while the container has it closed.
    _peer: Option<OwnedFd>,
    input: Option<OwnedFd>,
    outputs: [Option<OwnedFd>; 2],
    backlog: Backlog,
    /// No more input comes.
    input_ends: bool,
}

impl Held {
    fn new(ends: Ends) -> Result<Self> {
        let Ends { pidfd, terminal, input, outputs, .. } = ends;
        let peer = terminal.as_ref().map(crate::supervise::prepare).transpose()?;
        for fd in outputs.iter().chain([&input]).flatten() {
            ioctl_fionbio(fd, true).map_err(sys::Error::of(|| "ioctl(pipe, FIONBIO)".to_owned()))?;
        }
        Ok(Self { pidfd, terminal, _peer: peer, input, outputs, backlog: Backlog::default(), input_ends: false })
    }

    fn outputs(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [Stream::Output, Stream::Error].map(|stream| self.output(stream))
    }

    /// A terminal has one output.
    fn output(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match (stream, &self.terminal) {
            (Stream::Output, Some(terminal)) => Some(terminal.as_fd()),
            (Stream::Output, None) => self.outputs[0].as_ref().map(AsFd::as_fd),
            (Stream::Error, _) => self.outputs[1].as_ref().map(AsFd::as_fd),
        }
    }

    fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Output => (self.terminal, self.outputs[0]) = (None, None),
            Stream::Error => self.outputs[1] = None,
        }
    }

    fn input(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().or(self.input.as_ref()).map(AsFd::as_fd)
    }

    fn take_input(&mut self, bytes: &[u8]) {
        if self.input().is_some() && !self.input_ends {
            self.backlog.bytes.extend_from_slice(bytes);
            self.feed();
        }
    }

    fn feed(&mut self) {
        let Some(input) = self.terminal.as_ref().or(self.input.as_ref()) else { return self.backlog.clear() };
        if self.backlog.write_to(input).is_err() {
            // The container reads it no more.
            self.backlog.clear();
            self.input = None;
        }
        if self.input_ends && self.backlog.is_empty() {
            self.input = None;
        }
    }

    fn end_input(&mut self) {
        self.input_ends = true;
        if self.backlog.is_empty() {
            self.input = None;
        }
    }

    /// What a closed window does: SIGHUP to its session; and a closed pipe: SIGPIPE to who writes.
    fn hang_up(&mut self) {
        self._peer = None;
        self.close(Stream::Output);
    }
}
