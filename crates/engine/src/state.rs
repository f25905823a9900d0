//! In which state a container is, in docker's words: said here and nowhere else.

use crate::containers::{Listed, Record, Sent};
use crate::request::process::Signal;
use spec::unit::binary;
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

/// Why a container ended, where that is more than its exit code: for people, and empty if there is nothing to say.
#[must_use]
pub fn reason(record: &Record) -> String {
    let death = &record.death;
    if record.exit_code.is_none() {
        return String::new();
    }
    if death.unseen {
        return "nobody saw its end".to_owned();
    }
    if record.out_of_memory {
        let limit = death.memory_limit.map(|bytes| format!(" at its limit of {}", binary(bytes)));
        return format!("out of memory{}", limit.unwrap_or_default());
    }
    let Some(signal) = death.signal else { return String::new() };
    let name = Signal::from_raw(signal).map_or_else(|| format!("signal {signal}"), |signal| signal.to_string());
    let late = if death.overdue { ", as it did not stop in time" } else { "" };
    match death.sent.as_ref().filter(|sent| sent.signal == signal || death.overdue) {
        Some(Sent { pid, uid, program, .. }) => {
            format!("killed by {name}{late}, sent by {program} (pid {pid}, user {uid})")
        }
        None => format!("killed by {name}{late}"),
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Death;

    #[test]
    fn says_why_a_container_ended() {
        let sent = Some(Sent { signal: 15, pid: 7, uid: 0, program: "sampan".to_owned() });
        let ended = |out_of_memory, death| Record { exit_code: Some(137), out_of_memory, death, ..Record::default() };
        let limit = Death { memory_limit: Some(64 << 20), signal: Some(9), ..Death::default() };
        for (record, why) in [
            (Record::default(), ""),
            (ended(false, Death::default()), ""),
            (ended(true, limit), "out of memory at its limit of 64MiB"),
            (ended(false, Death { unseen: true, ..Death::default() }), "nobody saw its end"),
            (ended(false, Death { signal: Some(9), sent: sent.clone(), ..Death::default() }), "killed by SIGKILL"),
            (
                ended(false, Death { signal: Some(15), sent: sent.clone(), ..Death::default() }),
                "killed by SIGTERM, sent by sampan (pid 7, user 0)",
            ),
            (
                ended(false, Death { signal: Some(9), sent, overdue: true, ..Death::default() }),
                "killed by SIGKILL, as it did not stop in time, sent by sampan (pid 7, user 0)",
            ),
        ] {
            assert_eq!(reason(&record), why);
        }
    }
}
