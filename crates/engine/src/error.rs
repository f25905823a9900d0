//! Why a command of the engine failed.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command of the engine failed.
#[derive(Debug)]
pub enum Error {
    /// What is wrong with the request, before anything was touched.
    Rejected(plan::Rejected),
    Image(image::Error),
    /// The image is not here, or not whole, or not for the platform: a pull may help.
    NoImage(image::Error),
    /// The command cannot be executed in this root file system.
    Refused(image::program::Refusal),
    /// While the plan ran. What it had done is undone.
    Runtime(runtime::Error),
    /// Another process's failure.
    Told(runtime::Told),
}

impl Error {
    pub(crate) fn rejected(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Rejected(plan::Rejected::new(what, why))
    }

    /// A call of std failed.
    pub(crate) fn io(what: impl Into<String>, error: &std::io::Error) -> Self {
        Self::Rejected(runtime::refused(what, error))
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Rejected(rejected) => Self::Rejected(rejected.hint(hint)),
            other => other,
        }
    }
}

impl Error {
    /// The fix, where one is known and can be shown beside a message of one line.
    #[must_use]
    pub fn fix(&self) -> Option<&str> {
        match self {
            Self::Rejected(rejected) => rejected.hint.as_deref(),
            Self::Image(error) | Self::NoImage(error) => error.hint.as_deref(),
            Self::Refused(_) => None,
            Self::Runtime(error) => error.hint(),
            Self::Told(told) => told.hint.as_deref(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(error) => error.fmt(f),
            Self::Image(error) | Self::NoImage(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Runtime(error) => error.fmt(f),
            Self::Told(told) => told.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for runtime::Told {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejected) => rejected.into(),
            Error::Image(error) | Error::NoImage(error) => {
                Self { what: error.what, causes: vec![error.why], hint: error.hint, ..Self::default() }
            }
            Error::Refused(refusal) => Self {
                what: format!("cannot execute {}", refusal.program()),
                causes: vec![refusal.why()],
                hint: refusal.hint(),
                code: Some(refusal.exit_code()),
                ..Self::default()
            },
            Error::Runtime(error) => error.told("cannot start the container"),
            Error::Told(told) => told,
        }
    }
}

impl From<plan::Rejected> for Error {
    fn from(error: plan::Rejected) -> Self {
        Self::Rejected(error)
    }
}

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Self {
        Self::Image(error)
    }
}

impl From<runtime::Error> for Error {
    fn from(error: runtime::Error) -> Self {
        Self::Runtime(error)
    }
}
