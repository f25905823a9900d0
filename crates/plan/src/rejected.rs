//! The one form of a refusal.

use std::fmt;

/// A request that cannot be planned on this host: what, why, and the fix where one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// "cannot limit memory to 4m"
    pub what: String,
    /// "a container needs at least 6m"
    pub why: String,
    /// "ask for 6m or more"
    pub hint: Option<String>,
}

impl Rejected {
    #[must_use]
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Rejected {}
