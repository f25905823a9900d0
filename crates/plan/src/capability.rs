//! Capability names and numbers (capabilities(7), linux/capability.h).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spec::unit::Invalid;
use std::str::FromStr;

/// By number.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

pub const SETFCAP: u32 = 31;
pub const MKNOD: u32 = 27;
pub const SYS_ADMIN: u32 = 21;
pub const SYS_PTRACE: u32 = 19;
pub const SYS_RESOURCE: u32 = 24;

/// What docker gives a container.
pub const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// As it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    All,
    /// One of [`NAMES`].
    Named(&'static str),
}

impl Capability {
    /// Whether it was asked for by this name, one of [`NAMES`].
    #[must_use]
    pub fn is(self, name: &str) -> bool {
        matches!(self, Self::Named(asked) if asked == name)
    }
}

/// As a name; a derived one would have the text live for ever.
impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Self::All => "ALL",
            Self::Named(name) => name,
        })
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for Capability {
    type Err = Invalid;

    /// In any case, with or without `CAP_`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            return Ok(Self::All);
        }
        if let Some(known) = NAMES.into_iter().find(|known| known[4..] == *name) {
            return Ok(Self::Named(known));
        }
        let near = NAMES.into_iter().find(|known| !name.is_empty() && known[4..].contains(name));
        let hint = near.map_or("a name of capabilities(7) such as NET_ADMIN, or ALL".into(), |near| {
            format!("did you mean {}?", &near[4..])
        });
        Err(Invalid::new("unknown capability").hint(hint))
    }
}

/// Bit set of the names that are known; the OCI spec has unknown ones ignored with a warning.
#[must_use]
pub fn bits(names: &[String]) -> u64 {
    let number = |name: &String| NAMES.iter().position(|known| known == name);
    names.iter().filter_map(number).fold(0, |set, number| set | 1 << number)
}

/// docker's rule: start from the default (or all, for privileged), add, drop; `ALL` first.
#[must_use]
pub fn select(privileged: bool, add: &[Capability], drop: &[Capability]) -> Vec<String> {
    let names = |list: &[Capability], name: &str| list.iter().any(|asked| asked.is(name));
    let (all, none) = (add.contains(&Capability::All), drop.contains(&Capability::All));
    let chosen = |name: &&str| {
        let given = !none && (all || DEFAULT.contains(name));
        privileged || (given || names(add, name)) && !names(drop, name)
    };
    NAMES.into_iter().filter(chosen).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(add: &[Capability], drop: &[Capability]) -> usize {
        select(false, add, drop).len()
    }

    #[test]
    fn adds_and_drops_as_docker_does() {
        let [admin, kill, chown] = ["net_admin", "KILL", "CAP_CHOWN"].map(|name| name.parse::<Capability>().unwrap());
        assert_eq!(count(&[], &[]), DEFAULT.len());
        let chosen = select(false, &[admin], &[chown]);
        assert!(chosen.contains(&"CAP_NET_ADMIN".to_owned()) && !chosen.contains(&"CAP_CHOWN".to_owned()));
        assert_eq!(select(false, &[kill], &[Capability::All]), ["CAP_KILL"]);
        assert_eq!(select(false, &[Capability::All, kill], &[Capability::All]), ["CAP_KILL"]);
        assert_eq!(count(&[Capability::All], &[admin]), NAMES.len() - 1);
        assert_eq!(select(true, &[], &[Capability::All]).len(), NAMES.len());
    }

    #[test]
    fn reads_names() {
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(text.parse(), Ok(Capability::Named("CAP_NET_ADMIN")));
        }
        assert_eq!("all".parse(), Ok(Capability::All));
        for (text, hint) in [
            ("ADMIN", "did you mean NET_ADMIN?"),
            ("", "a name of capabilities(7) such as NET_ADMIN, or ALL"),
            ("ROOT", "did you mean SYS_CHROOT?"),
        ] {
            let error = text.parse::<Capability>().unwrap_err();
            assert_eq!((error.why.as_str(), error.hint.as_deref()), ("unknown capability", Some(hint)));
        }
    }
}
