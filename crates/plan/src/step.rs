//! The steps: what there is to do, said once and read twice, by `--explain` and by apply.
//!
//! Invariant: each kind of step has `why`, `shell` and, for those that change the host, `undo`, as exhaustive matches,
//! so that a new kind does not compile until it has all of them.

use crate::affinity::Cpus;
use crate::mounts::{Flags, Ids, Maps, Mount, Opened, Source};
use crate::order::Hidden;
use crate::overlay::Told;
use crate::secrets::Variable;
use crate::shell::quote;
use crate::undo::Verb;
use crate::{cgroup, memory, network, overlay, scheduling, volumes};
use spec::runtime::{Device, Hook, IdMapping, NamespaceKind, State};

/// Done by the parent, before the clone.
#[derive(Debug, Clone, PartialEq)]
pub enum HostStep {
    /// The container's own directory; its undo takes along what is in it. `mapped`: files of subordinate ids, too.
    Home {
        path: String,
        mode: u32,
        owner: Option<(u32, u32)>,
        mapped: bool,
    },
    /// The same, which is there already and stays.
    Kept {
        path: String,
        mode: u32,
        owner: Option<(u32, u32)>,
    },
    /// A directory in it. `owner`: who may write it, when that is not the caller.
    Directory {
        path: String,
        mode: u32,
        owner: Option<(u32, u32)>,
    },
    /// A directory in it on which the container mounts, in a mount namespace that is not its own: the caller's, or the
    /// one at this path.
    MountPoint {
        path: String,
        within: Option<String>,
    },
    /// A file in it.
    File {
        path: String,
        mode: u32,
        owner: Option<(u32, u32)>,
        content: String,
    },
    /// A named pipe in it.
    Fifo {
        path: String,
        mode: u32,
    },
    /// A device in it, for a user namespace; `owner` in ids of the host.
    Node {
        path: String,
        device: Device,
        owner: (u32, u32),
    },
    /// A layer as the container's user namespace is to see it: on the disk the ids are the host's.
    Idmapped {
        from: String,
        to: String,
        ids: Ids,
        recursive: bool,
    },
    /// A copy of what layers (topmost first) show as one, which the container's root is. `ids`: the owners are seen through
    /// these maps; `mapped`: it takes an ordinary user's user namespace.
    Tree {
        layers: Vec<String>,
        to: String,
        ids: Ids,
        mapped: bool,
    },
    /// An image's layers as one tree, read-only, on this machine.
    Layers {
        lower: Vec<String>,
        at: String,
        userxattr: bool,
        told: Told,
    },
    /// A directory that `-v` names and that is not there, with those above it. It stays.
    Source {
        path: String,
        owner: Option<(u32, u32)>,
    },
    /// The source of a volume, and all in it, goes to this owner, and stays his. `mapped`: an ordinary user's user
    /// namespace is needed for it, and these are ids of that.
    Own {
        path: String,
        owner: (u32, u32),
        mapped: bool,
    },
    /// So many bytes at most in these empty directories together.
    Quota {
        paths: [String; 2],
        bytes: u64,
    },
    /// A volume, which stays; another may have been faster. `claim`: a file that says that it goes with this container.
    Volume {
        directory: String,
        record: String,
        claim: Option<String>,
        owner: Option<(u32, u32)>,
        /// So many bytes at most.
        quota: Option<u64>,
    },
    /// A filesystem for all containers that use this volume. `user` is a file in `users`: the first mounts, the last
    /// unmounts.
    Filesystem {
        at: String,
        users: String,
        user: String,
        fstype: String,
        device: String,
        options: Vec<String>,
    },
    /// What the layers have at `path` into a volume that is empty still; they are mounted on `at` for that. `owner`: of the
    /// volume where they have nothing there. `mapped`: it takes an ordinary user's user namespace.
    Fill {
        directory: String,
        layers: Vec<String>,
        told: Told,
        at: String,
        path: String,
        owner: Option<(u32, u32)>,
        mapped: bool,
    },
    /// The directory of a container's secrets.
    Secrets {
        path: String,
        owner: Option<(u32, u32)>,
        mapped: bool,
    },
    /// A secret as the container may read it; the first line of where it is kept is not of it. `mapped` as in
    /// [`HostStep::Own`].
    Secret {
        from: String,
        to: String,
        mode: u32,
        owner: (u32, u32),
        mapped: bool,
    },
    /// Of this process, and so of its child.
    Affinity(Cpus),
    Cgroup(cgroup::HostStep),
    Network(network::HostStep),
}

/// Where the container has a device's node from. One made in a user namespace would be dead: its filesystems are not
/// allowed devices (mknod(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Made,
    /// A bind of the host's own, at the same path, whose owner and mode it keeps.
    Host,
    /// A bind of the one that the parent made at this path ([`HostStep::Node`]).
    Parent(String),
}

/// Done by the parent, after the clone: the child's pid is known.
#[derive(Debug, Clone, PartialEq)]
pub enum AttachStep {
    /// The maps of the child's user namespace. `helpers`: through newuidmap and newgidmap.
    IdMaps {
        uid: Vec<IdMapping>,
        gid: Vec<IdMapping>,
        helpers: bool,
    },
    OomScoreAdj(i32),
    Cgroup(cgroup::AttachStep),
    /// Let the child go on: its ids and cgroup are as they shall be.
    Go,
    Network(network::AttachStep),
    /// Let the child go on: its links are there.
    Attached,
}

/// Done by the child, between clone and exec.
#[derive(Debug, Clone, PartialEq)]
pub enum InitStep {
    Join {
        kind: NamespaceKind,
        path: String,
    },
    /// All at once the namespaces of the process that has this number and started then.
    Enter {
        pid: i32,
        start: u64,
        kinds: Vec<NamespaceKind>,
    },
    AwaitGo,
    BecomeRoot {
        clear_groups: bool,
    },
    Cgroup(cgroup::InitStep),
    UnshareCgroup,
    /// As /proc/PID/timens_offsets has them.
    TimeNamespace {
        offsets: String,
    },
    /// Until the exec, nobody in the namespaces that it has entered looks into it.
    Undumpable,
    Propagation {
        flags: u64,
    },
    /// A tmpfs on `at` that only the child's mount namespace has, for what is written over the host's own tree:
    /// overlayfs refuses an upper directory inside a lower one (ELOOP).
    Scratch {
        at: String,
    },
    /// Entries of a directory of the scratch, or of the root.
    Veil {
        slot: Slot,
        under: String,
        entries: Vec<Veil>,
    },
    /// Layers, topmost first, under a writable directory, if there is one. `reader`: read with the rights of this user
    /// and group, whoever looks (overlayfs keeps its mounter's credentials).
    Overlay {
        lower: Vec<String>,
        upper: Option<Upper>,
        at: At,
        reader: Option<(u32, u32)>,
        userxattr: bool,
        told: Told,
    },
    /// That directory on itself, which makes it a mount without peers.
    Private {
        at: String,
    },
    /// The container's root: a directory as it is. `private`: without peers.
    Root {
        path: String,
        at: String,
        private: bool,
    },
    /// The container's root: an empty tmpfs.
    EmptyRoot {
        at: String,
    },
    Mount(Mount),
    Device {
        device: Device,
        node: Node,
    },
    Symlink {
        path: String,
        to: String,
    },
    Sysctl {
        key: String,
        value: String,
    },
    /// `console`: it is the container's /dev/console, too.
    Console {
        uid: u32,
        rows: u16,
        columns: u16,
        console: bool,
    },
    Session,
    /// Standard files that are the host's /dev/null become the container's own.
    Null,
    /// They belong to the container's user, the null device and the groups of terminals aside.
    StandardFiles {
        uid: u32,
        gid: u32,
    },
    /// `label`: of SELinux, for what covers it; empty: none.
    Mask {
        path: String,
        label: String,
    },
    /// Of SELinux, for the root of a mount that was made above.
    Label {
        path: String,
        label: String,
    },
    Readonly {
        path: String,
    },
    /// A mount that was made above, now that all is in it; `/` is the root.
    ReadonlyMount {
        path: String,
    },
    Pivot {
        at: String,
    },
    /// In place of it, where the mount namespace has others in it.
    Chroot {
        at: String,
    },
    /// As the first process has done, where that has its root so.
    ChrootOf {
        pid: i32,
        start: u64,
    },
    /// In place of it, where the old root cannot go.
    Move {
        at: String,
        hidden: Vec<Hidden>,
    },
    Hostname(String),
    Domainname(String),
    AwaitAttached,
    Network(network::InitStep),
    Keyring,
    Rlimit {
        kind: String,
        soft: u64,
        hard: u64,
    },
    /// None: all CPUs that its cgroup has.
    Affinity(Option<Cpus>),
    Scheduler(scheduling::Attributes),
    /// As ioprio_set(2) has it.
    IoPriority(u32),
    /// As personality(2) has it.
    Personality(u64),
    MemoryPolicy(memory::Policy),
    Umask(u32),
    Bounding {
        keep: Vec<String>,
        last: u32,
    },
    User {
        uid: u32,
        gid: u32,
        groups: Option<Vec<u32>>,
    },
    Capabilities {
        effective: Vec<String>,
        permitted: Vec<String>,
        inheritable: Vec<String>,
        ambient: Vec<String>,
    },
    /// At the exec.
    AppArmor {
        profile: String,
    },
    /// At the exec, too. `keys`: of the keys that are made until then, also.
    SelinuxLabel {
        label: String,
        keys: bool,
    },
    NoNewPrivileges,
    /// `send`: the child sends its listener, if it has one; else the parent takes it.
    Seccomp {
        program: crate::seccomp::Program,
        send: bool,
    },
    /// While it still can be made; one that is there is left as it is.
    Workdir {
        path: String,
    },
    Chdir {
        path: String,
        create: bool,
    },
    /// The program that stays as pid 1, from a mount that cannot be written to.
    Reaper {
        /// There is no command.
        alone: bool,
    },
    /// Until the parent has run the hooks of its own.
    AwaitHooks,
    /// A hook of the container's own; its process adds its own number to the state.
    Hook {
        /// As config.json calls it, and the place in its list.
        stage: &'static str,
        number: usize,
        hook: Hook,
        state: State,
    },
    /// To pid 1 a signal without a handler is lost (pid_namespaces(7)): from here on, and until the command begins, it ends
    /// with the exit code that a shell would tell.
    EndBySignals,
    /// The command can be executed, as far as that can be told before.
    FindCommand,
    /// From here on on its own, until somebody writes to the one pipe; what fails after it is told by the other.
    AwaitStart {
        gate: String,
        outcome: String,
    },
    /// The command is not sampan's own program, which would let the container write to it (CVE-2019-5736).
    NotSampan,
    Ready,
}

/// Where what the container writes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upper {
    pub upper: String,
    pub work: String,
    /// Nobody reads it once the container is gone: overlayfs need not bring it to the disk when it is unmounted, which
    /// waits for whatever else the disk has to write (`volatile`, since Linux 5.10).
    pub volatile: bool,
    /// So many bytes at most.
    pub limit: Option<u64>,
}

/// Directories that the child holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Root,
    Scratch,
}

/// Where an overlay goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// It is the container's root, mounted on this path of the host until pivot_root.
    Root(String),
    /// A path inside the root.
    Inside(String),
    /// A path in the scratch.
    Scratch(String),
}

/// What hides part of a lower layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Veil {
    /// A directory as the lower layer has it, to carry what is below.
    Directory { path: String, mode: u32, uid: u32, gid: u32 },
    /// The name is not there (a character device 0:0).
    Whiteout { path: String },
}

/// The clone itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawn {
    /// New namespaces; those that are joined or shared are not among them.
    pub namespaces: Vec<NamespaceKind>,
    /// cgroup v2: the child starts in this directory.
    pub cgroup: Option<String>,
    /// The pid namespace to be born into: only children enter one (setns(2)), so the parent joins it for the clone.
    pub join_pid: Option<String>,
    /// What a process in between enters one after the other, of which the container's is then the sibling.
    pub through: Vec<(NamespaceKind, String)>,
    pub die_with_parent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Variables whose values are read when it is started.
    pub hidden: Vec<Variable>,
    /// What execvp(3) would try for `args[0]`.
    pub candidates: Vec<String>,
    pub terminal: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub prepare: Vec<HostStep>,
    pub spawn: Spawn,
    pub attach: Vec<AttachStep>,
    pub init: Vec<InitStep>,
    pub exec: Exec,
}

/// The words of runc, from the container's own hooks and from those of its runtime.
#[must_use]
pub fn hook_failed(stage: &str, number: usize, path: &str) -> String {
    format!("error running {stage} hook #{number}: {path}")
}

impl HostStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Home { .. } => "a directory of this container's own".into(),
            Self::Kept { .. } => "the container's own directory, from when it was made".into(),
            Self::Directory { .. } => "a directory in it".into(),
            Self::MountPoint { .. } => "where all mounts of the container are, which others see, too".into(),
            Self::File { .. } => "a file that the container will see".into(),
            Self::Node { device, .. } => format!("{}, which a user namespace may not make", device.path),
            Self::Fifo { .. } => "by which the container is started, and tells what came of it".into(),
            Self::Source { .. } => "the volume's directory, which is not there yet; it is kept".into(),
            Self::Quota { .. } => "how large what the container changes may become".into(),
            Self::Volume { claim: Some(_), .. } => {
                "a volume, which goes with the container where that is asked for".into()
            }
            Self::Volume { .. } => "a volume, which is not there yet; it is kept".into(),
            Self::Filesystem { fstype, .. } => format!("the {fstype} that the volume is, for all who use it"),
            Self::Fill { path, .. } => format!("a volume that is empty gets what the image has at {path}"),
            Self::Secrets { .. } => "a directory for what is secret, in memory".into(),
            Self::Secret { .. } => "a secret, which this does not show".into(),
            Self::Own { path, .. } => format!("all of {path} becomes the container's user's (:U), and stays so"),
            Self::Idmapped { from, .. } => format!("{from} with the ids of the container's user namespace"),
            Self::Layers { .. } => "the layers as one tree".into(),
            Self::Tree { .. } => "a copy of the layers as one, as overlayfs cannot write here".into(),
            Self::Affinity(_) => "the CPUs on which the process begins".into(),
            Self::Cgroup(step) => step.why(),
            Self::Network(step) => step.why(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Home { path, mode, owner, .. } => {
                let above = path.rsplit_once('/').map_or("/", |(above, _)| above);
                format!("(umask 066; mkdir -p {})\n{}", quote(above), make_directory(path, *mode, *owner))
            }
            Self::Kept { path, mode, owner } => format!("chmod {mode:o} {}{}", quote(path), chown(path, *owner)),
            Self::Directory { path, mode, owner } => make_directory(path, *mode, *owner),
            Self::MountPoint { path, .. } => make_directory(path, 0o755, None),
            Self::File { path, mode, owner, content } => {
                let written = format!("printf %s {} >{} && chmod {mode:o} {1}", quote(content), quote(path));
                written + &chown(path, *owner)
            }
            Self::Fifo { path, mode } => format!("mkfifo -m {mode:o} {}", quote(path)),
            Self::Node { path, device, owner } => make_node(&quote(path), device, *owner),
            Self::Source { path, owner } => format!("mkdir -p {}{}", quote(path), chown(path, *owner)),
            Self::Quota { paths: [one, other], bytes } => {
                format!("# no shell equivalent: a project for {one} and {other}, which may have {bytes} bytes")
            }
            Self::Volume { directory, record, claim, owner, quota } => {
                volumes::make_shell(directory, record, claim.as_deref(), *owner, *quota)
            }
            Self::Filesystem { at, users, user, fstype, device, options } => {
                volumes::mount_shell(at, (users, user), fstype, device, options)
            }
            Self::Fill { directory, layers, told, at, path, owner, mapped } => {
                volumes::fill_shell(directory, (layers, told, at), path, *owner, *mapped)
            }
            Self::Secrets { path, owner, .. } => make_directory(path, 0o700, *owner),
            Self::Secret { from, to, mode, owner: (uid, gid), mapped } => {
                let through = if *mapped { "unshare --map-auto --map-root-user " } else { "" };
                let (from, to) = (quote(from), quote(to));
                format!(
                    "(umask 077; tail -n +2 {from} >{to}) && chmod {mode:o} {to} && {through}chown {uid}:{gid} {to}"
                )
            }
            Self::Own { path, owner: (uid, gid), mapped } => {
                let through = if *mapped { "unshare --map-auto --map-root-user " } else { "" };
                format!("{through}chown -hR {uid}:{gid} {}", quote(path))
            }
            Self::Idmapped { from, to, ids, recursive } => {
                let how = if *recursive { "rbind" } else { "bind" };
                format!("mount --{how} -o {} {} {}", idmap_option(ids), quote(from), quote(to))
            }
            Self::Layers { lower, at, userxattr, told } => {
                overlay::shell(lower, None, &At::Root(at.clone()), None, *userxattr, told)
            }
            Self::Tree { layers, to, ids, mapped } => copy_tree(layers, to, ids, *mapped),
            Self::Affinity(Cpus { list, .. }) => format!("taskset -pc {} $$", quote(list)),
            Self::Cgroup(step) => step.shell(),
            Self::Network(step) => step.shell(),
        }
    }

    #[must_use]
    pub fn undo(&self) -> Vec<Verb> {
        match self {
            Self::Home { path, mapped, .. } => vec![Verb::RemoveTree { path: path.clone(), mapped: *mapped }],
            Self::Kept { .. }
            | Self::Directory { .. }
            | Self::File { .. }
            | Self::Fifo { .. }
            | Self::Node { .. }
            | Self::Tree { .. }
            | Self::Source { .. }
            // One that nobody named goes when its container is gone, whoever sees that.
            // Its number is free when the directories are gone.
            | Self::Quota { .. }
            | Self::Volume { .. }
            | Self::Fill { .. }
            | Self::Secret { .. }
            | Self::Own { .. } => Vec::new(),
            Self::Secrets { path, mapped, .. } => vec![Verb::RemoveTree { path: path.clone(), mapped: *mapped }],
            Self::Filesystem { at, users, user, .. } => {
                vec![Verb::LeaveVolume { at: at.clone(), users: users.clone(), user: user.clone() }]
            }
            Self::Idmapped { to: path, .. }
            | Self::MountPoint { path, within: None }
            | Self::Layers { at: path, .. } => {
                vec![Verb::Unmount { path: path.clone() }]
            }
            Self::MountPoint { path, within: Some(namespace) } => {
                vec![Verb::UnmountIn { namespace: namespace.clone(), path: path.clone() }]
            }
            // It goes with this process.
            Self::Affinity(_) => Vec::new(),
            Self::Cgroup(step) => step.undo(),
            Self::Network(step) => step.undo(),
        }
    }
}

fn copy_tree(layers: &[String], to: &str, ids: &Ids, mapped: bool) -> String {
    let mut lines = vec![format!("mkdir {}", quote(to))];
    // Bottom first, each over those below.
    lines.extend(layers.iter().rev().map(|layer| {
        format!("cp -a --reflink=auto --remove-destination {} {}", quote(&format!("{layer}/.")), quote(to))
    }));
    if mapped {
        let script = lines.join("\n");
        lines = vec![format!("unshare --map-auto --map-root-user sh -ec {}", quote(&script))];
    }
    if layers.len() > 1 {
        lines.push("# no shell equivalent: nor is there what a layer takes away from those below".to_owned());
    }
    if !ids.uid.is_empty() {
        let maps = |maps: &[IdMapping]| maps.iter().map(map_words).collect::<Vec<_>>().join(", ");
        let (uid, gid) = (maps(&ids.uid), maps(&ids.gid));
        lines.push(format!("# no shell equivalent: its owners are shifted: users {uid}, groups {gid}"));
    }
    lines.join("\n")
}

/// mount(8) has it since util-linux 2.39.
fn idmap_option(ids: &Ids) -> String {
    let map = |kind: &str, maps: &[IdMapping]| {
        let range = |map: &IdMapping| format!("{kind}:{}", map_words(map).replace(' ', ":"));
        maps.iter().map(range).collect::<Vec<_>>().join(" ")
    };
    quote(&format!("X-mount.idmap={} {}", map("u", &ids.uid), map("g", &ids.gid)))
}

fn make_directory(path: &str, mode: u32, owner: Option<(u32, u32)>) -> String {
    format!("mkdir -m {mode:o} {}{}", quote(path), chown(path, owner))
}

fn chown(path: &str, owner: Option<(u32, u32)>) -> String {
    owner.map_or(String::new(), |(uid, gid)| format!(" && chown {uid}:{gid} {}", quote(path)))
}

impl AttachStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::IdMaps { .. } => "who the container's users are outside".into(),
            Self::OomScoreAdj(_) => "how soon the kernel kills it when memory is short".into(),
            Self::Cgroup(step) => step.why(),
            Self::Go => "ids and cgroup are set: the container may build its view".into(),
            Self::Network(step) => step.why(),
            Self::Attached => "its links are there: the container may start".into(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::IdMaps { uid, gid, helpers } => id_maps(uid, gid, *helpers),
            Self::OomScoreAdj(value) => format!("echo {value} >/proc/$PID/oom_score_adj"),
            Self::Cgroup(step) => step.shell(),
            Self::Go => "echo >\"$GO\"".into(),
            Self::Network(step) => step.shell(),
            Self::Attached => "echo >\"$ATTACHED\"".into(),
        }
    }

    #[must_use]
    pub fn undo(&self) -> Vec<Verb> {
        match self {
            // These are of the child and go with it.
            Self::IdMaps { .. } | Self::OomScoreAdj(_) | Self::Go | Self::Attached => Vec::new(),
            Self::Cgroup(step) => step.undo(),
            Self::Network(step) => step.undo(),
        }
    }
}

fn id_maps(uid: &[IdMapping], gid: &[IdMapping], helpers: bool) -> String {
    if helpers {
        let words = |maps: &[IdMapping]| maps.iter().map(map_words).collect::<Vec<_>>().join(" ");
        return format!("newuidmap $PID {} && newgidmap $PID {}", words(uid), words(gid));
    }
    let lines = |maps: &[IdMapping]| maps.iter().map(map_words).collect::<Vec<_>>().join("\\n");
    // An ordinary user has to give up setgroups(2) first (user_namespaces(7)).
    format!(
        "[ \"$UID\" = 0 ] || echo deny >/proc/$PID/setgroups\n\
         printf '{}\\n' >/proc/$PID/uid_map\nprintf '{}\\n' >/proc/$PID/gid_map",
        lines(uid),
        lines(gid)
    )
}

/// As /proc/PID/uid_map and newuidmap have it.
#[must_use]
pub fn map_words(map: &IdMapping) -> String {
    format!("{} {} {}", map.container_id, map.host_id, map.size)
}

/// The word for the namespace in /proc/PID/ns and for unshare(1).
#[must_use]
pub fn namespace_word(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "pid",
        NamespaceKind::Network => "net",
        NamespaceKind::Mount => "mount",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::User => "user",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time",
    }
}

impl InitStep {
    /// That it went wrong, for who has no plan any more to number it by.
    #[must_use]
    pub fn failed(&self) -> String {
        match self {
            Self::Hook { stage, number, hook, .. } => hook_failed(stage, *number, &hook.path),
            step => format!("{} failed", step.why()),
        }
    }

    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Join { kind, .. } => format!("share the {} namespace", namespace_word(*kind)),
            Self::Enter { .. } => "where the container's first process is".into(),
            Self::AwaitGo => "wait until ids and cgroup are set from outside".into(),
            Self::BecomeRoot { .. } => "root of the new user namespace, so that what is made belongs to it".into(),
            Self::Cgroup(step) => step.why(),
            Self::UnshareCgroup => "its own cgroup is the root of what it sees of cgroups".into(),
            Self::TimeNamespace { .. } => "clocks of its own".into(),
            Self::Undumpable => "a program of the host's until the exec: not for the container to look into".into(),
            Self::Propagation { .. } => "no mount made in here reaches the host".into(),
            Self::Scratch { .. } => "memory for what is written over the host's own files".into(),
            Self::Veil { slot: Slot::Scratch, under, .. } if under.ends_with("veil") => {
                "what a guest has no business reading is not there".into()
            }
            Self::Veil { .. } => "directories to mount on".into(),
            Self::Overlay { reader: Some(_), .. } => "the host's files, read with nobody's rights".into(),
            Self::Overlay { upper: None, .. } => "the layers as one tree".into(),
            Self::Overlay { .. } => "the layers, with a writable one on top".into(),
            Self::Private { .. } => "no mount made below it reaches another mount namespace".into(),
            Self::Root { .. } => "the given directory is the root".into(),
            Self::EmptyRoot { .. } => "an empty root, for trees that are mounted one by one".into(),
            Self::Mount(mount) => mount_why(mount),
            Self::Device { .. } => "a device that every program expects".into(),
            Self::Symlink { .. } => "a link that every program expects".into(),
            Self::Sysctl { .. } => "a kernel setting of the container's own".into(),
            Self::Console { .. } => "a terminal of its own, in its own devpts".into(),
            Self::Session => "a session of its own, away from the caller's terminal".into(),
            Self::Null => "nothing of the host's /dev stays open, which a checkpoint could not find again".into(),
            Self::StandardFiles { .. } => "the user may open /dev/stdout and its like by name".into(),
            Self::Mask { .. } => "the kernel tells too much here".into(),
            Self::Readonly { .. } => "the kernel takes settings for the whole host here".into(),
            Self::ReadonlyMount { .. } => "nothing in it may be changed".into(),
            Self::Pivot { .. } => "change the root for good: the host's tree is gone from view".into(),
            Self::Chroot { .. } => "change the root of this process only: others are in the mount namespace".into(),
            Self::ChrootOf { .. } => "the root of the container's first process".into(),
            Self::Move { .. } => "move the root onto the host's, whose other mounts go (--no-pivot)".into(),
            Self::Hostname(_) => "its name".into(),
            Self::Domainname(_) => "its NIS domain".into(),
            Self::AwaitAttached => "wait until the link is there".into(),
            Self::Network(step) => step.why(),
            Self::Keyring => "the caller's keys are not the container's".into(),
            Self::Rlimit { .. } => "a limit for each process".into(),
            Self::Affinity(Some(_)) => "on which CPUs it may be".into(),
            Self::Affinity(None) => "it may be on all CPUs of its cgroup, wherever its caller may be".into(),
            Self::Scheduler(_) => "when it gets the CPU".into(),
            Self::IoPriority(_) => "when it gets the disk".into(),
            Self::Personality(_) => "which kernel it sees".into(),
            Self::MemoryPolicy(_) => "which memory it gets".into(),
            Self::Umask(_) => "the mode of new files".into(),
            Self::Bounding { .. } => "what no program in here can ever gain".into(),
            Self::User { .. } => "the user".into(),
            Self::Capabilities { .. } => "what root may do in here".into(),
            Self::AppArmor { .. } => "the AppArmor profile of the command".into(),
            Self::SelinuxLabel { .. } => "the SELinux label of the command".into(),
            Self::Label { path, .. } => format!("the SELinux label of {path}"),
            Self::NoNewPrivileges => "set-uid programs give nothing".into(),
            Self::Seccomp { .. } => "the system calls that may be used".into(),
            Self::Workdir { .. } => "where it will start, as long as it can be made".into(),
            Self::Chdir { .. } => "where it starts".into(),
            Self::Reaper { alone: false } => {
                "sampan's own program, read-only, to stay as pid 1, pass signals on and reap".into()
            }
            Self::Reaper { alone: true } => "sampan's own program, read-only, to hold the namespaces and reap".into(),
            Self::AwaitHooks => "wait until the hooks of prestart and createRuntime have run".into(),
            Self::Hook { stage, number, hook, .. } => format!("{stage} hook #{number}: {}", hook.path),
            Self::EndBySignals => "a signal ends it as it would any process, though it is pid 1".into(),
            Self::FindCommand => "the command must be there".into(),
            Self::AwaitStart { .. } => "wait for the start".into(),
            Self::NotSampan => "the command must not be sampan's own program (CVE-2019-5736)".into(),
            Self::Ready => "tell the parent that all is set up".into(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Join { kind, path } => format!("THROUGH+=(nsenter --{}={})", namespace_word(*kind), quote(path)),
            Self::Enter { pid, kinds, .. } => {
                let flags: Vec<String> = kinds.iter().map(|kind| format!("--{}", namespace_word(*kind))).collect();
                format!("THROUGH+=(nsenter --target={pid} {})", flags.join(" "))
            }
            Self::AwaitGo => "read -r <\"$GO\"".into(),
            Self::BecomeRoot { clear_groups } => {
                let groups = if *clear_groups { "--clear-groups" } else { "--keep-groups" };
                format!("THROUGH+=(setpriv --reuid=0 --regid=0 {groups})")
            }
            Self::Cgroup(step) => step.shell(),
            Self::UnshareCgroup => "THROUGH+=(unshare --cgroup)".into(),
            Self::TimeNamespace { offsets } => {
                format!("THROUGH+=(unshare --time{}) # and nanoseconds", crate::time::options(offsets))
            }
            Self::Undumpable => "# no shell equivalent: prctl(PR_SET_DUMPABLE, 0)".into(),
            Self::Propagation { flags } => format!("mount --make-{} /", propagation_word(*flags)),
            Self::Scratch { at } => format!("mount -t tmpfs -o mode=755 tmpfs {0} && SCRATCH={0}", quote(at)),
            Self::Veil { slot, under, entries } => {
                let lines = entries.iter().map(|veil| veil_shell(*slot, under, veil));
                lines.collect::<Vec<_>>().join("\n")
            }
            Self::Overlay { lower, upper, at, reader, userxattr, told } => {
                overlay::shell(lower, upper.as_ref(), at, *reader, *userxattr, told)
            }
            Self::EmptyRoot { at } => format!("mount -t tmpfs -o mode=755 tmpfs {}", quote(at)),
            Self::Private { at } => format!("mount --bind --make-private {0} {0}", quote(at)),
            Self::Root { path, at, private } => {
                let private = if *private { " --make-rprivate" } else { "" };
                format!("mount --rbind{private} {} {}", quote(path), quote(at))
            }
            Self::Mount(mount) => mount_shell(mount),
            Self::Device { device, node: Node::Made } => make_device(device),
            Self::Device { device, node: Node::Host } => {
                let path = quote(&device.path);
                let bind = format!("mount --bind {path} \"$ROOT\"{path}");
                let flags = format!("mount -o remount,bind,nosuid,noexec \"$ROOT\"{path}");
                format!("{}\n{bind}\n{flags}", make_file(&device.path))
            }
            Self::Device { node: Node::Parent(path), .. } => {
                format!("# no shell equivalent: a bind of {path}, opened before the user namespace is entered")
            }
            Self::Symlink { path, to } => format!("[ -e {0} ] || ln -s {1} {0}", inside(path), quote(to)),
            Self::Sysctl { key, value } => {
                format!("echo {} >/proc/sys/{}", quote(value), quote(&crate::sysctl::path(key)))
            }
            Self::Console { .. } => {
                "# no shell equivalent: the caller's own terminal is used, and /dev/console is not there".into()
            }
            Self::Session => "SESSION=(setsid)".into(),
            Self::Null => {
                "for FD in 0 1 2; do [ ! /proc/self/fd/$FD -ef /dev/null ] || eval \"exec $FD<>/dev/null\"; done".into()
            }
            Self::StandardFiles { uid, gid } => format!(
                "for FD in 0 1 2; do [ -c /proc/self/fd/$FD ] || chown {uid}:{gid} /proc/self/fd/$FD || :; done # terminals: {uid}"
            ),
            Self::Mask { path, label } if label.is_empty() => format!("mask {}", quote(path)),
            Self::Mask { path, label } => format!("mask {} {}", quote(path), quote(label)),
            Self::Label { path, label } => format!("chcon {} {}", quote(label), inside(path)),
            Self::Readonly { path } => {
                format!("if [ -e {0} ]; then mount --rbind {0} {0} && mount -o remount,bind,ro {0}; fi", inside(path))
            }
            Self::ReadonlyMount { path } => format!("mount -o remount,bind,ro {}", inside(path)),
            Self::Pivot { .. } => "pivot_root \"$ROOT\" \"$ROOT\"\ntool umount -l /".into(),
            Self::Chroot { .. } => "chroot \"$ROOT\"".into(),
            Self::ChrootOf { pid, .. } => format!("chroot /proc/{pid}/root"),
            Self::Move { hidden, .. } => {
                let hidden: Vec<String> = hidden.iter().map(|mount| quote(&mount.path)).collect();
                format!("umount -l {}\nmount --move . /\nchroot .", hidden.join(" "))
            }
            Self::Hostname(name) => format!("hostname {}", quote(name)),
            Self::Domainname(name) => format!("domainname {}", quote(name)),
            Self::AwaitAttached => "read -r <\"$ATTACHED\"".into(),
            Self::Network(step) => step.shell(),
            Self::Keyring => "# no shell equivalent: keyctl session, as the parent of what follows".into(),
            Self::Rlimit { kind, soft, hard } => {
                let value = |value: u64| if value == u64::MAX { "unlimited".into() } else { value.to_string() };
                format!(
                    "tool prlimit --pid $$ --{}={}:{}",
                    kind.trim_start_matches("RLIMIT_").to_ascii_lowercase(),
                    value(*soft),
                    value(*hard)
                )
            }
            Self::Affinity(Some(Cpus { list, .. })) => format!("taskset -pc {} $$", quote(list)),
            Self::Affinity(None) => "taskset -p ffffffff $$".into(),
            Self::Scheduler(it) => {
                format!("tool chrt --pid {} $$ # policy {}, nice {}", it.priority, it.policy, it.nice)
            }
            Self::IoPriority(it) => format!("tool ionice -p $$ -c {} -n {}", it >> 13, it & 0x1fff),
            Self::Personality(_) => "# no shell equivalent: setarch, for the command".into(),
            Self::MemoryPolicy(_) => "# no shell equivalent: numactl, for the command".into(),
            Self::Umask(mask) => format!("umask {mask:04o}"),
            Self::Bounding { keep, .. } => format!("SETPRIV+=(--bounding-set={})", setpriv_set(keep)),
            Self::User { uid, gid, groups } => {
                let groups = match groups.as_deref() {
                    None => "--keep-groups".to_owned(),
                    Some([]) => "--clear-groups".to_owned(),
                    Some(groups) => {
                        let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
                        format!("--groups={}", groups.join(","))
                    }
                };
                format!("SETPRIV+=(--reuid={uid} --regid={gid} {groups})")
            }
            Self::Capabilities { inheritable, ambient, .. } => {
                format!("SETPRIV+=(--inh-caps={} --ambient-caps={})", setpriv_set(inheritable), setpriv_set(ambient))
            }
            Self::AppArmor { profile } => format!("SETPRIV+=({})", quote(&format!("--apparmor-profile={profile}"))),
            Self::SelinuxLabel { label, .. } => format!("SETPRIV+=({})", quote(&format!("--selinux-label={label}"))),
            Self::NoNewPrivileges => "SETPRIV+=(--no-new-privs)".into(),
            Self::Seccomp { .. } => {
                "# no shell equivalent: a seccomp filter (setpriv --seccomp-filter, util-linux 2.41)".into()
            }
            Self::Workdir { path } => format!("mkdir -p {}", inside(path)),
            Self::Chdir { path, create: false } => format!("WORKDIR={}", quote(path)),
            Self::Chdir { path, create: true } => {
                format!("WORKDIR={0}\n[ -d {0} ] || tool mkdir -p {0}", quote(path))
            }
            Self::Reaper { .. } => "# no shell equivalent: here the command itself is pid 1".into(),
            Self::AwaitHooks => "# no shell equivalent: only sampan's parent runs them".into(),
            Self::Hook { hook, .. } => format!("{} <\"$STATE\"", quote(&hook.path)),
            Self::EndBySignals => {
                "# no shell equivalent: trap takes no real-time signals, and waits for a command".into()
            }
            Self::FindCommand => "# no shell equivalent: here the exec finds it".into(),
            Self::AwaitStart { gate, .. } => format!("read -r <{}", quote(gate)),
            Self::NotSampan => "# no shell equivalent: here it is a shell that executes the command".into(),
            Self::Ready => "# no shell equivalent: only sampan's parent waits for it".into(),
        }
    }
}

/// A path in the container, before it is the root.
pub(crate) fn inside(path: &str) -> String {
    let path = path.trim_end_matches('/');
    if path.is_empty() { "\"$ROOT\"".to_owned() } else { format!("\"$ROOT\"{}", quote(path)) }
}

/// A file to mount on; in a directory of a layer, which is left as it is where it has one.
fn make_file(path: &str) -> String {
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    format!("mkdir -p {0} && {{ [ -e {1} ] || touch {1}; }}", inside(above), inside(path))
}

fn make_device(device: &Device) -> String {
    let text = make_node(&inside(&device.path), device, (device.uid.unwrap_or(0), device.gid.unwrap_or(0)));
    match device.path.rsplit_once('/').filter(|(above, _)| *above != "/dev") {
        Some((above, _)) => format!("mkdir -p {} && {text}", inside(above)),
        None => text,
    }
}

fn make_node(at: &str, device: &Device, owner: (u32, u32)) -> String {
    let mode = device.file_mode.unwrap_or(0o666);
    let numbers = if device.kind == "p" { String::new() } else { format!(" {} {}", device.major, device.minor) };
    let text = format!("mknod -m {mode:o} {at} {}{numbers}", device.kind);
    match owner {
        (0, 0) => text,
        (uid, gid) => format!("{text} && chown {uid}:{gid} {at}"),
    }
}

fn setpriv_set(names: &[String]) -> String {
    let keep: Vec<String> =
        names.iter().map(|name| format!("+{}", name.trim_start_matches("CAP_").to_ascii_lowercase())).collect();
    [vec!["-all".to_owned()], keep].concat().join(",")
}

fn propagation_word(flags: u64) -> String {
    use crate::mounts::{PRIVATE, RECURSIVE, SHARED, SLAVE};
    let recursive = if flags & RECURSIVE != 0 { "r" } else { "" };
    let kind = match flags & !RECURSIVE {
        PRIVATE => "private",
        SLAVE => "slave",
        SHARED => "shared",
        _ => "unbindable",
    };
    format!("{recursive}{kind}")
}

fn mount_why(mount: &Mount) -> String {
    match (&mount.source, mount.destination.as_str()) {
        (_, "/proc") => "processes, its own only".into(),
        (_, "/dev") => "an empty /dev".into(),
        (_, "/dev/pts") => "terminals, its own only".into(),
        (_, "/dev/shm") => "shared memory".into(),
        (_, "/dev/mqueue") => "message queues, its own only".into(),
        (_, "/sys") => "devices as the network namespace has them, read-only".into(),
        (Source::Bind { path, .. }, at) if path == at && at == "/sys/fs/cgroup" => {
            "the cgroups that its caller sees".into()
        }
        (_, at) if at.starts_with("/sys/fs/cgroup") => "its own limits, read-only".into(),
        (Source::Bind { path, opened: Opened::Inside, .. }, at) => format!("its own {path} as {at}"),
        (Source::Bind { path, below: Some(below), .. }, at) => format!("{below} in the host's {path} as {at}"),
        (Source::Bind { path, .. }, at) => format!("the host's {path} as {at}"),
        (Source::Filesystem { fstype, .. }, _) => format!("a {fstype} of its own"),
    }
}

fn mount_shell(mount: &Mount) -> String {
    let to = inside(&mount.destination);
    let mut lines = Vec::new();
    match &mount.source {
        Source::Bind { path, below, recursive, opened } => {
            let from = match (opened, below) {
                (Opened::Inside, _) => inside(path),
                // sampan resolves it inside: a link in it leads nowhere else.
                (_, Some(below)) => quote(&format!("{path}/{below}")),
                (_, None) => quote(path),
            };
            lines.push(format!("if [ -d {from} ]; then mkdir -p {to}; else {}; fi", make_file(&mount.destination)));
            let how = if *recursive { "rbind" } else { "bind" };
            match &mount.idmap {
                None => lines.push(format!("mount --{how} {from} {to}")),
                Some(idmap) => {
                    lines.push("# sampan's parent does this before the clone: a user namespace may not".to_owned());
                    let option = match &idmap.maps {
                        Maps::These(ids) => idmap_option(ids),
                        Maps::Of(path) => quote(&format!("X-mount.idmap={path}")),
                    };
                    lines.push(format!("mount --{how} -o {option} {from} {to}"));
                }
            }
            let other = |option: &str| {
                matches!(option, "bind" | "rbind" | "rw" | "idmap" | "ridmap" | "src-nofollow" | "dest-nofollow")
            };
            let keep = |option: &&String| !other(option) && !is_propagation(option);
            // mount(8) has the recursive forms (`rro`) since util-linux 2.39 only.
            let deep = mount.attributes.all != Flags::default();
            let plain = |option: &String| match option.strip_prefix('r') {
                Some(rest) if deep && !matches!(option.as_str(), "ro" | "relatime") => rest.to_owned(),
                _ => option.clone(),
            };
            let options: Vec<String> = mount.options.iter().filter(keep).map(plain).collect();
            let options = quote(&options.join(","));
            if deep {
                lines.push(format!(
                    "findmnt -Rlno TARGET {to} | while read -r at; do mount -o remount,bind,{options} \"$at\"; done"
                ));
            } else if options != "''" {
                lines.push(format!("mount -o remount,bind,{options} {to}"));
            }
        }
        Source::Filesystem { fstype, source, .. } => {
            // Read-only is the mount, not the filesystem, which others may share.
            let keep = |option: &&String| !matches!(option.as_str(), "ro" | "tmpcopyup") && !is_propagation(option);
            let options = mount.options.iter().filter(keep).cloned().collect::<Vec<_>>();
            let options = if options.is_empty() { String::new() } else { format!(" -o {}", quote(&options.join(","))) };
            let source = if source.is_empty() { fstype } else { source };
            lines.push(format!("mkdir -p {to} && mount -t {fstype}{options} {} {to}", quote(source)));
            if mount.filled {
                let last = lines.pop().unwrap_or_default();
                lines.push(format!("mkdir -p {to} && exec {{UNDER}}<{to}\n{last}\ncp -a /proc/self/fd/$UNDER/. {to}"));
            }
            if mount.attributes.own.set & crate::mounts::RDONLY != 0 {
                lines.push(format!("mount -o remount,bind,ro {to}"));
            }
        }
    }
    if mount.attributes.propagation & crate::mounts::SHARED != 0 {
        lines.push(
            "# sampan's parent opens it before the clone: still the host's peer; this one is its slave".to_owned(),
        );
    }
    if mount.attributes.propagation != 0 {
        lines.push(format!("mount --make-{} {to}", propagation_word(mount.attributes.propagation)));
    }
    lines.join("\n")
}

fn is_propagation(option: &str) -> bool {
    matches!(option.strip_prefix('r').unwrap_or(option), "private" | "slave" | "shared" | "unbindable")
}

fn veil_shell(slot: Slot, under: &str, veil: &Veil) -> String {
    let base = match slot {
        Slot::Root => "\"$ROOT\"",
        Slot::Scratch => "\"$SCRATCH\"/",
    };
    let full = |path: &str| format!("{base}{}", quote(&format!("{under}{path}")));
    match veil {
        Veil::Whiteout { path } => format!("mknod {} c 0 0", full(path)),
        Veil::Directory { path, mode, uid, gid } => {
            let path = full(path);
            format!("mkdir -p -m {mode:o} {path} && chown {uid}:{gid} {path}")
        }
    }
}
