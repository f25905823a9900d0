//! What the user sees: messages on standard error, results on standard output, exit codes.
//!
//! Invariant: the only module that writes to the terminal. Colour only where a person reads it; control characters
//! of foreign text (names, paths, a registry's words) never reach the terminal.

mod failure;
mod progress;
mod streams;
mod table;

pub use failure::Failure;
pub use progress::{Bars, To};
pub use streams::{Streams, of_number};
pub use table::{columns, table};

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

pub const SUCCESS: u8 = 0;

/// docker's exit code for a failure of the engine itself; 126 and 127 are commands that cannot be run or found.
pub const FAILED: u8 = 125;

/// How much is said; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy)]
pub struct Ui {
    level: Level,
    colour: bool,
}

impl Ui {
    /// `quiet` leaves errors and warnings.
    #[must_use]
    pub fn new(level: Level, quiet: bool) -> Self {
        let level = if quiet { level.min(Level::Warning) } else { level };
        Self { level, colour: colour() }
    }

    /// Before the arguments are known.
    #[must_use]
    pub fn plain() -> Self {
        Self::new(Level::Info, false)
    }

    /// Prints the failure and gives its exit code.
    pub fn failed(&self, failure: &Failure) -> u8 {
        write_error(&failure.render(self.colour));
        failure.code.unwrap_or(FAILED)
    }

    /// What the user should know although the command goes on.
    pub fn warn(&self, message: &str) {
        self.line(Level::Warning, "warning:", YELLOW, message);
    }

    #[allow(dead_code, reason = "for the verbs that follow")]
    pub fn info(&self, message: &str) {
        self.line(Level::Info, "", "", message);
    }

    #[allow(dead_code, reason = "for the verbs that follow")]
    pub fn debug(&self, message: &str) {
        self.line(Level::Debug, "debug:", DIM, message);
    }

    fn line(&self, level: Level, word: &str, style: &str, message: &str) {
        if self.level >= level {
            let space = if word.is_empty() { "" } else { " " };
            write_error(&format!("{}{space}{}\n", styled(word, style, self.colour), clean(message)));
        }
    }
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[36m";
const DIM: &str = "\x1b[2m";

/// <https://no-color.org>
fn colour() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb") && io::stderr().is_terminal()
}

fn styled<'a>(word: &'a str, style: &str, colour: bool) -> Cow<'a, str> {
    if colour && !word.is_empty() { format!("{style}{word}\x1b[0m").into() } else { word.into() }
}

/// A question, or what comes behind its answer.
pub fn prompt(text: &str) {
    write_error(text);
}

/// Escapes what a terminal would obey; newlines and tabs stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return text.into();
    }
    text.chars().map(|c| if obeyed(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A standard error that cannot be written to leaves nobody to tell.
fn write_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether a person reads what is printed.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Results for standard output, as they are. A reader that has gone away (`| head`) is not a failure.
///
/// # Errors
/// [`Failure`] when the output cannot be written, a full disk for example.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(engine::refused("cannot write the output", &error).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\nc"), "a\\u{1b}[2Jb\\r\nc");
        assert_eq!(clean("plain ä\n"), "plain ä\n");
    }
}
