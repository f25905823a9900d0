//! Mounts: `--volume`, `--mount`, `--tmpfs`, `--volumes-from`.

mod csv;
mod long;
mod object;
mod short;

use super::{Invalid, namespace, text};
use serde::{Deserialize, Serialize};
use spec::runtime::IdMapping;
use std::path::PathBuf;

pub use long::{local, long};
pub use object::{Driver, From, Image, Object, from, name};
pub use short::{tmpfs, volume};
pub use text::target;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// In the container: absolute and without `.`, `..` or doubled slashes; not `/`.
    pub target: String,
    pub flags: Flags,
    pub kind: Kind,
}

/// Mount flags as asked for; absent is the default of the kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    pub read_only: bool,
    pub exec: Option<bool>,
    pub dev: Option<bool>,
    pub suid: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Bind(Bind),
    Tmpfs(Tmpfs),
    Volume(Object),
    Image(Image),
    Devpts(Devpts),
}

impl Default for Kind {
    fn default() -> Self {
        Self::Volume(Object::default())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the host. As typed, so perhaps relative, until the caller has made it absolute.
    pub source: PathBuf,
    /// Make the directory if it is missing, as docker's `-v` does and `--mount` does not.
    pub create: bool,
    pub recursion: Recursion,
    /// Absent: private (recursively).
    pub propagation: Option<Propagation>,
    pub relabel: Option<Relabel>,
    /// Give the tree to the container's user (`:U`).
    pub chown: bool,
    pub idmap: Option<Idmap>,
}

/// What happens to mounts below the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recursion {
    /// They come along; a read-only flag reaches them where the kernel can (5.12), as docker does since 25.
    #[default]
    Recursive,
    /// They come along; a read-only flag leaves them as they are.
    WritableBelow,
    /// They come along; a read-only flag must reach them.
    ReadOnlyBelow,
    /// They stay behind.
    Alone,
}

/// mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    Private,
    RecursivePrivate,
    Slave,
    RecursiveSlave,
    Shared,
    RecursiveShared,
    Unbindable,
    RecursiveUnbindable,
}

impl Propagation {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "private" => Self::Private,
            "rprivate" => Self::RecursivePrivate,
            "slave" => Self::Slave,
            "rslave" => Self::RecursiveSlave,
            "shared" => Self::Shared,
            "rshared" => Self::RecursiveShared,
            "unbindable" => Self::Unbindable,
            "runbindable" => Self::RecursiveUnbindable,
            _ => return None,
        })
    }

    /// The OCI mount option.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::RecursivePrivate => "rprivate",
            Self::Slave => "slave",
            Self::RecursiveSlave => "rslave",
            Self::Shared => "shared",
            Self::RecursiveShared => "rshared",
            Self::Unbindable => "unbindable",
            Self::RecursiveUnbindable => "runbindable",
        }
    }
}

/// SELinux: `z` shares the content among containers, `Z` keeps it to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relabel {
    Shared,
    Private,
}

/// mount_setattr(2) `MOUNT_ATTR_IDMAP`. Both empty: the map of the container's user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idmap {
    pub uids: Vec<IdMapping>,
    pub gids: Vec<IdMapping>,
}

/// What is absent is the kernel's default (tmpfs(5)), except the mode, which is 1777 as in docker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    pub size: Option<TmpfsSize>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub inodes: Option<u64>,
}

/// Another devpts than the one at /dev/pts; what is absent is the kernel's default (Documentation/filesystems/devpts.rst).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Devpts {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mode: Option<u32>,
    /// So many terminals at most.
    pub max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TmpfsSize {
    Bytes(spec::unit::Size),
    /// Of the machine's memory.
    Percent(u8),
}

impl Tmpfs {
    /// Takes one `key=value`; `None` if the key is none of tmpfs's.
    fn set(&mut self, key: &str, value: &str) -> Option<Result<(), Invalid>> {
        let bad = |what: &str| Invalid::new(format!("{key}={value}: not {what}"));
        Some(match key {
            "size" => tmpfs_size(value).map(|size| self.size = Some(size)),
            "mode" => {
                mode(value).map(|mode| self.mode = Some(mode)).ok_or_else(|| bad("an octal mode").hint("mode=1777"))
            }
            "uid" => text::number(value).map(|id| self.uid = Some(id)).ok_or_else(|| bad("a number")),
            "gid" => text::number(value).map(|id| self.gid = Some(id)).ok_or_else(|| bad("a number")),
            "nr_inodes" => {
                let inodes = value.parse::<spec::unit::Size>().ok().map(spec::unit::Size::bytes);
                inodes.map(|inodes| self.inodes = Some(inodes)).ok_or_else(|| bad("a number"))
            }
            _ => return None,
        })
    }
}

fn tmpfs_size(text: &str) -> Result<TmpfsSize, Invalid> {
    let Some(percent) = text.strip_suffix('%') else {
        return text.parse().map(TmpfsSize::Bytes);
    };
    let percent = text::number(percent).filter(|percent| (1..=100).contains(percent));
    percent.map(TmpfsSize::Percent).ok_or_else(|| Invalid::new(format!("{text:?} is not from 1% to 100%")))
}

pub(super) fn mode(text: &str) -> Option<u32> {
    let octal = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o7777)
}

/// podman's `idmap=uids=0-1000-1#1-100000-10;gids=…`: container-host-size, all three needed.
fn idmap(text: &str) -> Result<Idmap, Invalid> {
    let malformed = || Invalid::new(format!("{text:?} is not an id map")).hint("idmap=uids=0-1000-1;gids=0-1000-1");
    let mut map = Idmap::default();
    for part in text.split(';') {
        let (side, ranges) = part.split_once('=').ok_or_else(malformed)?;
        let ranges = ranges.split('#').map(|range| id_range(range).ok_or_else(malformed));
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        match side {
            "uids" => map.uids = ranges,
            "gids" => map.gids = ranges,
            _ => return Err(malformed()),
        }
    }
    if map.uids.is_empty() || map.gids.is_empty() {
        return Err(malformed());
    }
    Ok(map)
}

fn id_range(text: &str) -> Option<IdMapping> {
    let mut numbers = text.split('-').map(text::number::<u32>);
    let (container, host, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if numbers.next().is_some() {
        return None;
    }
    namespace::mapping(container, host, size)
}

/// Sets what a flag may set only once; `text` is the option for the message.
pub(super) fn once<T>(slot: &mut Option<T>, value: T, text: &str) -> Result<(), Invalid> {
    if slot.replace(value).is_some() {
        return Err(Invalid::new(format!("{text:?} repeats or contradicts an earlier option")).hint("keep one of them"));
    }
    Ok(())
}

/// The flags that all spellings share, while they are being read.
#[derive(Default)]
struct Seen {
    read_only: Option<bool>,
    exec: Option<bool>,
    dev: Option<bool>,
    suid: Option<bool>,
}

impl Seen {
    /// `Ok(false)`: the word is none of these.
    fn word(&mut self, word: &str) -> Result<bool, Invalid> {
        let (slot, value) = match word {
            "ro" => (&mut self.read_only, true),
            "rw" => (&mut self.read_only, false),
            "exec" => (&mut self.exec, true),
            "noexec" => (&mut self.exec, false),
            "dev" => (&mut self.dev, true),
            "nodev" => (&mut self.dev, false),
            "suid" => (&mut self.suid, true),
            "nosuid" => (&mut self.suid, false),
            _ => return Ok(false),
        };
        once(slot, value, word).map(|()| true)
    }

    fn flags(&self) -> Flags {
        Flags { read_only: self.read_only.unwrap_or(false), exec: self.exec, dev: self.dev, suid: self.suid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_id_maps() {
        let map = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        let read = idmap("uids=0-1000-1#1-100000-10;gids=0-1000-1").unwrap();
        assert_eq!(read.uids, [map(0, 1000, 1), map(1, 100_000, 10)]);
        assert_eq!(read.gids, [map(0, 1000, 1)]);
        for text in
            ["", "uids=0-0-1", "uids=0-0-1;gids=0-0", "uids=0-0-0;gids=0-0-1", "x=0-0-1", "uids=@0-0-1;gids=0-0-1"]
        {
            assert!(idmap(text).unwrap_err().why.ends_with("is not an id map"), "{text}");
        }
    }
}
