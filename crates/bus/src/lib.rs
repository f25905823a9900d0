//! A client of D-Bus for the few calls that systemd is asked with: blocking, on one socket, without a thread
//! (docs/adr/0012-systemd.md).
//!
//! Invariant: what comes in is checked before it is used; nothing waits longer than [`PATIENCE`] for a byte.
//! Must not: know what a service means by its messages.

mod address;
mod connection;
mod message;
mod wire;

pub use connection::{Connection, Method, PATIENCE};

use std::fmt;

#[derive(Debug)]
pub enum Error {
    /// The socket.
    Io { what: String, source: std::io::Error },
    /// An error of the service's, by its D-Bus name.
    Refused { name: String, text: String },
    /// What came is not D-Bus, or not what was asked for.
    Malformed(&'static str),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The service refused with the error of this name.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == wanted)
    }

    /// Nobody listens at the address.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), NotFound | ConnectionRefused))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Refused { name, text } if text.is_empty() => f.write_str(name),
            Self::Refused { text, .. } => f.write_str(text),
            Self::Malformed(what) => write!(f, "what came from the bus is not to be understood: {what}"),
        }
    }
}

impl std::error::Error for Error {}
