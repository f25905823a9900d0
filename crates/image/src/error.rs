//! What can be wrong with images.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such image, program, user.
    Missing,
    /// The store or an archive does not hold what its digest or its format promises.
    Corrupt,
    /// An archive tries to reach what is not its own.
    Hostile,
    /// More than a limit or the disk allows.
    TooLarge,
    /// Well formed, but not for this program or this machine.
    Unsupported,
    /// The kernel refused a call.
    System,
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
    pub fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, what: what.into(), why: why.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
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

/// The kernel's word on its own, until [`Context`] says what it was for.
impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        let hint = sys::remedy(error.errno).map(str::to_owned);
        Self { hint, ..Self::new(Kind::System, "", error.to_string()) }
    }
}

pub(crate) trait Context<T> {
    /// Says what was being done, unless a deeper place already has.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let mut error = error.into();
            if error.what.is_empty() {
                error.what = what();
            }
            error
        })
    }
}
