//! What containers print: written down by who watches them, read by `sampan logs`.
//!
//! Invariant: of what was written nothing is changed, whatever bytes it is and however long its lines; each stream's
//! bytes come out as they went in. A log has a bound, unless the user took that away, and a reader that follows it
//! misses nothing when a file is full and the next one begins.
//! Must not: read a whole log, or hold more of it than a piece: writers live as long as their containers.

mod containers;
pub(crate) mod files;
pub(crate) mod format;
mod journal;
mod lines;
pub(crate) mod reader;
mod search;
mod writer;

pub use containers::{Source, Told, read, settings, whose};
pub use reader::{Ask, Line};
pub use writer::{Whose, Writer, path};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests;
