//! Mounts: from the options of config.json to attributes, propagation and filesystem data.

use crate::Rejected;
use spec::runtime::{IdMapping, Linux, Mount as Spec};

/// `MOUNT_ATTR_*` of mount_setattr(2).
pub const RDONLY: u64 = 0x1;
pub const NOSUID: u64 = 0x2;
pub const NODEV: u64 = 0x4;
pub const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// `MS_*` propagation types of mount(2).
pub const UNBINDABLE: u64 = 1 << 17;
pub const PRIVATE: u64 = 1 << 18;
pub const SLAVE: u64 = 1 << 19;
pub const SHARED: u64 = 1 << 20;
/// `MS_REC`.
pub const RECURSIVE: u64 = 1 << 14;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A new filesystem. `data`: what fsconfig(2) is told, a flag without value.
    Filesystem { fstype: String, source: String, data: Vec<(String, Option<String>)> },
    /// Part of the host's tree. `handed`: the parent opens it and hands it over, still a peer of the host's mount and
    /// reachable for the host's root; else the child does, with its own rights.
    Bind { path: String, recursive: bool, handed: bool },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    /// Whether set and clear are for the mounts below too (`rro` and its like).
    pub recursive: bool,
    /// `MS_*`, perhaps with `MS_REC`; 0: as it comes.
    pub propagation: u64,
}

/// The maps of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    pub uid: Vec<IdMapping>,
    pub gid: Vec<IdMapping>,
}

impl Ids {
    /// Those of the container's own user namespace.
    #[must_use]
    pub fn of(linux: &Linux) -> Self {
        Self { uid: linux.uid_mappings.clone(), gid: linux.gid_mappings.clone() }
    }
}

/// What is of a map's container id on the disk is seen, on the host, as of its host id (mount_setattr(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idmap {
    pub ids: Ids,
    /// Of the mounts below, too.
    pub recursive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: Source,
    pub idmap: Option<Idmap>,
    /// Absolute, inside the container's root.
    pub destination: String,
    pub attributes: Attributes,
    /// Begins with a copy of what it covers in the container's root (`tmpcopyup`).
    pub filled: bool,
    /// The options as config.json has them, for the shell form.
    pub options: Vec<String>,
}

/// (option, set, clear), each with a recursive form that starts with `r`.
const FLAGS: [(&str, u64, u64); 18] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME),
    ("atime", 0, ATIME),
    ("relatime", 0, ATIME),
    ("norelatime", STRICTATIME, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nostrictatime", 0, ATIME),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
];

/// What is more than a word for the filesystem: for who asks which options there are.
#[must_use]
pub fn options() -> Vec<String> {
    let recursive = |(name, ..): &(&str, u64, u64)| [(*name).to_owned(), format!("r{name}")];
    let kinds =
        ["private", "slave", "shared", "unbindable"].into_iter().flat_map(|kind| [kind.to_owned(), format!("r{kind}")]);
    let binds = ["bind", "rbind", "idmap", "ridmap", "tmpcopyup", "defaults", "async"].map(str::to_owned);
    // What the kernel takes for any file system that is made (fs/fs_context.c).
    let made = ["dirsync", "lazytime", "mand", "nolazytime", "nomand", "sync"].map(str::to_owned);
    let mut all: Vec<String> = FLAGS.iter().flat_map(recursive).chain(kinds).chain(binds).chain(made).collect();
    all.sort_unstable();
    all
}

fn flag(option: &str) -> Option<(u64, u64, bool)> {
    let find = |name: &str| FLAGS.iter().find(|(known, ..)| *known == name);
    if let Some((_, set, clear)) = find(option) {
        return Some((*set, *clear, false));
    }
    find(option.strip_prefix('r')?).map(|(_, set, clear)| (*set, *clear, true))
}

/// `MS_*` of `rslave` and the like.
pub(crate) fn propagation(option: &str) -> Option<u64> {
    let (recursive, name) = match option.strip_prefix('r') {
        Some(name) => (RECURSIVE, name),
        None => (0, option),
    };
    let kind = match name {
        "private" => PRIVATE,
        "slave" => SLAVE,
        "shared" => SHARED,
        "unbindable" => UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

/// One entry of config.json's `mounts`.
///
/// # Errors
/// For a destination that is not absolute, a source that is missing, an option that means nothing for the kind.
pub fn parse(spec: &Spec) -> Result<Mount, Rejected> {
    let what = || format!("cannot mount {} on {}", spec.source, spec.destination);
    if !spec.destination.starts_with('/') {
        return Err(Rejected::new(what(), "the destination is not an absolute path"));
    }
    let mut attributes = Attributes::default();
    let mut data = Vec::new();
    let mut bind = None;
    let mut filled = false;
    let mut shifted = (!spec.uid_mappings.is_empty()).then_some(false);
    for option in &spec.options {
        match option.as_str() {
            "bind" => bind = bind.or(Some(false)),
            "rbind" => bind = Some(true),
            "idmap" => shifted = Some(false),
            "ridmap" => shifted = Some(true),
            "tmpcopyup" if spec.kind == "tmpfs" => filled = true,
            // One of no letters: podman's `--systemd` sends it, and mount(2) takes it.
            "defaults" | "async" | "nouser" | "noauto" | "" => {}
            option => {
                if let Some((set, clear, recursive)) = flag(option) {
                    attributes.set = attributes.set & !clear | set;
                    attributes.clear = attributes.clear & !set | clear;
                    attributes.recursive |= recursive;
                } else if let Some(kind) = propagation(option) {
                    attributes.propagation = kind;
                } else {
                    data.push(match option.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (option.to_owned(), None),
                    });
                }
            }
        }
    }
    let bind = bind.or((spec.kind == "bind").then_some(false));
    let source = match bind {
        Some(_) if spec.source.is_empty() => {
            return Err(Rejected::new(what(), "a bind mount needs a source"));
        }
        Some(recursive) => {
            if let Some((key, _)) = data.first() {
                return Err(Rejected::new(what(), format!("a bind mount has no option {key:?}")));
            }
            Source::Bind { path: spec.source.clone(), recursive, handed: false }
        }
        None if shifted.is_some() => return Err(Rejected::new(what(), "only the ids of a bind mount can be shifted")),
        None if spec.kind.is_empty() => return Err(Rejected::new(what(), "the filesystem type is missing")),
        None => {
            // A new filesystem has no attributes to clear.
            attributes.clear = 0;
            Source::Filesystem { fstype: spec.kind.clone(), source: spec.source.clone(), data }
        }
    };
    let ids = || Ids { uid: spec.uid_mappings.clone(), gid: spec.gid_mappings.clone() };
    let idmap = shifted.map(|recursive| Idmap { ids: ids(), recursive });
    Ok(Mount {
        source,
        idmap,
        destination: spec.destination.clone(),
        attributes,
        filled,
        options: spec.options.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: &str, options: &[&str]) -> Spec {
        Spec {
            destination: "/d".into(),
            kind: kind.into(),
            source: "s".into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Spec::default()
        }
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let mount = parse(&spec("bind", &["rbind", "ro", "rw", "noexec"])).unwrap();
        assert_eq!((mount.attributes.set, mount.attributes.clear), (NOEXEC, RDONLY));
        assert_eq!(mount.source, Source::Bind { path: "s".into(), recursive: true, handed: false });
    }

    #[test]
    fn recursive_forms_and_propagation() {
        let mount = parse(&spec("bind", &["bind", "rro", "rslave"])).unwrap();
        assert_eq!(
            mount.attributes,
            Attributes { set: RDONLY, clear: 0, recursive: true, propagation: SLAVE | RECURSIVE }
        );
    }

    #[test]
    fn what_is_no_flag_is_data() {
        let mount = parse(&spec("tmpfs", &["nosuid", "size=64m", "", "inode64"])).unwrap();
        let data = vec![("size".to_owned(), Some("64m".to_owned())), ("inode64".to_owned(), None)];
        assert_eq!(mount.source, Source::Filesystem { fstype: "tmpfs".into(), source: "s".into(), data });
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        assert!(parse(&Spec { destination: "d".into(), ..spec("tmpfs", &[]) }).is_err());
        assert!(parse(&spec("bind", &["size=1"])).is_err());
        assert!(parse(&spec("", &[])).is_err());
    }
}
