//! What a container wrote, on the caller's two streams.
//!
//! Bytes go out as they are, as docker does it: what a container prints is for its user's terminal. Between the streams
//! the order is kept, as both may be one terminal.

use super::Failure;
use std::io::{self, BufWriter, Stderr, Stdout, Write};

pub struct Streams {
    out: BufWriter<Stdout>,
    err: BufWriter<Stderr>,
    /// The one that was written to last.
    last: bool,
    left: bool,
}

/// Of several containers, by number; red is for errors.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "37"];

impl Streams {
    pub fn new() -> Self {
        Self {
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
            err: BufWriter::new(io::stderr()),
            last: false,
            left: false,
        }
    }

    /// # Errors
    /// The kernel's.
    pub fn write(&mut self, to_error: bool, bytes: &[u8]) -> io::Result<()> {
        if to_error != self.last {
            self.flush()?;
            self.last = to_error;
        }
        let done = if to_error { self.err.write_all(bytes) } else { self.out.write_all(bytes) };
        self.seen(done)
    }

    /// # Errors
    /// The kernel's.
    pub fn flush(&mut self) -> io::Result<()> {
        let done = self.out.flush().and_then(|()| self.err.flush());
        self.seen(done)
    }

    fn seen(&mut self, done: io::Result<()>) -> io::Result<()> {
        self.left |= done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        done
    }

    /// What the work came to, for which this was written: a reader that has gone away (`| head`) is not a failure.
    ///
    /// # Errors
    /// Any other.
    pub fn unless_left(&self, done: engine::Result<()>) -> Result<(), Failure> {
        if self.left { Ok(()) } else { Ok(done?) }
    }
}

/// A text in the colour of this number.
pub fn of_number(number: usize, text: &str) -> String {
    format!("\x1b[{}m{text}\x1b[0m", COLOURS[number % COLOURS.len()])
}
