//! Bytes that were read and are not yet written.

use rustix::fd::AsFd;
use rustix::io::{Errno, retry_on_intr, write};

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub bytes: Vec<u8>,
    written: usize,
}

impl Backlog {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// One write; what does not fit stays.
    pub fn write_to(&mut self, fd: impl AsFd) -> rustix::io::Result<()> {
        match retry_on_intr(|| write(&fd, &self.bytes[self.written..])) {
            Ok(len) => self.written += len,
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
        if self.written == self.bytes.len() {
            self.clear();
        }
        Ok(())
    }
}
