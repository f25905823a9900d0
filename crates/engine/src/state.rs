//! In which state a container is, in docker's words: said here and nowhere else.

use crate::containers::Listed;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Created,
    Running,
    Paused,
    /// It has ended, and its monitor starts it again.
    Restarting,
    Removing,
    Exited,
    Dead,
}

/// In the order of docker's messages.
const ALL: [State; 7] =
    [State::Created, State::Running, State::Paused, State::Restarting, State::Removing, State::Exited, State::Dead];

impl State {
    #[must_use]
    pub fn of(container: &Listed) -> Self {
        let record = &container.record;
        match (container.running, record.exit_code) {
            (true, _) if record.restarting => Self::Restarting,
            (true, _) if record.paused => Self::Paused,
            (true, _) => Self::Running,
            (false, Some(_)) => Self::Exited,
            (false, None) => Self::Created,
        }
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        // podman's for one whose process is there and waits, and for one that has ended.
        let word = match word {
            "configured" => "created",
            "stopped" => "exited",
            word => word,
        };
        ALL.into_iter().find(|state| state.word() == word)
    }

    /// All words, for a message.
    #[must_use]
    pub fn words() -> String {
        ALL.map(Self::word).join(", ")
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
