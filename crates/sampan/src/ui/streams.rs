//! What a container wrote, on the caller's two streams.
//!
//! Bytes go out as they are, as docker does it: what a container prints is for its user's terminal. Between the streams
//! the order is kept, as both may be one terminal.

use std::io::{self, BufWriter, Stderr, Stdout, Write};

pub struct Streams {
    out: BufWriter<Stdout>,
    err: BufWriter<Stderr>,
    /// The one that was written to last.
    last: bool,
}

/// Of several containers, by number; red is for errors.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "37"];

impl Streams {
    pub fn new() -> Self {
        Self { out: BufWriter::with_capacity(64 << 10, io::stdout()), err: BufWriter::new(io::stderr()), last: false }
    }

    /// # Errors
    /// The kernel's.
    pub fn write(&mut self, to_error: bool, bytes: &[u8]) -> io::Result<()> {
        if to_error != self.last {
            self.flush()?;
            self.last = to_error;
        }
        if to_error { self.err.write_all(bytes) } else { self.out.write_all(bytes) }
    }

    /// # Errors
    /// The kernel's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }
}

/// A text in the colour of this number.
pub fn of_number(number: usize, text: &str) -> String {
    format!("\x1b[{}m{text}\x1b[0m", COLOURS[number % COLOURS.len()])
}
