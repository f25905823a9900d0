//! Names and ids of containers.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A container's id or name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 128 bytes (docker's rule; it makes the value
/// safe as one path component).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Why a text is not a [`ContainerId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId(pub String);

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid container name {:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed", self.0)
    }
}

impl std::error::Error for InvalidId {}

impl ContainerId {
    /// # Errors
    /// [`InvalidId`] when the text is empty, longer than 128 bytes or has a character outside the set.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let ok = text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if ok { Ok(Self(text.to_owned())) } else { Err(InvalidId(text.to_owned())) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, as docker prints ids.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
