//! Names for one container: those of its networks, and by the host's servers all others.
//!
//! Lives in the process that watches the container, and has no thread: that one polls [`Resolver::fd`] and calls
//! [`Resolver::serve`], which never waits. Nothing is to be done while nobody asks: no timer runs, nothing is kept.
//! Names are looked up where the networks' state is, at each question, so that it needs no word of who came or left.

pub mod message;
mod names;
mod slots;
mod sockets;
mod stream;
mod upstream;

pub use names::View;
pub use sockets::Sockets;

use message::{A, AAAA, FAILED, PTR, Question, REFUSED, Record};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use slots::Slots;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stream::Client;
use sys::{Error, Result};
use upstream::Upstream;

/// How long an address may be remembered: a container that is started again may have another.
const TTL: u32 = 5;
/// Until the next server is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that wait for a server's answer; more are refused.
const MOST: usize = 256;
/// Connections at once.
const CONNECTIONS: usize = 32;
/// Datagrams that are read before others have their turn.
const TURN: usize = 64;

pub struct Resolver {
    poll: OwnedFd,
    timer: OwnedFd,
    udp: UdpSocket,
    tcp: TcpListener,
    namespace: OwnedFd,
    view: View,
    upstream: Upstream,
    asked: Slots<Asked>,
    clients: Slots<Client>,
    /// When the timer fires; nothing while it is off.
    armed: Option<Instant>,
}

/// A datagram's question on its way.
struct Asked {
    client: SocketAddr,
    message: Vec<u8>,
    /// Which of the servers.
    server: usize,
    socket: OwnedFd,
    until: Instant,
}

/// What is to be done with a question.
enum Reaction {
    Reply(Vec<u8>),
    Forward,
    Nothing,
}

/// Who an event is for: kind and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Udp,
    Tcp,
    Timer,
    Asked(usize),
    Client(usize),
    Server(usize),
}

impl Source {
    fn data(self) -> EventData {
        let (kind, number) = match self {
            Self::Udp => (0u64, 0),
            Self::Tcp => (1, 0),
            Self::Timer => (2, 0),
            Self::Asked(number) => (3, number),
            Self::Client(number) => (4, number),
            Self::Server(number) => (5, number),
        };
        EventData::new_u64(kind << 32 | number as u64)
    }

    fn of(data: EventData) -> Self {
        let number = (data.u64() & u64::from(u32::MAX)) as usize;
        match data.u64() >> 32 {
            0 => Self::Udp,
            1 => Self::Tcp,
            2 => Self::Timer,
            3 => Self::Asked(number),
            4 => Self::Client(number),
            _ => Self::Server(number),
        }
    }
}

impl Resolver {
    /// `servers`: asked instead of the host's, from the container's own network. `host`: resolv.conf(5).
    ///
    /// # Errors
    /// The call that was refused.
    pub fn new(sockets: Sockets, view: View, servers: &[IpAddr], host: PathBuf) -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::of(|| "epoll_create1".to_owned()))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(Error::of(|| "timerfd_create".to_owned()))?;
        let Sockets { udp, tcp, namespace } = sockets;
        let resolver = Self {
            poll,
            timer,
            udp: udp.into(),
            tcp: tcp.into(),
            namespace,
            view,
            upstream: Upstream::new(servers, host),
            asked: Slots::new(MOST),
            clients: Slots::new(CONNECTIONS),
            armed: None,
        };
        let watched = [
            (resolver.udp.as_fd(), Source::Udp),
            (resolver.tcp.as_fd(), Source::Tcp),
            (resolver.timer.as_fd(), Source::Timer),
        ];
        for (fd, source) in watched {
            resolver.watch(fd, source, EventFlags::IN).map_err(Error::of(|| "epoll_ctl".to_owned()))?;
        }
        Ok(resolver)
    }

    /// Can be read when [`Resolver::serve`] has something to do.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    fn watch(&self, fd: BorrowedFd<'_>, source: Source, flags: EventFlags) -> rustix::io::Result<()> {
        epoll::add(&self.poll, fd, source.data(), flags)
    }

    /// Does what there is to do, and never waits. A question that cannot be answered is the asker's trouble only.
    pub fn serve(&mut self) {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 32];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(&self.poll, &mut events[..], Some(&now)).unwrap_or(0);
        for event in &events[..count] {
            match Source::of(event.data) {
                Source::Udp => self.receive(),
                Source::Tcp => self.accept(),
                Source::Timer => self.tick(),
                Source::Asked(number) => self.hear(number),
                Source::Client(number) => self.advance(number),
                Source::Server(number) => self.hear_stream(number),
            }
        }
        self.arm();
    }

    fn react(&self, message: &[u8], by_udp: bool) -> Reaction {
        match message::question(message) {
            Ok(question) => match self.own(&question) {
                Some(records) => Reaction::Reply(question.answer(0, &records, TTL, by_udp)),
                // Nor do others learn what it asks for (CVE-2024-29018).
                None if !self.view.leads_out() => Reaction::Reply(question.answer(REFUSED, &[], 0, by_udp)),
                None => Reaction::Forward,
            },
            Err(Some(reply)) => Reaction::Reply(reply),
            Err(None) => Reaction::Nothing,
        }
    }

    /// What the names of its networks say; nothing, where they say nothing. A name that has no such record has none.
    fn own(&self, question: &Question) -> Option<Vec<Record>> {
        let name = question.name.as_deref().filter(|_| question.is_in)?;
        if let (PTR, Some(address)) = (question.kind, message::reversed(name)) {
            return Some(vec![Record::Name(self.view.called(address)?)]);
        }
        let found = self.view.find(name)?;
        let address = |(four, six): (std::net::Ipv4Addr, Option<std::net::Ipv6Addr>)| match question.kind {
            A => Some(IpAddr::from(four)),
            AAAA => six.map(IpAddr::from),
            _ => None,
        };
        let mut records: Vec<Record> = found.into_iter().filter_map(address).map(Record::Address).collect();
        if !records.is_empty() {
            // Each of several has its turn.
            let turn = usize::from(question.id()) % records.len();
            records.rotate_left(turn);
        }
        Some(records)
    }

    fn receive(&mut self) {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        for _ in 0..TURN {
            let Ok((length, client)) = self.udp.recv_from(&mut buffer) else { return };
            let message = &buffer[..length];
            match self.react(message, true) {
                Reaction::Reply(reply) => drop(self.udp.send_to(&reply, client)),
                Reaction::Forward => self.ask(client, message.to_vec(), 0, None),
                Reaction::Nothing => {}
            }
        }
    }

    /// The server of that number, or the next that can be asked at all; the client hears when there is none.
    fn ask(&mut self, client: SocketAddr, message: Vec<u8>, mut server: usize, last: Option<Vec<u8>>) {
        while let Some(&address) = self.upstream.servers().get(server) {
            if self.asked.is_full() {
                break;
            }
            let sent = self.socket(address, SocketType::DGRAM).and_then(|socket| {
                rustix::net::send(&socket, &message, rustix::net::SendFlags::empty())?;
                Ok(socket)
            });
            if let Ok(socket) = sent {
                let until = Instant::now() + PATIENCE;
                if let Some(number) = self.asked.put(Asked { client, message, server, socket, until }) {
                    let fd = self.asked.get(number).map(|asked| asked.socket.as_fd());
                    let _ = fd.map(|fd| self.watch(fd, Source::Asked(number), EventFlags::IN));
                }
                return;
            }
            server += 1;
        }
        let failed = || message::question(&message).ok().map(|question| question.answer(FAILED, &[], 0, true));
        if let Some(reply) = last.or_else(failed) {
            let _ = self.udp.send_to(&reply, client);
        }
    }

    /// Connected, so that only that server is heard. Those that the user named are asked from the container's network.
    fn socket(&self, to: SocketAddr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || socket_with(family, kind, flags, None);
        let socket = match self.upstream.is_named() {
            true => crate::apply::network::device::inside(&self.namespace, || {
                make().map_err(Error::of(|| "socket".to_owned()))
            })
            .map_err(|error| error.errno)?,
            false => make()?,
        };
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(errno) => Err(errno),
        }
    }

    /// A server's datagram.
    fn hear(&mut self, number: usize) {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let Some(asked) = self.asked.get(number) else { return };
        let heard = rustix::net::recv(&asked.socket, &mut buffer[..], rustix::net::RecvFlags::DONTWAIT);
        let reply = match heard {
            Ok((length, _)) if message::answers(&buffer[..length], &asked.message) => Some(&buffer[..length]),
            // A stray one: the answer may still come.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return,
            // Nobody listens there.
            Err(_) => None,
        };
        let Some(asked) = self.asked.take(number) else { return };
        match reply {
            Some(reply) if !message::failed(reply) => drop(self.udp.send_to(reply, asked.client)),
            reply => self.ask(asked.client, asked.message, asked.server + 1, reply.map(<[u8]>::to_vec)),
        }
    }

    /// Whose time is up?
    fn tick(&mut self) {
        let _ = rustix::io::read(&self.timer, &mut [0u8; 8]);
        self.armed = None;
        let now = Instant::now();
        for number in self.asked.those(|asked| asked.until <= now) {
            if let Some(asked) = self.asked.take(number) {
                self.ask(asked.client, asked.message, asked.server + 1, None);
            }
        }
        self.expire(now);
    }

    /// The timer fires when the next one's time is up, and is off while there is none.
    fn arm(&mut self) {
        let next = self.asked.iter().map(|asked| asked.until).chain(self.clients.iter().map(Client::until)).min();
        if next == self.armed {
            return;
        }
        self.armed = next;
        // All zeroes switch it off.
        let wait = next.map_or(Duration::ZERO, |next| {
            next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
        });
        let it_value = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let _ = rustix::time::timerfd_settime(
            &self.timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval, it_value },
        );
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("view", &self.view).finish_non_exhaustive()
    }
}
