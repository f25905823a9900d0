//! A container apart from the command that makes it: made by one, started by another, watched by a process of its own.
//!
//! Invariant: what is acknowledged is on disk. A container that could not be made leaves nothing; one that was made and
//! could not be started stays as it was, with the reason in its record.

use crate::containers::{self, Durable, Record};
use crate::durable;
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::monitor;
use crate::paths::{Paths, cannot_use};
use crate::request::Run;
use crate::run::{self, Identity, Notice, Prepared};
use crate::volumes::object;
use crate::{cdi, lsm, net, pods};
use plan::order::Existing;
use runtime::journal::Journal;
use runtime::monitor::handover;
use spec::ContainerId;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

/// What it is started from, by whichever process.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub request: &'a Run,
    pub paths: &'a Paths,
    pub prepared: Prepared,
    pub journal: Journal,
    /// As it is before it runs.
    pub record: Record,
    /// Who is attached from its first word on, and whether his input is the container's.
    pub client: Option<(OwnedFd, bool)>,
    /// It was made for this start, and goes if that fails.
    pub discard: bool,
}

/// Make a container, and do not start it. Its id.
///
/// # Errors
/// Everything that is wrong with the request.
pub fn create(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<String> {
    begin(request, paths, tell)?;
    let identity = Identity::new(request, Existing::Home)?;
    let (prepared, _) = run::with_image(request, paths, &identity, false, tell)?;
    let (journal, record) = make(request, paths, &prepared, false)?;
    journal.remove()?;
    Ok(record.id)
}

/// Make a container and start it. Its id.
///
/// # Errors
/// Everything that is wrong with the request, and what failed; then nothing is left.
pub fn run(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<String> {
    begin(request, paths, tell)?;
    raise_all(paths, &required(request, paths)?, tell)?;
    let identity = Identity::new(request, Existing::Home)?;
    let (prepared, _) = run::with_image(request, paths, &identity, true, tell)?;
    let (journal, record) = make(request, paths, &prepared, true)?;
    let id = record.id.clone();
    let started = launch(Launch { request, paths, prepared, journal, record, client: None, discard: true });
    finish(paths, tell);
    started.map(|()| id)
}

/// What every command does first that may start something.
pub(crate) fn begin(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<()> {
    paths.ensure()?;
    for error in containers::reap(paths) {
        tell(Notice::Leftover(error));
    }
    if let (true, Some(name)) = (request.replace, &request.name)
        && containers::exists(paths, name.as_str())?
    {
        containers::remove(paths, name.as_str(), true, false)?;
    }
    required(request, paths).map(drop)
}

/// The ids of the containers that are to run before it.
pub(crate) fn required(request: &Run, paths: &Paths) -> Result<Vec<String>> {
    request.requires.iter().map(|name| Ok(containers::find(paths, name.as_str())?.record.id)).collect()
}

/// Start those that do not run.
pub(crate) fn raise_all(paths: &Paths, ids: &[String], tell: &mut dyn FnMut(Notice)) -> Result<()> {
    ids.iter().try_for_each(|id| start(paths, id, tell).map(drop))
}

pub(crate) fn finish(paths: &Paths, tell: &mut dyn FnMut(Notice)) {
    if let Err(error) = net::retire(paths) {
        tell(Notice::Leftover(error));
    }
}

/// Start a container that was made, or has ended. One that runs is let be. Its record.
///
/// # Errors
/// No such container; what failed.
pub fn start(paths: &Paths, word: &str, tell: &mut dyn FnMut(Notice)) -> Result<Record> {
    let found = containers::find(paths, word)?;
    if !found.running {
        raise_all(paths, &found.record.requires, tell)?;
    }
    let Some((journal, record)) = lease(paths, &found.record)? else { return Ok(found.record) };
    raise(paths, journal, record, None, tell)
}

/// What is left of [`start`] for who holds the lease.
pub(crate) fn raise(
    paths: &Paths,
    journal: Journal,
    record: Record,
    client: Option<(OwnedFd, bool)>,
    tell: &mut dyn FnMut(Notice),
) -> Result<Record> {
    let started = load(paths, &record).and_then(|request| {
        let mut prepared = run::prepare(&request, paths, &Identity::of(record.clone(), paths), true)?;
        for warning in std::mem::take(&mut prepared.warnings) {
            tell(Notice::Warning(warning));
        }
        Ok((request, prepared))
    });
    let started = match started {
        Ok((request, prepared)) => {
            let (record, request) = (record.clone(), &request);
            launch(Launch { request, paths, prepared, journal, record, client, discard: false })
        }
        Err(error) => {
            journal.remove()?;
            Err(error)
        }
    };
    finish(paths, tell);
    started.map(|()| record)
}

/// The container is this process's now, and this is its record; `None`: it runs.
pub(crate) fn lease(paths: &Paths, record: &Record) -> Result<Option<(Journal, Record)>> {
    lease_for(paths, record, &format!("cannot start container {}", record.name))
}

/// The same, for something else than a start.
pub(crate) fn lease_for(paths: &Paths, record: &Record, what: &str) -> Result<Option<(Journal, Record)>> {
    // After a boot it is not there.
    paths.ensure()?;
    let path = paths.journal(&record.id);
    for time in 0..500 {
        match Journal::create(&path) {
            Ok(journal) => {
                // Another may have had it meanwhile, and even removed it.
                let Some(record) = containers::load(&paths.record(&record.id)) else {
                    journal.remove()?;
                    return Err(containers::absent(&record.name));
                };
                return Ok(Some((journal, record)));
            }
            // Not for want of one who has left meanwhile.
            Err(error) if !path.exists() && time > 10 => return Err(error.into()),
            Err(_) if paths.running(&record.id).exists() => return Ok(None),
            // It is being started, or has just ended: one of the two will be seen.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Err(Error::rejected(what, "another command is at it").hint("try again; if that command hangs, kill it"))
}

/// What was asked for when the container was made.
pub(crate) fn load(paths: &Paths, record: &Record) -> Result<Run> {
    let path = paths.request(&record.id);
    let cannot = || format!("cannot start container {}", record.name);
    let text = std::fs::read(&path).map_err(|error| {
        let why = runtime::refused(format!("cannot read {}", path.display()), &error);
        Error::rejected(cannot(), format!("{}: {}", why.what, why.why))
    })?;
    let request: Run = serde_json::from_slice(&text)
        .map_err(|error| Error::rejected(cannot(), format!("{} is damaged: {error}", path.display())))?;
    // As it was checked when it was made, by whichever version.
    request.check()?;
    lsm::labels(&request)?;
    Ok(request)
}

/// The container on disk, under its name, and its lease. `fleeting`: if it is not started, it was never there.
pub(crate) fn make(request: &Run, paths: &Paths, prepared: &Prepared, fleeting: bool) -> Result<(Journal, Record)> {
    let requires = required(request, paths)?;
    // Until its record is there, by which the pod knows it.
    let member = request.pod.as_ref().filter(|member| !member.infra);
    let _held = member.map(|_| pods::hold(paths)).transpose()?;
    member.map_or(Ok(()), |member| pods::check_member(paths, member))?;
    let journal = Journal::create(&paths.journal(&prepared.id))?;
    let record =
        Record { remove: request.remove, fleeting, requires, pod: request.pod.clone(), ..run::record(prepared, 0) };
    let name = ContainerId::parse(&prepared.name)
        .map_err(|error| Error::rejected("cannot name the container", error.to_string()))?;
    let made = containers::claim(paths, &name, &prepared.id)
        .and_then(|()| Ok(write(request, paths, &record)?))
        .and_then(|()| object::make(&prepared.plan));
    match made {
        Ok(()) => {
            let volumes = prepared.volumes.new.iter().map(|name| object::of_volume("create", name));
            events::tell(paths, volumes.chain([News::of(&record, "create")]));
            Ok((journal, record))
        }
        Err(error) => {
            discard(paths, &record);
            run::forget_cidfile(request, &record.id);
            journal.remove()?;
            object::reap_of(paths, &record);
            Err(error)
        }
    }
}

fn write(request: &Run, paths: &Paths, record: &Record) -> std::result::Result<(), plan::Rejected> {
    let home = paths.container(&record.id);
    let made = std::fs::DirBuilder::new().mode(0o700).create(&home);
    made.map_err(|error| cannot_use(format!("cannot make the directory {}", home.display()), &error))?;
    write_request(request, &paths.request(&record.id))?;
    containers::save(record, &paths.record(&record.id), Durable::Yes)?;
    containers::settle(paths)?;
    run::write_cidfile(request, &record.id)
}

/// Before the record, which says that all of it is there.
pub(crate) fn write_request(request: &Run, path: &Path) -> std::result::Result<(), plan::Rejected> {
    let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
    let text = serde_json::to_vec(request).map_err(|error| cannot(error.into()))?;
    let mut file = std::fs::File::create(path).map_err(cannot)?;
    file.write_all(&text).and_then(|()| file.sync_data()).map_err(cannot)
}

/// Of a container that has one: whole or as it was.
pub(crate) fn save_request(request: &Run, path: &Path) -> Result<()> {
    let new = path.with_extension("new");
    write_request(request, &new)?;
    let renamed = std::fs::rename(&new, path).and_then(|()| path.parent().map_or(Ok(()), durable::names));
    Ok(renamed.map_err(|error| cannot_use(format!("cannot write {}", path.display()), &error))?)
}

/// Nothing is left of it. Its lease is held by the caller.
pub(crate) fn discard(paths: &Paths, record: &Record) {
    // First: a reaper that comes after a kill in here would take it for one to be kept.
    let _ = std::fs::remove_file(paths.record(&record.id));
    let _ = runtime::tree::remove(&paths.container(&record.id).to_string_lossy(), true);
    containers::release(paths, &record.name, &record.id);
}

/// By a process that stays with the container; this one waits until its command runs.
pub(crate) fn launch(mut launch: Launch<'_>) -> Result<()> {
    let cannot = |error: std::io::Error| Error::io("cannot start a monitor", &error);
    let (mut told, report) = std::io::pipe().map_err(cannot)?;
    // Not dropped here with all else that is the child's: that would unlock it for both.
    let mut lock = launch.prepared.net.lock.take();
    let apart = launch.prepared.apart.take();
    let child = handover::fork(apart.as_deref(), || {
        handover::leave();
        let mut launch = launch;
        launch.prepared.net.lock = lock.take();
        monitor::start(launch, &mut monitor::Report::to(report));
        1
    })?;
    if let Some(lock) = lock {
        lock.hand_over();
    }
    monitor::listen(&mut told).inspect_err(|_| {
        // Its lease goes with it, and with that what the next command must not take for another's.
        handover::wait(&child);
    })
}

/// What is there of an earlier run, and is made by each: not its own layer, its log, its record.
pub(crate) fn tidy(paths: &Paths, id: &str) -> Result<()> {
    let data = paths.container(id).to_string_lossy().into_owned();
    let files =
        ["hosts", "hostname", "resolv.conf", "passwd", "group", cdi::CONFIG].map(|name| format!("{data}/{name}"));
    for path in files {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot remove {path}"), &error));
            }
            _ => {}
        }
    }
    // An overlay that was not to reach the disk says so in its work directory, and is mounted only without that
    // (overlayfs.rst, "Volatile mount"): since its last end nothing was lost, or its state would have gone with a boot.
    let volatile = format!("{data}/work/work/incompat");
    for path in plan::order::made(&data).iter().chain([&volatile]) {
        if std::fs::symlink_metadata(path).is_ok() {
            runtime::tree::remove(path, true)?;
        }
    }
    Ok(())
}
