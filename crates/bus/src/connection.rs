//! One socket, from the first byte on (D-Bus specification, "Authentication Protocol").

use crate::message::{self, Message};
use crate::{Error, Result, address};
use spec::bus::Value;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// For an answer, and for a signal.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Which method of what.
#[derive(Debug, Clone, Copy)]
pub struct Method<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
}

impl<'a> Method<'a> {
    /// Of the bus itself.
    fn bus(member: &'a str) -> Self {
        Self {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member,
        }
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    serial: u32,
    /// That came while something else was waited for.
    signals: VecDeque<Message>,
    /// There is a bus between the service and us; else it is the service itself that listens.
    brokered: bool,
}

impl Connection {
    /// The bus at this address, as one that has said hello.
    ///
    /// # Errors
    /// Nobody listens there, or lets us in.
    pub fn open(address: &str) -> Result<Self> {
        let mut connection = Self::start(address, true)?;
        connection.call(Method::bus("Hello"), &[])?;
        Ok(connection)
    }

    /// A service that listens there by itself.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn direct(address: &str) -> Result<Self> {
        Self::start(address, false)
    }

    fn start(address: &str, brokered: bool) -> Result<Self> {
        let stream = address::connect(address)?;
        let timed = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        timed.map_err(Error::io("cannot set a time limit on the bus"))?;
        let mut connection = Self { stream, serial: 0, signals: VecDeque::new(), brokered };
        connection.authenticate()?;
        Ok(connection)
    }

    /// As nobody in particular: the other side takes us for who the kernel says that we are. In a user namespace we do
    /// not know our own number there.
    fn authenticate(&mut self) -> Result<()> {
        self.send(b"\0AUTH EXTERNAL\r\n")?;
        if self.line()? != "DATA" {
            return Err(Error::Malformed("it does not take who we are from the socket"));
        }
        self.send(b"DATA\r\n")?;
        if !self.line()?.starts_with("OK ") {
            let name = "org.freedesktop.DBus.Error.AuthFailed".to_owned();
            return Err(Error::Refused { name, text: "the bus does not let us in".to_owned() });
        }
        self.send(b"BEGIN\r\n")
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(Error::io("cannot write to the bus"))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.stream.read_exact(bytes).map_err(Error::io("cannot read from the bus"))
    }

    /// Byte by byte: what follows may be a message.
    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.fill(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 512 {
                return Err(Error::Malformed("a line without an end"));
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn receive(&mut self) -> Result<Message> {
        let mut start = [0; message::FIXED];
        self.fill(&mut start)?;
        let mut bytes = vec![0; message::length(&start)?];
        bytes[..message::FIXED].copy_from_slice(&start);
        self.fill(&mut bytes[message::FIXED..])?;
        message::parse(&bytes)
    }

    /// What the method returns.
    ///
    /// # Errors
    /// Its error; the socket's.
    pub fn call(&mut self, method: Method<'_>, body: &[Value]) -> Result<Vec<Value>> {
        self.serial += 1;
        let mut fields = vec![
            (message::PATH, Value::Path(method.path.to_owned())),
            (message::INTERFACE, Value::text(method.interface)),
            (message::MEMBER, Value::text(method.member)),
        ];
        if self.brokered {
            fields.push((message::DESTINATION, Value::text(method.destination)));
        }
        self.send(&message::call(self.serial, &fields, body))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let came = self.receive()?;
            match came.kind {
                message::RETURN if came.answers == Some(self.serial) => return Ok(came.body),
                message::ERROR if came.answers == Some(self.serial) => {
                    let text = match came.body.into_iter().next() {
                        Some(Value::Text(text)) => text,
                        _ => String::new(),
                    };
                    return Err(Error::Refused { name: came.error, text });
                }
                message::SIGNAL => self.signals.push_back(came),
                _ => {}
            }
            in_time(deadline)?;
        }
    }

    /// From here on signals of this name and sender come.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn listen(&mut self, sender: &str, interface: &str, member: &str) -> Result<()> {
        if !self.brokered {
            return Ok(());
        }
        let rule = format!("type='signal',sender='{sender}',interface='{interface}',member='{member}'");
        self.call(Method::bus("AddMatch"), &[Value::text(rule)]).map(drop)
    }

    /// The first such signal that is meant, once it comes.
    ///
    /// # Errors
    /// None does in time; the socket's.
    pub fn signal(&mut self, member: &str, is_meant: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let came = match self.signals.pop_front() {
                Some(came) => came,
                None => self.receive()?,
            };
            if came.kind == message::SIGNAL && came.member == member && is_meant(&came.body) {
                return Ok(came.body);
            }
            in_time(deadline)?;
        }
    }
}

fn in_time(deadline: Instant) -> Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(Error::io("cannot wait any longer for an answer of the bus")(std::io::ErrorKind::TimedOut.into()))
}
