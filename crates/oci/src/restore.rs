//! `restore`: a container of a bundle whose processes CRIU makes again as they were.
//!
//! What is on the host for it, its cgroup among it, is made by the steps of `create`, and undone likewise. The first
//! process is our child, as a created one's is; from then on nothing tells the two apart.

use crate::bundle::Bundle;
use crate::checkpoint::{Cgroups, DESCRIPTORS, Job, Saving, check_host, outside};
use crate::create::{Create, check_terminal, plan, record};
use crate::delete::poststop;
use crate::record::{Model, Record, write_whole};
use crate::root::{Home, Root};
use crate::run::{Ended, watch};
use crate::{Id, Passed, io, refused};
use plan::Plan;
use plan::step::InitStep;
use runtime::container::Started;
use runtime::criu::{Criu, Event, Kind};
use runtime::journal::Journal;
use runtime::process::Process;
use runtime::supervise::Signals;
use runtime::{Result, criu, hook};
use spec::runtime::{Namespace, NamespaceKind, State, Status};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Default)]
pub struct Restore {
    pub saving: Saving,
    pub bundle: PathBuf,
    pub pid_file: Option<PathBuf>,
    /// Where a terminal's master goes.
    pub console_socket: Option<PathBuf>,
    pub passed: Passed,
    /// systemd makes the cgroup.
    pub systemd: bool,
    /// `TYPE:NAME`
    pub lsm_profile: String,
    pub lsm_mount_context: String,
    /// The caller stays, watches the container, and shows its terminal.
    pub foreground: bool,
}

/// How it ended; of a container that was left alone: 0.
///
/// # Errors
/// There is such a container; what is wrong with the bundle or failed: what was done until then is undone.
pub fn restore(root: &Root, id: &Id, asked: &Restore) -> Result<Ended> {
    let what = format!("cannot restore the container {id}");
    root.check_free(id)?;
    check_host(&what)?;
    let bundle = Bundle::open(&asked.bundle)?;
    let terminal = bundle.config.process.as_ref().is_some_and(|process| process.terminal);
    check_terminal(terminal, asked.foreground, asked.console_socket.as_deref())?;
    let create =
        Create { passed: asked.passed, systemd: asked.systemd, foreground: asked.foreground, ..Create::default() };
    let (plan, placed) = plan(root, id, &bundle, &create)?;
    let mut job = Job::open(&asked.saving, "restore.log", &bundle.config.annotations)?;
    // Blocked before CRIU is there: from here on a signal is read, not suffered.
    let signals = asked.foreground.then(Signals::take).transpose()?;
    let (home, mut journal) = root.claim(id)?;
    let mut record = record(id, &bundle, &plan, placed, asked.passed);
    let made = make(&mut job, &home, &mut journal, &plan, &mut record, &bundle, asked);
    let mut started = match made {
        Ok(started) => started,
        Err(error) => {
            home.undo(Some(journal));
            poststop(&record);
            return Err(job.failed(&what, &error));
        }
    };
    drop(journal);
    let Some(signals) = signals else { return Ok(Ended::default()) };
    let ended = watch(&mut started, &signals, None);
    let warnings = crate::delete(root, id, true)?;
    Ok(Ended { warnings, ..ended? })
}

fn make(
    job: &mut Job,
    home: &Home,
    journal: &mut Journal,
    plan: &Plan,
    record: &mut Record,
    bundle: &Bundle,
    asked: &Restore,
) -> Result<Started> {
    record.save(home)?;
    Model::of(&bundle.config).save(home)?;
    runtime::container::prepare(&plan::checkpoint::prepare(plan.prepare.clone()), journal)?;
    let root = criu::Root { path: record.rootfs.clone(), at: merged(plan) };
    let targets: Vec<_> = plan::checkpoint::targets(&bundle.config.mounts)
        .into_iter()
        .map(|(mount, binds)| criu::Target {
            path: mount.destination.clone(),
            source: binds.then(|| mount.source.clone()),
        })
        .collect();
    root.make(&targets)?;
    let namespaces = options(job, record, bundle, asked, &root)?;
    let files: Vec<_> = namespaces.iter().map(AsFd::as_fd).collect();
    let joins: Vec<_> = plan.init.iter().filter_map(join).collect();
    // Where CRIU makes nothing of cgroups, it makes no namespace of them either: the container's is then CRIU's own.
    let own = plan.init.iter().any(|step| matches!(step, InitStep::UnshareCgroup));
    let namespace = own && job.options.cgroups == Cgroups::Ignore;
    let prepare = || {
        // CRIU's own, too: its children are born there.
        runtime::apply::cgroup::enter(plan.spawn.cgroup.as_deref(), &joins, namespace)?;
        root.mount()
    };
    let mut attach = |pid| runtime::container::attach_cgroup(plan, journal, pid);
    let criu = Criu::start(true, &files, criu::Root::NAMESPACES, &mut attach, prepare)?;
    job.enter(criu.pid())?;
    job.options.cgroup_roots = runtime::observe::cgroup::places(criu.pid())?;
    let mut terminal = None;
    let mut at = |event: Event| hear(event, home, record, bundle, asked, &mut terminal);
    let restored = criu.ask(Kind::Restore, &job.options, &mut at)?;
    let Some(pid) = restored.filter(|pid| *pid == record.pid) else {
        return refused("criu", "it has restored nothing");
    };
    if let Some(path) = &asked.pid_file {
        write_whole(path, pid.to_string().as_bytes())?;
    }
    runtime::container::adopt(pid, terminal)
}

fn hear(
    event: Event,
    home: &Home,
    record: &mut Record,
    bundle: &Bundle,
    asked: &Restore,
    terminal: &mut Option<OwnedFd>,
) -> Result<()> {
    match (&*event.name, event.pid) {
        // Its namespaces are there, and nothing in them.
        ("setup-namespaces", Some(pid)) => {
            let linux = bundle.config.linux.iter().flat_map(|linux| &linux.namespaces);
            let own = |namespace: &Namespace| namespace.kind == NamespaceKind::Network && namespace.path.is_none();
            if linux.clone().any(own) {
                runtime::apply::network::loopback(pid)?;
            }
            let state = State { pid, ..record.state(Status::Creating) };
            hook::run_all("prestart", &record.hooks.prestart, &state, &bundle.path)?;
            hook::run_all("createRuntime", &record.hooks.create_runtime, &state, &bundle.path)
        }
        // Before it goes on: whoever finds it running finds it written down.
        ("post-restore", Some(pid)) => {
            Process { pid: record.pid, start: record.start } = Process::now(pid);
            record.save(home)
        }
        ("orphan-pts-master", _) => match (event.file, &asked.console_socket) {
            (Some(master), Some(socket)) => runtime::console::send(socket, master, b"/dev/ptmx"),
            (master, _) => {
                *terminal = master;
                Ok(())
            }
        },
        _ => Ok(()),
    }
}

/// With the namespaces that CRIU inherits.
fn options(
    job: &mut Job,
    record: &Record,
    bundle: &Bundle,
    asked: &Restore,
    root: &criu::Root,
) -> Result<Vec<OwnedFd>> {
    let linux = bundle.config.linux.clone().unwrap_or_default();
    let cgroup = record.placed();
    let options = &mut job.options;
    options.root.clone_from(&root.at);
    options.mounts = outside(&bundle.config.mounts, &linux, &cgroup, Path::new(&record.rootfs))?;
    options.lsm_profile.clone_from(&asked.lsm_profile);
    options.lsm_mount_context.clone_from(&asked.lsm_mount_context);
    let pipes = descriptors(&asked.saving.images)?.into_iter().zip(0..).take(record.files.len());
    options.inherited = pipes.filter(|(name, _)| name.starts_with("pipe:")).collect();
    let mut namespaces = Vec::new();
    let (named, joined) = plan::checkpoint::shared(&linux.namespaces);
    for (namespace, name) in named {
        let path = namespace.path.clone().unwrap_or_default();
        let file = std::fs::File::open(&path).map_err(io(format!("cannot use the namespace {}", path.display())))?;
        options.inherited.push((name.to_owned(), file.as_raw_fd()));
        namespaces.push(file.into());
    }
    for Namespace { kind, path } in joined {
        let word = plan::step::namespace_word(*kind);
        if *kind == NamespaceKind::Cgroup {
            return refused("cannot share a cgroup namespace", "CRIU does not join one");
        }
        let path = path.clone().unwrap_or_default();
        options.joined.push((word.to_owned(), path.to_string_lossy().into_owned()));
    }
    Ok(namespaces)
}

/// What the saved container's first process was given.
fn descriptors(images: &Path) -> Result<Vec<String>> {
    let path = images.join(DESCRIPTORS);
    let cannot = || format!("cannot read {}", path.display());
    let text = std::fs::read(&path).map_err(io(cannot()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| plan::Rejected::new(cannot(), error.to_string()))?)
}

/// Where the plan has its root.
fn merged(plan: &Plan) -> String {
    let at = |step: &InitStep| match step {
        InitStep::Root { at, .. } => Some(at.clone()),
        _ => None,
    };
    plan.init.iter().find_map(at).unwrap_or_default()
}

fn join(step: &InitStep) -> Option<plan::cgroup::InitStep> {
    match step {
        InitStep::Cgroup(step) => Some(step.clone()),
        _ => None,
    }
}
