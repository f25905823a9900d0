//! How much a layer may make of itself: a few megabytes that decompress to more than the disk holds are an attack, and
//! nothing in them says so before.
//!
//! Invariant: the disk keeps a reserve for others, and nothing runs on for ever.

use crate::entries;
use crate::error::{Error, Kind, Result};
use spec::unit::{self, Size};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

/// The variable of the environment that moves the limit of a layer's size.
pub const VARIABLE: &str = "SAMPAN_MAX_LAYER_SIZE";
/// More than images have, but for those that carry models or disks.
const USUAL: u64 = 64 << 30;
/// The disk's last bytes and inodes are its owner's: five percent of it, and of a large one so many.
const BYTES: u64 = 1 << 30;
const INODES: u64 = 10_000;
/// So much is written between two looks at the disk; others write to it, too.
const STRIDE: u64 = 64 << 20;
/// What an entry counts whatever is in it: so that inodes are looked at every thousand entries.
const ENTRY: u64 = 1 << 16;

/// Of a layer, decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Limit {
    /// As the variable says: a size, or `none`.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        match text {
            None | Some("") => Ok(Self(USUAL)),
            Some("none") => Ok(Self(u64::MAX)),
            Some(text) => text.parse::<Size>().map(|size| Self(size.bytes())).map_err(|error| {
                Error::new(Kind::Unsupported, format!("cannot use {VARIABLE}={text}"), error.to_string())
                    .hint("a size such as 200g, or none")
            }),
        }
    }

    pub(crate) fn exceeded(self) -> Error {
        let why = format!("the layer is larger than {} when it is unpacked", unit::binary(self.0));
        Error::new(Kind::TooLarge, "", why).hint(format!("{VARIABLE}=SIZE, or none, permits more"))
    }
}

/// A decompressed stream that ends in an error where it passes the limit.
pub(crate) struct Limited<R> {
    stream: R,
    limit: Limit,
    left: u64,
}

impl<R> Limited<R> {
    pub fn new(stream: R, limit: Limit) -> Self {
        Self { stream, limit, left: limit.0 }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other(self.limit.exceeded()))?;
        Ok(n)
    }
}

/// What a layer may still make, and a disk still take.
pub(crate) struct Room<'a> {
    dir: BorrowedFd<'a>,
    limit: Limit,
    /// Bytes of files, holes among them, that the layer may still have.
    unclaimed: u64,
    /// Bytes that can be written before the next look at the disk.
    left: u64,
}

impl<'a> Room<'a> {
    pub fn on(dir: BorrowedFd<'a>, limit: Limit) -> Self {
        Self { dir, limit, unclaimed: limit.0, left: 0 }
    }

    /// An entry whose content has that size by its own word, before its first byte is written.
    pub fn entry(&mut self, size: u64) -> Result<()> {
        self.unclaimed = self.unclaimed.checked_sub(size).ok_or_else(|| self.limit.exceeded())?;
        self.take(ENTRY)
    }

    /// Whether so much can be written.
    pub fn fits(&self, bytes: u64) -> Result<()> {
        if bytes > STRIDE && bytes > free(self.dir)? { Err(short(self.dir)) } else { Ok(()) }
    }

    pub fn take(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.left {
            self.left = free(self.dir)?.min(STRIDE.max(bytes));
        }
        self.left = self.left.checked_sub(bytes).ok_or_else(|| short(self.dir))?;
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8], to: &mut File) -> Result<()> {
        self.take(bytes.len() as u64)?;
        to.write_all(bytes).map_err(sys::Error::of_io(|| format!("write({} bytes)", bytes.len())))?;
        Ok(())
    }

    /// To the end of `from`, by way of the buffer.
    pub fn copy(&mut self, from: &mut impl Read, to: &mut File, buffer: &mut [u8]) -> Result<()> {
        loop {
            match entries::read(from, buffer)? {
                0 => return Ok(()),
                n => self.write(&buffer[..n], to)?,
            }
        }
    }
}

/// Bytes without the reserve. A filesystem that makes inodes as it goes counts none.
fn free(dir: BorrowedFd<'_>) -> Result<u64> {
    let disk = rustix::fs::fstatvfs(dir).map_err(sys::Error::of(|| "fstatvfs(layer)".to_owned()))?;
    // One that does not count, such as ramfs, says so when it is full.
    if disk.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    let inodes = (disk.f_files / 20).min(INODES);
    if disk.f_files > 0 && disk.f_favail <= inodes {
        return Err(full(&format!("{inodes} inodes")));
    }
    Ok((disk.f_bavail * disk.f_frsize).saturating_sub(reserve(&disk)))
}

fn reserve(disk: &rustix::fs::StatVfs) -> u64 {
    (disk.f_blocks / 20 * disk.f_frsize).min(BYTES)
}

fn short(dir: BorrowedFd<'_>) -> Error {
    let reserve = rustix::fs::fstatvfs(dir).map_or(BYTES, |disk| reserve(&disk));
    full(&unit::binary(reserve))
}

fn full(reserve: &str) -> Error {
    Error::new(Kind::TooLarge, "", format!("no space left on device but the {reserve} that are kept free"))
        .hint("free some space there, or inodes (df -h, df -i); sampan image prune removes what no image needs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_at_its_limit() {
        let read = |limit| io::copy(&mut Limited::new(io::repeat(0).take(1000), Limit(limit)), &mut io::sink());
        assert_eq!(read(1000).unwrap(), 1000);
        let error = read(999).unwrap_err();
        assert_eq!(error.downcast::<Error>().unwrap().kind, Kind::TooLarge);
    }

    #[test]
    fn the_variable_is_a_size_or_none() {
        assert_eq!(Limit::parse(None).unwrap(), Limit(64 << 30));
        assert_eq!(Limit::parse(Some("1g")).unwrap(), Limit(1 << 30));
        assert_eq!(Limit::parse(Some("none")).unwrap(), Limit(u64::MAX));
        assert!(Limit::parse(Some("much")).is_err());
    }
}
