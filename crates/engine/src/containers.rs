//! Containers as they are on disk: which there are, what they are called, which run; and the reaper.
//!
//! A container that runs has a journal that somebody holds. One that is kept after it ended (no `--rm`) has a record.
//! What has neither is what a killed sampan left: the reaper undoes it. Readers take no lock.

use crate::durable;
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::filter;
use crate::model::Model;
use crate::paths::{Paths, cannot_use};
use crate::pods::Member;
use crate::request::Mount;
use crate::request::mount::{Kind, Object};
use crate::time::Moment;
use crate::volumes::object;
use runtime::journal::Journal;
use runtime::process::Process;
use serde::{Deserialize, Serialize};
use spec::ContainerId;
use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Of a container that is kept: `record.json` in its directory. Of one that runs: the same, in the state directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub id: String,
    pub name: String,
    pub image: String,
    /// Of the image's configuration; empty where the container stands on none.
    pub image_id: String,
    pub command: Vec<String>,
    pub created: Moment,
    /// Of its first process, in the host's pid namespace; 0 when it does not run.
    pub pid: i32,
    /// When that process started, in clock ticks since boot: the number alone may be another's by now.
    pub pid_start: u64,
    /// Absent until it has ended.
    pub exit_code: Option<u8>,
    pub out_of_memory: bool,
    pub ports: Vec<String>,
    /// Of the image: not to be removed while this is there.
    pub layers: Vec<std::path::PathBuf>,
    /// Seconds since the epoch; 0 until it has ended.
    pub finished: u64,
    /// What its image and the request say together: its labels, and all of it for an image of it.
    pub config: spec::image::Execution,
    /// Whose the files of its own layer are.
    pub ids: image::Ids,
    /// What is mounted in it, beside what every container has.
    pub mounts: Vec<Mounted>,
    /// It goes when it has ended.
    pub remove: bool,
    /// It goes if it does not start: it was made for that.
    pub fleeting: bool,
    /// Seconds since the epoch; 0 until it was started.
    pub started: u64,
    /// The process that watches it, and when that started.
    pub monitor: i32,
    pub monitor_start: u64,
    /// The state directory that it knows.
    pub state: PathBuf,
    /// It waits to be started again.
    pub restarting: bool,
    /// The kernel knows, so it is asked when this is read.
    #[serde(skip)]
    pub paused: bool,
    /// How often its monitor has started it again.
    pub restarts: u32,
    /// Somebody asked for its end: so it is not started again, after a boot neither.
    pub stopped: bool,
    /// Seconds between what asks it to stop and SIGKILL, where it was said and no monitor knows it.
    pub patience: Option<u32>,
    /// Why it could not be started, the last time.
    pub error: String,
    pub death: Death,
    /// Of one that is asked.
    pub health: Option<crate::health::Health>,
    /// Ids of those that are started before it: there before it was, so none of them requires it in turn.
    pub requires: Vec<String>,
    /// The pod that it is in.
    pub pod: Option<Member>,
}

impl Record {
    /// Also those of images that are mounted in it.
    pub(crate) fn all_layers(&self) -> Vec<PathBuf> {
        self.layers.iter().chain(self.mounts.iter().flat_map(|mounted| &mounted.layers)).cloned().collect()
    }
}

/// A mount that was asked for, or that its image or another container asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mounted {
    pub mount: Mount,
    /// On the host; empty: nowhere.
    pub source: String,
    /// Of an image that is mounted: not to be removed while this is there.
    pub layers: Vec<std::path::PathBuf>,
    /// The source is a copy of those.
    pub copied: bool,
}

impl Mounted {
    /// The name of the volume that it is.
    #[must_use]
    pub fn volume(&self) -> Option<&str> {
        match &self.mount.kind {
            Kind::Volume(object) => object.name.as_deref(),
            _ => None,
        }
    }

    /// What of the host is mounted: the target, the source, and whether it can only be read. Those above first.
    pub(crate) fn binds(mounts: &[Self]) -> Vec<(String, PathBuf, bool)> {
        let bind = |it: &Self| {
            let source = Path::new(&it.source);
            let source = match &it.mount.kind {
                Kind::Bind(_) => source.to_owned(),
                Kind::Volume(Object { subpath: None, .. }) => source.to_owned(),
                // A link in it may lead anywhere by now.
                Kind::Volume(Object { subpath: Some(part), .. }) => {
                    let part = source.join(part).canonicalize().ok()?;
                    part.starts_with(source.canonicalize().ok()?).then_some(part)?
                }
                Kind::Tmpfs(_) | Kind::Image(_) | Kind::Devpts(_) => return None,
            };
            Some((it.mount.target.clone(), source, it.mount.flags.read_only))
        };
        let mut all: Vec<_> = mounts.iter().filter_map(bind).collect();
        all.sort_by_key(|(target, ..)| target.matches('/').count());
        all
    }
}

/// Why it ended, as far as its monitor knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Death {
    /// The one that ended its first process.
    pub signal: Option<i32>,
    /// The last one that a command sent, and whose.
    pub sent: Option<Sent>,
    /// It was asked to stop and had not ended in time, so it was killed.
    pub overdue: bool,
    /// Bytes; what the kernel counted at most.
    pub memory_peak: Option<u64>,
    pub memory_limit: Option<u64>,
    /// Nobody saw its end: its monitor was killed, or the machine went down.
    pub unseen: bool,
}

/// A signal, and the process that had it sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub signal: i32,
    pub pid: i32,
    pub uid: u32,
    /// Its name, if it was still there.
    pub program: String,
}

/// The record, and whether the container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub record: Record,
    pub running: bool,
}

/// Claim a name for an id: an exclusive create, so one of two wins.
///
/// # Errors
/// When the name is in use, with the container that has it.
pub fn claim(paths: &Paths, name: &ContainerId, id: &str) -> Result<()> {
    let _lock = lock_names(paths);
    claim_held(paths, name, id)
}

/// By who holds the names.
fn claim_held(paths: &Paths, name: &ContainerId, id: &str) -> Result<()> {
    let path = paths.names().join(name.as_str());
    let clash = |owner: &str| {
        let owner = owner.get(..12).unwrap_or(owner);
        Error::rejected(
            format!("cannot use the container name {name}"),
            format!("it is already in use by container {owner}"),
        )
        .hint(format!("sampan rm {name} frees it"))
    };
    let mut claimed = symlink(id, &path);
    // Of a container that is gone; the reaper takes it only when it has a reason to look.
    if claimed.is_err() && is_free(paths, &path) {
        let _ = std::fs::remove_file(&path);
        claimed = symlink(id, &path);
    }
    match claimed {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let owner = std::fs::read_link(&path).unwrap_or_default().to_string_lossy().into_owned();
            Err(clash(&owner))
        }
        Err(error) => Err(cannot_use(format!("cannot claim the name {name}"), &error).into()),
    }
}

/// Held while a name is claimed, or looked at and removed: else one that was freed and claimed again in between would be
/// taken from its new owner. On the directory, so it leaves no file; let go when dropped.
fn lock_names(paths: &Paths) -> Option<std::fs::File> {
    let file = std::fs::File::open(paths.names()).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// A name whose container is neither there nor about to be, or is called otherwise. To be asked by who holds the names.
fn is_free(paths: &Paths, name: &Path) -> bool {
    let Ok(id) = std::fs::read_link(name) else { return false };
    let id = id.to_string_lossy();
    if !paths.journal(&id).exists() && !paths.container(&id).exists() {
        return true;
    }
    // One that is about to be has no record yet.
    let records = [paths.running(&id), paths.record(&id)];
    let mut names = records.iter().filter_map(|path| load(path)).map(|record| record.name).peekable();
    names.peek().is_some() && names.all(|own| name.file_name().is_none_or(|word| word != own.as_str()))
}

/// Give a name back, if it is this id's.
pub fn release(paths: &Paths, name: &str, id: &str) {
    let _lock = lock_names(paths);
    release_held(paths, name, id);
}

fn release_held(paths: &Paths, name: &str, id: &str) {
    let path = paths.names().join(name);
    if std::fs::read_link(&path).is_ok_and(|owner| owner == Path::new(id)) {
        // A name that stays points to nothing, and the reaper takes it.
        let _ = std::fs::remove_file(path);
    }
}

/// Whether it must outlive a power cut: what is in the state directory need not, a reboot empties it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    Yes,
    No,
}

/// Written to a temporary name and renamed, so that a reader sees all of it or nothing.
///
/// # Errors
/// The kernel's.
pub fn save(record: &Record, path: &Path, durable: Durable) -> Result<(), plan::Rejected> {
    let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
    let text = serde_json::to_vec(record).map_err(|error| cannot(error.into()))?;
    if durable == Durable::Yes {
        return durable::replace(path, &text).map_err(cannot);
    }
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, &text).and_then(|()| std::fs::rename(&temporary, path)).map_err(cannot)
}

/// Which containers there are, and what they are called, is on the disk.
///
/// # Errors
/// The kernel's.
pub(crate) fn settle(paths: &Paths) -> Result<(), plan::Rejected> {
    let settled = durable::names(&paths.containers()).and_then(|()| durable::names(&paths.names()));
    settled.map_err(|error| cannot_use("cannot write the list of containers".to_owned(), &error))
}

/// The same for a container that may get another name meanwhile: it keeps the one that it has. Durable is what is kept of
/// it, and the other what says that it runs.
///
/// # Errors
/// The kernel's.
pub(crate) fn write(paths: &Paths, record: &Record, durable: Durable) -> Result<(), plan::Rejected> {
    let path = match durable {
        Durable::Yes => paths.record(&record.id),
        Durable::No => paths.running(&record.id),
    };
    let _held = hold_records(paths, &record.id);
    let name = name_of(paths, &record.id).unwrap_or_else(|| record.name.clone());
    save(&Record { name, ..record.clone() }, &path, durable)
}

/// Who changes its records, or takes away that it runs; let go when dropped.
fn hold_records(paths: &Paths, id: &str) -> Option<std::fs::File> {
    let file = std::fs::File::open(paths.container(id)).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// Give a container another name.
///
/// # Errors
/// The name is another's; the kernel's.
pub(crate) fn rename(paths: &Paths, record: &Record, name: &ContainerId) -> Result<()> {
    // Broken off it has two names: so the next command looks at all of them.
    let _ = std::fs::remove_file(paths.swept());
    let _lock = lock_names(paths);
    claim_held(paths, name, &record.id)?;
    let renamed = rename_records(paths, &record.id, name);
    release_held(paths, if renamed.is_ok() { &record.name } else { name.as_str() }, &record.id);
    renamed
}

/// In both records: first that of a container that runs, which says so of one that has both.
fn rename_records(paths: &Paths, id: &str, name: &ContainerId) -> Result<()> {
    let _held = hold_records(paths, id);
    for (path, durable) in [(paths.running(id), Durable::No), (paths.record(id), Durable::Yes)] {
        if let Some(record) = load(&path) {
            save(&Record { name: name.to_string(), ..record }, &path, durable)?;
        }
    }
    Ok(())
}

pub(crate) fn load(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Directories of containers whose record is there and says nothing.
#[must_use]
pub fn unreadable(paths: &Paths) -> Vec<PathBuf> {
    let damaged = |place: &PathBuf| {
        let record = place.join("record.json");
        record.exists() && load(&record).is_none()
    };
    entries(&paths.containers()).into_iter().filter(damaged).collect()
}

/// What a container is called whose whole id is known, whether it runs or not.
#[must_use]
pub fn name_of(paths: &Paths, id: &str) -> Option<String> {
    let record = load(&paths.running(id)).or_else(|| load(&paths.container(id).join("record.json")))?;
    Some(record.name)
}

/// All containers, those that run and those that are kept, newest first.
#[must_use]
pub fn list(paths: &Paths) -> Vec<Listed> {
    let mut text = Vec::new();
    let mut records = |directory: &Path, file: &dyn Fn(&Path) -> Option<PathBuf>| -> Vec<Record> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let of_its_name =
            |path: &Path, record: &Record| path.file_stem().is_some_and(|stem| stem == record.id.as_str());
        let read = |entry: std::fs::DirEntry| {
            let path = entry.path();
            text.clear();
            // A buffer for all of them, and no question for the size: of thousands of files it is the calls that cost.
            std::fs::File::open(file(&path)?).ok()?.read_to_end(&mut text).ok()?;
            // What it names is removed by that name.
            serde_json::from_slice(&text).ok().filter(|record| of_its_name(&path, record))
        };
        entries.filter_map(read).collect()
    };
    let json = |path: &Path| (path.extension()? == "json").then(|| path.to_owned());
    let live = records(&paths.journals(), &json);
    let mut kept = records(&paths.containers(), &|path| Some(path.join("record.json")));
    let ids: HashSet<&str> = live.iter().map(|record| record.id.as_str()).collect();
    kept.retain(|record| !ids.contains(record.id.as_str()));
    let live: Vec<Listed> = live.into_iter().map(|record| running(paths, record)).collect();
    let mut all: Vec<Listed> = kept.into_iter().map(|record| Listed { record, running: false }).chain(live).collect();
    all.sort_by_key(|listed| std::cmp::Reverse(listed.record.created));
    all
}

fn running(paths: &Paths, record: Record) -> Listed {
    let paused = Model::load(paths, &record).is_ok_and(|model| model.is_paused());
    Listed { record: Record { paused, ..record }, running: true }
}

/// Those that all filters let through, newest first. `all`: not only those that run.
///
/// # Errors
/// A store that is not whole, if images are asked for.
pub fn select(paths: &Paths, filters: &[filter::Container], all: bool) -> Result<Vec<Listed>> {
    let is_in = |listed: &Listed, word: &str| crate::networks::is_in(paths, listed, word);
    filter::containers(filters, all, list(paths), |word| crate::images::ancestor(paths, word), is_in)
}

/// By name, id or a prefix of the id that only one has.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(paths: &Paths, word: &str) -> Result<Listed> {
    look_up(paths, word)?.ok_or_else(|| damaged(paths, word).unwrap_or_else(|| absent(word)))
}

/// It has the name, and nobody can read what else it is.
fn damaged(paths: &Paths, word: &str) -> Option<Error> {
    let id = std::fs::read_link(paths.names().join(word)).ok()?;
    let record = paths.record(&id.to_string_lossy());
    let what = format!("cannot read the record of container {word}");
    record.exists().then(|| {
        Error::rejected(what, format!("{} is damaged", record.display()))
            .hint(format!("rm -r {} takes the container away", paths.container(&id.to_string_lossy()).display()))
    })
}

pub(crate) fn absent(word: &str) -> Error {
    Error::rejected(format!("cannot find container {word}"), "no container has this name or id")
        .hint("sampan ps -a shows which there are")
}

/// # Errors
/// More than one could be meant.
pub(crate) fn exists(paths: &Paths, word: &str) -> Result<bool> {
    Ok(look_up(paths, word)?.is_some())
}

/// Those that are to be removed: what holds a pod's namespaces goes with that.
///
/// # Errors
/// As [`choose`].
pub fn choose_to_remove(paths: &Paths, choice: &Choice) -> Result<Vec<String>> {
    let mut words = choose(paths, choice, false)?;
    if choice.all {
        let holds = |word: &String| find(paths, word).is_ok_and(|listed| crate::pods::is_infra(&listed));
        words.retain(|word| !holds(word));
    }
    Ok(words)
}

/// Which containers a command is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    pub words: Vec<String>,
    /// All of them.
    pub all: bool,
    /// The one that was made last.
    pub latest: bool,
    /// One that is not there is none.
    pub ignore: bool,
}

/// Their words: names or ids. `running`: of all, only those that run.
///
/// # Errors
/// None was ever made, and the last is asked for.
pub fn choose(paths: &Paths, choice: &Choice, running: bool) -> Result<Vec<String>> {
    let mut words = choice.words.clone();
    if choice.all {
        words = list(paths)
            .into_iter()
            .filter(|listed| listed.running || !running)
            .map(|listed| listed.record.name)
            .collect();
    }
    if choice.latest {
        words.push(self::which(paths, &Which::Latest)?.record.name);
    }
    if choice.ignore {
        words.retain(|word| !matches!(exists(paths, word), Ok(false)));
    }
    Ok(words)
}

/// By what its name or the beginning of its id says where it is, not by a look at all of them.
fn look_up(paths: &Paths, word: &str) -> Result<Option<Listed>> {
    if word.is_empty() || word.contains('/') {
        return Ok(None);
    }
    let named = std::fs::read_link(paths.names().join(word)).ok();
    if let Some(found) = named.and_then(|id| of_id(paths, &id.to_string_lossy())) {
        return Ok(Some(found));
    }
    let of_file = |path: std::path::PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let files = entries(&paths.journals()).into_iter().chain(entries(&paths.containers()));
    let mut ids: Vec<String> = files.filter_map(of_file).filter(|id| id.starts_with(word)).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found = ids.iter().filter_map(|id| of_id(paths, id));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => {
            Err(Error::rejected(format!("cannot tell which container {word} is"), "the id of more than one starts so")
                .hint("sampan ps -a --no-trunc shows the whole ids"))
        }
        (found, _) => Ok(found),
    }
}

/// As [`list`] has it.
fn of_id(paths: &Paths, id: &str) -> Option<Listed> {
    let load = |path: &Path| load(path).filter(|record| record.id == id);
    let kept = || Some(Listed { record: load(&paths.record(id))?, running: false });
    load(&paths.running(id)).map(|record| running(paths, record)).or_else(kept)
}

/// Which container a command is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which {
    /// By name, id or the beginning of an id.
    Named(String),
    /// The one that was made last.
    #[default]
    Latest,
}

/// # Errors
/// There is none, or more than one.
pub fn which(paths: &Paths, which: &Which) -> Result<Listed> {
    match which {
        Which::Named(word) => find(paths, word),
        Which::Latest => list(paths)
            .into_iter()
            .next()
            .ok_or_else(|| Error::rejected("cannot find the latest container", "there is none")),
    }
}

/// The first process of a container that runs.
///
/// # Errors
/// It does not.
pub fn first(paths: &Paths, record: &Record, what: &str) -> Result<Process> {
    let process = Process { pid: record.pid, start: record.pid_start };
    if record.pid > 0 && paths.running(&record.id).exists() && process.lives() {
        return Ok(process);
    }
    let name = if record.name.is_empty() { &record.id } else { &record.name };
    Err(Error::rejected(what, "it is not running").hint(format!("sampan start {name}")))
}

/// Remove a container that is kept; with `force` one that runs, too, and one that is not there is no error; with
/// `volumes` also the volumes that nobody named. Whether there was one.
///
/// # Errors
/// When it runs and `force` is not given, or something of it cannot be removed.
pub fn remove(paths: &Paths, word: &str, force: bool, volumes: bool) -> Result<bool> {
    if let Some(found) = look_up(paths, word)? {
        let member = found.record.pod.as_ref();
        crate::pods::check_removal(paths, member, || format!("cannot remove container {word}"))?;
    }
    take_out(paths, word, force, volumes)
}

/// [`remove`], of one that holds the namespaces of a pod, too.
pub(crate) fn take_out(paths: &Paths, word: &str, force: bool, volumes: bool) -> Result<bool> {
    // After a boot there is no place for a lease.
    paths.ensure()?;
    for _ in 0..500 {
        let found = if force { look_up(paths, word)? } else { Some(find(paths, word)?) };
        let Some(Listed { record, running }) = found else { return Ok(false) };
        if running {
            if !force {
                return Err(Error::rejected(format!("cannot remove container {word}"), "it is running")
                    .hint("stop it first, or use --force"));
            }
            // Who watches it sees the end of the process and undoes the rest.
            crate::control::end(paths, &record, crate::control::Stop::KILL)?;
        }
        // Nobody starts it meanwhile.
        let path = paths.journal(&record.id);
        match Journal::create(&path) {
            Ok(lease) => {
                if !volumes {
                    object::keep(paths, &record.id);
                }
                take_away(paths, &record)?;
                lease.remove()?;
                if let Some(error) = object::reap(paths).pop() {
                    return Err(error);
                }
                // Its image may be gone already.
                crate::images::sweep(paths, &record.all_layers())?;
                return Ok(true);
            }
            // It is being started, or undone, by another: one of the two will be seen.
            Err(_) if path.exists() => std::thread::sleep(std::time::Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::rejected(format!("cannot remove container {word}"), "another command is at it").hint("try again"))
}

/// The record goes first: a crash in between leaves files of a container that is none, not half a container. The name goes
/// last. What is left the reaper takes.
fn take_away(paths: &Paths, record: &Record) -> Result<()> {
    let path = paths.record(&record.id);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io(format!("cannot remove {}", path.display()), &error));
        }
        _ => {}
    }
    runtime::tree::remove(&paths.container(&record.id).to_string_lossy(), true)?;
    release(paths, &record.name, &record.id);
    settle(paths)?;
    events::tell(paths, [News::of(record, "destroy")]);
    Ok(())
}

/// The run that this record is of. Another command may have begun the next.
pub(crate) fn wait_until_undone(paths: &Paths, word: &str, record: &Record) -> Result<()> {
    let (path, running) = (paths.journal(&record.id), paths.running(&record.id));
    let is_next = |now: &Record| now.pid > 0 && (now.pid, now.pid_start) != (record.pid, record.pid_start);
    for _ in 0..500 {
        if !path.exists() || record.pid > 0 && load(&running).as_ref().is_some_and(is_next) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err(Error::rejected(
        format!("cannot wait for container {word}"),
        "it has ended, and who watches it has not undone it",
    )
    .hint("try again; if that process hangs, kill it: the next command undoes what it left"))
}

/// Undo what dead sampans left. Returns what could not be undone.
///
/// Whoever died since the machine was started left a journal, so mostly a look at those is all, however many containers
/// are kept.
#[must_use]
pub fn reap(paths: &Paths) -> Vec<Error> {
    let mut errors: Vec<runtime::Error> = Vec::new();
    let mut dead = false;
    for path in entries(&paths.journals()) {
        let replay = match path.extension().and_then(|extension| extension.to_str()) {
            Some("journal") => undo_container,
            Some("still") => |_: &Paths, _: &Path, journal| runtime::undo::replay(journal, None),
            _ => continue,
        };
        match Journal::take_over(&path) {
            Ok(Some(journal)) => {
                dead = true;
                errors.extend(replay(paths, &path, journal));
            }
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    if dead || !paths.swept().exists() {
        errors.append(&mut sweep(paths));
        errors.extend(runtime::snapshot::forget_trial(&paths.data).err());
        if errors.is_empty() {
            // Where it cannot be made the next command sweeps, too.
            let _ = std::fs::File::create(paths.swept());
        }
    }
    crate::networks::reap(paths);
    let errors = errors.into_iter().map(Error::from);
    errors.chain(crate::mounts::reap(paths)).chain(object::reap(paths)).collect()
}

fn undo_container(paths: &Paths, path: &Path, journal: Journal) -> Vec<runtime::Error> {
    let id = path.file_stem().unwrap_or_default().to_string_lossy();
    let directory = paths.container(&id);
    let mut errors = keep_name(paths, &id).err().map(runtime::Error::from).into_iter().collect::<Vec<_>>();
    forget_running(paths, &id);
    let keep = end(paths, &directory).then(|| directory.to_string_lossy().into_owned());
    errors.append(&mut runtime::undo::replay(journal, keep.as_deref()));
    errors
}

/// One that got a new name while it ran, by who was killed between the two records, was seen under that.
fn keep_name(paths: &Paths, id: &str) -> Result<(), plan::Rejected> {
    let _held = hold_records(paths, id);
    let path = paths.record(id);
    match (load(&paths.running(id)), load(&path)) {
        (Some(Record { name, .. }), Some(kept)) if name != kept.name => {
            save(&Record { name, ..kept }, &path, Durable::Yes)
        }
        _ => Ok(()),
    }
}

/// After a reboot the journals are gone, but not the directories of containers that were to be removed, nor names.
fn sweep(paths: &Paths) -> Vec<runtime::Error> {
    let mut errors = Vec::new();
    // What cannot be told is told to who asks for it.
    let _ = events::mend(paths);
    for path in entries(&paths.containers()) {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // In this order: a container without a journal has ended, and its record is there or will never be.
        if paths.journal(&id).exists() {
            // Before its names are looked at.
            errors.extend(keep_name(paths, &id).err().map(runtime::Error::from));
            continue;
        }
        if !end(paths, &path) {
            errors.extend(runtime::tree::remove(&path.to_string_lossy(), true).err());
        }
    }
    for path in entries(&paths.names()) {
        let _lock = lock_names(paths);
        if is_free(paths, &path) {
            let _ = std::fs::remove_file(path);
        }
    }
    errors
}

/// [`reap`], and take away the networks that nobody is in any more: for a command that starts nothing itself.
#[must_use]
pub fn clean(paths: &Paths) -> Vec<Error> {
    let mut errors = reap(paths);
    // The last to leave may have been one of the dead, or died itself while it waited.
    errors.extend(crate::net::retire(paths).err());
    errors
}

/// What says that a container runs. Before its journal goes: without that nobody would ever look for it.
pub fn forget_running(paths: &Paths, id: &str) {
    let running = paths.running(id);
    let _held = hold_records(paths, id);
    let _ = std::fs::remove_file(running.with_extension("tmp"));
    let _ = std::fs::remove_file(paths.socket(id));
    let _ = std::fs::remove_file(running);
    let _ = std::fs::remove_file(paths.model(id));
}

/// Nobody saw this container end: who watched it was killed, or the machine went down. To be called by who holds its
/// journal, or after a look that there is none: until then that one may still write how it ended. Whether it stays.
fn end(paths: &Paths, directory: &Path) -> bool {
    let path = directory.join("record.json");
    let Some(record) = load(&path) else { return path.exists() };
    // One that was never started has not ended.
    if (record.started == 0 && !record.fleeting) || record.exit_code.is_some() {
        return true;
    }
    let monitor = Process { pid: record.monitor, start: record.monitor_start };
    if record.monitor > 0 && monitor.lives() && runtime::observe::is_monitor(record.monitor) {
        // It cannot be spoken to any more: somebody has removed its state directory. It sees the end, and undoes all.
        if record.state == paths.state {
            let _ = runtime::undo::kill_process(record.pid, record.pid_start);
            let _ = monitor.wait(Some(std::time::Duration::from_secs(10)));
        }
        return true;
    }
    if record.remove || record.started == 0 {
        let _ = std::fs::remove_file(path);
        release(paths, &record.name, &record.id);
        let _ = runtime::tree::remove(&directory.to_string_lossy(), true);
        return false;
    }
    let death = Death { unseen: true, ..Death::default() };
    let ended = Record { pid: 0, exit_code: Some(128 + 9), finished: now(), death, ..record };
    // Without it the list takes the container for one that is about to start; the next reaper tries again.
    let _ = save(&ended, &path, Durable::Yes);
    true
}

/// Seconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let read = std::fs::read_dir(directory).into_iter().flatten().flatten();
    read.map(|entry| entry.path()).collect()
}

/// The pid of a running container, for joining its namespaces.
///
/// # Errors
/// When there is none, or it does not run.
pub fn pid(paths: &Paths, name: &ContainerId) -> Result<i32> {
    let found = find(paths, name.as_str())?;
    Ok(first(paths, &found.record, &format!("cannot join container {name}"))?.pid)
}
