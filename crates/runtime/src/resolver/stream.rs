//! Questions by TCP (RFC 7766): each message with its length before it, one after the other.

use super::message::{self, FAILED};
use super::{CONNECTIONS, PATIENCE, Reaction, Resolver, Source};
use rustix::event::epoll::EventFlags;
use rustix::net::SocketType;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// A client that is silent for so long is let go.
const IDLE: Duration = Duration::from_secs(10);
/// The longest message, with its length.
const LONGEST: usize = 2 + u16::MAX as usize;

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// It waits for a server; what it says meanwhile stays unread.
    server: Option<Server>,
    until: Instant,
    /// It has said all.
    ended: bool,
}

#[derive(Debug)]
struct Server {
    stream: TcpStream,
    message: Vec<u8>,
    number: usize,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Client {
    pub fn until(&self) -> Instant {
        self.until
    }
}

impl Resolver {
    pub(super) fn accept(&mut self) {
        for _ in 0..CONNECTIONS {
            let Ok((stream, _)) = self.tcp.accept() else { return };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let until = Instant::now() + IDLE;
            let (input, output) = (Vec::new(), Vec::new());
            let Some(number) = self.clients.put(Client { stream, input, output, server: None, until, ended: false })
            else {
                continue;
            };
            let fd = self.clients.get(number).map(|client| client.stream.as_fd());
            // At the edges: it is read and written as far as it goes each time.
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            if fd.is_none_or(|fd| self.watch(fd, Source::Client(number), flags).is_err()) {
                self.clients.take(number);
            }
        }
    }

    /// As far as the client and what is known go.
    pub(super) fn advance(&mut self, number: usize) {
        loop {
            let Some(client) = self.clients.get_mut(number) else { return };
            let written = write(&mut client.stream, &mut client.output);
            let read = read(&mut client.stream, &mut client.input);
            client.ended |= matches!(read, Ok(true));
            if written.is_err() || read.is_err() {
                self.clients.take(number);
                return;
            }
            if client.server.is_some() || !client.output.is_empty() {
                return;
            }
            let Some(message) = framed(&mut client.input) else {
                if client.ended {
                    self.clients.take(number);
                }
                return;
            };
            client.until = Instant::now() + IDLE;
            match self.react(&message, false) {
                Reaction::Reply(reply) => self.reply(number, &reply),
                Reaction::Forward => self.forward(number, message, 0, None),
                Reaction::Nothing => drop(self.clients.take(number)),
            }
        }
    }

    fn reply(&mut self, number: usize, reply: &[u8]) {
        if let Some(client) = self.clients.get_mut(number) {
            client.server = None;
            client.output.extend_from_slice(&(reply.len() as u16).to_be_bytes());
            client.output.extend_from_slice(reply);
        }
    }

    /// The server of that number, or the next that can be asked at all; else what the last one said.
    fn forward(&mut self, number: usize, message: Vec<u8>, mut server: usize, last: Option<Vec<u8>>) {
        while let Some(&address) = self.upstream.servers().get(server) {
            if let Ok(socket) = self.socket(address, SocketType::STREAM) {
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                let output = [&(message.len() as u16).to_be_bytes(), message.as_slice()].concat();
                if self.watch(socket.as_fd(), Source::Server(number), flags).is_ok()
                    && let Some(client) = self.clients.get_mut(number)
                {
                    let (stream, input) = (socket.into(), Vec::new());
                    client.server = Some(Server { stream, message, number: server, input, output });
                    client.until = Instant::now() + PATIENCE;
                    return;
                }
            }
            server += 1;
        }
        let failed = || message::question(&message).ok().map(|question| question.answer(FAILED, &[], 0, false));
        self.reply(number, &last.or_else(failed).unwrap_or_default());
    }

    pub(super) fn hear_stream(&mut self, number: usize) {
        let Some(client) = self.clients.get_mut(number) else { return };
        let Some(server) = &mut client.server else { return };
        let written = write(&mut server.stream, &mut server.output);
        let read = read(&mut server.stream, &mut server.input);
        let reply = framed(&mut server.input);
        match reply {
            None if written.is_ok() && matches!(read, Ok(false)) => return,
            Some(reply) if message::answers(&reply, &server.message) => {
                client.until = Instant::now() + IDLE;
                if message::failed(&reply) { self.next_server(number, Some(reply)) } else { self.reply(number, &reply) }
            }
            _ => self.next_server(number, None),
        }
        self.advance(number);
    }

    fn next_server(&mut self, number: usize, last: Option<Vec<u8>>) {
        let server = self.clients.get_mut(number).and_then(|client| client.server.take());
        if let Some(server) = server {
            self.forward(number, server.message, server.number + 1, last);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        for number in self.clients.those(|client| client.until <= now) {
            if self.clients.get(number).is_some_and(|client| client.server.is_some()) {
                self.next_server(number, None);
                if let Some(client) = self.clients.get_mut(number) {
                    client.until = client.until.max(now + PATIENCE);
                }
                self.advance(number);
            } else {
                self.clients.take(number);
            }
        }
    }
}

/// The first whole message.
fn framed(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = 2 + usize::from(u16::from_be_bytes(*input.first_chunk()?));
    let message = input.get(2..length)?.to_vec();
    input.drain(..length);
    Some(message)
}

/// As much as there is and a message can need; whether the other side has ended.
fn read(stream: &mut TcpStream, input: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    while input.len() < LONGEST {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(length) => input.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Not connected yet is nothing to read as well.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn write(stream: &mut TcpStream, output: &mut Vec<u8>) -> std::io::Result<()> {
    while !output.is_empty() {
        match stream.write(output) {
            Ok(length) => drop(output.drain(..length)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
