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
/// What a bind that names any flag has or has not, as named.
const ACCESS: u64 = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;
/// Stands for `relatime`, whose attribute is 0.
const RELATIME: u64 = 1 << 40;
/// What `mount_setattr(2)` takes as one choice, and the other that mount(2) changes together with it.
const TIMES: u64 = ATIME | NODIRATIME;

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
    /// Part of the host's tree, or of the container's own.
    /// `below`: what is mounted of it, resolved inside of it.
    Bind { path: String, below: Option<String>, recursive: bool, opened: Opened },
}

/// Who opens the source of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// The parent opens it and hands it over, still a peer of the host's mount and reachable for the host's root.
    ByParent,
    /// The child, with its own rights.
    ByChild,
    /// The child, in the container's root, with what is mounted there by then.
    Inside,
}

/// `MOUNT_ATTR_*` to set, and to clear before that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    pub set: u64,
    pub clear: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub own: Flags,
    /// Those of `own.clear` that were asked for by name (`rw`, `exec`).
    pub named: u64,
    /// Of the mounts below, too (`rro` and its like).
    pub all: Flags,
    /// Flags that a bind's source has stay: it is seen from another user namespace, which could not take them off
    /// either (mount_namespaces(7)). To ask for it is an error.
    pub locked: bool,
    /// `MS_*`, perhaps with `MS_REC`; 0: as it comes.
    pub propagation: u64,
}

impl Attributes {
    #[must_use]
    pub fn read_only() -> Self {
        Self { own: Flags { set: RDONLY, clear: 0 }, ..Self::default() }
    }
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

/// Whose maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maps {
    These(Ids),
    /// Those of this user namespace.
    Of(String),
}

/// What is of a map's container id on the disk is seen, on the host, as of its host id (mount_setattr(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idmap {
    pub maps: Maps,
    /// Of the mounts below, too.
    pub recursive: bool,
}

/// What becomes of a link at the end of a path: crun's `src-nofollow`, `dest-nofollow` and `copy-symlink`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Links {
    /// It is itself what is mounted.
    pub source: bool,
    /// It is itself what is mounted on.
    pub destination: bool,
    /// One that is the source is made anew at the destination.
    pub copied: bool,
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
    pub links: Links,
    /// The options as config.json has them, for the shell form.
    pub options: Vec<String>,
}

/// (option, attribute, whether it takes it away), each with a recursive form that starts with `r`.
const FLAGS: [(&str, u64, bool); 18] = [
    ("ro", RDONLY, false),
    ("rw", RDONLY, true),
    ("nosuid", NOSUID, false),
    ("suid", NOSUID, true),
    ("nodev", NODEV, false),
    ("dev", NODEV, true),
    ("noexec", NOEXEC, false),
    ("exec", NOEXEC, true),
    ("nosymfollow", NOSYMFOLLOW, false),
    ("symfollow", NOSYMFOLLOW, true),
    ("nodiratime", NODIRATIME, false),
    ("diratime", NODIRATIME, true),
    ("noatime", NOATIME, false),
    ("atime", NOATIME, true),
    ("relatime", RELATIME, false),
    ("norelatime", RELATIME, true),
    ("strictatime", STRICTATIME, false),
    ("nostrictatime", STRICTATIME, true),
];

/// Filesystems of the kernel's own. Others are told that they are read-only, too: their device may be.
const IN_MEMORY: [&str; 8] = ["tmpfs", "proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "devtmpfs"];

/// Of a filesystem, not of a mount: to a bind they mean nothing, as to mount(2).
const SUPERBLOCK: [&str; 10] =
    ["sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime", "iversion", "noiversion", "remount"];
/// So many of them the kernel takes for any that is made (fs/fs_context.c).
const MADE: usize = 7;

/// What is more than a word for the filesystem: for who asks which options there are.
#[must_use]
pub fn options() -> Vec<String> {
    let recursive = |(name, ..): &(&str, u64, bool)| [(*name).to_owned(), format!("r{name}")];
    let kinds =
        ["private", "slave", "shared", "unbindable"].into_iter().flat_map(|kind| [kind.to_owned(), format!("r{kind}")]);
    let binds = ["bind", "rbind", "idmap", "ridmap", "src-nofollow", "dest-nofollow", "copy-symlink"];
    let others = ["tmpcopyup", "defaults", "silent", "loud"];
    let binds = binds.into_iter().chain(others).chain(SUPERBLOCK[..MADE].iter().copied()).map(str::to_owned);
    let mut all: Vec<String> = FLAGS.iter().flat_map(recursive).chain(kinds).chain(binds).collect();
    all.sort_unstable();
    all
}

/// What the flags of one mount add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Named {
    set: u64,
    cleared: u64,
}

impl Named {
    fn add(&mut self, attribute: u64, takes_away: bool) {
        let (from, to) =
            if takes_away { (&mut self.set, &mut self.cleared) } else { (&mut self.cleared, &mut self.set) };
        *from &= !attribute;
        *to |= attribute;
    }

    fn is_empty(self) -> bool {
        self.set | self.cleared == 0
    }

    /// mount(2): one that names none keeps the times of its source; the stronger wins.
    fn times(self) -> Flags {
        let set = match self.set & (STRICTATIME | NOATIME | RELATIME) {
            0 if self.set & NODIRATIME == 0 => return Flags::default(),
            all if all & STRICTATIME != 0 => STRICTATIME,
            all => all & NOATIME,
        };
        Flags { set: set | self.set & NODIRATIME, clear: TIMES }
    }

    /// As runc and crun remount a bind: what is not named is not there. mount(8) is of two minds
    /// (util-linux issue 2433).
    fn exactly(self) -> Flags {
        if self.is_empty() {
            return Flags::default();
        }
        let Flags { set, clear } = self.times();
        Flags { set: set | self.set & ACCESS, clear: clear | ACCESS & !self.set }
    }

    /// mount_setattr(2): each for itself, but the three ways to keep the time of access are one choice.
    fn each(self) -> Flags {
        let times = if (self.set | self.cleared) & (NOATIME | STRICTATIME | RELATIME) == 0 { 0 } else { ATIME };
        Flags { set: self.set & !RELATIME, clear: self.cleared & !RELATIME | times }
    }
}

/// The attribute, whether it is taken away, and whether from the mounts below, too.
fn flag(option: &str) -> Option<(u64, bool, bool)> {
    let find = |name: &str| FLAGS.iter().find(|(known, ..)| *known == name);
    let plain = find(option).map(|(_, attribute, takes_away)| (*attribute, *takes_away, false));
    plain.or_else(|| find(option.strip_prefix('r')?).map(|(_, attribute, takes_away)| (*attribute, *takes_away, true)))
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

/// Whether it is /proc or below it, and none of the files that lxcfs shows (CVE-2019-16884, CVE-2019-19921). Where links
/// of the image lead is for the child to see.
#[must_use]
pub fn covers_proc(destination: &str) -> bool {
    const SHOWN: [&str; 10] = [
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    let mut names: Vec<&str> = Vec::new();
    for name in destination.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.first() == Some(&"proc") && !SHOWN.contains(&names[1..].join("/").as_str())
}

/// # Errors
/// It would cover the kernel's files, or the masks on them: on /proc goes a procfs only.
pub(crate) fn check_proc(spec: &Spec) -> Result<(), Rejected> {
    let path = |text: &str| text.split('/').filter(|name| !matches!(*name, "" | ".")).collect::<Vec<_>>().join("/");
    let is_procfs = spec.kind == "proc" || path(&spec.source) == "proc";
    if !covers_proc(&spec.destination) || is_procfs && path(&spec.destination) == "proc" {
        return Ok(());
    }
    let why = "it would cover the kernel's own files there, and the masks on them";
    Err(Rejected::new(format!("cannot mount on {}", spec.destination), why).hint("mount it elsewhere"))
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
    let (mut own, mut all) = (Named::default(), Named::default());
    let mut data = Vec::new();
    let mut bind = None;
    let mut filled = false;
    let mut links = Links::default();
    let mut shifted = (!spec.uid_mappings.is_empty()).then_some(false);
    for option in &spec.options {
        match option.as_str() {
            "bind" => bind = bind.or(Some(false)),
            "rbind" => bind = Some(true),
            "idmap" => shifted = Some(false),
            "ridmap" => shifted = Some(true),
            "tmpcopyup" if spec.kind == "tmpfs" => filled = true,
            "src-nofollow" => links.source = true,
            "dest-nofollow" => links.destination = true,
            "copy-symlink" => links.copied = true,
            // One of no letters: podman's `--systemd` sends it, and mount(2) takes it.
            "defaults" | "nouser" | "noauto" | "silent" | "loud" | "" => {}
            option => {
                if let Some((attribute, takes_away, recursive)) = flag(option) {
                    if recursive { &mut all } else { &mut own }.add(attribute, takes_away);
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
            let means_nothing = |(key, _): &&(String, _)| !SUPERBLOCK.contains(&key.as_str());
            if let Some((key, _)) = data.iter().find(means_nothing) {
                return Err(Rejected::new(what(), format!("a bind mount has no option {key:?}")));
            }
            (attributes.own, attributes.named) = (own.exactly(), (own.cleared | all.cleared) & ACCESS);
            Source::Bind { path: spec.source.clone(), below: None, recursive, opened: Opened::ByChild }
        }
        None if links.source || links.copied => {
            return Err(Rejected::new(what(), "only the source of a bind mount can be a link"));
        }
        None if shifted.is_some() => return Err(Rejected::new(what(), "only the ids of a bind mount can be shifted")),
        None if spec.kind.is_empty() => return Err(Rejected::new(what(), "the filesystem type is missing")),
        None => {
            // A new filesystem has no attributes to clear.
            attributes.own.set = own.set & ACCESS | own.times().set;
            if own.set & RDONLY != 0 && !IN_MEMORY.contains(&spec.kind.as_str()) {
                data.push(("ro".to_owned(), None));
            }
            Source::Filesystem { fstype: spec.kind.clone(), source: spec.source.clone(), data }
        }
    };
    attributes.all = all.each();
    let ids = || Ids { uid: spec.uid_mappings.clone(), gid: spec.gid_mappings.clone() };
    let idmap = shifted.map(|recursive| Idmap { maps: Maps::These(ids()), recursive });
    Ok(Mount {
        source,
        idmap,
        destination: spec.destination.clone(),
        attributes,
        filled,
        links,
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
        assert_eq!(mount.attributes.own, Flags { set: NOEXEC, clear: ACCESS & !NOEXEC });
        assert_eq!(mount.attributes.named, RDONLY);
        assert_eq!(
            mount.source,
            Source::Bind { path: "s".into(), below: None, recursive: true, opened: Opened::ByChild }
        );
    }

    #[test]
    fn recursive_forms_and_propagation() {
        let mount = parse(&spec("bind", &["bind", "rro", "rslave"])).unwrap();
        let all = Flags { set: RDONLY, clear: 0 };
        assert_eq!(mount.attributes, Attributes { all, propagation: SLAVE | RECURSIVE, ..Attributes::default() });
    }

    #[test]
    fn what_a_bind_does_not_name_is_as_its_source_or_not_there() {
        let own = |options: &[&str]| parse(&spec("bind", options)).unwrap().attributes.own;
        assert_eq!(own(&["bind", "rnoatime", "sync"]), Flags::default());
        assert_eq!(own(&["bind", "atime"]), Flags { set: 0, clear: ACCESS });
        assert_eq!(own(&["bind", "relatime"]), Flags { set: 0, clear: ACCESS | TIMES });
        assert_eq!(own(&["bind", "noatime", "strictatime"]), Flags { set: STRICTATIME, clear: ACCESS | TIMES });
        assert_eq!(own(&["bind", "nodiratime"]), Flags { set: NODIRATIME, clear: ACCESS | TIMES });
        let all = |options: &[&str]| parse(&spec("bind", options)).unwrap().attributes.all;
        assert_eq!(all(&["bind", "rnorelatime"]), Flags { set: 0, clear: ATIME });
        assert_eq!(all(&["bind", "rstrictatime"]), Flags { set: STRICTATIME, clear: ATIME });
        assert_eq!(all(&["bind", "ratime", "rexec"]), Flags { set: 0, clear: ATIME | NOEXEC });
    }

    #[test]
    fn what_is_no_flag_is_data() {
        let mount = parse(&spec("tmpfs", &["nosuid", "size=64m", "", "inode64"])).unwrap();
        let data = vec![("size".to_owned(), Some("64m".to_owned())), ("inode64".to_owned(), None)];
        assert_eq!(mount.source, Source::Filesystem { fstype: "tmpfs".into(), source: "s".into(), data });
    }

    #[test]
    fn what_covers_proc() {
        for path in ["/proc", "//proc/", "/proc/self", "/proc/sys/kernel", "/x/../proc/./1", "/proc/uptime/.."] {
            assert!(covers_proc(path), "{path}");
        }
        for path in ["/process", "/x/proc", "/proc/../x", "/proc/uptime", "/proc/sys/kernel/ns_last_pid", "/"] {
            assert!(!covers_proc(path), "{path}");
        }
        let at = |kind: &str, source: &str| {
            check_proc(&Spec { destination: "/proc".into(), source: source.into(), ..spec(kind, &[]) }).is_ok()
        };
        assert!(at("proc", "proc") && at("bind", "/proc/") && !at("bind", "/proc/1") && !at("tmpfs", "tmpfs"));
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        assert!(parse(&Spec { destination: "d".into(), ..spec("tmpfs", &[]) }).is_err());
        assert!(parse(&spec("bind", &["size=1"])).is_err());
        assert!(parse(&spec("", &[])).is_err());
    }
}
