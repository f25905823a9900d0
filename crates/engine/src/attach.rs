//! A command that waits for a container which a monitor watches: `run`, `start --attach`, `attach`.

use crate::containers::{self, Listed, Record};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::request::{Run, Terminal};
use crate::run::{self, Ended, Identity, Notice};
use crate::start::{self, Launch};
use plan::order::Existing;
use runtime::attach::{Caller, Left};
use runtime::monitor::channel::{self, Packet};
use runtime::process::Process;
use runtime::supervise::{self, DetachKeys, Signals};
use std::os::fd::{AsFd, OwnedFd};

/// What is asked for of the caller's terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Standard input is for the container.
    pub input: bool,
    /// Absent: the container's.
    pub detach_keys: Option<Vec<u8>>,
    pub forward_signals: bool,
}

/// `sampan run` in the foreground, of a container that its monitor watches.
///
/// # Errors
/// As [`start::run`].
pub fn run(request: &Run, paths: &Paths, tell: &mut dyn FnMut(Notice)) -> Result<Ended> {
    let Terminal { tty, interactive, .. } = request.terminal;
    supervise::check_input(tty, interactive, std::io::stdin())?;
    start::begin(request, paths, tell)?;
    start::raise_all(paths, &start::required(request, paths)?, tell)?;
    let identity = Identity::new(request, Existing::Home)?;
    let (prepared, _) = run::with_image(request, paths, &identity, true, tell)?;
    let memory_limit = prepared.memory_limit;
    // Blocked before there is somebody to pass them on to.
    let signals = Signals::take().map_err(runtime::Error::from)?;
    let (journal, record) = start::make(request, paths, &prepared, true)?;
    let (ours, theirs) = channel::pair()?;
    let client = Some((theirs, interactive));
    let launch = Launch { request, paths, prepared, journal, record: record.clone(), client, discard: true };
    let started = start::launch(launch);
    start::finish(paths, tell);
    started?;
    let wish = Wish {
        input: interactive,
        detach_keys: Some(request.terminal.detach_keys.clone()),
        forward_signals: request.terminal.forward_signals,
    };
    let left = follow(paths, &record, &request.terminal, &wish, true, &ours, &signals, tell)?;
    ended(left, memory_limit, &record)
}

/// Start a container and wait for its end; one that runs is attached to.
///
/// # Errors
/// As [`start::start`].
pub fn start(paths: &Paths, word: &str, wish: &Wish, tell: &mut dyn FnMut(Notice)) -> Result<Ended> {
    let found = containers::find(paths, word)?;
    let request = start::load(paths, &found.record)?;
    supervise::check_input(request.terminal.tty, wish.input, std::io::stdin())?;
    if !found.running {
        start::raise_all(paths, &found.record.requires, tell)?;
    }
    let Some((journal, record)) = start::lease(paths, &found.record)? else { return attach(paths, word, wish, tell) };
    let signals = Signals::take().map_err(runtime::Error::from)?;
    let (ours, theirs) = channel::pair()?;
    let record = start::raise(paths, journal, record, Some((theirs, wish.input)), tell)?;
    let left = follow(paths, &record, &request.terminal, wish, true, &ours, &signals, tell)?;
    ended(left, record.death.memory_limit, &record)
}

/// Attach to a container that runs, until it ends or the user leaves it.
///
/// # Errors
/// No such container; it does not run, or is its own sampan's.
pub fn attach(paths: &Paths, word: &str, wish: &Wish, tell: &mut dyn FnMut(Notice)) -> Result<Ended> {
    let Listed { record, running } = containers::find(paths, word)?;
    let refuse = |why: &str| Error::rejected(format!("cannot attach to container {word}"), why);
    if !running {
        return Err(refuse("it is not running").hint(format!("sampan start --attach {word}")));
    }
    if record.paused {
        return Err(refuse("it is paused").hint(format!("sampan unpause {word}")));
    }
    let Some(monitor) = channel::call(&paths.socket(&record.id))? else {
        return Err(refuse("it has the streams of the terminal that it was started from"));
    };
    let request = start::load(paths, &record)?;
    let input = wish.input && request.terminal.interactive;
    supervise::check_input(request.terminal.tty, input, std::io::stdin())?;
    let signals = Signals::take().map_err(runtime::Error::from)?;
    let asked = channel::send(&monitor, &Packet::Attach { input }.bytes(), true);
    asked.map_err(|errno| refuse(&format!("its monitor does not answer ({errno})")))?;
    let wish = Wish { input, ..wish.clone() };
    let left = follow(paths, &record, &request.terminal, &wish, false, &monitor, &signals, tell)?;
    ended(left, request.limits.memory.map(spec::unit::Size::bytes), &record)
}

#[allow(clippy::too_many_arguments, reason = "both ends, and who wants what of them")]
fn follow(
    paths: &Paths,
    record: &Record,
    terminal: &Terminal,
    wish: &Wish,
    owner: bool,
    monitor: &OwnedFd,
    signals: &Signals,
    tell: &mut dyn FnMut(Notice),
) -> Result<Left> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let keys = wish.detach_keys.as_deref().unwrap_or(&terminal.detach_keys);
    let first = containers::load(&paths.running(&record.id));
    let pidfd = first.and_then(|record| Process { pid: record.pid, start: record.pid_start }.open().ok().flatten());
    let caller = Caller {
        stdin: wish.input.then(|| stdin.as_fd()),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        tty: terminal.tty,
        detach_keys: DetachKeys::from_bytes(keys),
        forward_signals: wish.forward_signals,
        owner,
        pidfd,
    };
    let mut say = |event| {
        if let Some(text) = run::describe(&event) {
            tell(Notice::Warning(text));
        }
    };
    Ok(runtime::attach::attach(monitor, caller, signals, &mut say)?)
}

fn ended(left: Left, memory_limit: Option<u64>, record: &Record) -> Result<Ended> {
    let code = match left {
        Left::Ended { code, out_of_memory } => {
            return Ok(Ended { code, out_of_memory: out_of_memory.then_some(memory_limit), ..Ended::default() });
        }
        Left::Detached | Left::Broken => 0,
        Left::Interrupted(signal) => 128 + signal.as_raw() as u8,
        Left::Lost => {
            let what = format!("cannot tell how container {} ended", record.name);
            return Err(Error::rejected(what, "its monitor was killed, and the container with it")
                .hint("the next command undoes what is left of it"));
        }
    };
    Ok(Ended { code, ..Ended::default() })
}
