//! `kill`: a signal for the container's process, or for all of them; without one it is only asked whether it runs.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::Result;
use runtime::apply::cgroup;
use runtime::process::{Process, Signal};

/// # Errors
/// It does not run.
pub fn kill(root: &Root, id: &Id, signal: Option<Signal>) -> Result<()> {
    let what = format!("cannot send {} to the container {id}", word(signal));
    let (_, record) = Record::load(root, id, &what)?;
    let Some(signal) = signal else {
        return if record.process().lives() { Ok(()) } else { refused(what, NOT_RUNNING) };
    };
    let cgroups = record.all_cgroups();
    let kills = signal == Signal::KILL;
    let killed = if kills && record.shares_pids && !cgroups.is_empty() {
        // With its first process no other would end, and that may be gone.
        cgroup::kill(&cgroups)?
    } else {
        let sent = record.process().signal(signal)?;
        if kills && record.cgroup.is_none() {
            cgroup::thaw(&cgroups)?;
        }
        sent
    };
    if killed { Ok(()) } else { refused(what, NOT_RUNNING) }
}

/// Callers look for these words.
const NOT_RUNNING: &str = "container not running";

fn word(signal: Option<Signal>) -> String {
    signal.map_or("a signal".to_owned(), |signal| signal.to_string())
}

/// To all in its cgroup, whose first may be gone: where it shares a pid namespace they outlive it.
///
/// # Errors
/// The kernel's.
pub fn kill_all(root: &Root, id: &Id, signal: Option<Signal>) -> Result<()> {
    let (_, record) = Record::load(root, id, &format!("cannot send {} to the container {id}", word(signal)))?;
    let Some(signal) = signal else { return Ok(()) };
    let Some(any) = record.any_cgroup() else { return record.process().signal(signal).map(drop) };
    if signal == Signal::KILL {
        return Ok(cgroup::kill(&record.all_cgroups()).map(drop)?);
    }
    for pid in cgroup::processes(any)? {
        Process::now(pid).signal(signal)?;
    }
    Ok(())
}
