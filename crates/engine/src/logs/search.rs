//! Where in a log to begin: by time and by number of lines, without reading what comes before.
//!
//! Records are in the order of time, as far as the machine's clock never went back. Where it did, a search by time may
//! begin too late or too early by what it went back.

use super::format::Decode;
use super::lines::{Backward, Forward};
use crate::time::Moment;
use std::fs::File;
use std::io;

/// In which of the files, and where in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: usize,
    pub offset: u64,
}

/// Below this a search reads line by line.
const NEAR: u64 = 64 << 10;

/// The first record that is not before this moment; the end, if there is none.
pub fn by_time(files: &[File], decode: Decode, end: Place, moment: Moment) -> io::Result<Place> {
    // A file whose first record is late enough is not the place, unless it is that record itself.
    let mut at = 0;
    for (index, file) in files.iter().enumerate().skip(1) {
        match first(file, decode, 0)? {
            Some((_, time)) if time < moment => at = index,
            _ => break,
        }
    }
    let Some(file) = files.get(at) else { return Ok(end) };
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        match first(file, decode, middle)? {
            Some((offset, time)) if time < moment && offset < high => low = offset,
            _ => high = middle,
        }
    }
    let mut lines = Forward::new(file.try_clone()?, low);
    while let Some((offset, line)) = lines.next()? {
        if decode(line).is_some_and(|record| record.time >= moment) {
            return Ok(Place { file: at, offset }.min(end));
        }
    }
    Ok(if at + 1 < files.len() { Place { file: at + 1, offset: 0 } } else { end }.min(end))
}

/// The first record that begins at this place or behind it.
fn first(file: &File, decode: Decode, from: u64) -> io::Result<Option<(u64, Moment)>> {
    // One byte before: a line may begin right here.
    let mut lines = Forward::new(file.try_clone()?, from.saturating_sub(1));
    if from > 0 {
        lines.next()?;
    }
    while let Some((offset, line)) = lines.next()? {
        if let Some(record) = decode(line) {
            return Ok(Some((offset, record.time)));
        }
    }
    Ok(None)
}

/// A piece of a line may be this far before the next of its stream, with the other stream between them, and is still
/// looked for.
const APART: u64 = 4 << 20;

/// Where each stream's part of the last so many lines begins, between two places.
pub fn by_lines(files: &[File], decode: Decode, start: Place, end: Place, count: u64) -> io::Result<[Place; 2]> {
    let mut from = [end; 2];
    // Per stream: how a line whose pieces are being passed stands.
    let mut streams = [Pass::Nothing; 2];
    let (mut left, mut beyond) = (count, 0);
    for (index, file) in files.iter().enumerate().take(end.file + 1).skip(start.file).rev() {
        let until = if index == end.file { end.offset } else { file.metadata()?.len() };
        let mut lines = Backward::new(file, until);
        while let Some((offset, line)) = lines.next()? {
            let place = Place { file: index, offset };
            if place < start {
                return Ok(from);
            }
            // What no record is, is a line of its own.
            let (stream, complete) = decode(&line).map_or((0, true), |record| (record.stream.index(), record.complete));
            if complete || streams[stream] == Pass::Nothing {
                if left == 0 {
                    streams[stream] = Pass::Done;
                } else {
                    left -= 1;
                    streams[stream] = Pass::Inside;
                }
            }
            if streams[stream] == Pass::Inside {
                from[stream] = place;
            }
            if left == 0 {
                beyond += line.len() as u64;
                if !streams.contains(&Pass::Inside) || beyond > APART {
                    return Ok(from);
                }
            }
        }
    }
    Ok(from)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Nothing,
    /// What comes before may belong to it.
    Inside,
    /// All that comes before is of lines that are not wanted.
    Done,
}
