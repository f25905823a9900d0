//! The writing end: for the process that watches a container.
//!
//! Invariant: what [`Writer::write`] took is in the log when it returns, or is counted as lost, and the log says so when
//! it can be written again. A record is in one file and whole, whatever went wrong before it. No buffer grows with what
//! the container prints.

use super::format::{Form, Record};
use super::journal::Journal;
use super::{Stream, files};
use crate::error::{Error, Result};
use crate::request::log::{Driver, Log, Named, Tag};
use crate::time::Moment;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// As docker's `local`: a hundred megabytes a container.
const MAX_SIZE: u64 = 20 << 20;
const MAX_FILES: u32 = 5;

/// Records are gathered up to here before they are written. A write more is cheap, a page more is for ever.
const GATHERED: usize = 16 << 10;

/// The most of a stream in one record; what is longer is written in pieces, and read as one line again.
const PIECE: usize = 16 << 10;

/// The container that a log is of.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    pub named: Named<'a>,
    pub labels: &'a spec::image::Annotations,
    /// `NAME=VALUE`
    pub env: &'a [String],
}

impl Whose<'_> {
    /// What the user asked to be told with each line, in order.
    pub fn attributes(&self, log: &Log) -> Vec<(String, String)> {
        let variable = |name: &str| self.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let labels = log.labels.iter().filter_map(|name| Some((name.clone(), self.labels.get(name)?.clone())));
        let env = log.env.iter().filter_map(|name| Some((name.clone(), variable(name)?.to_owned())));
        let tag = log.tag.iter().map(|tag: &Tag| ("tag".to_owned(), tag.of(self.named)));
        let mut all: Vec<_> = tag.chain(labels).chain(env).collect();
        all.sort();
        all
    }
}

#[derive(Debug)]
pub struct Writer(Sink);

#[derive(Debug)]
enum Sink {
    Nowhere,
    File(Box<Rotated>),
    Journal(Box<Journal>),
}

/// Where the log of the container in this directory is.
pub fn path(log: &Log, directory: &Path) -> PathBuf {
    let name = if log.driver() == Driver::JsonFile { "json.log" } else { "ctr.log" };
    log.path.clone().unwrap_or_else(|| directory.join("logs").join(name))
}

impl Writer {
    /// `directory`: the container's. What is in its log already stays.
    ///
    /// # Errors
    /// The file cannot be made, or there is no journal on this machine.
    pub fn open(log: &Log, directory: &Path, whose: Whose<'_>) -> Result<Self> {
        let form = match log.driver() {
            Driver::None => return Ok(Self(Sink::Nowhere)),
            Driver::Journald => return Ok(Self(Sink::Journal(Box::new(Journal::open(log, whose)?)))),
            Driver::K8sFile => Form::K8s,
            Driver::JsonFile => Form::Json { attributes: attributes(&whose.attributes(log)) },
        };
        let path = path(log, directory);
        let limit = log.max_size.unwrap_or(MAX_SIZE);
        let count = log.max_files.unwrap_or(MAX_FILES) as usize;
        let opened = Rotated::open(&path, form, limit, count);
        let file = opened.map_err(|error| Error::io(format!("cannot write the log {}", path.display()), &error))?;
        Ok(Self(Sink::File(Box::new(file))))
    }

    /// Bytes as they came from the container's end.
    ///
    /// # Errors
    /// Some are lost: the disk is full. The next call may go well; there is nothing that the caller must do.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], now: Moment) -> io::Result<()> {
        match &mut self.0 {
            Sink::Nowhere => Ok(()),
            Sink::File(file) => file.take(stream, bytes, now),
            Sink::Journal(journal) => journal.take(stream, bytes, now),
        }
    }

    /// The container's end of the streams is closed.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn finish(&mut self, now: Moment) -> io::Result<()> {
        match &mut self.0 {
            Sink::Nowhere => Ok(()),
            Sink::File(file) => file.finish(now),
            Sink::Journal(_) => Ok(()),
        }
    }
}

fn attributes(of: &[(String, String)]) -> String {
    if of.is_empty() {
        return String::new();
    }
    let map: serde_json::Map<String, serde_json::Value> =
        of.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    format!("\"attrs\":{},", serde_json::Value::Object(map))
}

/// A file that is followed by the next when it is full.
#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    file: File,
    form: Form,
    /// Of the file; what is gathered is not counted.
    size: u64,
    /// Bytes, 0 for none.
    limit: u64,
    /// How many files there may be.
    count: usize,
    /// Of the last that was full.
    number: u64,
    gathered: Vec<u8>,
    /// The container's bytes in there.
    inside: u64,
    /// Of each stream the beginning of a character whose end has not come: three bytes at most.
    torn: [Vec<u8>; 2],
    /// Bytes that could not be written, and that the log does not tell of yet.
    lost: u64,
    failed: Option<io::Error>,
}

impl Rotated {
    fn open(path: &Path, form: Form, limit: u64, count: usize) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = files::create(path)?;
        let found = file.metadata()?;
        let mut size = found.len();
        // A machine that lost its power may have left a piece of a record.
        let mut last = [b'\n'];
        if found.is_file() && size > 0 {
            file.read_exact_at(&mut last, size - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            size += 1;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            form,
            size,
            // A device is never full, and gets no number.
            limit: if found.is_file() { limit } else { 0 },
            count,
            number: files::numbers(path).last().copied().unwrap_or(0),
            gathered: Vec::new(),
            inside: 0,
            torn: [Vec::new(), Vec::new()],
            lost: 0,
            failed: None,
        })
    }

    fn take(&mut self, stream: Stream, bytes: &[u8], now: Moment) -> io::Result<()> {
        let torn = std::mem::take(&mut self.torn[stream.index()]);
        if torn.is_empty() {
            self.split(stream, bytes, now);
        } else {
            self.split(stream, &[&torn, bytes].concat(), now);
        }
        self.settle(now)
    }

    fn finish(&mut self, now: Moment) -> io::Result<()> {
        for stream in Stream::BOTH {
            let rest = std::mem::take(&mut self.torn[stream.index()]);
            if !rest.is_empty() {
                self.record(Record { time: now, stream, text: &rest, complete: false });
            }
        }
        self.settle(now)
    }

    fn settle(&mut self, now: Moment) -> io::Result<()> {
        self.flush(now);
        self.gathered.shrink_to(GATHERED);
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Into lines, and long ones into pieces.
    fn split(&mut self, stream: Stream, bytes: &[u8], time: Moment) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut after = rest;
            // From a slice this cannot fail, and it is the C library's own search.
            let length = after.skip_until(b'\n').unwrap_or(rest.len());
            let line = &rest[..length];
            let (mut text, complete) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
            if !complete && self.form.is_text() {
                let (whole, torn) = text.split_at(whole_characters(text));
                self.torn[stream.index()] = torn.to_owned();
                text = whole;
            }
            self.line(Record { time, stream, text, complete });
            rest = after;
        }
    }

    fn line(&mut self, line: Record<'_>) {
        let mut rest = line.text;
        while rest.len() > PIECE {
            let length = if self.form.is_text() { whole_characters(&rest[..PIECE]) } else { PIECE };
            let (piece, after) = rest.split_at(length);
            self.record(Record { text: piece, complete: false, ..line });
            rest = after;
        }
        // An empty line is one.
        if line.complete || !rest.is_empty() {
            self.record(Record { text: rest, ..line });
        }
    }

    fn record(&mut self, record: Record<'_>) {
        let start = self.gathered.len();
        self.form.encode(&record, &mut self.gathered);
        if self.limit > 0 && self.size + self.gathered.len() as u64 > self.limit {
            // It begins the next file, unless this one has nothing yet.
            let next = self.gathered.split_off(start);
            self.flush(record.time);
            if self.size > 0 {
                self.rotate();
            }
            self.gathered = next;
        }
        self.inside += record.text.len() as u64 + u64::from(record.complete);
        if self.gathered.len() >= GATHERED {
            self.flush(record.time);
        }
    }

    /// All that is gathered, or nothing of it.
    fn flush(&mut self, now: Moment) {
        if self.gathered.is_empty() {
            return;
        }
        let written = self.confess(now).and_then(|()| self.file.write_all(&self.gathered));
        match written {
            Ok(()) => self.size += self.gathered.len() as u64,
            Err(error) => {
                // What the disk had room for would be a torn record in the middle of the log.
                let _ = self.file.set_len(self.size);
                self.lost += self.inside;
                self.failed = Some(error);
            }
        }
        self.gathered.clear();
        self.inside = 0;
    }

    /// Nothing is missing from a log without a word.
    fn confess(&mut self, now: Moment) -> io::Result<()> {
        if self.lost == 0 {
            return Ok(());
        }
        let text = format!("sampan: {} bytes of output are missing here: the log could not be written", self.lost);
        let record = Record { time: now, stream: Stream::Stderr, text: text.as_bytes(), complete: true };
        let mut line = Vec::new();
        self.form.encode(&record, &mut line);
        self.file.write_all(&line)?;
        self.size += line.len() as u64;
        self.lost = 0;
        Ok(())
    }

    /// Where it cannot be done the log goes on in the file that it has: too long is better than lost.
    fn rotate(&mut self) {
        match self.next() {
            Ok(file) => (self.file, self.size) = (file, 0),
            Err(error) => self.failed = Some(error),
        }
    }

    fn next(&mut self) -> io::Result<File> {
        files::number(&self.path, self.number + 1, self.count)?;
        self.number += 1;
        files::create(&self.path)
    }
}

/// How much of it there is without a character of UTF-8 at the end that has begun and not ended.
fn whole_characters(text: &[u8]) -> usize {
    let begun = text.iter().rev().take(3).position(|byte| *byte >= 0xc0);
    let Some(back) = begun.map(|back| back + 1) else { return text.len() };
    let needs = match text[text.len() - back] {
        0xf0.. => 4,
        0xe0.. => 3,
        _ => 2,
    };
    if back < needs { text.len() - back } else { text.len() }
}
