//! `exec`: one more process in a container that runs.

use crate::bundle::{keeps_groups, read, settle};
use crate::create::{check_terminal, hand_over, hand_pidfd};
use crate::record::{Model, Record, Scope, write_whole};
use crate::run::watch;
use crate::{Id, Passed, Root, label, listener, refused};
use plan::Rejected;
use plan::capability::Capability;
use plan::cgroup::Enter;
use runtime::Result;
use runtime::container::{Call, Stage};
use runtime::join;
use runtime::supervise::Signals;
use spec::json::parse;
use spec::runtime::{Process, Status};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What the caller asks for.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    pub what: What,
    pub pid_file: Option<PathBuf>,
    /// Where a terminal's master goes.
    pub console_socket: Option<PathBuf>,
    /// Where a pidfd of the process goes.
    pub pidfd_socket: Option<PathBuf>,
    pub passed: Passed,
    /// Cgroups below the container's own, as `PATH` or `CONTROLLER,…:PATH`.
    pub cgroups: Vec<String>,
    /// Also where it will only run when the container is resumed.
    pub ignore_paused: bool,
    /// The caller stays, watches the process, and shows its terminal.
    pub foreground: bool,
}

/// Which process.
#[derive(Debug, Clone)]
pub enum What {
    /// As a file says that has a `process` of config.json.
    File(PathBuf),
    /// As the container's first, but for this.
    Like(Box<Changes>),
}

impl Default for What {
    fn default() -> Self {
        Self::Like(Box::default())
    }
}

#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub args: Vec<String>,
    pub terminal: bool,
    pub cwd: Option<String>,
    /// `NAME=VALUE`
    pub env: Vec<String>,
    /// User and group.
    pub user: Option<(u32, Option<u32>)>,
    pub additional_gids: Vec<u32>,
    pub no_new_privileges: bool,
    pub apparmor: Option<String>,
    pub selinux_label: Option<String>,
    /// More than its first process has.
    pub capabilities: Vec<Capability>,
}

/// The code that it ended with; of one that is left alone: 0.
///
/// # Errors
/// The container does not run; the command cannot be executed.
pub fn exec(root: &Root, id: &Id, exec: &Exec, warn: &mut dyn FnMut(&str)) -> Result<u8> {
    let what = format!("cannot execute in the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    let status = record.status(&home);
    match status {
        Status::Running | Status::Created => {}
        Status::Paused if exec.ignore_paused => {}
        Status::Paused => return refused(what, "cannot exec in a paused container: --ignore-paused lets it wait"),
        Status::Stopped | Status::Creating => return refused(what, "container not running"),
    }
    let model = Model::load(&home)?;
    let (mut process, warnings) = process(&exec.what, &model.process, Path::new(&record.rootfs))?;
    if keeps_groups(&record.annotations) {
        process.user.additional_gids.clear();
    }
    label::check(&process.selinux_label)?;
    check_terminal(process.terminal, exec.foreground, exec.console_socket.as_deref())?;
    let (cgroup, cgroups) = cgroups(&record, &exec.cgroups)?;
    let enter = enter(&record, cgroup.as_deref())?;
    let container = join::Container {
        first: record.process(),
        chrooted: record.chrooted,
        cgroup,
        cgroups,
        enter,
        personality: model.personality.as_ref(),
        memory: model.memory.as_ref(),
        filter: model.seccomp.as_ref(),
        keeps_groups: keeps_groups(&record.annotations),
    };
    let compiled = |host: &plan::host::Host| root.filters().of(model.seccomp.as_ref(), host);
    let (plan, lacking) = join::plan(container, &mut process, compiled, exec.foreground)?;
    warnings.iter().chain(&lacking).for_each(|warning| warn(warning));
    // Blocked before the clone: from here on a signal is read, not suffered.
    let signals = exec.foreground.then(Signals::take).transpose()?;
    let mut at = |stage, pid, terminal: &mut Option<OwnedFd>| match stage {
        Stage::Listener(listener) => listener::hand_over(model.seccomp.as_ref(), &listener, pid, record.state(status)),
        // Its output has a reader before there is some, and none is run whose terminal nobody takes.
        Stage::Hooks | Stage::Ready => hand_over(terminal, exec.console_socket.as_deref()),
    };
    let call = Call { stdio: [0, 1, 2], passed: exec.passed.files, timed: false, at: &mut at };
    let mut started = runtime::container::start(&plan, None, runtime::apply::Context::default(), call)?;
    hand_pidfd(&started, exec.pidfd_socket.as_deref())?;
    if let Some(path) = &exec.pid_file {
        write_whole(path, started.child.pid.to_string().as_bytes())?;
    }
    signals.map_or(Ok(0), |signals| watch(&mut started, &signals, None).map(|ended| ended.code))
}

/// By whom, where its caller may not put it there.
fn enter(record: &Record, dir: Option<&str>) -> Result<Option<Enter>> {
    let (Some(Scope { address, unit, .. }), Some(dir)) = (&record.scope, dir) else { return Ok(None) };
    let below = record.cgroup.as_deref().and_then(|own| dir.strip_prefix(own)).unwrap_or_default();
    let enter = Enter { address: address.clone(), unit: unit.clone(), below: format!("/{}", below.trim_matches('/')) };
    Ok((!runtime::observe::cgroup::may_clone_into(dir)?).then_some(enter))
}

/// Where it is to be on v2, and on v1.
fn cgroups(record: &Record, asked: &[String]) -> Result<(Option<String>, Vec<String>)> {
    let mut v2 = record.cgroup.clone();
    let mut v1 = record.cgroups.clone();
    for words in asked {
        let what = || format!("cannot execute in the cgroup {words:?}");
        let (controllers, path) = words.split_once(':').unwrap_or(("", words));
        let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        if names.contains(&"..") {
            return refused(what(), format!("bad sub cgroup path: {path}"));
        }
        let below = |dir: &mut String| {
            names.iter().for_each(|name| *dir = format!("{dir}/{name}"));
            if Path::new(dir).is_dir() { Ok(()) } else { refused(what(), format!("{dir}: no such file or directory")) }
        };
        let controllers: Vec<&str> = controllers.split(',').filter(|name| !name.is_empty()).collect();
        let serves = |hierarchy: &[String], name: &str| hierarchy.iter().any(|it| it == name);
        if let Some(name) = controllers.iter().find(|name| !v1.iter().any(|(hierarchy, _)| serves(hierarchy, name))) {
            return refused(what(), format!("unknown controller {name}: the container has no v1 hierarchy of it"));
        }
        let named = |hierarchy: &[String]| controllers.iter().any(|name| serves(hierarchy, name));
        for (hierarchy, dir) in &mut v1 {
            if controllers.is_empty() || named(hierarchy) {
                below(dir)?;
            }
        }
        v2.iter_mut().filter(|_| controllers.is_empty()).try_for_each(below)?;
    }
    if let (true, Some(dir)) = (asked.is_empty(), &mut v2) {
        *dir = runtime::observe::cgroup::of_another(dir, record.pid)?;
    }
    Ok((v2, v1.into_iter().map(|(_, dir)| dir).chain(record.resctrl.iter().cloned()).collect()))
}

fn process(what: &What, first: &Process, rootfs: &Path) -> Result<(Process, Vec<String>)> {
    let mut process = match what {
        What::File(path) => {
            let unread =
                |error: serde_json::Error| Rejected::new(format!("cannot read {}", path.display()), error.to_string());
            parse::<Process>(&read(path)?).map_err(unread)?
        }
        What::Like(changes) => like(first, changes),
    };
    // As runc: of what it does not say, the first's.
    if process.capabilities.is_none() {
        process.capabilities.clone_from(&first.capabilities);
    }
    if process.exec_cpu_affinity.is_none() {
        process.exec_cpu_affinity.clone_from(&first.exec_cpu_affinity);
    }
    plan::invalid::check_process(&process)?;
    let warnings = settle(&mut process, rootfs);
    Ok((process, warnings))
}

fn like(first: &Process, changes: &Changes) -> Process {
    let mut process = Process { args: changes.args.clone(), terminal: changes.terminal, ..first.clone() };
    process.console_size = None;
    if let Some(cwd) = &changes.cwd {
        process.cwd.clone_from(cwd);
    }
    process.env.extend(changes.env.iter().cloned());
    if let Some((uid, gid)) = changes.user {
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
        // Not the first user's home.
        process.env.retain(|variable| !variable.starts_with("HOME=") || changes.env.contains(variable));
    }
    process.user.additional_gids.extend(&changes.additional_gids);
    process.no_new_privileges |= changes.no_new_privileges;
    if let Some(profile) = &changes.apparmor {
        process.apparmor_profile.clone_from(profile);
    }
    if let Some(label) = &changes.selinux_label {
        process.selinux_label.clone_from(label);
    }
    let sets = process.capabilities.get_or_insert_default();
    // As runc: ambient only what is inheritable.
    let inheritable = sets.inheritable.clone();
    let more: Vec<String> = plan::capability::NAMES
        .into_iter()
        .filter(|name| {
            changes.capabilities.iter().any(|capability| *capability == Capability::All || capability.is(name))
        })
        .map(str::to_owned)
        .collect();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.extend_from_slice(&more);
    }
    sets.ambient.extend(more.into_iter().filter(|name| inheritable.contains(name)));
    process
}
