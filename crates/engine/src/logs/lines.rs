//! Lines of a file, forwards and backwards, from any place in it.
//!
//! Invariant: a line is whole, its newline included; what has none yet is none yet. No more is held than a block and the
//! line in it.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;

const BLOCK: usize = 64 << 10;

/// Where the first newline is, found by the C library's own search: reading from a slice cannot fail.
pub fn newline(bytes: &[u8]) -> Option<usize> {
    let mut after = bytes;
    let length = after.skip_until(b'\n').ok()?;
    (bytes.get(length.wrapping_sub(1)) == Some(&b'\n')).then(|| length - 1)
}

pub struct Forward {
    pub file: File,
    /// Of the next line, in the file and in the buffer.
    offset: u64,
    start: usize,
    buffer: Vec<u8>,
}

impl Forward {
    pub fn new(file: File, offset: u64) -> Self {
        Self { file, offset, start: 0, buffer: Vec::new() }
    }

    /// The next line and where it begins. At the end there may be one later.
    pub fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let mut seen = self.start;
        loop {
            if let Some(at) = newline(&self.buffer[seen..]) {
                let (start, end) = (self.start, seen + at + 1);
                let offset = self.offset;
                self.start = end;
                self.offset += (end - start) as u64;
                return Ok(Some((offset, &self.buffer[start..end])));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            seen = self.buffer.len();
            self.buffer.resize(seen + BLOCK, 0);
            let read = self.file.read_at(&mut self.buffer[seen..], self.offset + seen as u64);
            self.buffer.truncate(seen + read.as_ref().map_or(0, |length| *length));
            if read? == 0 {
                return Ok(None);
            }
        }
    }
}

pub struct Backward<'a> {
    file: &'a File,
    /// Of the buffer's first byte.
    offset: u64,
    /// What is not given out yet, up to the end of a line.
    buffer: Vec<u8>,
}

impl<'a> Backward<'a> {
    /// The lines before `end`, which is where one begins, or in one that is not complete.
    pub fn new(file: &'a File, end: u64) -> Self {
        Self { file, offset: end, buffer: Vec::new() }
    }

    /// The line before, and where it begins.
    pub fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            // A newline at the end is the line's own; what follows the last newline is no line.
            let body = self.buffer.len().saturating_sub(1);
            let before = self.buffer[..body].iter().rposition(|byte| *byte == b'\n');
            let start = match before {
                Some(at) => at + 1,
                None if self.offset == 0 => 0,
                None => {
                    self.fill()?;
                    continue;
                }
            };
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let line = self.buffer.split_off(start);
            if line.last() == Some(&b'\n') {
                return Ok(Some((self.offset + start as u64, line)));
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let length = self.offset.min(BLOCK as u64);
        let mut block = vec![0; usize::try_from(length).unwrap_or(BLOCK)];
        self.file.read_exact_at(&mut block, self.offset - length)?;
        block.append(&mut self.buffer);
        (self.buffer, self.offset) = (block, self.offset - length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(text: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("sampan-lines-{}-{}", std::process::id(), text.len()));
        let mut file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(text).unwrap();
        file
    }

    #[test]
    fn both_ways_give_the_same() {
        let long = vec![b'x'; BLOCK * 2 + 17];
        let mut text = Vec::new();
        let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
        for part in [&b"a"[..], b"", b"bc", &long, b"", &long[..BLOCK - 1], b"d"] {
            let line = [part, b"\n"].concat();
            lines.push((text.len() as u64, line.clone()));
            text.extend(line);
        }
        for torn in [&b""[..], b"torn"] {
            let file = file(&[&text, torn].concat());
            let end = (text.len() + torn.len()) as u64;
            let mut forward = Forward::new(file.try_clone().unwrap(), 0);
            for (offset, line) in &lines {
                assert_eq!(forward.next().unwrap(), Some((*offset, &line[..])));
            }
            assert_eq!(forward.next().unwrap(), None);
            let mut backward = Backward::new(&file, end);
            for (offset, line) in lines.iter().rev() {
                assert_eq!(backward.next().unwrap(), Some((*offset, line.clone())));
            }
            assert_eq!(backward.next().unwrap(), None);
            // What comes later is read later.
            let mut writer = file;
            writer.write_all(b"more\nhal").unwrap();
            let more = [torn, b"more\n"].concat();
            assert_eq!(forward.next().unwrap(), Some((text.len() as u64, &more[..])));
            assert_eq!(forward.next().unwrap(), None);
            writer.write_all(b"f\n").unwrap();
            assert_eq!(forward.next().unwrap().unwrap().1, b"half\n");
        }
        let empty = file(b"");
        assert_eq!((Backward::new(&empty, 0).next().unwrap(), Forward::new(empty, 0).next().unwrap()), (None, None));
    }
}
