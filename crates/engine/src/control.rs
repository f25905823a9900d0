//! Commands about a container that runs: what its monitor is asked, or, where there is none, its process itself.
//!
//! Invariant: whoever is told that a container has ended finds nothing of it to undo.

use crate::containers::{self, Listed, Record};
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::filter;
use crate::health::{self, Status};
use crate::model::Model;
use crate::paths::Paths;
use crate::request::process::{Patience, Signal};
use crate::run::Notice;
use crate::start;
use crate::state::State;
use runtime::monitor::channel::{self, CHUNK, Packet};
use runtime::process::Process;
use spec::ContainerId;
use spec::unit::Invalid;
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::Duration;

/// What is asked for in place of the container's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stop {
    pub signal: Option<Signal>,
    pub patience: Option<Patience>,
    /// Also one that goes with its end stays.
    pub keep: bool,
    /// It is nobody's wish about this container: so it comes back with the machine.
    pub passing: bool,
}

impl Stop {
    /// At once.
    pub(crate) const KILL: Self =
        Self { signal: Some(Signal::KILL), patience: Some(Patience::Endless), keep: false, passing: false };

    fn packet(self) -> Packet<'static> {
        let milliseconds = self.patience.map(|patience| match patience {
            Patience::Seconds(seconds) => i64::from(seconds) * 1000,
            Patience::Endless => -1,
        });
        Packet::Stop { signal: self.signal, milliseconds, keep: self.keep, passing: self.passing }
    }
}

/// How a container ended, as its monitor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub code: u8,
    pub out_of_memory: bool,
}

/// Ask the container to end, and wait for it; one that does not run is let be. Whether it ran.
///
/// # Errors
/// No such container; it did not end.
pub fn stop(paths: &Paths, word: &str, stop: Stop) -> Result<bool> {
    let Listed { record, running } = containers::find(paths, word)?;
    if running {
        end(paths, &record, stop)?;
    }
    Ok(running)
}

/// [`stop`] of one that runs.
pub(crate) fn end(paths: &Paths, record: &Record, stop: Stop) -> Result<()> {
    match channel::call(&paths.socket(&record.id))? {
        Some(monitor) => _ = ask(&monitor, &stop.packet())?,
        None => by_hand(paths, record, stop)?,
    }
    containers::wait_until_undone(paths, &record.name, record)
}

/// The beginning of [`end`], for as long as what comes back is there.
pub(crate) fn ask_for(paths: &Paths, record: &Record, stop: Stop) -> Option<OwnedFd> {
    let monitor = channel::call(&paths.socket(&record.id)).ok()??;
    channel::send(&monitor, &stop.packet().bytes(), true).ok()?;
    Some(monitor)
}

/// Its end, from its monitor; `None`: the monitor has gone without a word.
fn ask(monitor: &OwnedFd, packet: &Packet<'_>) -> Result<Option<Ended>> {
    let mut buffer = vec![0; CHUNK + 1];
    if channel::send(monitor, &packet.bytes(), true).is_err() {
        return Ok(None);
    }
    loop {
        let Ok(bytes) = channel::receive(monitor, &mut buffer, true) else { return Ok(None) };
        match Packet::parse(bytes) {
            None => return Ok(None),
            Some(Packet::Ended { code, out_of_memory }) => return Ok(Some(Ended { code, out_of_memory })),
            Some(Packet::Refused(why)) => return Err(Error::rejected("cannot signal the container", why)),
            Some(_) => {}
        }
    }
}

/// A container whose own sampan waits for it: that one sees its end and undoes the rest.
fn by_hand(paths: &Paths, record: &Record, stop: Stop) -> Result<()> {
    let process = Process { pid: record.pid, start: record.pid_start };
    if let Ok(model) = Model::load(paths, record) {
        runtime::apply::cgroup::thaw(&model.all_cgroups()).map_err(runtime::Error::from)?;
    }
    let signal = stop.signal.or_else(|| record.config.stop_signal.parse().ok()).unwrap_or(Signal::TERM);
    let patience = match stop.patience.unwrap_or(Patience::Seconds(record.patience.unwrap_or(10))) {
        Patience::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
        Patience::Endless => None,
    };
    if process.signal(signal)? && !process.wait(patience)? {
        process.signal(Signal::KILL)?;
    }
    Ok(())
}

/// Send a signal to a container's first process.
///
/// # Errors
/// No such container; it does not run; the kernel's.
pub fn kill(paths: &Paths, word: &str, signal: Signal) -> Result<()> {
    let Listed { record, running } = containers::find(paths, word)?;
    let refuse = |why: &str| Error::rejected(format!("cannot kill container {word}"), why);
    let not_running = || refuse("it is not running").hint("sampan ps shows which are");
    if !running {
        return Err(not_running());
    }
    if signal == Signal::KILL {
        return end(paths, &record, Stop::KILL);
    }
    let Some(monitor) = channel::call(&paths.socket(&record.id))? else {
        let process = Process { pid: record.pid, start: record.pid_start };
        return if process.signal(signal)? { Ok(()) } else { Err(not_running()) };
    };
    let mut buffer = vec![0; CHUNK + 1];
    let sent = channel::send(&monitor, &Packet::Signal(signal).bytes(), true).is_ok();
    let answer = if sent { channel::receive(&monitor, &mut buffer, true).unwrap_or_default() } else { &[] };
    match Packet::parse(answer) {
        Some(Packet::Done) => {}
        Some(Packet::Refused(why)) => return Err(refuse(why)),
        _ => return Err(refuse("its monitor has gone without a word")),
    }
    Ok(())
}

/// Wait until a container has ended, and all of it is undone.
///
/// # Errors
/// No such container; nobody knows how it ended.
pub fn wait(paths: &Paths, word: &str) -> Result<Ended> {
    let Listed { record, running } = containers::find(paths, word)?;
    if running {
        let ended = match channel::call(&paths.socket(&record.id))? {
            Some(monitor) => ask(&monitor, &Packet::Wait)?,
            None => {
                Process { pid: record.pid, start: record.pid_start }.wait(None)?;
                None
            }
        };
        if let Some(ended) = ended {
            return Ok(ended);
        }
        containers::wait_until_undone(paths, word, &record)?;
    }
    let kept = containers::load(&paths.record(&record.id)).ok_or_else(|| {
        Error::rejected(
            format!("cannot wait for container {word}"),
            "it is gone, and who ran it alone knows how it ended",
        )
    })?;
    // docker: one that was never started is not running.
    Ok(Ended { code: kept.exit_code.unwrap_or(0), out_of_memory: kept.out_of_memory })
}

/// What can be waited for beside an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    State(State),
    Health(Status),
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(word: &str) -> std::result::Result<Self, Invalid> {
        let health = [Status::Healthy, Status::Unhealthy].into_iter().find(|status| status.word() == word);
        let condition = health.map(Self::Health).or_else(|| State::parse(word).map(Self::State));
        let hint = || format!("one of {}, healthy, unhealthy", State::words());
        condition.ok_or_else(|| Invalid::new(format!("unknown condition {word:?}")).hint(hint()))
    }
}

impl Condition {
    fn holds(self, listed: &Listed) -> bool {
        match self {
            Self::State(state) => State::of(listed) == state,
            Self::Health(status) => {
                listed.running && listed.record.health.as_ref().is_some_and(|health| health.status == status)
            }
        }
    }
}

/// Whether anybody asks it for its health.
fn is_asked(paths: &Paths, record: &Record) -> Result<bool> {
    Ok(record.health.is_some() || health::check(&start::load(paths, record)?, record).is_some())
}

/// Wait until one of these is true of a container, started or not: its exit code, where it has ended.
///
/// # Errors
/// No such container; only its health is waited for, and nobody asks it.
pub fn wait_for(paths: &Paths, word: &str, conditions: &[Condition], interval: Duration) -> Result<Option<u8>> {
    let first = containers::find(paths, word)?;
    if conditions.iter().all(|condition| matches!(condition, Condition::Health(_))) && !is_asked(paths, &first.record)?
    {
        let what = format!("cannot wait for the health of container {word}");
        return Err(Error::rejected(what, "it has no health check").hint("make it with --health-cmd"));
    }
    loop {
        let listed = containers::find(paths, word)?;
        if conditions.iter().any(|condition| condition.holds(&listed)) {
            return Ok(if listed.running { None } else { listed.record.exit_code });
        }
        std::thread::sleep(interval);
    }
}

/// Stop a container, if it runs, and start it.
///
/// # Errors
/// As [`stop`] and [`start::start`].
pub fn restart(paths: &Paths, word: &str, stop: Stop, tell: &mut dyn FnMut(Notice)) -> Result<()> {
    self::stop(paths, word, Stop { keep: true, ..stop })?;
    start::start(paths, word, tell).map(drop)
}

/// Give a container another name.
///
/// # Errors
/// No such container; the name is another's.
pub fn rename(paths: &Paths, word: &str, name: &ContainerId) -> Result<()> {
    let Listed { record, .. } = containers::find(paths, word)?;
    if record.name == name.as_str() {
        return Ok(());
    }
    containers::rename(paths, &record, name)?;
    let renamed = Record { name: name.to_string(), ..record.clone() };
    events::tell(paths, [News::of(&renamed, "rename").with("oldName", &record.name)]);
    Ok(containers::settle(paths)?)
}

/// Remove all that do not run and that the filters let through: their ids, and the bytes that they had.
///
/// # Errors
/// One cannot be removed.
pub fn prune(paths: &Paths, filters: &[filter::Container]) -> Result<(Vec<String>, u64)> {
    let (mut ids, mut freed) = (Vec::new(), 0);
    for Listed { record, .. } in containers::select(paths, filters, true)?.into_iter().filter(|listed| !listed.running)
    {
        let size = image::usage::of(&paths.container(&record.id));
        // One that somebody has started or removed meanwhile is let be.
        if containers::remove(paths, &record.id, false, false).is_ok_and(|removed| removed) {
            freed += size;
            ids.push(record.id);
        }
    }
    Ok((ids, freed))
}
