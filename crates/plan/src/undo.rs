//! The vocabulary of undoing: small, stable, versioned lines, not the plan serialised (docs/adr/0003-journal.md).
//!
//! A verb is written and flushed *before* the step that makes it necessary. Replaying is idempotent, in reverse
//! order, and "already gone" is success.

use crate::shell::quote;
use crate::{cgroup, network};
use std::fmt::Write as _;

/// First line of every journal.
pub const VERSION: &str = "sampan-journal 1";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// SIGKILL to `pid` if it still is the process that started at `start` (clock ticks since boot, proc(5) stat
    /// field 22: a recycled pid is left alone).
    Kill {
        pid: i32,
        start: u64,
    },
    /// `umount2(path, MNT_DETACH)`.
    Unmount {
        path: String,
    },
    /// The same in this mount namespace; with that it is gone, too.
    UnmountIn {
        namespace: String,
        path: String,
    },
    /// Remove a file.
    RemoveFile {
        path: String,
    },
    /// Remove a tree. `mapped`: it holds files of subordinate ids, so an ordinary user needs a user namespace.
    RemoveTree {
        path: String,
        mapped: bool,
    },
    /// This user of a volume's filesystem is none any more; with the last one it is unmounted.
    LeaveVolume {
        at: String,
        users: String,
        user: String,
    },
    Cgroup(cgroup::Undo),
    Network(network::Undo),
}

impl Verb {
    /// The journal's words for this verb; the first is its name.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Kill { pid, start } => vec!["kill".into(), pid.to_string(), start.to_string()],
            Self::Unmount { path } => vec!["unmount".into(), path.clone()],
            Self::UnmountIn { namespace, path } => vec!["unmount-in".into(), namespace.clone(), path.clone()],
            Self::RemoveFile { path } => vec!["remove-file".into(), path.clone()],
            Self::RemoveTree { path, mapped } => {
                vec!["remove-tree".into(), if *mapped { "mapped" } else { "plain" }.into(), path.clone()]
            }
            Self::LeaveVolume { at, users, user } => {
                vec!["leave-volume".into(), at.clone(), users.clone(), user.clone()]
            }
            Self::Cgroup(undo) => undo.words(),
            Self::Network(undo) => undo.words(),
        }
    }

    /// As a person would type it; `remove_cgroup` and `leave_network` are functions that the script begins with.
    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Kill { pid, .. } => format!("kill -KILL {pid}"),
            Self::Unmount { path } => format!("umount -l {}", quote(path)),
            Self::UnmountIn { namespace, path } => {
                format!("nsenter --mount={} umount -l {}", quote(namespace), quote(path))
            }
            Self::RemoveFile { path } => format!("rm -f {}", quote(path)),
            Self::RemoveTree { path, mapped: false } => format!("rm -rf --one-file-system {}", quote(path)),
            Self::RemoveTree { path, mapped: true } => {
                format!("unshare --map-auto --map-root-user rm -rf --one-file-system {}", quote(path))
            }
            Self::LeaveVolume { at, users, user } => {
                let (user, users, at) = (quote(&format!("{users}/{user}")), quote(users), quote(at));
                format!("rm -f {user}; rmdir {users} 2>/dev/null && umount {at}")
            }
            Self::Cgroup(undo) => undo.shell(),
            Self::Network(undo) => undo.shell(),
        }
    }

    fn from_words(words: &[String]) -> Option<Self> {
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match texts.as_slice() {
            ["kill", pid, start] => Self::Kill { pid: pid.parse().ok()?, start: start.parse().ok()? },
            ["unmount", path] => Self::Unmount { path: (*path).into() },
            ["unmount-in", namespace, path] => Self::UnmountIn { namespace: (*namespace).into(), path: (*path).into() },
            ["remove-file", path] => Self::RemoveFile { path: (*path).into() },
            ["remove-tree", mapped @ ("mapped" | "plain"), path] => {
                Self::RemoveTree { path: (*path).into(), mapped: *mapped == "mapped" }
            }
            ["leave-volume", at, users, user] => {
                Self::LeaveVolume { at: (*at).into(), users: (*users).into(), user: (*user).into() }
            }
            texts => cgroup::Undo::from_words(texts)
                .map(Self::Cgroup)
                .or_else(|| network::Undo::from_words(texts).map(Self::Network))?,
        })
    }

    /// One journal line, newline included. Words are separated by one space; space, `%`, newline and other control
    /// bytes inside a word are `%XX`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.words().iter().map(|word| escape(word)).collect::<Vec<_>>().join(" ");
        line.push('\n');
        line
    }

    /// `None` for a line that is not a verb of this version: torn by a crash, or of a newer sampan.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let words = line.split(' ').map(unescape).collect::<Option<Vec<_>>>()?;
        Self::from_words(&words)
    }
}

fn escape(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if c == ' ' || c == '%' || c.is_ascii_control() {
            let _ = write!(out, "%{:02X}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

fn unescape(word: &str) -> Option<String> {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3)?;
        out.push(char::from(u8::from_str_radix(code, 16).ok()?));
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::Verb;

    #[test]
    fn a_line_reads_back() {
        for verb in [
            Verb::Kill { pid: 7, start: 99 },
            Verb::Unmount { path: "/a b/%/\n".into() },
            Verb::UnmountIn { namespace: "/proc/1/ns/mnt".into(), path: "/a b".into() },
            Verb::RemoveTree { path: "/ä".into(), mapped: true },
            Verb::Cgroup(super::cgroup::Undo::Thaw { dir: "/sys/fs/cgroup/a b".into() }),
            Verb::LeaveVolume { at: "/v/_data".into(), users: "/run/v".into(), user: "id".into() },
        ] {
            let line = verb.line();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Verb::parse(line.trim_end_matches('\n')), Some(verb));
        }
        assert_eq!(Verb::parse("remove-tr"), None);
        assert_eq!(Verb::parse("unmount %2"), None);
    }
}
