//! Which step comes where, and why there. The order is the security design.

use crate::host::Host;
use crate::mounts::{self, Ids, Opened, PRIVATE, RECURSIVE, SLAVE, Source};
use crate::secrets::{self, Secrets};
use crate::step::{At, AttachStep, Exec, HostStep, InitStep, Node, Plan, Slot, Spawn, Upper, Veil};
use crate::volumes::{self, Volume};
use crate::{
    Rejected, affinity, capability, cgroup, ids, label, memory, network, overlay, scheduling, seccomp, shared_mounts,
    sysctl, time, unsupported,
};
use spec::runtime::{
    Config, Device, Hook, IdMapping, Linux, MemoryPolicy, Namespace, NamespaceKind, Personality, Process,
    SeccompSection, State, Status,
};

/// What the container stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    Directory(String),
    /// Layers, topmost first.
    Overlay {
        lower: Vec<String>,
        upper: Upper,
    },
    /// The same, where overlayfs cannot write: a copy of all, in this directory.
    Copy {
        lower: Vec<String>,
        tree: String,
    },
    /// This machine's own files.
    Host(View),
}

/// The host's trees, each seen through a veil, all writes going to memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What the root itself holds when it is no tree of the host's.
    pub frame: Vec<Frame>,
    pub units: Vec<Unit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Directory(Veil),
    Link {
        path: String,
        to: String,
    },
    /// A single file of the host, read-only.
    File {
        path: String,
    },
}

/// One tree: `at` is its path on the host and in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub at: String,
    /// User and group with whose rights it is read.
    pub reader: Option<(u32, u32)>,
    pub veil: Vec<Veil>,
}

/// Everything that a plan is made of.
#[derive(Debug)]
pub struct Input<'a> {
    pub config: &'a Config,
    pub rootfs: Rootfs,
    /// It belongs to ids that the container's user namespace does not have: seen through the namespace's maps.
    pub idmapped: bool,
    pub host: &'a Host,
    /// This container's directory, which outlives it only as far as undo lets it.
    pub data: &'a str,
    /// Files in `data` (name, content) that mounts of the config refer to.
    pub files: Vec<(String, String)>,
    pub cgroup: cgroup::Plan,
    pub network: NetworkSteps,
    /// What the sources of binds still need, which config.json has no word for.
    pub volumes: Vec<Volume>,
    pub secrets: Secrets,
    pub first: First,
    /// The container ends with the process that started it.
    pub foreground: bool,
    /// The working directory is made when it is not there, as docker does for an image's.
    pub create_cwd: bool,
    /// What is there of an earlier time.
    pub existing: Existing,
    /// For hooks, that of a container that is being created; its pid is not known yet.
    pub state: State,
    pub bundle: Option<Bundle>,
    /// What the filter of config.json was compiled to before, by the same program for the same machine.
    pub compiled: Option<seccomp::Program>,
}

/// Of a container that was made before it is started, and of one that is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    #[default]
    Nothing,
    /// Its directory; that is not this plan's to undo.
    Home,
    /// Also the layer with what it changed, whose owner and mode are its own matter by now.
    Layer,
}

/// What pid 1 is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum First {
    #[default]
    Command,
    /// sampan, which passes signals on to the command and reaps.
    Reaper,
    /// The same, and there is no command: what is there is the namespaces.
    Alone,
}

/// What the callers of an OCI runtime ask for beside config.json: one command makes the container, another starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// A session keyring of its own.
    pub keyring: bool,
    /// The root is moved onto the old one, which cannot be pivoted away (an initramfs); these mounts of the host's are
    /// hidden by then.
    pub no_pivot: Option<Vec<Hidden>>,
}

/// A mount of the host's; `full` if it shows all of a procfs or sysfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    pub path: String,
    pub full: bool,
}

#[derive(Debug, Default)]
pub struct NetworkSteps {
    pub prepare: Vec<network::HostStep>,
    pub attach: Vec<network::AttachStep>,
    pub init: Vec<network::InitStep>,
}

/// # Errors
/// Everything that can be wrong with the request on this host, before anything was touched.
pub fn plan(input: Input<'_>) -> Result<Plan, Rejected> {
    let linux = input.config.linux.as_ref().ok_or_else(|| refuse("there is no linux section"))?;
    let process = input.config.process.as_ref().ok_or_else(|| refuse("there is no process"))?;
    let new = new_namespaces(linux)?;
    unsupported::check(input.config)?;
    shared_mounts::check(linux, input.host)?;
    check_process(process, input.host)?;
    sysctl::check(input.config, linux)?;
    time::check(linux, input.host)?;
    if new.contains(&NamespaceKind::User) {
        ids::check_namespace(input.host)?;
    }
    ids::check_user(&process.user, linux, input.host)?;
    let shifts = if matches!(input.rootfs, Rootfs::Copy { .. }) {
        Ok(())
    } else if !input.host.is_machines_root() {
        Err("only the machine's root may shift ids")
    } else if input.host.kernel < (5, 19) {
        Err("overlayfs takes layers with shifted ids since Linux 5.19")
    } else {
        Ok(())
    };
    if let (true, Err(why)) = (input.idmapped, shifts) {
        let why = format!("its files belong to ids that the user namespace does not have, and {why}");
        return Err(refuse(why).hint("change the owner of a copy of the files, and use that with --rootfs"));
    }
    let init = init(&input, linux, process, &new)?;
    let asks = |step: &InitStep| matches!(step, InitStep::Seccomp { program, .. } if program.notifies());
    if input.bundle.is_none() && init.iter().any(asks) {
        let why = "SCMP_ACT_NOTIFY is for bundles only: no agent is told of this container";
        return Err(Rejected::new("cannot enforce the seccomp profile", why).hint("use sampan oci"));
    }
    let through = through(input.host, linux);
    let spawn = Spawn {
        namespaces: new.iter().copied().filter(|kind| !made_later(*kind, linux)).collect(),
        cgroup: input.cgroup.clone_into.clone(),
        join_pid: joined(linux, NamespaceKind::Pid).filter(|_| through.is_empty()),
        through,
        die_with_parent: input.foreground,
    };
    let mut exec = command(process);
    exec.hidden.clone_from(&input.secrets.variables);
    exec.env.retain(|line| !exec.hidden.iter().any(|hidden| line.split('=').next() == Some(hidden.name.as_str())));
    let attach = attach(&input, linux, process, &new);
    let mut sources = volumes::steps(&input, linux, &process.user)?;
    sources.extend(secrets::steps(&input, linux, input.host)?);
    let nodes = nodes(input.data, linux, &init);
    let prepare = prepare(input, linux, nodes, sources);
    Ok(Plan { prepare, spawn, attach, init, exec })
}

/// The cgroup namespace takes the cgroup that the process is in when it is made, so it waits until the process is in its
/// own (cgroup_namespaces(7)). The clocks of a time namespace can be set until a process is in it (time_namespaces(7)).
fn made_later(kind: NamespaceKind, linux: &Linux) -> bool {
    match kind {
        NamespaceKind::Cgroup => true,
        NamespaceKind::Time => !linux.time_offsets.is_empty(),
        _ => false,
    }
}

pub(crate) fn command(process: &Process) -> Exec {
    Exec {
        args: process.args.clone(),
        env: process.env.clone(),
        hidden: Vec::new(),
        candidates: candidates(&process.args[0], &process.env),
        terminal: process.terminal,
    }
}

/// A terminal of its own, or at least a session.
pub(crate) fn session(process: &Process, console: bool) -> InitStep {
    if !process.terminal {
        return InitStep::Session;
    }
    let size = process.console_size.unwrap_or_default();
    InitStep::Console { uid: process.user.uid, rows: size.height, columns: size.width, console }
}

/// What becomes of those that the caller handed over.
pub(crate) fn standard_files(process: &Process) -> [InitStep; 2] {
    let user = &process.user;
    [InitStep::Null, InitStep::StandardFiles { uid: user.uid, gid: user.gid }]
}

fn refuse(why: impl Into<String>) -> Rejected {
    Rejected::new("cannot plan the container", why)
}

fn new_namespaces(linux: &Linux) -> Result<Vec<NamespaceKind>, Rejected> {
    let mut seen: Vec<NamespaceKind> = Vec::new();
    for Namespace { kind, .. } in &linux.namespaces {
        if seen.contains(kind) {
            return Err(refuse(format!("the {} namespace is named twice", crate::step::namespace_word(*kind))));
        }
        seen.push(*kind);
    }
    Ok(linux.namespaces.iter().filter(|ns| ns.path.is_none()).map(|ns| ns.kind).collect())
}

pub(crate) fn joined(linux: &Linux, kind: NamespaceKind) -> Option<String> {
    let found = linux.namespaces.iter().find(|ns| ns.kind == kind)?;
    Some(found.path.as_ref()?.to_string_lossy().into_owned())
}

pub(crate) fn check_process(process: &Process, host: &Host) -> Result<(), Rejected> {
    if process.args.first().is_none_or(String::is_empty) {
        return Err(refuse("there is no command").hint("name one after the image"));
    }
    for limit in &process.rlimits {
        let what = format!("cannot set {} to {}:{}", limit.kind, limit.soft, limit.hard);
        if limit.soft > limit.hard {
            return Err(Rejected::new(what, "the soft limit is above the hard one"));
        }
        match host.hard_limits.get(&limit.kind) {
            None => return Err(Rejected::new(what, "there is no such limit").hint("getrlimit(2) lists them")),
            Some(hard) if limit.hard > *hard && !host.has(capability::SYS_RESOURCE) => {
                let why = format!("sampan's own hard limit is {hard}, and CAP_SYS_RESOURCE to raise it is missing");
                return Err(Rejected::new(what, why).hint(format!("ask for {hard} or less")));
            }
            Some(_) => {}
        }
    }
    affinity::affinity(process).map(drop)
}

/// Directories before what stands in them; the cgroup before the network, because it is cheap and fails most often.
fn prepare(input: Input<'_>, linux: &Linux, nodes: Vec<HostStep>, sources: Vec<HostStep>) -> Vec<HostStep> {
    let owner = ids::root(input.host, &linux.uid_mappings, &linux.gid_mappings);
    let mapped = input.host.rootless() && input.host.subordinate.is_some();
    let directory = |path: String, mode| HostStep::Directory { path, mode, owner };
    // Closed: set-uid files of a container must not be there for the host's users to run (CVE-2021-41091). But the
    // host's own trees are read through here with nobody's rights, and what is written to them stays in memory.
    let mode = if matches!(input.rootfs, Rootfs::Host(_)) { 0o711 } else { 0o700 };
    let path = input.data.to_owned();
    let mut steps = vec![match input.existing {
        Existing::Nothing => HostStep::Home { path, mode, owner, mapped },
        Existing::Home | Existing::Layer => HostStep::Kept { path, mode, owner },
    }];
    if input.existing != Existing::Layer {
        own_files(&input, linux, &directory, &mut steps);
    }
    if matches!(input.rootfs, Rootfs::Host(_)) {
        steps.push(directory(format!("{}/scratch", input.data), 0o755));
    }
    if shared_mounts::has(linux) {
        shared_mounts::prepare(linux, input.data, &mut steps);
    } else if root_at(&input, linux) == merged(input.data) {
        steps.push(directory(merged(input.data), 0o755));
    }
    if input.bundle.is_some() {
        let fifo = |path| HostStep::Fifo { path, mode: 0o600 };
        steps.extend([gate_at(input.data), outcome_at(input.data)].map(fifo));
    }
    if input.idmapped {
        idmapped(&input, linux, &directory, &mut steps);
    }
    steps.extend(input.files.into_iter().map(|(name, content)| HostStep::File {
        path: format!("{}/{name}", input.data),
        mode: 0o644,
        owner,
        content,
    }));
    steps.extend(nodes);
    steps.extend(input.cgroup.prepare.into_iter().map(HostStep::Cgroup));
    steps.extend(input.network.prepare.into_iter().map(HostStep::Network));
    // Last: what is done there stays, whatever comes of the container.
    steps.extend(sources);
    steps
}

/// Where what it writes goes.
fn own_files(input: &Input<'_>, linux: &Linux, directory: &dyn Fn(String, u32) -> HostStep, steps: &mut Vec<HostStep>) {
    match &input.rootfs {
        Rootfs::Directory(_) | Rootfs::Host(_) => {}
        Rootfs::Overlay { upper: Upper { upper, work, limit, .. }, .. } => {
            steps.push(directory(upper.clone(), 0o755));
            steps.push(directory(work.clone(), 0o700));
            // While they are empty: what is in them by then would not count.
            let paths = [upper.clone(), work.clone()];
            steps.extend(limit.map(|bytes| HostStep::Quota { paths, bytes }));
        }
        Rootfs::Copy { lower, tree } => steps.push(HostStep::Tree {
            layers: lower.clone(),
            to: tree.clone(),
            ids: if input.idmapped { Ids::of(linux) } else { Ids::default() },
            mapped: input.host.rootless(),
        }),
    }
}

/// An overlay takes the mounts below its layers no more than the layers' own; a directory comes as it is.
fn idmapped(input: &Input<'_>, linux: &Linux, directory: &dyn Fn(String, u32) -> HostStep, steps: &mut Vec<HostStep>) {
    let (layers, recursive) = match &input.rootfs {
        Rootfs::Directory(path) => (std::slice::from_ref(path), true),
        Rootfs::Overlay { lower, .. } => (lower.as_slice(), false),
        Rootfs::Copy { .. } | Rootfs::Host(_) => return,
    };
    steps.push(directory(format!("{}/layers", input.data), 0o755));
    for (number, from) in layers.iter().enumerate() {
        let to = layer_at(input.data, number);
        steps.push(directory(to.clone(), 0o755));
        steps.push(HostStep::Idmapped { from: from.clone(), to, ids: Ids::of(linux), recursive });
    }
}

/// Where a layer is mounted whose ids are shifted.
fn layer_at(data: &str, number: usize) -> String {
    format!("{data}/layers/{number}")
}

/// Where its root is mounted until that is `/`.
#[must_use]
pub fn merged(data: &str) -> String {
    format!("{data}/merged")
}

/// Where an image's files lie, topmost first; none where the root is this machine's. `shifted`: with the ids that the
/// container's user namespace gives them.
pub(crate) fn layers(input: &Input<'_>, shifted: bool) -> Option<Vec<String>> {
    let layers = match &input.rootfs {
        Rootfs::Directory(path) => std::slice::from_ref(path),
        Rootfs::Overlay { lower, .. } => lower.as_slice(),
        Rootfs::Copy { tree, .. } => return Some(vec![tree.clone()]),
        Rootfs::Host(_) => return None,
    };
    if !input.idmapped || !shifted {
        return Some(layers.to_vec());
    }
    Some((0..layers.len()).map(|number| layer_at(input.data, number)).collect())
}

/// Where the root is mounted, in the child's mount namespace only, until pivot_root makes it `/`. A bundle's on itself:
/// hooks look for it there, and sources of binds may be in it.
fn root_at(input: &Input<'_>, linux: &Linux) -> String {
    match &input.rootfs {
        _ if shared_mounts::has(linux) => shared_mounts::root(input.data),
        Rootfs::Directory(path) if input.bundle.is_some() && path != "/" => path.clone(),
        _ => merged(input.data),
    }
}

/// What a path of the host is in the container's root, where the root is mounted on itself.
fn below_root<'a>(input: &Input<'_>, linux: &Linux, path: &'a str) -> Option<&'a str> {
    let at = root_at(input, linux);
    let below = path.strip_prefix(&at)?;
    (at != merged(input.data) && (below.is_empty() || below.starts_with('/'))).then_some(below)
}

/// Where who starts the container knocks.
#[must_use]
pub fn gate_at(data: &str) -> String {
    format!("{data}/gate")
}

/// Where he hears what came of it.
#[must_use]
pub fn outcome_at(data: &str) -> String {
    format!("{data}/outcome")
}

/// Ids and cgroup first: until then the child may do nothing that depends on who and where it is. The network is set
/// up while the child builds its mounts.
fn attach(input: &Input<'_>, linux: &Linux, process: &Process, new: &[NamespaceKind]) -> Vec<AttachStep> {
    let mut steps: Vec<AttachStep> = input.cgroup.attach.iter().cloned().map(AttachStep::Cgroup).collect();
    if new.contains(&NamespaceKind::User) {
        steps.push(AttachStep::IdMaps {
            uid: linux.uid_mappings.clone(),
            gid: linux.gid_mappings.clone(),
            helpers: input.host.rootless() && input.host.subordinate.is_some(),
        });
    }
    steps.extend(process.oom_score_adj.map(AttachStep::OomScoreAdj));
    // What it mounts where others are may only be there when the journal knows of the process.
    if !steps.is_empty() || shared_mounts::has(linux) {
        steps.push(AttachStep::Go);
    }
    if !input.network.attach.is_empty() {
        steps.extend(input.network.attach.iter().cloned().map(AttachStep::Network));
        steps.push(AttachStep::Attached);
    }
    steps
}

fn init(input: &Input<'_>, linux: &Linux, process: &Process, new: &[NamespaceKind]) -> Result<Vec<InitStep>, Rejected> {
    let mut steps = Vec::new();

    // Who and where it is, before anything that depends on it.
    identity(input, linux, process, new, &mut steps);

    // While /proc is still the caller's.
    if !process.apparmor_profile.is_empty() {
        steps.push(InitStep::AppArmor { profile: process.apparmor_profile.clone() });
    }
    if !process.selinux_label.is_empty() {
        let keys = input.bundle.as_ref().is_none_or(|bundle| bundle.keyring);
        steps.push(InitStep::SelinuxLabel { label: process.selinux_label.clone(), keys });
    }

    // Mounts, the root first, so that every later path is resolved inside it.
    let propagation = match linux.rootfs_propagation.as_str() {
        "" => 0,
        word => mounts::propagation(word).ok_or_else(|| {
            let what = format!("cannot use the rootfsPropagation {word:?}");
            Rejected::new(what, "it is none of shared, slave, private, unbindable and their recursive forms")
        })?,
    };
    // What is made in here must not reach the host. Only a slave hears of the host later; a shared root has peers of its
    // own (config-linux.md, "Rootfs Mount Propagation").
    let cut = if propagation & !RECURSIVE & !SLAVE == 0 { SLAVE } else { PRIVATE };
    let shares = shared_mounts::has(linux);
    steps.push(if shares {
        InitStep::Private { at: shared_mounts::point(input.data) }
    } else {
        InitStep::Propagation { flags: cut | RECURSIVE }
    });
    let at = root_at(input, linux);
    let userxattr = new.contains(&NamespaceKind::User) || !input.host.initial;
    let layer = |number, path: &String| if input.idmapped { layer_at(input.data, number) } else { path.clone() };
    match &input.rootfs {
        Rootfs::Directory(path) => {
            steps.push(InitStep::Root { path: layer(0, path), at: at.clone(), private: shares });
        }
        Rootfs::Copy { tree, .. } => {
            steps.push(InitStep::Root { path: tree.clone(), at: at.clone(), private: shares });
        }
        Rootfs::Overlay { lower, upper } => {
            let lower = lower.iter().enumerate().map(|(number, path)| layer(number, path)).collect();
            steps.push(overlay(input.host, lower, Some(upper.clone()), At::Root(at.clone()), None, userxattr)?);
        }
        Rootfs::Host(view) => host_view(view, input, &at, userxattr, &mut steps)?,
    }
    // Without a /dev of its own, in the root's.
    let mut own_dev = true;
    let mut sealed = Vec::new();
    for spec in &input.config.mounts {
        if spec.kind == "cgroup" {
            cgroup_mounts(input, spec, linux, &mut steps)?;
            continue;
        }
        let host = input.bundle.as_ref().and_then(|_| volumes::host_sysfs(spec, linux));
        let spec = host.as_ref().unwrap_or(spec);
        if input.bundle.is_some() {
            mounts::check_proc(spec)?;
        }
        let mut mount = volumes::mount(spec, linux, input.host)?;
        volumes::narrow(&mut mount, &input.volumes);
        if mount.filled {
            check_filled(input, &mount.destination)?;
        }
        if let Source::Bind { path, opened, .. } = &mut mount.source
            && let Some(below) = below_root(input, linux, path)
        {
            (*path, *opened) = (format!("/{}", below.trim_start_matches('/')), Opened::Inside);
        }
        // A volume there, which comes after, is somebody's: nothing is made in it.
        if mount.destination == "/dev" {
            own_dev = matches!(mount.source, Source::Filesystem { .. });
            // Not yet: the devices are made in it.
            if own_dev && mount.attributes.own.set & mounts::RDONLY != 0 {
                mount.attributes.own.set &= !mounts::RDONLY;
                mount.options.retain(|option| option != "ro");
                sealed.push(InitStep::ReadonlyMount { path: mount.destination.clone() });
            }
        }
        steps.extend(label::mount(mount, &linux.mount_label));
    }
    if own_dev {
        devices(input, linux, new, &mut steps);
    }
    steps.push(session(process, true));

    // As late as it can be: the parent makes the link while the child makes its mounts. And while /proc/sys, which has
    // the settings of links, can be written.
    if !input.network.attach.is_empty() {
        steps.push(InitStep::AwaitAttached);
    }
    steps.extend(input.network.init.iter().cloned().map(InitStep::Network));
    let sysctl = |(key, value): (&String, &String)| InitStep::Sysctl { key: key.clone(), value: value.clone() };
    steps.extend(linux.sysctl.iter().map(sysctl));
    steps.extend(linux.readonly_paths.iter().map(|path| InitStep::Readonly { path: path.clone() }));
    // Once: a second mount on the first would only have to be taken off, too.
    let once = |(number, path): &(usize, &String)| !linux.masked_paths[..*number].contains(path);
    let masked = linux.masked_paths.iter().enumerate().filter(once);
    steps.extend(masked.map(|(_, path)| InitStep::Mask { path: path.clone(), label: linux.mount_label.clone() }));
    // While the root can be written: hooks that find libraries and devices for it make links and caches in it.
    if let Some(hooks) = &input.config.hooks {
        if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
            steps.push(InitStep::AwaitHooks);
        }
        steps.extend(called("createContainer", &hooks.create_container, &input.state, Status::Creating));
    }
    steps.append(&mut sealed);
    if input.config.root.as_ref().is_some_and(|root| root.readonly) {
        if input.create_cwd && process.cwd.len() > 1 {
            steps.push(InitStep::Workdir { path: process.cwd.clone() });
        }
        steps.push(InitStep::ReadonlyMount { path: "/".to_owned() });
    }
    if input.first != First::Command {
        steps.push(InitStep::Reaper { alone: input.first == First::Alone });
    }
    // Never chroot alone where it need not be: a chroot can be left, and the host's mounts would still be there to be
    // found. But another root of the namespace would be that of all who are in it.
    steps.push(match input.bundle.as_ref().and_then(|bundle| bundle.no_pivot.clone()) {
        _ if shares => InitStep::Chroot { at },
        Some(hidden) => InitStep::Move { at, hidden },
        None => InitStep::Pivot { at },
    });
    if shares {
        shared_mounts::cut(&mut steps)?;
    }
    if propagation != 0 {
        steps.push(InitStep::Propagation { flags: propagation });
    }
    if input.bundle.is_some() && !process.terminal {
        steps.extend(standard_files(process));
    }

    if !input.config.hostname.is_empty() {
        steps.push(InitStep::Hostname(input.config.hostname.clone()));
    }
    if !input.config.domainname.is_empty() {
        steps.push(InitStep::Domainname(input.config.domainname.clone()));
    }

    // While no filter is there yet.
    if input.bundle.is_some() && new.contains(&NamespaceKind::Pid) {
        steps.push(InitStep::EndBySignals);
    }

    let rights = Rights {
        process,
        personality: linux.personality.as_ref(),
        memory: linux.memory_policy.as_ref(),
        filter: linux.seccomp.as_ref(),
        compiled: input.compiled.as_ref(),
        host: input.host,
        gid_map: &linux.gid_mappings,
        keyring: input.bundle.as_ref().is_none_or(|bundle| bundle.keyring),
        create_cwd: input.create_cwd,
        after: start(input),
        hooks: start_hooks(input, process),
    };
    security(rights, &mut steps)?;
    // As early as the parent allows: an ordinary user's, and pasta, look at the namespaces through the child's /proc/PID,
    // which becomes root's (CVE-2019-5736, and the windows of CVE-2016-9962).
    let awaits = |step: &InitStep| matches!(step, InitStep::AwaitGo | InitStep::AwaitAttached);
    let at = steps.iter().rposition(awaits).map_or(0, |last| last + 1);
    steps.insert(at, InitStep::Undumpable);
    Ok(steps)
}

/// The copy is made by the parent, which sees the root as it lies there.
fn check_filled(input: &Input<'_>, destination: &str) -> Result<(), Rejected> {
    let refuse = |why: &str| Err(Rejected::new(format!("cannot fill {destination} with what it covers"), why));
    match input.rootfs {
        Rootfs::Directory(_) if input.host.rootless() => refuse("only root of the host may (tmpcopyup)"),
        Rootfs::Directory(_) => Ok(()),
        Rootfs::Overlay { .. } | Rootfs::Copy { .. } | Rootfs::Host(_) => {
            refuse("the root is not a directory (tmpcopyup)")
        }
    }
}

/// The tree of the host, or its trees where its mounts are locked to each other. For each: a veil over it, read with
/// the reader's rights, and on top a directory in memory.
fn host_view(
    view: &View,
    input: &Input<'_>,
    root: &str,
    userxattr: bool,
    steps: &mut Vec<InitStep>,
) -> Result<(), Rejected> {
    let scratch = format!("{}/scratch", input.data);
    steps.push(InitStep::Scratch { at: scratch.clone() });
    if view.units.first().is_none_or(|unit| unit.at != "/") {
        steps.push(InitStep::EmptyRoot { at: root.to_owned() });
    }
    for frame in &view.frame {
        steps.push(match frame {
            Frame::Directory(directory) => {
                InitStep::Veil { slot: Slot::Root, under: String::new(), entries: vec![directory.clone()] }
            }
            Frame::Link { path, to } => InitStep::Symlink { path: path.clone(), to: to.clone() },
            Frame::File { path } => InitStep::Mount(mounts::Mount {
                source: Source::Bind { path: path.clone(), below: None, recursive: false, opened: Opened::ByChild },
                idmap: None,
                destination: path.clone(),
                attributes: mounts::Attributes::read_only(),
                filled: false,
                links: mounts::Links::default(),
                options: vec!["bind".to_owned(), "ro".to_owned()],
            }),
        });
    }
    for (number, unit) in view.units.iter().enumerate() {
        let name = format!("{number}");
        let own = |part: &str| format!("{scratch}/{name}/{part}");
        let root_of_veil = match unit.veil.first() {
            Some(Veil::Directory { mode, uid, gid, .. }) => (*mode, *uid, *gid),
            _ => (0o755, 0, 0),
        };
        let plain = |path: &str, (mode, uid, gid)| Veil::Directory { path: path.to_owned(), mode, uid, gid };
        let directories = [
            plain("", (0o755, 0, 0)),
            plain("/upper", root_of_veil),
            plain("/work", (0o755, 0, 0)),
            plain("/inner", (0o755, 0, 0)),
        ];
        steps.push(InitStep::Veil { slot: Slot::Scratch, under: name.clone(), entries: directories.into() });
        steps.push(InitStep::Veil { slot: Slot::Scratch, under: format!("{name}/veil"), entries: unit.veil.clone() });
        let mut lower = vec![own("veil"), unit.at.clone()];
        if unit.reader.is_some() {
            let at = At::Scratch(format!("{name}/inner"));
            steps.push(overlay(input.host, lower, None, at, unit.reader, userxattr)?);
            lower = vec![own("inner")];
        }
        let upper = Some(Upper { upper: own("upper"), work: own("work"), volatile: false, limit: None });
        let at = if unit.at == "/" { At::Root(root.to_owned()) } else { At::Inside(unit.at.clone()) };
        steps.push(overlay(input.host, lower, upper, at, None, userxattr)?);
    }
    Ok(())
}

fn overlay(
    host: &Host,
    lower: Vec<String>,
    upper: Option<Upper>,
    at: At,
    reader: Option<(u32, u32)>,
    userxattr: bool,
) -> Result<InitStep, Rejected> {
    let upper = upper.map(|upper| Upper { volatile: upper.volatile && host.kernel >= (5, 10), ..upper });
    let told = overlay::tell(host, &lower, upper.as_ref(), &at)?;
    Ok(InitStep::Overlay { lower, upper, at, reader, userxattr, told })
}

/// What the one `cgroup` mount of config.json stands for: on v2 one filesystem, on v1 one for each hierarchy.
fn cgroup_mounts(
    input: &Input<'_>,
    spec: &spec::runtime::Mount,
    linux: &Linux,
    steps: &mut Vec<InitStep>,
) -> Result<(), Rejected> {
    let mut push = |kind: &str, source: &str, destination: &str, more: &[String]| {
        let mut mount = spec::runtime::Mount {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            ..spec.clone()
        };
        if kind == "tmpfs" {
            // Not yet: the hierarchies are mounted in it.
            mount.options.retain(|option| option != "ro");
        }
        if kind == "bind" {
            mount.options.retain(|option| !cgroup::HIERARCHY_OPTIONS.contains(&option.as_str()));
        }
        mount.options.extend_from_slice(more);
        mounts::parse(&mount).map(|mount| steps.extend(label::mount(mount, &linux.mount_label)))
    };
    let (mut links, mut sealed) = (Vec::new(), Vec::new());
    for mount in cgroup::container_mounts(&input.cgroup.cgroup, cgroup::Within::of(linux)) {
        match mount {
            cgroup::Mount::Tmpfs { destination } => {
                push("tmpfs", "tmpfs", &destination, &["mode=755".to_owned()])?;
                if spec.options.iter().any(|option| option == "ro") {
                    sealed.push(InitStep::ReadonlyMount { path: destination });
                }
            }
            cgroup::Mount::Cgroup2 { destination } => push("cgroup2", "cgroup", &destination, &[])?,
            cgroup::Mount::Cgroup { destination, options } => {
                let options: Vec<String> = options.split(',').map(str::to_owned).collect();
                push("cgroup", "cgroup", &destination, &options)?;
            }
            cgroup::Mount::Bind { source, destination } => {
                push("bind", &source, &destination, &["bind".to_owned()])?;
            }
            cgroup::Mount::Symlink { target, link } => links.push(InitStep::Symlink { path: link, to: target }),
        }
    }
    steps.extend(links);
    steps.extend(sealed);
    Ok(())
}

/// The namespaces that are joined, in order.
fn shared<'a>(host: &Host, linux: &'a Linux) -> Vec<&'a Namespace> {
    let mut shared: Vec<&Namespace> = linux.namespaces.iter().filter(|ns| ns.path.is_some()).collect();
    // An ordinary user has the right to enter those that the user namespace owns only in that (setns(2)). Root has it for
    // others, too, but not any more once it is in there.
    shared.sort_by_key(|ns| (ns.kind == NamespaceKind::User) != host.rootless());
    shared
}

/// Those that a process in between enters, which then makes the container's: what is new belongs to the user namespace
/// that its maker is in, and root can enter what does not belong to it only from outside.
fn through(host: &Host, linux: &Linux) -> Vec<(NamespaceKind, String)> {
    let user = linux.namespaces.iter().find(|ns| ns.kind == NamespaceKind::User);
    let (Some(user), shared) = (user, shared(host, linux)) else { return Vec::new() };
    if user.path.is_none() && host.rootless() {
        return Vec::new();
    }
    let path = |ns: &&Namespace| Some((ns.kind, ns.path.as_ref()?.to_string_lossy().into_owned()));
    shared.iter().filter_map(path).collect()
}

fn identity(input: &Input<'_>, linux: &Linux, process: &Process, new: &[NamespaceKind], steps: &mut Vec<InitStep>) {
    if through(input.host, linux).is_empty() {
        let joins = shared(input.host, linux).into_iter().filter(|ns| ns.kind != NamespaceKind::Pid);
        steps.extend(joins.filter_map(|ns| {
            Some(InitStep::Join { kind: ns.kind, path: ns.path.as_ref()?.to_string_lossy().into_owned() })
        }));
    }
    // Owned by the user namespace that it is in by now. As nobody there still, who owns its own files in /proc; as long as
    // it is dumpable, and while that is the caller's.
    if !linux.time_offsets.is_empty() {
        steps.push(InitStep::TimeNamespace { offsets: time::lines(linux) });
    }
    let own_user = new.contains(&NamespaceKind::User);
    let waits = process.oom_score_adj.is_some() || !input.cgroup.attach.is_empty() || shared_mounts::has(linux);
    if own_user || waits {
        steps.push(InitStep::AwaitGo);
    }
    // With the parent's fds, so a user namespace does not stand in the way.
    steps.extend(input.cgroup.join.iter().cloned().map(InitStep::Cgroup));
    // Where it is its cpuset counts, and not the CPUs of an engine that is bound to some.
    if input.bundle.is_some() {
        steps.push(InitStep::Affinity(None));
    }
    if own_user || joined(linux, NamespaceKind::User).is_some() {
        steps.push(InitStep::BecomeRoot { clear_groups: ids::groups_allowed(input.host, &linux.gid_mappings) });
    }
    if new.contains(&NamespaceKind::Cgroup) {
        steps.push(InitStep::UnshareCgroup);
    }
}

/// The runtime-spec's default devices (config-linux.md).
const DEVICES: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Where the container's devices are.
pub(crate) fn device_paths(linux: &Linux) -> impl Iterator<Item = String> {
    DEVICES.iter().map(|(path, ..)| (*path).to_owned()).chain(linux.devices.iter().map(|device| device.path.clone()))
}

/// The default devices and links, then the config's own.
fn devices(input: &Input<'_>, linux: &Linux, new: &[NamespaceKind], steps: &mut Vec<InitStep>) {
    const LINKS: [(&str, &str); 5] = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ];
    let may = input.host.initial && input.host.has(capability::MKNOD);
    let own_users = new.contains(&NamespaceKind::User);
    let from_host = own_users || joined(linux, NamespaceKind::User).is_some() || !may;
    let node = |(number, device): (usize, &Device)| match device.kind.as_str() {
        // A named pipe is no device: anybody may make one.
        "p" => Node::Made,
        _ if !from_host => Node::Made,
        // Where the maps are known, so that it has the owner that it is to have.
        _ if own_users && may => Node::Parent(format!("{}/{number}", nodes_at(input.data))),
        _ => Node::Host,
    };
    let default = DEVICES.iter().map(|(path, major, minor)| Device {
        path: (*path).to_owned(),
        kind: "c".to_owned(),
        major: *major,
        minor: *minor,
        file_mode: Some(0o666),
        ..Device::default()
    });
    let default = default.filter(|device| !linux.devices.iter().any(|own| own.path == device.path));
    let defaults = if from_host { Node::Host } else { Node::Made };
    steps.extend(default.map(|device| InitStep::Device { device, node: defaults.clone() }));
    let own = linux.devices.iter().enumerate().map(|one| InitStep::Device { device: one.1.clone(), node: node(one) });
    steps.extend(own);
    let link = |(path, to): &(&str, &str)| InitStep::Symlink { path: (*path).to_owned(), to: (*to).to_owned() };
    steps.extend(LINKS.iter().map(link));
}

/// Closed to the container's root, whose device rules do not reach a node on the host.
/// What a plan makes in a container's directory beside `files`, the layer of its own and what is in that: it goes before
/// the next plan for the directory.
#[must_use]
pub fn made(data: &str) -> [String; 6] {
    let own = ["layers", "scratch", "images"].map(|name| format!("{data}/{name}"));
    let [layers, scratch, images] = own;
    [nodes_at(data), merged(data), layers, scratch, images, partial(&tree(data))]
}

/// Where the copy is that a container stands on.
#[must_use]
pub fn tree(data: &str) -> String {
    format!("{data}/tree")
}

/// A copy on its way: one that has its name is whole.
#[must_use]
pub fn partial(tree: &str) -> String {
    format!("{tree}.partial")
}

fn nodes_at(data: &str) -> String {
    format!("{data}/devices")
}

/// The devices that the parent makes for a user namespace.
fn nodes(data: &str, linux: &Linux, init: &[InitStep]) -> Vec<HostStep> {
    // What the maps do not have looks there like what the host's nodes do.
    let id = |map: &[IdMapping], id: Option<u32>| ids::on_host(map, id.unwrap_or(0)).unwrap_or(ids::OVERFLOW);
    let made = init.iter().filter_map(|step| match step {
        InitStep::Device { device, node: Node::Parent(path) } => Some(HostStep::Node {
            path: path.clone(),
            device: device.clone(),
            owner: (id(&linux.uid_mappings, device.uid), id(&linux.gid_mappings, device.gid)),
        }),
        _ => None,
    });
    let mut steps: Vec<HostStep> = made.collect();
    if !steps.is_empty() {
        steps.insert(0, HostStep::Directory { path: nodes_at(data), mode: 0o700, owner: None });
    }
    steps
}

/// What `security` is made of.
pub(crate) struct Rights<'a> {
    pub(crate) process: &'a Process,
    pub(crate) personality: Option<&'a Personality>,
    pub(crate) memory: Option<&'a MemoryPolicy>,
    pub(crate) filter: Option<&'a SeccompSection>,
    /// The same, from before.
    pub(crate) compiled: Option<&'a seccomp::Program>,
    pub(crate) host: &'a Host,
    /// Of the container's user namespace, where it has one of its own.
    pub(crate) gid_map: &'a [IdMapping],
    /// A session keyring of its own.
    pub(crate) keyring: bool,
    pub(crate) create_cwd: bool,
    /// After the word that all is done, and before a filter that may refuse what they need.
    pub(crate) after: Vec<InitStep>,
    /// Programs of the container's, last of all.
    pub(crate) hooks: Vec<InitStep>,
}

/// Rights last, and in the one order in which each can still be given up: the bounding set needs CAP_SETPCAP, the
/// change of user CAP_SETUID, a filter without no_new_privs CAP_SYS_ADMIN.
pub(crate) fn security(rights: Rights<'_>, steps: &mut Vec<InitStep>) -> Result<(), Rejected> {
    let Rights { process, personality, memory, filter, compiled, host, gid_map, keyring, create_cwd, after, hooks } =
        rights;
    if keyring {
        steps.push(InitStep::Keyring);
    }
    steps.extend(process.rlimits.iter().map(|limit| InitStep::Rlimit {
        kind: limit.kind.clone(),
        soft: limit.soft,
        hard: limit.hard,
    }));
    if let Some(asked) = &process.scheduler {
        steps.push(InitStep::Scheduler(scheduling::scheduler(asked)?));
    }
    if let Some(asked) = &process.io_priority {
        steps.push(InitStep::IoPriority(scheduling::io_priority(asked)?));
    }
    if let Some(asked) = personality {
        steps.push(InitStep::Personality(scheduling::personality(asked)?));
    }
    if let Some(asked) = memory {
        steps.push(InitStep::MemoryPolicy(memory::policy(asked)?));
    }
    steps.extend(process.user.umask.map(InitStep::Umask));
    let cwd = if process.cwd.is_empty() { "/" } else { &process.cwd };
    if !cwd.starts_with('/') {
        return Err(refuse(format!("the working directory {cwd:?} is not an absolute path")));
    }
    steps.push(InitStep::Chdir { path: cwd.to_owned(), create: create_cwd });
    // From there, as the exec will look. Still as root, who can read a script that its user can only execute; and before
    // the filter, which may not let through what this asks.
    steps.push(InitStep::NotSampan);
    let section = filter;
    let filter = match (section, compiled) {
        (Some(_), Some(program)) => Some(program.clone()),
        (section, _) => section.map(|section| compile(section, host)).transpose()?,
    };
    let notifies = filter.as_ref().is_some_and(seccomp::Program::notifies);
    if notifies && !host.has(capability::SYS_PTRACE) {
        check_listener(section)?;
    }
    // Only by that right may a parent take from a process that is not dumpable (pidfd_getfd(2)).
    let filter = filter.map(|program| InitStep::Seccomp { program, send: !host.has(capability::SYS_PTRACE) });
    let (early, late) = if process.no_new_privileges { (None, filter) } else { (filter, None) };
    if let Some(capabilities) = &process.capabilities {
        let keep = capabilities.bounding.clone();
        steps.push(InitStep::Bounding { keep, last: host.last_capability });
    }
    let groups = ids::groups_allowed(host, gid_map).then(|| process.user.additional_gids.clone());
    // Still with every capability: the filter needs CAP_SYS_ADMIN here, and must let the few calls below through.
    steps.extend(early);
    steps.push(InitStep::User { uid: process.user.uid, gid: process.user.gid, groups });
    if let Some(capabilities) = &process.capabilities {
        steps.push(InitStep::Capabilities {
            effective: capabilities.effective.clone(),
            permitted: capabilities.permitted.clone(),
            inheritable: capabilities.inheritable.clone(),
            ambient: capabilities.ambient.clone(),
        });
    }
    if process.no_new_privileges {
        steps.push(InitStep::NoNewPrivileges);
    }
    // Its listener is handed on while there is a parent to do so; what comes after, hooks too, asks the agent.
    let (asking, late) = if notifies { (late, None) } else { (None, late) };
    steps.extend(asking);
    steps.push(InitStep::Ready);
    steps.extend(after);
    // With no_new_privs nothing but the exec comes after the filter, so it may be as strict as it likes; but for hooks,
    // which may be an image's programs and shall no more go without it than the command.
    steps.extend(late);
    steps.extend(hooks);
    Ok(())
}

/// Between the two commands that make and start a bundle's container.
fn start(input: &Input<'_>) -> Vec<InitStep> {
    if input.bundle.is_none() {
        return Vec::new();
    }
    let (gate, outcome) = (gate_at(input.data), outcome_at(input.data));
    // With its user's rights, and still told to the first of the two.
    vec![InitStep::FindCommand, InitStep::AwaitStart { gate, outcome }]
}

fn start_hooks(input: &Input<'_>, process: &Process) -> Vec<InitStep> {
    let Some(hooks) = &input.config.hooks else { return Vec::new() };
    let state = &input.state;
    let mut steps: Vec<InitStep> = called("startContainer", &hooks.start_container, state, Status::Created).collect();
    for step in &mut steps {
        // As runc: with the command's environment, where it has none of its own.
        if let InitStep::Hook { hook, .. } = step
            && hook.env.as_ref().is_none_or(Vec::is_empty)
        {
            hook.env = Some(process.env.clone());
        }
    }
    steps
}

fn called(stage: &'static str, hooks: &[Hook], state: &State, status: Status) -> impl Iterator<Item = InitStep> {
    let state = move || State { status, ..state.clone() };
    let step =
        move |(number, hook): (usize, &Hook)| InitStep::Hook { stage, number, hook: hook.clone(), state: state() };
    hooks.iter().enumerate().map(step)
}

fn compile(section: &SeccompSection, host: &Host) -> Result<seccomp::Program, Rejected> {
    let cannot = "cannot read linux.seccomp of config.json";
    let profile = section.read().map_err(|error| Rejected::new(cannot, error.to_string()))?;
    seccomp::compile(&profile, seccomp::Arch::of(host)?)
}

/// Where the child has to send it.
fn check_listener(section: Option<&SeccompSection>) -> Result<(), Rejected> {
    let asks = |rule: &spec::runtime::SyscallRule| {
        rule.action == "SCMP_ACT_NOTIFY" && rule.names.iter().any(|name| name == "sendmsg")
    };
    if !section.is_some_and(|section| section.read().is_ok_and(|profile| profile.syscalls.iter().any(asks))) {
        return Ok(());
    }
    let why = "SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall, by which the listener is handed on here";
    Err(Rejected::new("cannot enforce the seccomp profile", why).hint("run as root, with CAP_SYS_PTRACE"))
}

/// The paths that execvp(3) would try, in its order.
fn candidates(name: &str, env: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = env.iter().rev().find_map(|var| var.strip_prefix("PATH=")).unwrap_or("/usr/bin:/bin");
    // An empty entry is the working directory (POSIX), which a container's command shall not be looked for in.
    path.split(':').filter(|dir| !dir.is_empty()).map(|dir| format!("{}/{name}", dir.trim_end_matches('/'))).collect()
}
