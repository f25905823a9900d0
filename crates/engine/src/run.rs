//! `sampan run`, as a story: ground, facts, configuration, plan; then start, watch, undo.

use crate::config::{self, Facts};
use crate::containers::{self, Durable, Record};
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::ground::{self, Ground};
use crate::lsm;
use crate::model::Model;
use crate::net::{self, Net};
use crate::paths::Paths;
use crate::remote::{self, Progress, Pulled};
use crate::request::process::Patience;
use crate::request::{Limits, Platform, Pull, Rootfs, Run, Terminal};
use crate::time::Moment;
use crate::{cdi, images, secrets, snapshot, targets, users, volumes};
use plan::cgroup::{CgroupPath, Layout};
use plan::host::Host;
use plan::order::{Existing, First};
use plan::{Input, Plan, Rejected};
use runtime::container::{Call, Stage, Started};
use runtime::journal::Journal;
use runtime::supervise::{self, DetachKeys, Event, Exit, Signals};
use spec::ContainerId;
use spec::runtime::{ConsoleSize, NamespaceKind};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// To be called first: a container's `--init` is this program, too, and comes back from here only if it is not that.
pub fn reap_if_asked(words: &[std::ffi::OsString]) {
    runtime::init::reap_if_asked(words);
}

/// What the caller may show while it happens.
#[derive(Debug)]
pub enum Notice {
    Warning(String),
    /// Not undone yet; the next command tries again.
    Leftover(Error),
    /// The image is not here and is being pulled: its name.
    Pulling(String),
    Progress(Progress),
    /// It is here: its name.
    Pulled(Pulled),
}

/// How it ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// docker's: the container's own, or 128 and the signal.
    pub code: u8,
    /// The kernel killed something in it because its memory was at the limit (bytes).
    pub out_of_memory: Option<Option<u64>>,
    /// How often the kernel let it make no more processes, because of its own limit.
    pub refused_processes: u64,
    pub timings: Option<Timings>,
}

/// Where the time went, when asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings {
    /// Up to the first step.
    pub plan: Duration,
    pub start: runtime::progress::Timings,
    /// The command's own, and until it was seen to have ended.
    pub command: Duration,
    pub undo: Duration,
}

/// A container that can be printed or run.
#[derive(Debug)]
pub struct Prepared {
    pub plan: Plan,
    pub(crate) net: Net,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: Moment,
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) layers: Vec<std::path::PathBuf>,
    pub(crate) config: spec::image::Execution,
    pub(crate) ids: image::Ids,
    pub(crate) hold: Option<image::store::Hold>,
    pub(crate) volumes: volumes::Found,
    pub(crate) cgroup: plan::cgroup::Cgroup,
    /// Where on cgroup v2 its monitor is to be: the top, which nobody ends.
    pub(crate) apart: Option<String>,
    /// Of the devices that it has by name.
    pub(crate) hooks: cdi::Hooks,
    pub(crate) model: Model,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) warnings: Vec<String>,
    /// What it does without, though nobody asked for it: for who asks for the plan.
    pub(crate) notes: Vec<String>,
}

/// Which container it is, and how much of it is there.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub id: String,
    pub name: String,
    pub created: Moment,
    pub existing: Existing,
    /// Of one that was made before.
    pub made: Option<Record>,
}

impl Identity {
    pub fn new(request: &Run, existing: Existing) -> Result<Self> {
        let id = id()?;
        let name = request.name.as_ref().map_or_else(|| crate::names::pick(&id), ToString::to_string);
        Ok(Self { id, name, created: Moment::now(), existing, made: None })
    }

    /// Of a container that is there.
    pub fn of(record: Record, paths: &Paths) -> Self {
        let layered = snapshot::own(paths, &record.id).is_some();
        let existing = if layered { Existing::Layer } else { Existing::Home };
        let (id, name, created) = (record.id.clone(), record.name.clone(), record.created);
        Self { id, name, created, existing, made: Some(record) }
    }
}

/// Everything up to the plan: nothing of the host is changed. `lock`: the plan will be run, so what it relies on is held.
///
/// # Errors
/// Everything that is wrong with the request.
pub(crate) fn prepare(request: &Run, paths: &Paths, identity: &Identity, lock: bool) -> Result<Prepared> {
    if identity.made.is_none() {
        check_supported(request)?;
    }
    let host = runtime::observe::host()?;
    let Identity { id, name, created, existing, made } = identity.clone();
    let driver = snapshot::driver(request, paths, &host, &id)?;
    let mut ground = ground::find(request, paths, &host, (&id, driver), made.as_ref())?;
    let mut request = request.clone();
    request.files.mounts = std::mem::take(&mut ground.mounts);
    let request = &request;
    let mut warnings = request.check()?;
    warnings.append(&mut lsm::labels(request)?);
    let mut volumes = volumes::find(request, paths, &host, (&id, driver), lock)?;

    // Whom it joins is there before it when it is started.
    let later = existing == Existing::Home && !lock;
    let mut facts = facts(request, paths, &host, &ground, &id, later)?;
    facts.mounted.clone_from(&volumes.mounted);
    facts.secrets = secrets::mounts(request, paths, &id);
    let layout = layout(&request.limits, &host, &id, !facts.disks.is_empty(), &mut warnings)?;
    facts.swap = layout.features.swap;
    let joins_users = facts.joined.iter().any(|(kind, _)| *kind == NamespaceKind::User);
    let user_namespace = joins_users || !facts.uid_map.is_empty();
    ground::check_way(paths, &facts.uid_map, &facts.gid_map)?;
    let watched = existing != Existing::Nothing;
    let who = net::Who { id: &id, name: &name, exposed: &ground.exposed, user_namespace, watched };
    let mut net = net::connect(request, paths, &host, who, lock)?;
    warnings.append(&mut net.warnings);
    let data = paths.container(&id).to_string_lossy().into_owned();
    let joined = net::joined_files(request, paths)?;
    // Who has the files of another needs no word about its own.
    let mut told = Vec::new();
    let mut files = net::files(request, &facts, &net, if joined.is_some() { &mut told } else { &mut warnings })?;
    let source = joined.unwrap_or_else(|| data.clone());
    let below = |source: &str, (name, _): &(String, String)| (format!("/etc/{name}"), format!("{source}/{name}"));
    facts.files = files.iter().map(|file| below(&source, file)).collect();
    facts.files.extend(ground.accounts.iter().map(|file| below(&data, file)));
    files.extend(ground.accounts.iter().cloned());

    let mut config = config::config(request, &facts, &host)?;
    cdi::find(&request.files.named_devices)?.apply(&mut config)?;
    net.steps.attach.extend(cdi::links(&config, &host)?);
    let state = cdi::state(&config, &id, &data);
    files.extend(cdi::file(&config, &data));
    targets::check(&ground, &config.mounts, &host, &facts.users.0)?;
    let resources = config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let cgroup = plan::cgroup::plan(&layout, &resources, !host.is_machines_root())?;
    let mut notes = cgroup.notes.clone();
    if let (plan::Rootfs::Copy { .. }, None) = (&ground.rootfs, request.driver) {
        let why = snapshot::unfit(paths, &host)?.map_or_else(String::new, |unfit| format!(": {}", unfit.why));
        notes.push(format!("the image is copied for the container{why}"));
    }
    let memory_limit = request.limits.memory.map(spec::unit::Size::bytes);
    let planned_cgroup = cgroup.cgroup.clone();
    // Not where the container would be there with it.
    let apart = layout.v2.as_ref().filter(|_| host.is_machines_root() && layout.path.is_absolute());
    let apart = apart.filter(|_| planned_cgroup.v2.is_some()).map(|tree| tree.target.anchor.clone());
    let model = Model::of(request, &config, &layout.path, &planned_cgroup);
    // An ordinary user's files are those of the ids that his store has, too.
    let ids = if host.is_machines_root() {
        image::Ids { uid: facts.uid_map.clone(), gid: facts.gid_map.clone() }
    } else {
        image::Ids::default()
    };
    let plan = plan::plan(Input {
        config: &config,
        idmapped: ground.is_foreign(&host, &facts.uid_map),
        rootfs: ground.rootfs,
        host: &host,
        data: &data,
        files,
        cgroup,
        network: std::mem::take(&mut net.steps),
        volumes: std::mem::take(&mut volumes.volumes),
        secrets: secrets::of(request, paths, &id)?,
        first: first(request),
        foreground: true,
        create_cwd: true,
        existing,
        state: state.clone(),
        bundle: None,
        compiled: None,
    })?;
    Ok(Prepared {
        plan,
        net,
        id,
        name,
        created,
        image: ground.name,
        image_id: ground.image_id,
        layers: ground.layers,
        config: ground.config,
        ids,
        hold: ground.hold,
        volumes,
        cgroup: planned_cgroup,
        apart,
        hooks: cdi::Hooks { hooks: config.hooks.unwrap_or_default(), state },
        model,
        memory_limit,
        warnings,
        notes,
    })
}

fn first(request: &Run) -> First {
    match (&request.rootfs, request.process.init) {
        (Rootfs::Nothing, _) => First::Alone,
        (_, true) => First::Reaper,
        (_, false) => First::Command,
    }
}

/// What can be refused without a look at the image or the host.
fn check_supported(request: &Run) -> Result<()> {
    if let Some(name) = request.runtime.as_deref().filter(|name| *name != "sampan") {
        return Err(Error::rejected(
            format!("cannot use the runtime {name}"),
            "this version runs containers with its own runtime only",
        )
        .hint("leave --runtime out"));
    }
    // Not what a link points to: one that points nowhere is there, too.
    match &request.cidfile {
        Some(path) if path.symlink_metadata().is_ok() => Err(Error::rejected(
            format!("cannot write the container's id to {}", path.display()),
            "the file exists, and may be another container's",
        )
        .hint("remove it, or name another with --cidfile")),
        _ => Ok(()),
    }
}

/// The plan as a script, and what the user should know about it.
#[derive(Debug)]
pub struct Explained {
    pub script: String,
    pub warnings: Vec<String>,
}

/// # Errors
/// As [`prepare`].
pub fn explain(request: &Run, paths: &Paths) -> Result<Explained> {
    let prepared = prepare(request, paths, &Identity::new(request, Existing::Nothing)?, false)?;
    Ok(Explained {
        script: plan::script::script(&prepared.plan, request.terminal.interactive),
        warnings: [prepared.warnings, prepared.notes].concat(),
    })
}

/// # Errors
/// What failed; what was done until then is undone.
pub fn run(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<Ended> {
    supervise::check_input(request.terminal.tty, request.terminal.interactive, std::io::stdin())?;
    paths.ensure()?;
    for error in containers::reap(paths) {
        tell(Notice::Leftover(error));
    }
    let outcome = attempt(request, paths, tell);
    // Whatever came of it: to look at the networks makes their directory.
    if let Err(error) = net::retire(paths) {
        tell(Notice::Leftover(error));
    }
    outcome
}

fn attempt(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<Ended> {
    let identity = Identity::new(request, Existing::Nothing)?;
    let (mut prepared, begun) = with_image(request, paths, &identity, true, tell)?;
    // Blocked before the clone: from here on a signal is read, not suffered, and the undo is never skipped.
    let signals = Signals::take().map_err(runtime::Error::from)?;
    let mut journal = Journal::create(&paths.journal(&prepared.id))?;
    let claimed = ContainerId::parse(&prepared.name)
        .map_err(|error| Error::rejected("cannot name the container", error.to_string()))
        .and_then(|name| containers::claim(paths, &name, &prepared.id));
    let plan = begun.elapsed();
    let mut outcome = claimed.and_then(|()| live(request, paths, &mut prepared, &mut journal, &signals, tell));
    let ended = Instant::now();
    finish(request, paths, &prepared, journal, &outcome, tell);
    if let Ok(Ended { timings: Some(timings), .. }) = &mut outcome {
        timings.plan = plan;
        timings.undo = ended.elapsed();
    }
    outcome
}

/// [`prepare`], with the image, which may have to come first; and when it began.
pub(crate) fn with_image(
    request: &Run,
    paths: &Paths,
    identity: &Identity,
    lock: bool,
    tell: &mut dyn FnMut(Notice),
) -> Result<(Prepared, Instant)> {
    let mut begun = Instant::now();
    let mut prepared = match fetched(request, paths, tell)? {
        Some(request) => prepare(&request, paths, identity, lock)?,
        None => match prepare(request, paths, identity, lock) {
            Err(Error::NoImage(error)) => {
                let request = missing(request, paths, error, tell)?;
                begun = Instant::now();
                prepare(&request, paths, identity, lock)?
            }
            prepared => prepared?,
        },
    };
    for warning in std::mem::take(&mut prepared.warnings) {
        tell(Notice::Warning(warning));
    }
    Ok((prepared, begun))
}

/// The request with the image that `--pull` has fetched; `None`: nothing was asked for.
fn fetched(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<Option<Run>> {
    let Rootfs::Image { reference, pull, platform } = &request.rootfs else { return Ok(None) };
    if reference == crate::ground::HOST || !matches!(pull, Pull::Always | Pull::Newer) {
        return Ok(None);
    }
    match fetch(request, paths, tell) {
        Err(error) if *pull == Pull::Newer => {
            let store = image::Store::open(&paths.data);
            if images::find_whole(&store, reference, platform.as_ref()).is_err() {
                return Err(error);
            }
            tell(Notice::Warning(format!("the image that is here is used: {error}")));
            Ok(None)
        }
        fetched => fetched.map(Some),
    }
}

/// The request with the image that is not here, from its registry.
fn missing(request: &Run, paths: &Paths, error: image::Error, tell: &mut dyn FnMut(Notice)) -> Result<Run> {
    match &request.rootfs {
        Rootfs::Image { reference, pull: Pull::Missing, .. } => {
            tell(Notice::Pulling(reference.clone()));
            // A name that is nearly another's that is here, or that this machine can make, is no matter of registries.
            let better = error.hint.filter(|hint| !hint.starts_with("sampan pull"));
            fetch(request, paths, tell).map_err(|error| better.into_iter().fold(error, Error::hint))
        }
        _ => Err(Error::NoImage(error)),
    }
}

fn fetch(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<Run> {
    let Rootfs::Image { reference, platform, .. } = &request.rootfs else { return Ok(request.clone()) };
    let task = remote::Pull { platform: platform.as_ref().map(Platform::of_image), ..remote::Pull::default() };
    let mut progress = |progress| tell(Notice::Progress(progress));
    let mut pulled = images::pull(paths, &request.access, reference, task, &mut progress)?;
    let Some(pulled) = pulled.pop() else { return Ok(request.clone()) };
    let rootfs = Rootfs::Image { reference: pulled.name.clone(), pull: Pull::Never, platform: platform.clone() };
    tell(Notice::Pulled(pulled));
    Ok(Run { rootfs, ..request.clone() })
}

fn live(
    request: &Run,
    paths: &Paths,
    prepared: &mut Prepared,
    journal: &mut Journal,
    signals: &Signals,
    tell: &mut dyn FnMut(Notice),
) -> Result<Ended> {
    let null = std::fs::File::open("/dev/null").map_err(|error| Error::io("cannot open /dev/null", &error))?;
    let stdin = if request.terminal.interactive { 0 } else { null.as_raw_fd() };
    let context = runtime::apply::Context::new(prepared.net.lock.take());
    let mut at = |stage, pid, _: &mut Option<OwnedFd>| match stage {
        Stage::Hooks => prepared.hooks.call(pid),
        Stage::Listener(_) => Ok(()),
        Stage::Ready => Ok(announce(request, paths, prepared, pid)?),
    };
    let call = Call { stdio: [stdin, 1, 2], passed: 0, timed: request.timings, at: &mut at };
    let mut started = runtime::container::start(&prepared.plan, Some(journal), context, call)
        .map_err(|error| starved(error, prepared))?;
    let executed = Instant::now();
    // Now, and not when it was made: so the command waits for none of it.
    let record = record(prepared, 0);
    let volumes = prepared.volumes.new.iter().map(|name| volumes::object::of_volume("create", name));
    events::tell(paths, volumes.chain([News::of(&record, "create"), News::of(&record, "start")]));
    // The ports are the container's now, and the layers, as its record says.
    prepared.net.held = None;
    prepared.hold = None;
    (prepared.volumes.held, prepared.volumes.hold) = (Vec::new(), None);
    // Nobody would watch it: without a monitor of its own a container ends with its terminal.
    let code = code(watch(&request.terminal, &mut started, signals, tell)?);
    let killed = runtime::apply::cgroup::oom_kills(&prepared.cgroup).unwrap_or(0) > 0;
    let command = executed.elapsed();
    let timings = started.timings.map(|start| Timings { start, command, ..Timings::default() });
    let out_of_memory = (killed && code != 0).then_some(prepared.memory_limit);
    let refused_processes = if code == 0 { 0 } else { runtime::apply::cgroup::refused_processes(&prepared.cgroup) };
    Ok(Ended { code, out_of_memory, refused_processes, timings })
}

/// Before its command runs, others can see the container.
fn announce(request: &Run, paths: &Paths, prepared: &Prepared, pid: i32) -> Result<(), Rejected> {
    let patience = match request.stop.patience {
        Some(Patience::Seconds(seconds)) => Some(seconds),
        _ => None,
    };
    let record = Record { remove: request.remove, patience, ..record(prepared, pid) };
    // What is to be kept first: a container that was seen to run must not be gone after a kill -9.
    if !request.remove {
        crate::start::write_request(request, &paths.request(&prepared.id))?;
        containers::write(paths, &record, Durable::Yes)?;
    }
    prepared.model.save(paths, &prepared.id)?;
    containers::write(paths, &record, Durable::No)?;
    write_cidfile(request, &prepared.id)?;
    write_pidfile(request, pid)
}

/// A container that was killed before its command ran may have met its own limit.
pub(crate) fn starved(error: runtime::Error, prepared: &Prepared) -> Error {
    let mut error = error;
    if let runtime::Error::Step { hint, source, .. } = &mut error
        && let (runtime::Error::Died(_), Some(limit)) = (&**source, prepared.memory_limit)
        && runtime::apply::cgroup::oom_kills(&prepared.cgroup).is_ok_and(|kills| kills > 0)
    {
        let limit = spec::unit::binary(limit);
        *hint = Some(format!("memory ran out at its limit of {limit}: ask for a higher --memory"));
    }
    error.into()
}

/// docker's.
pub(crate) fn code(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => code as u8,
        Exit::Signal(signal) => 128 + signal.as_raw() as u8,
        Exit::Detached | Exit::Interrupted(_) => 130,
    }
}

pub(crate) fn watch(
    asked: &Terminal,
    started: &mut Started,
    signals: &Signals,
    tell: &mut dyn FnMut(Notice),
) -> Result<Exit> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let has_terminal = started.terminal.is_some();
    let terminal = has_terminal.then(|| supervise::Terminal {
        master: &mut started.terminal,
        stdin: asked.interactive.then(|| stdin.as_fd()),
        stdout: stdout.as_fd(),
        plain: false,
        detach_keys: DetachKeys::from_bytes(&asked.detach_keys),
    });
    let container = supervise::Container {
        pidfd: started.child.pidfd.as_fd(),
        terminal,
        forward_signals: asked.forward_signals,
        beside: None,
    };
    let mut say = |event: Event| {
        if let Some(text) = describe(&event) {
            tell(Notice::Warning(text));
        }
    };
    Ok(supervise::supervise(container, signals, &mut say).map_err(runtime::Error::from)?)
}

pub(crate) fn describe(event: &Event) -> Option<String> {
    Some(match event {
        Event::Ignored(signal) => {
            format!("the container's first process ignores {signal}; once more kills the container")
        }
        Event::Killing(signal) => format!("second {signal}: killing the container"),
        Event::Undelivered(signal, error) => format!("cannot pass on {signal}: {error}"),
        Event::HungUp(_) => return None,
    })
}

/// Undo, whatever the outcome, and give the name back where nothing is kept.
fn finish(
    request: &Run,
    paths: &Paths,
    prepared: &Prepared,
    journal: Journal,
    outcome: &Result<Ended>,
    tell: &mut dyn FnMut(Notice),
) {
    let kept = !request.remove && outcome.is_ok();
    if let (true, Ok(ended)) = (kept, outcome) {
        let record = Record {
            exit_code: Some(ended.code),
            out_of_memory: ended.out_of_memory.is_some(),

            started: prepared.created.seconds(),
            finished: containers::now(),
            ..record(prepared, 0)
        };
        let saved = containers::write(paths, &record, Durable::Yes).and_then(|()| containers::settle(paths));
        if let Err(error) = saved {
            tell(Notice::Warning(error.to_string()));
        }
    } else {
        // First: a reaper that comes after a kill in here would take it for one to be kept.
        let _ = std::fs::remove_file(paths.container(&prepared.id).join("record.json"));
        containers::release(paths, &prepared.name, &prepared.id);
    }
    if outcome.is_err() {
        forget_cidfile(request, &prepared.id);
    }
    containers::forget_running(paths, &prepared.id);
    let keep = kept.then(|| paths.container(&prepared.id).to_string_lossy().into_owned());
    let mut left: Vec<Error> = runtime::undo::replay(journal, keep.as_deref()).into_iter().map(Error::from).collect();
    if !kept {
        left.append(&mut volumes::object::reap_of(paths, &record(prepared, 0)));
    }
    left.into_iter().for_each(|error| tell(Notice::Leftover(error)));
    if let Ok(ended) = outcome {
        tell_end(paths, &record(prepared, 0), ended, kept);
    }
}

fn tell_end(paths: &Paths, record: &Record, ended: &Ended, kept: bool) {
    let oom = ended.out_of_memory.map(|_| News::of(record, "oom"));
    let lived = containers::now().saturating_sub(record.created.seconds());
    let die = News::of(record, "die").with("exitCode", ended.code).with("execDuration", lived);
    let destroy = (!kept).then(|| News::of(record, "destroy"));
    events::tell(paths, oom.into_iter().chain([die]).chain(destroy));
}

/// What is known of it before it runs; with a pid, when it does.
pub(crate) fn record(prepared: &Prepared, pid: i32) -> Record {
    Record {
        id: prepared.id.clone(),
        name: prepared.name.clone(),
        image: prepared.image.clone(),
        image_id: prepared.image_id.clone(),
        command: prepared.plan.exec.args.clone(),
        created: prepared.created,
        pid,
        pid_start: if pid > 0 { runtime::observe::start_time(pid) } else { 0 },
        started: if pid > 0 { containers::now() } else { 0 },
        ports: prepared.net.ports.clone(),
        layers: prepared.layers.clone(),
        config: prepared.config.clone(),
        ids: prepared.ids.clone(),
        mounts: prepared.volumes.mounted.clone(),
        ..Record::default()
    }
}

pub(crate) fn write_cidfile(request: &Run, id: &str) -> Result<(), Rejected> {
    let Some(path) = &request.cidfile else { return Ok(()) };
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(id.as_bytes()));
    written.map_err(|error| runtime::refused(format!("cannot write {}", path.display()), &error))
}

/// Of a container that is not there after all; not another's that was faster.
pub(crate) fn forget_cidfile(request: &Run, id: &str) {
    if let Some(path) = &request.cidfile
        && std::fs::read(path).is_ok_and(|found| found == id.as_bytes())
    {
        let _ = std::fs::remove_file(path);
    }
}

pub(crate) fn write_pidfile(request: &Run, pid: i32) -> Result<(), Rejected> {
    let Some(path) = &request.pidfile else { return Ok(()) };
    let written = std::fs::write(path, format!("{pid}\n"));
    written.map_err(|error| runtime::refused(format!("cannot write {}", path.display()), &error))
}

/// `later`: it is not started now, so that it stands for whom it joins if that one does not run.
fn facts(request: &Run, paths: &Paths, host: &Host, ground: &Ground, id: &str, later: bool) -> Result<Facts> {
    let pid = |name: &ContainerId| match containers::pid(paths, name) {
        Err(_) if later && containers::exists(paths, name.as_str())? => Ok(std::process::id().cast_signed()),
        pid => pid,
    };
    let (joined, shared) = config::joins(request, host.rootless(), pid)?;
    joined.iter().try_for_each(|(kind, path)| runtime::observe::check_namespace(*kind, path))?;
    let (uid_map, gid_map) = users::maps(request, host, &joined)?;
    let users = users::joined(&joined).unwrap_or_else(|| (uid_map.clone(), gid_map.clone()));
    let host_name = runtime::observe::hostname;
    let mut user = ground.user.clone();
    // Groups that only the image's /etc/group has him in are left out where they cannot be had; asked for, they must be.
    if request.process.groups.is_empty() {
        user.additional_gids.retain(|gid| plan::ids::has_group(host, &users.1, *gid));
    }
    let hostname = match &request.network.hostname {
        Some(name) => name.clone(),
        None if shared.contains(&NamespaceKind::Uts) || shared.contains(&NamespaceKind::Network) => host_name(),
        None => id[..12].to_owned(),
    };
    let console = supervise::Size::of(std::io::stdin())
        .map(|size| ConsoleSize { height: size.rows, width: size.columns })
        .unwrap_or_default();
    Ok(Facts {
        hostname,
        args: ground.args.clone(),
        env: ground.env.clone(),
        cwd: ground.cwd.clone(),
        user,
        home: ground.home.clone(),
        joined,
        shared,
        uid_map,
        gid_map,
        users,
        devices: ground::devices(request)?,
        disks: ground::disks(request),
        swap: false,
        seccomp: ground::seccomp(request)?,
        apparmor: lsm::apparmor(&request.security)?,
        console,
        files: Vec::new(),
        fresh: ground.fresh.clone(),
        mounted: Vec::new(),
        secrets: Vec::new(),
    })
}

/// The cgroups of this host, which have all that the limits take for granted. `disks`: some are named.
fn layout(limits: &Limits, host: &Host, id: &str, disks: bool, warnings: &mut Vec<String>) -> Result<Layout> {
    let path = CgroupPath::of_container(limits.cgroup_parent.as_deref(), id, !host.is_machines_root())?;
    let block_io = disks || limits.blkio_weight.is_some();
    let layout = runtime::observe::cgroup::observe(&path, block_io).map_err(runtime::Error::from)?;
    if let Some(cpus) = limits.cpus {
        layout.check_cpus(cpus)?;
    }
    if limits.blkio_weight.is_some() && !layout.weighs_io() {
        let how = "echo bfq > /sys/block/DISK/queue/scheduler";
        warnings.push(format!("the I/O weight has no effect: no disk uses the bfq I/O scheduler ({how})"));
    }
    if limits.memory.is_some() && limits.memory_swap.is_none() && !layout.features.swap {
        warnings.push("memory is limited, swap is not: this kernel does not account it".into());
    }
    Ok(layout)
}

/// 256 random bits in hex, as docker's.
pub(crate) fn id() -> Result<String> {
    let bytes = runtime::observe::random()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
