//! What can go wrong between here and a registry.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The registry does not know the one who asks, or does not let him.
    Unauthorized,
    /// There is no such repository, manifest, blob.
    Missing,
    /// Nobody answers, or the conversation broke off.
    Unreachable,
    /// Somebody answers, and proves not to be who was asked.
    Untrusted,
    /// The registry sends what is not what it said.
    Corrupt,
    /// Well formed, and not for this program.
    Unsupported,
    /// The registry refuses for now.
    Limited,
    /// Any other refusal of the registry.
    Refused,
    /// The caller's own configuration.
    Configuration,
}

/// What failed ("cannot <verb> <object>"), why, and the fix where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: Kind,
    pub what: String,
    pub why: String,
    pub hint: Option<String>,
}

impl Error {
    #[must_use]
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, what: String::new(), why: why.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was being done, unless a deeper place already has.
    #[must_use]
    pub fn at(mut self, what: impl Into<String>) -> Self {
        if self.what.is_empty() {
            self.what = what.into();
        }
        self
    }
}

/// An operating system's error in words: without its number, which says nothing to a user.
pub(crate) fn of_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.what.is_empty() {
            return f.write_str(&self.why);
        }
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Error {}
