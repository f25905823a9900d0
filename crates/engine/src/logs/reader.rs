//! The reading end, of one container's files: where to begin, then record after record, over files that get full.

use super::format::Decode;
use super::lines::Forward;
use super::search::{self, Place};
use super::{Stream, files};
use crate::time::Moment;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Which lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    /// Only so many, the last ones of those.
    pub tail: Option<u64>,
    /// Those, too, that come while this is read.
    pub follow: bool,
}

/// A line, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub time: Moment,
    pub stream: Stream,
    /// As the container wrote it; a newline where it wrote one.
    pub text: Vec<u8>,
    /// No piece of the same line came before.
    pub begins: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { time: Moment::default(), stream: Stream::Stdout, text: Vec::new(), begins: true }
    }
}

/// Reads what is there, and later what came since.
pub struct Files {
    log: PathBuf,
    decode: Decode,
    ask: Ask,
    lines: Option<Forward>,
    /// The number of the file that is read, and those after it.
    file: usize,
    later: VecDeque<File>,
    /// Where each stream's part begins.
    from: [Place; 2],
    /// Where it ended when it was opened: a fast writer would keep one who does not follow reading for ever.
    end: Place,
    /// The last piece of each stream was the end of its line.
    complete: [bool; 2],
    time: Moment,
    over: bool,
}

impl Files {
    pub fn open(log: &Path, decode: Decode, ask: Ask) -> io::Result<Self> {
        let files = files::open(log)?;
        let last = files.len().saturating_sub(1);
        let mut end = Place {
            file: last,
            offset: files.last().map_or(Ok(0), |file| Ok(file.metadata()?.len()) as io::Result<u64>)?,
        };
        if let Some(until) = ask.until
            && !ask.follow
        {
            end = search::by_time(&files, decode, end, Moment(until.0.saturating_add(1)))?;
        }
        let start = ask.since.map_or(Ok(Place::default()), |since| search::by_time(&files, decode, end, since))?;
        let from = match ask.tail {
            Some(count) => search::by_lines(&files, decode, start, end, count)?,
            None => [start; 2],
        };
        let begin = from[0].min(from[1]);
        let mut later: VecDeque<File> = files.into_iter().skip(begin.file).collect();
        let lines = later.pop_front().map(|file| Forward::new(file, begin.offset));
        let (log, file) = (log.to_owned(), begin.file);
        let complete = [true; 2];
        Ok(Self { log, decode, ask, lines, file, later, from, end, complete, time: Moment::default(), over: false })
    }

    /// Fills in the next; false: there is none now.
    pub fn next(&mut self, line: &mut Line) -> io::Result<bool> {
        while !self.over {
            let Some(lines) = &mut self.lines else {
                if !self.go_on()? {
                    return Ok(false);
                }
                continue;
            };
            let Some((offset, raw)) = lines.next()? else {
                if !self.go_on()? {
                    return Ok(false);
                }
                continue;
            };
            let place = Place { file: self.file, offset };
            if !self.ask.follow && place >= self.end {
                self.over = true;
                break;
            }
            line.text.clear();
            let complete = match (self.decode)(raw) {
                Some(record) => {
                    (line.time, line.stream) = (record.time, record.stream);
                    line.text.extend_from_slice(&record.text);
                    record.complete
                }
                // Better seen than missed: a crash of the machine tore it, or somebody wrote it by hand.
                None => {
                    (line.time, line.stream) = (self.time, Stream::Stdout);
                    line.text.extend_from_slice(raw);
                    true
                }
            };
            let stream = line.stream.index();
            if place < self.from[stream] {
                continue;
            }
            if self.ask.until.is_some_and(|until| line.time > until) {
                self.over = true;
                break;
            }
            self.time = line.time;
            line.begins = std::mem::replace(&mut self.complete[stream], complete);
            return Ok(true);
        }
        Ok(false)
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// No more will come, whatever the container does.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// On to the next file, or on in this one. False: there is nothing new.
    fn go_on(&mut self) -> io::Result<bool> {
        if let Some(file) = self.later.pop_front() {
            self.lines = Some(Forward::new(file, 0));
            self.file += 1;
            return Ok(true);
        }
        if !self.ask.follow {
            self.over = true;
            return Ok(false);
        }
        match &self.lines {
            None => {
                let mut files: VecDeque<File> = files::open(&self.log)?.into();
                self.lines = files.pop_front().map(|file| Forward::new(file, 0));
                self.later = files;
                Ok(self.lines.is_some())
            }
            // It was written to until it got its number: it is read once more, then the next.
            Some(lines) => match files::after(&self.log, &lines.file)? {
                Some(files) => {
                    self.later = files.into();
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }
}
