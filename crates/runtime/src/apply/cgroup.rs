//! cgroup steps, their undoing, and what a container's cgroup tells.
//!
//! Invariant: a limit is read back; what is not in force is an error. A tree is only removed after all in it was killed.

use plan::cgroup::{
    CPUSET, Cgroup, Create, DELEGATE, DeviceFilter, DeviceList, HostStep, InitStep, Limit, Version, enable,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::bpf::Insn;
use sys::cgroup::Dir;

#[derive(Debug)]
pub enum Error {
    Call(sys::Error),
    /// The kernel took the value and does something else.
    NotInForce {
        what: String,
        path: String,
        asked: String,
        read: String,
    },
    /// The kernel refused it.
    Limit {
        what: &'static str,
        source: sys::Error,
    },
    /// Something still runs in it.
    Busy {
        path: String,
        processes: Vec<i32>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::NotInForce { what, path, asked, read } => {
                write!(f, "cannot limit {what}: {path} was set to {asked:?} and says {read:?}")
            }
            Self::Limit { what, source } => write!(f, "cannot limit {what}: {source}"),
            Self::Busy { path, processes } => write!(f, "cannot remove the cgroup {path}: it holds {processes:?}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        Self::Call(error)
    }
}

type Result<T> = std::result::Result<T, Error>;

/// The directories that the steps of one plan work in, each opened once.
#[derive(Debug, Default)]
pub struct Dirs(Vec<Dir>);

impl Dirs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn get(&mut self, path: &str) -> sys::Result<&Dir> {
        let at = match self.0.iter().position(|dir| dir.path() == path) {
            Some(at) => at,
            None => {
                self.0.push(Dir::open(path)?);
                self.0.len() - 1
            }
        };
        Ok(&self.0[at])
    }

    /// For `CLONE_INTO_CGROUP`.
    ///
    /// # Errors
    /// open(2).
    pub fn clone_into(&mut self, dir: &str) -> Result<BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        Ok(self.get(dir)?.as_fd())
    }
}

/// # Errors
/// A call that failed, or a limit that is not in force.
pub fn apply(step: &HostStep, dirs: &mut Dirs) -> Result<()> {
    match step {
        HostStep::Create(create) => {
            let dir = make(create)?;
            dirs.0.push(dir);
            Ok(())
        }
        HostStep::Limit(limit) => apply_limit(limit, dirs.get(&limit.dir)?),
        HostStep::Devices(list) => apply_devices(list, dirs.get(&list.dir)?),
        HostStep::Filter(filter) => apply_filter(filter, dirs.get(&filter.dir)?),
        HostStep::Enable { levels, controllers } => {
            levels.iter().try_for_each(|level| Ok(enable_missing(&Dir::open(level)?, controllers)?))
        }
        HostStep::Delegate { dir, uid } => delegate(dirs.get(dir)?, *uid),
    }
}

/// Limits of a container that runs. Some can only be set after others, by which way they go (memory and its sum with
/// swap): what is refused is tried once more after the rest.
///
/// # Errors
/// A limit that is not in force; those before it are.
pub fn update(limits: &[Limit]) -> Result<()> {
    let mut dirs = Dirs::new();
    let mut set = |limit: &&Limit| apply_limit(limit, dirs.get(&limit.dir)?);
    let refused: Vec<&Limit> = limits.iter().filter(|limit| set(limit).is_err()).collect();
    refused.iter().try_for_each(set)
}

/// A cgroup for a container that runs, and all of its processes into it where it `is_new`; else only what has to be enabled
/// above it. `processes` tells them, as long as they become more.
///
/// # Errors
/// A call that failed; they become more all the time.
pub fn extend(create: &Create, is_new: bool, processes: &mut dyn FnMut() -> Vec<i32>) -> Result<()> {
    match make(create) {
        // It is in there already.
        Err(Error::Busy { .. }) if !is_new => return Ok(()),
        made => drop(made?),
    }
    if !is_new {
        return Ok(());
    }
    let dir = Dir::open(&create.dir())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let inside = dir.processes()?;
        let outside: Vec<i32> = processes().into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(sys::Error::new(format!("write({}/cgroup.procs)", dir.path()), Errno::TIMEDOUT).into());
        }
        for pid in outside {
            match dir.write("cgroup.procs", &pid.to_string()) {
                Err(error) if error.errno == Errno::SRCH => {}
                moved => moved?,
            }
        }
    }
}

/// The fd that the child writes `0` to.
///
/// # Errors
/// open(2).
pub fn prepare(step: &InitStep, dirs: &mut Dirs) -> Result<OwnedFd> {
    let InitStep::Join { file } = step;
    let (dir, name) = file.rsplit_once('/').unwrap_or(("/", file));
    Ok(dirs.get(dir)?.writer(name)?)
}

/// This process, which has one thread, by the steps with which a container's own enters, and on v2 by the directory that
/// it is cloned into. `namespace`: and this is the root of what it sees from then on.
///
/// # Errors
/// A call that failed.
pub fn enter(v2: Option<&str>, steps: &[InitStep], namespace: bool) -> Result<()> {
    let files = steps.iter().map(|InitStep::Join { file }| file.clone());
    for file in v2.map(|dir| format!("{dir}/cgroup.procs")).into_iter().chain(files) {
        let (dir, name) = file.rsplit_once('/').unwrap_or(("/", &file));
        Dir::open(dir)?.write(name, "0")?;
    }
    if namespace { Ok(sys::process::unshare_cgroup()?) } else { Ok(()) }
}

/// By which the processes of a container with these cgroups are held still.
///
/// # Errors
/// A call that failed.
pub fn freezer(paths: &[String]) -> Result<Option<String>> {
    Ok(Freezer::find(paths)?.map(|freezer| freezer.dir.path().to_owned()))
}

/// As often as another container, the last in the shared directory, may remove it between two of our calls.
const RACES: usize = 100;

fn make(create: &Create) -> Result<Dir> {
    let mut race = 0;
    loop {
        match try_make(create) {
            // rmdir(2) came between: ENOENT from a path, ENODEV from a file of a directory that is no more.
            Err(Error::Call(error)) if gone(&error) && race < RACES => race += 1,
            done => return done,
        }
    }
}

fn gone(error: &sys::Error) -> bool {
    matches!(error.errno, Errno::NOENT | Errno::NODEV)
}

fn try_make(create: &Create) -> Result<Dir> {
    let mut dir = Dir::open(&create.anchor)?;
    for (depth, name) in create.components.iter().enumerate() {
        if let Version::V2 { controllers, first } = &create.version
            && depth >= *first
        {
            enable_missing(&dir, controllers)?;
        }
        let name = c_name(name)?;
        let new = dir.mkdir(&name)?;
        let below = dir.below(&name)?;
        if matches!(create.version, Version::V1 { cpuset: true }) {
            inherit(&dir, &below)?;
        }
        let own = depth + 1 == create.components.len();
        if new && !own {
            mark(&below);
        } else if own && !new {
            let processes = below.processes()?;
            if !processes.is_empty() {
                return Err(Error::Busy { path: below.path().to_owned(), processes });
            }
        }
        dir = below;
    }
    Ok(dir)
}

/// The attributes of a shared directory that say that sampan made it, for whom else it may be: the last container in
/// it removes it, whichever made it. `user.` is for who may not set `trusted.` (xattr(7)).
const MADE: [&str; 2] = ["trusted.sampan", "user.sampan"];

/// Where neither can be set (an ordinary user before Linux 5.7) an empty directory may be left.
fn mark(dir: &Dir) {
    let _ = MADE.iter().any(|name| dir.set_attribute(name).is_ok());
}

fn is_marked(path: &str) -> bool {
    MADE.iter().any(|name| sys::cgroup::has_attribute(path, name))
}

fn c_name(name: &str) -> sys::Result<CString> {
    CString::new(name).map_err(|_| sys::Error::new(format!("mkdir({name:?})"), Errno::INVAL))
}

fn enable_missing(dir: &Dir, controllers: &[String]) -> sys::Result<()> {
    if controllers.is_empty() {
        return Ok(());
    }
    let enabled = dir.read("cgroup.subtree_control")?;
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    let missing: Vec<&String> = controllers.iter().filter(|name| !enabled.contains(&name.as_str())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    dir.write("cgroup.subtree_control", &enable(&missing))
}

fn inherit(above: &Dir, below: &Dir) -> sys::Result<()> {
    for file in CPUSET {
        if below.read(file)?.trim().is_empty() {
            below.write(file, above.read(file)?.trim())?;
        }
    }
    Ok(())
}

fn delegate(dir: &Dir, uid: u32) -> Result<()> {
    // cgroups(7): what there was before the kernel had a list.
    let list = std::fs::read_to_string(DELEGATE)
        .unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
    let there = list.lines().filter(|file| dir.has(file));
    std::iter::once(".").chain(there).try_for_each(|file| Ok(dir.give(file, uid)?))
}

fn apply_limit(limit: &Limit, dir: &Dir) -> Result<()> {
    let read =
        dir.write_and_read(&limit.file, &limit.value).map_err(|source| Error::Limit { what: limit.what, source })?;
    if limit.check.holds(&limit.value, &read, rustix::param::page_size() as u64) {
        return Ok(());
    }
    Err(Error::NotInForce {
        what: limit.what.to_owned(),
        path: limit.path(),
        asked: limit.value.clone(),
        read: read.trim().to_owned(),
    })
}

fn apply_devices(list: &DeviceList, dir: &Dir) -> Result<()> {
    let writes: Vec<(&str, String)> = list.writes().collect();
    for group in writes.chunk_by(|a, b| a.0 == b.0) {
        dir.write_each(group[0].0, group.iter().map(|(_, line)| line.as_str()))?;
    }
    let read = dir.read("devices.list")?;
    let (mut asked, mut have) = (list.lines(), read.lines().map(str::to_owned).collect::<Vec<_>>());
    asked.sort_unstable();
    have.sort_unstable();
    if asked == have {
        return Ok(());
    }
    let path = format!("{}/devices.list", list.dir);
    Err(Error::NotInForce { what: "devices".into(), path, asked: asked.join("; "), read: have.join("; ") })
}

fn apply_filter(filter: &DeviceFilter, dir: &Dir) -> Result<()> {
    use std::os::fd::AsFd;
    let insn = |insn: &plan::cgroup::Insn| Insn::new(insn.code, insn.dst, insn.src, insn.off, insn.imm);
    let program: Vec<Insn> = filter.program.iter().map(insn).collect();
    Ok(sys::bpf::attach_device_filter(dir.as_fd(), &program)?)
}

/// A process in the kernel, in a disk's wait for example, dies late.
const PATIENCE: Duration = Duration::from_secs(10);

/// Also from another process, later; also when the step was never or half done.
#[must_use]
pub fn remove_all(dir: &str, keep: &str) -> Vec<Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut errors = Vec::new();
    let mut path = dir;
    while path.len() > keep.len() || is_marked(path) {
        let Some((above, name)) = path.rsplit_once('/') else {
            break;
        };
        let parent = Dir::open(if above.is_empty() { "/" } else { above });
        let done = match (parent, c_name(name)) {
            (Ok(parent), Ok(name)) if path == dir => remove(&parent, &name, deadline),
            (Ok(parent), Ok(name)) => remove_if_empty(&parent, &name),
            (Err(error), _) if gone(&error) => Ok(()),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        };
        errors.extend(done.err());
        path = above;
    }
    errors
}

/// A shared directory: others may be in it, or may have removed it.
fn remove_if_empty(parent: &Dir, name: &CString) -> Result<()> {
    match parent.rmdir(name) {
        Err(error) if !gone(&error) && !matches!(error.errno, Errno::BUSY | Errno::NOTEMPTY) => Err(error.into()),
        _ => Ok(()),
    }
}

fn remove(parent: &Dir, name: &CString, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        match parent.rmdir(name) {
            Ok(()) => return Ok(()),
            Err(error) if gone(&error) => return Ok(()),
            Err(error) if !matches!(error.errno, Errno::BUSY | Errno::NOTEMPTY) => return Err(error.into()),
            Err(_) => {}
        }
        let dir = match parent.below(name) {
            Err(error) if gone(&error) => return Ok(()),
            dir => dir?,
        };
        kill_once(&dir)?;
        for child in dir.children()? {
            remove(&dir, &child, deadline)?;
        }
        if Instant::now() > deadline {
            return Err(Error::Busy { path: dir.path().to_owned(), processes: dir.processes()? });
        }
        // A killed process leaves its cgroup only when it is off the CPU.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// SIGKILL to all in the tree. Without cgroup.kill (Linux 5.14, v2) a fork may escape, except from a frozen cgroup.
fn kill_once(top: &Dir) -> sys::Result<()> {
    match top.write("cgroup.kill", "1") {
        Err(error) if error.errno == Errno::NOENT => {}
        done => return ignore_gone(done),
    }
    let freezer = top.has("freezer.state");
    if freezer {
        ignore_gone(top.write("freezer.state", "FROZEN"))?;
    }
    let killed = for_each(top, &mut Dir::kill_once);
    if freezer {
        // Only a thawed process can die.
        ignore_gone(top.write("freezer.state", "THAWED"))?;
    }
    killed
}

fn ignore_gone(done: sys::Result<()>) -> sys::Result<()> {
    done.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
}

/// The whole tree, the top first. What is removed meanwhile is passed over.
fn for_each(dir: &Dir, act: &mut impl FnMut(&Dir) -> sys::Result<()>) -> sys::Result<()> {
    ignore_gone(act(dir))?;
    for child in dir.children().or_else(|error| if gone(&error) { Ok(Vec::new()) } else { Err(error) })? {
        match dir.below(&child) {
            Ok(below) => for_each(&below, act)?,
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The file that freezes a tree, what it says for frozen and for thawed, and whether it is so now.
struct Freezer {
    dir: Dir,
    file: &'static str,
    words: [&'static str; 2],
}

impl Freezer {
    /// Of the first of these directories that has one.
    fn find(paths: &[String]) -> Result<Option<Self>> {
        for path in paths {
            let dir = match Dir::open(path) {
                Err(error) if gone(&error) => continue,
                dir => dir?,
            };
            if dir.has("cgroup.freeze") {
                return Ok(Some(Self { dir, file: "cgroup.freeze", words: ["1", "0"] }));
            }
            if dir.has("freezer.state") {
                return Ok(Some(Self { dir, file: "freezer.state", words: ["FROZEN", "THAWED"] }));
            }
        }
        Ok(None)
    }

    fn is_frozen(&self) -> sys::Result<bool> {
        if self.file == "freezer.state" {
            return Ok(self.dir.read(self.file)?.trim() == "FROZEN");
        }
        Ok(field(&self.dir.read("cgroup.events")?, "frozen") == 1)
    }
}

/// Freeze all processes of a container with these cgroups, or let them go on, and wait until it is so.
///
/// # Errors
/// None of them can; a call that failed; a process that does not freeze.
pub fn freeze(paths: &[String], frozen: bool) -> Result<()> {
    let Some(freezer) = Freezer::find(paths)? else {
        return Err(sys::Error::new("open(\"cgroup.freeze\")", Errno::NOENT).into());
    };
    let word = freezer.words[usize::from(!frozen)];
    let deadline = Instant::now() + PATIENCE;
    // Again each time: v1 asks only those that are there when it is written, and a fork may have come between.
    freezer.dir.write(freezer.file, word)?;
    while freezer.is_frozen()? != frozen {
        if Instant::now() > deadline {
            let call = format!("write({}/{}, {word})", freezer.dir.path(), freezer.file);
            freezer.dir.write(freezer.file, freezer.words[1])?;
            return Err(sys::Error::new(call, Errno::TIMEDOUT).into());
        }
        std::thread::sleep(Duration::from_millis(1));
        freezer.dir.write(freezer.file, word)?;
    }
    Ok(())
}

/// That cgroup is thawed, or gone.
pub(crate) fn go_on(dir: &str) -> Result<()> {
    match freeze(&[dir.to_owned()], false) {
        Err(Error::Call(error)) if gone(&error) => Ok(()),
        other => other,
    }
}

/// SIGKILL to all processes of a container with these cgroups; whether there were any.
///
/// # Errors
/// A call that failed.
pub fn kill(paths: &[String]) -> Result<bool> {
    let any = |file| paths.iter().filter_map(|path| Dir::open(path).ok()).find(|dir| dir.has(file));
    let Some(dir) = any("cgroup.kill").or_else(|| any("freezer.state")).or_else(|| any("cgroup.procs")) else {
        return Ok(false);
    };
    let found = !processes(dir.path())?.is_empty();
    kill_once(&dir)?;
    Ok(found)
}

/// On v1 a frozen process gets a signal, and dies of it, only when it is thawed.
///
/// # Errors
/// A call that failed.
pub fn thaw(paths: &[String]) -> Result<()> {
    match Freezer::find(paths)? {
        Some(freezer) if freezer.file == "freezer.state" => Ok(freezer.dir.write(freezer.file, freezer.words[1])?),
        _ => Ok(()),
    }
}

/// Whether a container with these cgroups is frozen.
#[must_use]
pub fn is_frozen(paths: &[String]) -> bool {
    matches!(Freezer::find(paths), Ok(Some(freezer)) if freezer.is_frozen().unwrap_or(false))
}

/// All processes of a tree, by the numbers that they have here; none when it is gone.
///
/// # Errors
/// A call that failed.
pub fn processes(path: &str) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    let dir = match Dir::open(path) {
        Err(error) if gone(&error) => return Ok(all),
        dir => dir?,
    };
    for_each(&dir, &mut |dir| {
        all.extend(dir.processes()?);
        Ok(())
    })?;
    Ok(all)
}

/// How many of the container's processes the kernel killed for want of memory. To be read before the cgroup is removed;
/// 0 without a memory controller.
///
/// # Errors
/// A call that failed.
pub fn oom_kills(cgroup: &Cgroup) -> Result<u64> {
    if let Some(path) = cgroup.v2("memory") {
        // Counts the whole tree.
        return Ok(field(&Dir::open(path)?.read("memory.events")?, "oom_kill"));
    }
    let mut kills = 0;
    if let Some(path) = cgroup.v1("memory") {
        for_each(&Dir::open(path)?, &mut |dir| {
            kills += field(&dir.read("memory.oom_control")?, "oom_kill");
            Ok(())
        })?;
    }
    Ok(kills)
}

/// How often the container could not have another process, because of its own limit (cgroup-v2.rst, "PID Interface
/// Files"; on v1, too).
#[must_use]
pub fn refused_processes(cgroup: &Cgroup) -> u64 {
    let path = cgroup.v2("pids").or_else(|| cgroup.v1("pids"));
    let events = path.and_then(|path| Dir::open(path).ok()?.read("pids.events").ok());
    events.map_or(0, |events| field(&events, "max"))
}

/// The most memory that the container had, in bytes; `None` where nobody counts it.
#[must_use]
pub fn memory_peak(cgroup: &Cgroup) -> Option<u64> {
    let (path, file) = match (cgroup.v2("memory"), cgroup.v1("memory")) {
        (Some(path), _) => (path, "memory.peak"),
        (None, path) => (path?, "memory.max_usage_in_bytes"),
    };
    Dir::open(path).ok()?.read(file).ok()?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}
