//! `create`: a container whose process waits for its start.

use crate::bundle::{Bundle, keeps_groups};
use crate::delete::poststop;
use crate::record::{Model, Record, Scope, write_whole};
use crate::root::{Home, Root};
use crate::{Id, label, listener, notify, refused};
use plan::cgroup::{Asked, Cgroup, CgroupPath, Unit};
use plan::host::Host;
use plan::order::{Existing, NetworkSteps};
use plan::step::InitStep;
use plan::{Input, Plan, Rootfs};
use runtime::apply::device::kept;
use runtime::container::{Call, Stage, Started};
use runtime::journal::Journal;
use runtime::process::Process;
use runtime::{Result, hook, observe};
use spec::runtime::{Config, IntelRdt, Linux, Namespace, NamespaceKind, State, Status};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What the caller asks for beside the bundle.
#[derive(Debug, Clone, Default)]
pub struct Create {
    pub bundle: PathBuf,
    pub pid_file: Option<PathBuf>,
    /// Where a terminal's master goes.
    pub console_socket: Option<PathBuf>,
    /// Where a pidfd of the container's process goes.
    pub pidfd_socket: Option<PathBuf>,
    pub passed: Passed,
    pub no_new_keyring: bool,
    /// systemd makes the cgroup.
    pub systemd: bool,
    /// Whether it may do without a cgroup where the caller may make none.
    pub cgroup: Need,
    /// The root is moved, because the one that there is cannot be pivoted away.
    pub no_pivot: bool,
    /// The caller stays, watches the container, and shows its terminal.
    pub foreground: bool,
}

/// A cgroup for the container (runc's `--rootless`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Need {
    /// As far as the caller may make one.
    #[default]
    Possible,
    Always,
}

/// Files of the caller's, from the first after standard error on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passed {
    pub(crate) files: u32,
    /// The first of them are sockets of a service manager's (sd_listen_fds(3)).
    sockets: u32,
}

impl Passed {
    /// To be called first, as long as no file of our own can be taken for one of them.
    ///
    /// # Errors
    /// One of them is not open.
    pub fn find(preserve: u32) -> Result<Self> {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        let ours = number("LISTEN_PID") == Some(std::process::id());
        let sockets = number("LISTEN_FDS").filter(|_| ours).unwrap_or(0);
        let files = preserve.saturating_add(sockets);
        let is_open = |fd: &u32| Path::new(&format!("/proc/self/fd/{fd}")).symlink_metadata().is_ok();
        match (3..files.saturating_add(3)).find(|fd| !is_open(fd)) {
            Some(fd) => {
                refused(format!("cannot pass on {files} files"), format!("the file descriptor {fd} is not open"))
            }
            None => Ok(Self { files, sockets }),
        }
    }
}

/// `warn` hears what the configuration asks for in vain, or should not.
///
/// # Errors
/// What is wrong with the bundle, or failed; what was done until then is undone.
pub fn create(root: &Root, id: &Id, create: &Create, warn: &mut dyn FnMut(&str)) -> Result<Started> {
    root.check_free(id)?;
    let mut bundle = Bundle::open(&create.bundle)?;
    bundle.warnings.iter().for_each(|warning| warn(warning));
    let notified = notify::mount(&root.container(id))?;
    let notifies = notified.is_some();
    bundle.config.mounts.extend(notified);
    // What follows is for the first process alone.
    let model = Model::of(&bundle.config);
    if let Some(process) = &mut bundle.config.process {
        if create.passed.sockets > 0 {
            process.env.extend([format!("LISTEN_FDS={}", create.passed.sockets), "LISTEN_PID=1".to_owned()]);
        }
        if notifies {
            notify::tell(process);
        }
    }
    let terminal = bundle.config.process.as_ref().is_some_and(|process| process.terminal);
    check_terminal(terminal, create.foreground, create.console_socket.as_deref())?;
    let (plan, placed) = plan(root, id, &bundle, create)?;
    let linux = bundle.config.linux.as_ref();
    linux.iter().flat_map(|linux| kept(&plan, linux)).for_each(|warning| warn(&warning));
    let (home, mut journal) = root.claim(id)?;
    let record = record(id, &bundle, &plan, placed, create.passed);
    let prepared = if notifies { notify::prepare(&home) } else { Ok(()) };
    let made = prepared
        .and_then(|()| model.save(&home))
        .and_then(|()| make(&home, &mut journal, &plan, record.clone(), &bundle, create));
    if made.is_err() {
        // The error that led here is the one to tell; what could not be undone stays for `delete --force`. The hooks are
        // called as at the end of any container (runtime.md, "Lifecycle").
        home.undo(Some(journal));
        poststop(&record);
    }
    made
}

fn make(
    home: &Home,
    journal: &mut Journal,
    plan: &Plan,
    mut record: Record,
    bundle: &Bundle,
    create: &Create,
) -> Result<Started> {
    record.save(home)?;
    let profile = bundle.config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let mut at = |stage, pid, terminal: &mut Option<OwnedFd>| {
        let state = State { pid, ..record.state(Status::Creating) };
        match stage {
            Stage::Hooks => {
                hook::run_all("prestart", &record.hooks.prestart, &state, &bundle.path)?;
                hook::run_all("createRuntime", &record.hooks.create_runtime, &state, &bundle.path)
            }
            Stage::Listener(listener) => listener::hand_over(profile, &listener, pid, state),
            Stage::Ready => hand_over(terminal, create.console_socket.as_deref()),
        }
    };
    let context = runtime::apply::Context::default();
    let call = Call { stdio: [0, 1, 2], passed: create.passed.files, timed: false, at: &mut at };
    let started = runtime::container::start(plan, Some(journal), context, call)?;
    hand_pidfd(&started, create.pidfd_socket.as_deref())?;
    Process { pid: record.pid, start: record.start } = Process::now(started.child.pid);
    record.save(home)?;
    if let Some(path) = &create.pid_file {
        write_whole(path, record.pid.to_string().as_bytes())?;
    }
    Ok(started)
}

/// The terminal, to whom it is for. Who shows it himself, as runc, makes lines of it on a terminal only.
pub(crate) fn hand_over(terminal: &mut Option<OwnedFd>, console: Option<&Path>) -> Result<()> {
    let Some(socket) = console else {
        return terminal.as_ref().map_or(Ok(()), runtime::console::leave_newlines);
    };
    terminal.take().map_or(Ok(()), |master| runtime::console::send(socket, master, b"/dev/ptmx"))
}

pub(crate) fn hand_pidfd(started: &Started, socket: Option<&Path>) -> Result<()> {
    socket.map_or(Ok(()), |socket| runtime::console::send(socket, &started.child.pidfd, b"pidfd"))
}

/// Somebody has to have the other end of a terminal: who stays, or who listens.
pub(crate) fn check_terminal(terminal: bool, foreground: bool, socket: Option<&Path>) -> Result<()> {
    match (terminal, foreground, socket) {
        (true, false, None) => {
            refused("cannot give the container a terminal", "nobody would have its other end: name a --console-socket")
        }
        (false, _, Some(_)) | (_, true, Some(_)) => {
            refused("cannot use the console socket", "the container has no terminal, or its caller stays to show it")
        }
        _ => Ok(()),
    }
}

/// Where its processes are.
pub(crate) struct Placed {
    path: CgroupPath,
    cgroup: Cgroup,
    scope: Option<Scope>,
    resctrl: Vec<String>,
}

pub(crate) fn plan(root: &Root, id: &Id, bundle: &Bundle, create: &Create) -> Result<(Plan, Placed)> {
    let mut host = observe::host()?;
    let config = &bundle.config;
    host.setgroups &= !keeps_groups(&config.annotations);
    let Some(linux) = &config.linux else {
        return refused("cannot create the container", "config.json has no linux section");
    };
    for namespace in &linux.namespaces {
        if let Some(path) = &namespace.path {
            observe::check_namespace(namespace.kind, &path.to_string_lossy())?;
        }
    }
    label::check(&linux.mount_label)?;
    config.process.as_ref().map_or(Ok(()), |process| label::check(&process.selinux_label))?;
    let (mut placed, mut cgroup) = place(id, config, linux, create.systemd, &host)?;
    let named = !linux.cgroups_path.is_empty() || create.cgroup == Need::Always;
    if named && !create.systemd && placed.cgroup.v2.is_none() && placed.cgroup.v1.is_empty() {
        let why = format!("unable to apply cgroup configuration: {}: permission denied", placed.path);
        let hint = "leave linux.cgroupsPath out, or have a cgroup delegated to this user";
        return Err(plan::Rejected::new("cannot create the container", why).hint(hint).into());
    }
    if host.is_machines_root() {
        plan::cgroup::delegate(config, linux, &mut cgroup);
    }
    if let Some(asked) = &linux.intel_rdt {
        placed.resctrl = resctrl(asked, &id.to_string(), &mut cgroup)?;
    }
    let new_network = linux.namespaces.iter().any(|ns| ns.kind == NamespaceKind::Network && ns.path.is_none());
    let loopback = new_network.then_some(plan::network::InitStep::Loopback);
    let attach = devices(linux, &host)?;
    let state = State {
        oci_version: config.oci_version.clone(),
        id: id.to_string(),
        bundle: bundle.path.to_string_lossy().into_owned(),
        annotations: config.annotations.clone(),
        ..State::default()
    };
    let compiled = root.filters().of(linux.seccomp.as_ref(), &host);
    let is_new = compiled.is_none();
    let no_pivot = create.no_pivot.then(runtime::observe::mount::beside_root).transpose()?;
    let plan = plan::plan(Input {
        config,
        compiled,
        rootfs: Rootfs::Directory(bundle.rootfs.to_string_lossy().into_owned()),
        idmapped: false,
        host: &host,
        data: &root.container(id).data(),
        files: Vec::new(),
        cgroup,
        network: NetworkSteps { init: loopback.into_iter().collect(), attach, ..NetworkSteps::default() },
        volumes: Vec::new(),
        secrets: plan::secrets::Secrets::default(),
        first: plan::order::First::Command,
        foreground: create.foreground,
        create_cwd: true,
        existing: Existing::Nothing,
        state,
        bundle: Some(plan::Bundle { keyring: !create.no_new_keyring, no_pivot }),
    })?;
    if is_new {
        root.filters().keep_of(linux.seccomp.as_ref(), &host, &plan);
    }
    Ok((plan, placed))
}

/// What of the host's links goes to the container.
fn devices(linux: &Linux, host: &Host) -> Result<Vec<plan::network::AttachStep>> {
    if linux.net_devices.is_empty() {
        return Ok(Vec::new());
    }
    let shared = linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::Network);
    let path = shared.and_then(|namespace| namespace.path.as_ref()).map(|path| path.to_string_lossy());
    let links = observe::network::links(path.as_deref())?;
    Ok(plan::network::devices(linux, host, links)?)
}

/// By our own hands, or by systemd's.
fn place(id: &Id, config: &Config, linux: &Linux, systemd: bool, host: &Host) -> Result<(Placed, plan::cgroup::Plan)> {
    let resources = linux.resources.clone().unwrap_or_default();
    let disks = resources.block_io.is_some();
    let placed = |path, plan: &plan::cgroup::Plan, scope| Placed {
        path,
        cgroup: plan.cgroup.clone(),
        scope,
        resctrl: Vec::new(),
    };
    if !systemd {
        let path = cgroup_path(&linux.cgroups_path, id, host)?;
        let layout = observe::cgroup::observe(&path, disks)?;
        let plan = plan::cgroup::plan_everywhere(&layout, &resources, !host.is_machines_root())?;
        return Ok((placed(path, &plan, None), plan));
    }
    // Root of a user namespace only is an ordinary user to the machine's systemd.
    let user = !host.is_machines_root();
    let id = id.to_string();
    let unit = Unit::parse(&linux.cgroups_path, &id, user)?;
    let address = runtime::systemd::address(user, |name| std::env::var(name).ok())?;
    let systemd = runtime::systemd::observe(&address)?;
    let path = unit.path(&systemd.control_group)?;
    let layout = observe::cgroup::observe_for_systemd(&path, disks)?;
    let asked = Asked { systemd: &systemd, unit: &unit, id: &id, annotations: &config.annotations };
    let plan = plan::cgroup::plan_scope(&layout, &resources, user, asked)?;
    let scope = Scope { address, unit: unit.name, version: systemd.version };
    Ok((placed(path, &plan, Some(scope)), plan))
}

fn resctrl(asked: &IntelRdt, id: &str, cgroup: &mut plan::cgroup::Plan) -> Result<Vec<String>> {
    let host = observe::cgroup::resctrl(plan::cgroup::resctrl_group(asked, id)?)?;
    Ok(plan::cgroup::resctrl(asked, id, &host, cgroup)?)
}

/// Of a caller that names none: as runc, one cgroup and no parent of its own, which would cost as much again in every
/// hierarchy.
fn cgroup_path(asked: &str, id: &Id, host: &Host) -> Result<CgroupPath> {
    Ok(match asked {
        "" if !host.is_machines_root() => CgroupPath::parse(&format!("sampan-{id}"))?,
        "" => CgroupPath::parse(&format!("/sampan-{id}"))?,
        path => CgroupPath::parse(path)?,
    })
}

pub(crate) fn record(id: &Id, bundle: &Bundle, plan: &Plan, placed: Placed, passed: Passed) -> Record {
    let Placed { path, cgroup, scope, resctrl } = placed;
    let own_pids = |namespace: &Namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_none();
    let gate = plan.init.iter().position(|step| matches!(step, InitStep::AwaitStart { .. })).unwrap_or_default();
    Record {
        oci_version: bundle.config.oci_version.clone(),
        id: id.to_string(),
        bundle: bundle.path.to_string_lossy().into_owned(),
        rootfs: bundle.rootfs.to_string_lossy().into_owned(),
        annotations: bundle.config.annotations.clone(),
        created: crate::now(),
        owner: observe::euid(),
        hooks: bundle.config.hooks.clone().unwrap_or_default(),
        cgroup_path: path.to_string(),
        cgroup: cgroup.v2,
        cgroups: cgroup.v1,
        scope,
        resctrl,
        shares_pids: !bundle.config.linux.iter().flat_map(|linux| &linux.namespaces).any(own_pids),
        chrooted: bundle.config.linux.as_ref().is_some_and(plan::shared_mounts::has),
        command: plan.exec.args.first().cloned().unwrap_or_default(),
        files: (0..passed.files.saturating_add(3)).map(link).collect(),
        late: plan.init.iter().enumerate().skip(gate).map(|(number, step)| (number, step.failed())).collect(),
        ..Record::default()
    }
}

/// What one of our own files is.
fn link(fd: u32) -> String {
    let found = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    found.map_or_else(|_| String::new(), |path| path.to_string_lossy().into_owned())
}
