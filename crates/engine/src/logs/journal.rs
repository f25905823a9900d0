//! systemd's journal: written by its own protocol, read by its own program.
//!
//! A datagram is an entry, with docker's names for its fields (systemd.journal-fields(7); the protocol is described in
//! JOURNAL_NATIVE_PROTOCOL of systemd's documentation). An entry's message may be any bytes.

use super::{Ask, Line, Stream, Whose};
use crate::error::{Error, Result};
use crate::request::log::Log;
use crate::time::Moment;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdout, Command, Stdio};

const SOCKET: &str = "/run/systemd/journal/socket";

/// As docker's; the journal's own limit for a line of text is 48 KiB.
const PIECE: usize = 16 << 10;

#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    /// The fields that all entries have.
    fields: Vec<u8>,
    entry: Vec<u8>,
}

impl Journal {
    pub fn open(log: &Log, whose: Whose<'_>) -> Result<Self> {
        let cannot = |error: &io::Error| {
            Error::io("cannot write to the journal", error).hint("systemd-journald does not run here: take k8s-file")
        };
        let socket = UnixDatagram::unbound().map_err(|error| cannot(&error))?;
        socket.connect(SOCKET).map_err(|error| cannot(&error))?;
        Ok(Self { socket, fields: fields(log, whose), entry: Vec::new() })
    }

    pub fn take(&mut self, stream: Stream, bytes: &[u8], now: Moment) -> io::Result<()> {
        let mut result = Ok(());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, complete) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
            let mut rest = text;
            while rest.len() > PIECE {
                let (piece, after) = rest.split_at(PIECE);
                result = self.send(stream, piece, false, now).and(result);
                rest = after;
            }
            result = self.send(stream, rest, complete, now).and(result);
        }
        result
    }

    fn send(&mut self, stream: Stream, text: &[u8], complete: bool, now: Moment) -> io::Result<()> {
        self.entry.clear();
        self.entry.extend_from_slice(&self.fields);
        // info and error (syslog(3)).
        self.entry.extend_from_slice(if stream == Stream::Stdout { b"PRIORITY=6\n" } else { b"PRIORITY=3\n" });
        self.entry.extend_from_slice(b"SYSLOG_TIMESTAMP=");
        self.entry.extend_from_slice(&now.text());
        self.entry.push(b'\n');
        if !complete {
            self.entry.extend_from_slice(b"CONTAINER_PARTIAL_MESSAGE=true\n");
        }
        put(&mut self.entry, "MESSAGE", text);
        self.socket.send(&self.entry).map(|_| ())
    }
}

/// The form that any bytes fit into.
fn put(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

fn fields(log: &Log, whose: Whose<'_>) -> Vec<u8> {
    let named = whose.named;
    let short = named.id.get(..12).unwrap_or(named.id);
    let tag = log.tag.as_ref().map_or_else(|| short.to_owned(), |tag| tag.of(named));
    let mut fields = Vec::new();
    for (name, value) in [
        ("CONTAINER_ID", short),
        ("CONTAINER_ID_FULL", named.id),
        ("CONTAINER_NAME", named.name),
        ("CONTAINER_TAG", &tag),
        ("SYSLOG_IDENTIFIER", &tag),
        ("IMAGE_NAME", named.image),
    ] {
        put(&mut fields, name, value.as_bytes());
    }
    for (name, value) in whose.attributes(log).into_iter().filter(|(name, _)| name != "tag") {
        put(&mut fields, &field(&name), value.as_bytes());
    }
    fields
}

/// A field's name has capitals, digits and underscores, and begins with a letter.
fn field(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(allowed).collect::<String>().trim_start_matches(|c: char| !c.is_ascii_alphabetic()).to_owned()
}

/// What the journal's own program tells, in its export format.
pub struct Exported {
    child: Child,
    out: BufReader<ChildStdout>,
    follow: bool,
    complete: [bool; 2],
    over: bool,
}

impl Exported {
    pub fn open(id: &str, ask: Ask) -> Result<Self> {
        let mut command = Command::new("journalctl");
        command.args(["--output=export", "--quiet", "--no-pager", "--all"]).arg(format!("CONTAINER_ID_FULL={id}"));
        command.arg("--output-fields=MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE,SYSLOG_TIMESTAMP");
        // Its dates have no more than microseconds.
        let date = |moment: Moment| format!("@{}.{:06}", moment.seconds(), moment.0 % 1_000_000_000 / 1000);
        command.args(ask.since.map(|moment| format!("--since={}", date(moment))));
        command.args(ask.until.map(|moment| format!("--until={}", date(moment))));
        command.arg(ask.tail.map_or("--lines=all".to_owned(), |count| format!("--lines={count}")));
        command.args(ask.follow.then_some("--follow"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| Error::io("cannot call journalctl", &error))?;
        let out =
            child.stdout.take().ok_or_else(|| Error::rejected("cannot read from journalctl", "it has no output"))?;
        Ok(Self { child, out: BufReader::new(out), follow: ask.follow, complete: [true; 2], over: false })
    }

    /// Blocks in the middle of an entry only: journalctl writes them whole.
    pub fn next(&mut self, line: &mut Line) -> io::Result<bool> {
        let mut text = Vec::new();
        let (mut begun, mut complete) = (false, true);
        line.text.clear();
        line.stream = Stream::Stdout;
        loop {
            text.clear();
            if self.out.read_until(b'\n', &mut text)? == 0 {
                self.over = true;
                return Ok(false);
            }
            let field = text.strip_suffix(b"\n").unwrap_or(&text);
            if field.is_empty() {
                if begun {
                    break;
                }
                continue;
            }
            begun = true;
            match field.iter().position(|byte| *byte == b'=') {
                Some(at) => match (&field[..at], &field[at + 1..]) {
                    (b"MESSAGE", value) => line.text.extend_from_slice(value),
                    (b"PRIORITY", b"3") => line.stream = Stream::Stderr,
                    (b"CONTAINER_PARTIAL_MESSAGE", _) => complete = false,
                    (b"SYSLOG_TIMESTAMP", value) => line.time = Moment::read(value).unwrap_or_default(),
                    _ => {}
                },
                None => {
                    let message = field == b"MESSAGE";
                    let mut length = [0; 8];
                    self.out.read_exact(&mut length)?;
                    let mut value = Vec::new();
                    self.out.by_ref().take(u64::from_le_bytes(length) + 1).read_to_end(&mut value)?;
                    if message {
                        value.pop();
                        line.text = value;
                    }
                }
            }
        }
        if complete {
            line.text.push(b'\n');
        }
        line.begins = std::mem::replace(&mut self.complete[line.stream.index()], complete);
        Ok(true)
    }

    /// Whether reading would not wait: in the buffer, or in the pipe.
    pub fn is_ready(&self) -> io::Result<bool> {
        Ok(!self.follow || !self.out.buffer().is_empty() || runtime::watch::is_readable(self.as_fd())?)
    }

    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl AsFd for Exported {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.get_ref().as_fd()
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
