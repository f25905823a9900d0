//! Which namespaces are new, which are the host's, which are somebody else's.

use super::{Invalid, text};
use serde::{Deserialize, Serialize};
use spec::ContainerId;
use spec::runtime::IdMapping;
use std::path::PathBuf;
use std::str::FromStr;

/// All are new where nothing is said, also the cgroup namespace on v1, where docker and podman share the host's: that was
/// for containers that looked for the path of /proc/self/cgroup below a bound hierarchy, and tells them the names of
/// the host's cgroups. Each sees its own cgroup as the root of every hierarchy instead, as on v2. An absent user
/// namespace is for the plan: an ordinary user always needs one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    pub pid: Join,
    pub ipc: Join,
    pub uts: Join,
    pub cgroup: Join,
    pub user: Option<User>,
    /// Explicit id maps (`--uidmap`, `--gidmap`); if only one kind is given, the other is the same.
    pub uid_map: Vec<IdMapping>,
    pub gid_map: Vec<IdMapping>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    #[default]
    Private,
    Host,
    Container(ContainerId),
    /// Absolute; a namespace file such as `/proc/7/ns/pid`.
    Path(PathBuf),
}

/// `Path` and `Container` mean that of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    Host,
    /// All of the caller's subordinate ids.
    Private,
    /// A range of its own, which no other container has.
    Auto,
    /// The caller's ids are these (or the same numbers) inside.
    KeepId {
        uid: Option<u32>,
        gid: Option<u32>,
    },
    Container(ContainerId),
    Path(PathBuf),
}

const HOW: &str = "one of private, host, container:NAME, ns:PATH";

/// `container:NAME` and `ns:PATH`, which all kinds share; `None` for another word.
pub(super) fn elsewhere(word: &str) -> Option<Result<Join, Invalid>> {
    if let Some(name) = word.strip_prefix("container:") {
        let name = ContainerId::parse(name).map_err(|error| Invalid::new(error.to_string()));
        return Some(name.map(Join::Container));
    }
    let path = word.strip_prefix("ns:")?;
    Some(if path.starts_with('/') {
        Ok(Join::Path(path.into()))
    } else {
        Err(Invalid::new("the path after ns: is not absolute").hint("ns:/proc/PID/ns/KIND"))
    })
}

impl FromStr for Join {
    type Err = Invalid;

    /// `shareable` is what docker calls an IPC namespace that another container may join; here any may be joined.
    fn from_str(word: &str) -> Result<Self, Invalid> {
        match word {
            "private" | "shareable" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => elsewhere(word).unwrap_or_else(|| Err(Invalid::new("unknown namespace mode").hint(HOW))),
        }
    }
}

impl FromStr for User {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        match word {
            "host" => return Ok(Self::Host),
            "private" => return Ok(Self::Private),
            "auto" => return Ok(Self::Auto),
            "keep-id" => return Ok(Self::KeepId { uid: None, gid: None }),
            _ => {}
        }
        if let Some(options) = word.strip_prefix("keep-id:") {
            return keep_id(options);
        }
        match elsewhere(word) {
            Some(Ok(Join::Container(name))) => Ok(Self::Container(name)),
            Some(Ok(Join::Path(path))) => Ok(Self::Path(path)),
            Some(Err(error)) => Err(error),
            _ => Err(Invalid::new("unknown namespace mode")
                .hint("one of host, private, auto, keep-id[:uid=N,gid=N], container:NAME, ns:PATH")),
        }
    }
}

fn keep_id(options: &str) -> Result<User, Invalid> {
    let (mut uid, mut gid) = (None, None);
    for option in options.split(',') {
        let malformed = || Invalid::new(format!("unknown keep-id option {option:?}")).hint("keep-id:uid=1000,gid=1000");
        let (key, value) = option.split_once('=').ok_or_else(malformed)?;
        let id = text::number(value).filter(|id| mapping(*id, 0, 1).is_some());
        let id = Some(id.ok_or_else(malformed)?);
        match key {
            "uid" => uid = id,
            "gid" => gid = id,
            _ => return Err(malformed()),
        }
    }
    Ok(User::KeepId { uid, gid })
}

/// `CONTAINER:HOST:SIZE`, as `--uidmap` and `--gidmap` take it; the size may be left out for a single id.
///
/// # Errors
/// [`Invalid`] for other shapes, a size of zero, and ids that leave 32 bits.
pub fn id_mapping(text: &str) -> Result<IdMapping, Invalid> {
    let how = "write CONTAINER-ID:HOST-ID:SIZE: 0:100000:65536";
    let malformed = || Invalid::new("not an id mapping").hint(how);
    let mut numbers = text.split(':').map(text::number::<u32>);
    let container_id = numbers.next().flatten().ok_or_else(malformed)?;
    let host_id = numbers.next().flatten().ok_or_else(malformed)?;
    let size = numbers.next().unwrap_or(Some(1)).ok_or_else(malformed)?;
    if numbers.next().is_some() {
        return Err(malformed());
    }
    mapping(container_id, host_id, size).ok_or_else(|| Invalid::new("an empty range, or one past 4294967294").hint(how))
}

/// 2^32 - 1 is `(uid_t) -1`, which is no id (user_namespaces(7)).
pub(super) fn mapping(container_id: u32, host_id: u32, size: u32) -> Option<IdMapping> {
    let fits = |start: u32| start.checked_add(size).is_some();
    (size > 0 && fits(container_id) && fits(host_id)).then_some(IdMapping { container_id, host_id, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_modes() {
        let name = || ContainerId::parse("web").unwrap();
        for (text, mode) in [
            ("private", Join::Private),
            ("shareable", Join::Private),
            ("host", Join::Host),
            ("container:web", Join::Container(name())),
            ("ns:/proc/1/ns/ipc", Join::Path("/proc/1/ns/ipc".into())),
        ] {
            assert_eq!(text.parse(), Ok(mode));
        }
        for (text, mode) in [
            ("host", User::Host),
            ("private", User::Private),
            ("auto", User::Auto),
            ("keep-id", User::KeepId { uid: None, gid: None }),
            ("keep-id:uid=5,gid=6", User::KeepId { uid: Some(5), gid: Some(6) }),
            ("container:web", User::Container(name())),
            ("ns:/n", User::Path("/n".into())),
        ] {
            assert_eq!(text.parse(), Ok(mode));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "unknown namespace mode"),
            ("hots", "unknown namespace mode"),
            ("ns:relative", "the path after ns: is not absolute"),
            ("container:", "invalid container name \"\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"),
        ] {
            assert_eq!(text.parse::<Join>().unwrap_err().why, why);
            assert_eq!(text.parse::<User>().unwrap_err().why, why);
        }
        assert_eq!("keep-id:size=3".parse::<User>().unwrap_err().why, "unknown keep-id option \"size=3\"");
    }

    #[test]
    fn reads_id_mappings() {
        let map = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        assert_eq!(id_mapping("0:100000:65536"), Ok(map(0, 100_000, 65_536)));
        assert_eq!(id_mapping("0:1000"), Ok(map(0, 1000, 1)));
        assert_eq!(id_mapping("0:0:4294967295"), Ok(map(0, 0, u32::MAX)));
        for text in ["", "0", "0:1:2:3", "0:x:1", "-1:0:1", "0:+1:1"] {
            assert_eq!(id_mapping(text).unwrap_err().why, "not an id mapping", "{text}");
        }
        for text in ["0:0:0", "1:0:4294967295", "4294967295:0:1"] {
            assert_eq!(id_mapping(text).unwrap_err().why, "an empty range, or one past 4294967294", "{text}");
        }
    }
}
