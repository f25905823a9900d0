//! The steps that make a container's cgroup, and the verbs that take it away.

use super::device::{Exceptions, Insn};
use super::limit::Limit;
use super::property::Property;
use crate::shell::quote;
use crate::undo::Verb;
use spec::bus::Value;
use std::fmt::Write as _;

/// In the parent, before the clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostStep {
    Create(Create),
    Limit(Limit),
    Devices(DeviceList),
    Filter(DeviceFilter),
    /// v2: controllers in directories that somebody else made, the uppermost first.
    Enable {
        levels: Vec<String>,
        controllers: Vec<String>,
    },
    /// v2: the container's user may make cgroups below its own (cgroups(7), "Delegation").
    Delegate {
        dir: String,
        uid: u32,
    },
}

/// In the parent, when the child is there.
#[derive(Debug, Clone, PartialEq)]
pub enum AttachStep {
    Scope(Scope),
    Enter(Enter),
    /// In what systemd made.
    Host(HostStep),
}

/// A scope that is there takes the child, too: systemd moves it where an ordinary user may not, from a cgroup that is not
/// his own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enter {
    pub address: String,
    pub unit: String,
    /// Of the unit's own, from `/` on.
    pub below: String,
}

/// A unit of systemd's that has the child in it; the cgroup is systemd's to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// Of systemd's own, or the bus that it is on.
    pub address: String,
    pub unit: String,
    /// All but the process.
    pub properties: Vec<Property>,
    /// Its directories in the hierarchies that systemd keeps its units in.
    pub dirs: Vec<String>,
}

impl Scope {
    fn shell(&self) -> String {
        let mut words = vec!["PIDs".to_owned(), "au".to_owned(), "1".to_owned(), "$PID".to_owned()];
        for (name, value) in &self.properties {
            words.push(name.clone());
            words.extend(Value::Variant(Box::new(value.clone())).words());
        }
        let words: Vec<String> =
            words.iter().map(|word| if word == "$PID" { word.clone() } else { quote(word) }).collect();
        let start = format!(
            "{} StartTransientUnit 'ssa(sv)a(sa(sv))' {} replace {} {} 0",
            busctl(&self.address),
            quote(&self.unit),
            self.properties.len() + 1,
            words.join(" ")
        );
        let wait = |dir: &String| {
            format!("\nuntil grep -qsx $PID {}; do sleep 0.02; done", quote(&format!("{dir}/cgroup.procs")))
        };
        start + &self.dirs.iter().map(wait).collect::<String>()
    }
}

fn busctl(address: &str) -> String {
    format!(
        "busctl --address={} call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager",
        quote(address)
    )
}

impl AttachStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Scope(scope) => {
                format!("systemd makes the cgroup, as that of {}, and puts the process there", scope.unit)
            }
            Self::Enter(Enter { unit, .. }) => format!("systemd puts the process into {unit}"),
            Self::Host(step) => step.why(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Scope(scope) => scope.shell(),
            Self::Enter(Enter { address, unit, below }) => {
                let (unit, below) = (quote(unit), quote(below));
                format!("{} AttachProcessesToUnit ssau {unit} {below} 1 $PID", busctl(address))
            }
            Self::Host(step) => step.shell(),
        }
    }

    #[must_use]
    pub fn undo(&self) -> Vec<Verb> {
        match self {
            Self::Scope(Scope { address, unit, dirs, .. }) => {
                let stop = Undo::StopUnit { address: address.clone(), unit: unit.clone() };
                let remove = |dir: &String| {
                    let keep = dir.rsplit_once('/').map_or("/", |(above, _)| above);
                    Undo::Remove { dir: dir.clone(), keep: keep.to_owned() }
                };
                // The last is undone first: systemd would ask the processes to end, and wait.
                std::iter::once(stop).chain(dirs.iter().map(remove)).map(Verb::Cgroup).collect()
            }
            Self::Enter(_) => Vec::new(),
            Self::Host(step) => step.undo(),
        }
    }
}

/// A directory in one hierarchy, with those above it that don't exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Exists already.
    pub anchor: String,
    /// Under the anchor; the last is the container's own, the others are shared.
    pub components: Vec<String>,
    /// How many leading components stay when the container goes, but for those that another container's sampan made,
    /// which it marked as its own. The others are removed once they are empty.
    pub keep: usize,
    pub version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// `cpuset`: a new directory has no CPUs and no memory nodes, takes no process, and copies its parent's.
    V1 { cpuset: bool },
    /// A resctrl group; `ours`: the container's alone, which goes with it.
    Resctrl { ours: bool },
    /// The controllers are enabled in each directory above the container's own, `first` (0: the anchor) being the
    /// uppermost.
    V2 { controllers: Vec<String>, first: usize },
}

impl Create {
    /// The directory after `depth` components: 0 is the anchor.
    #[must_use]
    pub fn level(&self, depth: usize) -> String {
        let mut path = self.anchor.clone();
        for name in &self.components[..depth] {
            // A hierarchy may be mounted at the root of a mount namespace.
            let slash = if path.ends_with('/') { "" } else { "/" };
            let _ = write!(path, "{slash}{name}");
        }
        path
    }

    /// The container's own.
    #[must_use]
    pub fn dir(&self) -> String {
        self.level(self.components.len())
    }

    fn shell(&self) -> String {
        let dir = self.dir();
        match &self.version {
            Version::V1 { cpuset: false } => format!("mkdir -p {}", quote(&dir)),
            Version::Resctrl { .. } => format!("mkdir {}", quote(&dir)),
            Version::V1 { cpuset: true } => {
                let mut text = format!("mkdir -p {}", quote(&dir));
                for depth in 1..=self.components.len() {
                    let (above, below) = (quote(&self.level(depth - 1)), quote(&self.level(depth)));
                    for file in CPUSET {
                        let _ =
                            write!(text, "\n[ -n \"$(cat {below}/{file})\" ] || cat {above}/{file} > {below}/{file}");
                    }
                }
                text
            }
            Version::V2 { controllers, first } => {
                let shared = self.components.len() - 1;
                let mut text = String::new();
                if shared > 0 {
                    let _ = writeln!(text, "mkdir -p {}", quote(&self.level(shared)));
                }
                if !controllers.is_empty() {
                    for depth in *first..=shared {
                        let file = format!("{}/cgroup.subtree_control", self.level(depth));
                        let _ = writeln!(text, "echo {} > {}", quote(&enable(controllers)), quote(&file));
                    }
                }
                text + &format!("mkdir {}", quote(&dir))
            }
        }
    }
}

/// Where the kernel lists the files that go with a directory that is delegated.
pub const DELEGATE: &str = "/sys/kernel/cgroup/delegate";

/// What a v1 cpuset inherits.
pub const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// `+memory +pids`, for cgroup.subtree_control.
#[must_use]
pub fn enable<S: AsRef<str>>(controllers: &[S]) -> String {
    controllers.iter().map(|name| format!("+{}", name.as_ref())).collect::<Vec<_>>().join(" ")
}

/// v1: devices.allow and devices.deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    pub dir: String,
    pub rules: Exceptions,
}

impl DeviceList {
    /// Files and what is written to each, in this order: the default first, as that forgets all exceptions.
    pub fn writes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let files = ["devices.deny", "devices.allow"];
        let default = usize::from(self.rules.allow_by_default);
        let exceptions = self.rules.list.iter().map(move |it| (files[1 - default], it.to_string()));
        std::iter::once((files[default], "a".to_owned())).chain(exceptions)
    }

    /// What devices.list then says. A list of what is denied can't be read.
    pub fn lines(&self) -> Vec<String> {
        if self.rules.allow_by_default {
            vec!["a *:* rwm".to_owned()]
        } else {
            self.rules.list.iter().map(ToString::to_string).collect()
        }
    }
}

/// v2: an eBPF program that the kernel asks at each mknod and open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFilter {
    pub dir: String,
    pub program: Vec<Insn>,
}

/// In the child, between clone and exec, and before it makes its cgroup namespace, whose root is where it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitStep {
    /// Write `0`, which is the writer itself, to this file, opened by the parent before the clone.
    ///
    /// It is the child who does it, and `tasks` rather than `cgroup.procs`, because moving any other process, or a whole
    /// thread group, takes a lock that waits for an RCU grace period: 11 ms here, where this takes 12 µs.
    Join { file: String },
}

impl HostStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Create(create) => match &create.version {
                Version::V1 { .. } => "a cgroup of its own in this hierarchy".into(),
                Version::Resctrl { .. } => "a group that has its share of caches and memory bandwidth".into(),
                Version::V2 { controllers, .. } if controllers.is_empty() => {
                    "a cgroup of its own, by which all its processes are found, frozen and killed at once".into()
                }
                Version::V2 { controllers, .. } => format!("a cgroup of its own, with {}", controllers.join(", ")),
            },
            Self::Limit(limit) => limit.why(),
            Self::Devices(_) | Self::Filter(_) => {
                "of the host's devices only those that the container was given".into()
            }
            Self::Enable { controllers, .. } => format!("a cgroup with {}", controllers.join(", ")),
            Self::Delegate { .. } => "what it has is the container's to divide".into(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Create(create) => create.shell(),
            Self::Limit(limit) => limit.shell(),
            Self::Devices(list) => list
                .writes()
                .map(|(file, line)| format!("echo {} > {}", quote(&line), quote(&format!("{}/{file}", list.dir))))
                .collect::<Vec<_>>()
                .join("\n"),
            Self::Filter(filter) => format!(
                "# no shell equivalent: bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, {} instructions), then \
                 bpf(BPF_PROG_ATTACH) to {}",
                filter.program.len(),
                filter.dir
            ),
            Self::Enable { levels, controllers } => levels
                .iter()
                .map(|level| {
                    let file = quote(&format!("{level}/cgroup.subtree_control"));
                    format!("echo {} > {file}", quote(&enable(controllers)))
                })
                .collect::<Vec<_>>()
                .join("\n"),
            Self::Delegate { dir, uid } => {
                let dir = quote(dir);
                format!("chown {uid} {dir}; (cd {dir} && chown {uid} $(ls -d $(cat {DELEGATE}) 2>/dev/null))")
            }
        }
    }

    /// Only a directory needs undoing: limits and programs go with it.
    #[must_use]
    pub fn undo(&self) -> Vec<Verb> {
        match self {
            Self::Create(Create { version: Version::Resctrl { ours: false }, .. }) => Vec::new(),
            Self::Create(create) => {
                vec![Verb::Cgroup(Undo::Remove { dir: create.dir(), keep: create.level(create.keep) })]
            }
            Self::Limit(_) | Self::Devices(_) | Self::Filter(_) | Self::Enable { .. } | Self::Delegate { .. } => {
                Vec::new()
            }
        }
    }
}

impl InitStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Join { .. } => "enter the container's cgroup".into(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Join { file } => format!("echo 0 > {}", quote(file)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Kill everything in the cgroup `dir`; remove it, those below it, and those above it that are empty then and are
    /// below `keep` or were made by sampan.
    Remove { dir: String, keep: String },
    /// Of systemd at this address; one that failed is forgotten.
    StopUnit { address: String, unit: String },
    /// Its processes go on, if it is there still.
    Thaw { dir: String },
}

impl Undo {
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::StopUnit { address, unit } => vec!["stop-unit".into(), address.clone(), unit.clone()],
            Self::Thaw { dir } => vec!["thaw".into(), dir.clone()],
            Self::Remove { dir, keep } => vec!["remove-cgroup".into(), keep.clone(), dir.clone()],
        }
    }

    pub(crate) fn shell(&self) -> String {
        match self {
            Self::Thaw { dir } => {
                let [two, one] = ["cgroup.freeze", "freezer.state"].map(|file| quote(&format!("{dir}/{file}")));
                format!("if [ -e {two} ]; then echo 0 >{two}; elif [ -e {one} ]; then echo THAWED >{one}; fi")
            }
            Self::Remove { dir, keep } => format!("remove_cgroup {} {}", quote(dir), quote(keep)),
            Self::StopUnit { address, unit } => {
                let call = |method: &str| format!("{} {method}", busctl(address));
                let unit = quote(unit);
                format!("{} ss {unit} replace; {} s {unit}", call("StopUnit"), call("ResetFailedUnit"))
            }
        }
    }

    /// What [`Undo::shell`] calls.
    pub(crate) const FUNCTION: &str = r#"# kill everything in the cgroup $1; remove it, and those between it and $2 that are empty then
remove_cgroup() {
	local dir=$1 try
	for try in {1..50}; do
		[ -d "$1" ] || break
		if [ -e "$1/cgroup.kill" ]; then echo 1 >"$1/cgroup.kill"; else xargs -r kill -KILL <"$1/cgroup.procs"; fi
		find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null || sleep 0.05
	done
	dir=${dir%/*}
	while [ "${#dir}" -gt "${#2}" ] && rmdir "$dir" 2>/dev/null; do dir=${dir%/*}; done
}
"#;

    /// Refuses what this program can't have written: it names a directory to be emptied.
    pub(crate) fn from_words(words: &[&str]) -> Option<Self> {
        let [keep, dir] = match words {
            ["stop-unit", address, unit] => {
                return Some(Self::StopUnit { address: (*address).into(), unit: (*unit).into() });
            }
            ["thaw", dir] => return dir.starts_with('/').then(|| Self::Thaw { dir: (*dir).into() }),
            ["remove-cgroup", keep, dir] => [keep, dir],
            _ => return None,
        };
        let below = dir.strip_prefix(keep)?;
        let below = if *keep == "/" { below } else { below.strip_prefix('/')? };
        let proper = keep.starts_with('/') && below.split('/').all(|name| !matches!(name, "" | "." | ".."));
        proper.then(|| Self::Remove { dir: (*dir).into(), keep: (*keep).into() })
    }
}
