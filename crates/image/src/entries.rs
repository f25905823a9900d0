//! The entries of a tar of a stranger's, one after the other.
//!
//! Invariant: what comes before an entry's content (long names, PAX records, sparse maps) is read into memory and so is
//! bounded; content is not.

use crate::error::{Error, Kind, Result};
use rustix::io::Errno;
use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use tar::Entry;

/// Attributes have 64 KiB each (xattr(7)), names 4 KiB.
const HEADERS: u64 = 1 << 20;

/// Calls `take` with each, and passes over what that leaves of it.
pub fn each<R: Read>(stream: R, mut take: impl FnMut(&mut Entry<'_, Headed<R>>) -> Result<()>) -> Result<()> {
    let left = Rc::new(Cell::new(HEADERS));
    let mut archive = tar::Archive::new(Headed { stream, left: Rc::clone(&left) });
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        left.set(u64::MAX);
        take(&mut entry)?;
        io::copy(&mut entry, &mut io::sink()).map_err(broken)?;
        left.set(HEADERS);
    }
    Ok(())
}

/// The stream, while headers are read only so far.
pub struct Headed<R> {
    stream: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Headed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        let left = self.left.get().checked_sub(n as u64).ok_or_else(|| {
            let why = format!("the headers of an entry are longer than {}", spec::unit::binary(HEADERS));
            io::Error::other(Error::new(Kind::TooLarge, "", why))
        })?;
        self.left.set(left);
        Ok(n)
    }
}

pub fn read(content: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match content.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(broken),
        }
    }
}

/// Of reading: our own errors and the kernel's as such, all else is the archive's fault.
pub fn broken(error: io::Error) -> Error {
    if let Some(errno) = Errno::from_io_error(&error) {
        return sys::Error::new("read(archive)", errno).into();
    }
    error.downcast::<Error>().unwrap_or_else(|error| Error::new(Kind::Corrupt, "", error.to_string()))
}
