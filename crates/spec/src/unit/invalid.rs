//! The one error of the parsers of values.

use std::fmt;

/// Why a text is not what it should be, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// "unknown unit \"q\""
    pub why: String,
    /// "write a number and b, k, m, g or t: 100m"
    pub hint: Option<String>,
}

impl Invalid {
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Invalid {}
