//! `kill`: a signal for the container's process, or for all of them.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::Result;
use runtime::apply::cgroup;
use runtime::process::{Process, Signal};

/// # Errors
/// It does not run.
pub fn kill(root: &Root, id: &Id, signal: Signal) -> Result<()> {
    let what = format!("cannot send {signal} to the container {id}");
    let (_, record) = Record::load(root, id, &what)?;
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
    // The words are those that callers look for.
    if killed { Ok(()) } else { refused(what, "container not running") }
}

/// To all in its cgroup, whose first may be gone: where it shares a pid namespace they outlive it.
///
/// # Errors
/// The kernel's.
pub fn kill_all(root: &Root, id: &Id, signal: Signal) -> Result<()> {
    let (_, record) = Record::load(root, id, &format!("cannot send {signal} to the container {id}"))?;
    let Some(any) = record.any_cgroup() else { return record.process().signal(signal).map(drop) };
    if signal == Signal::KILL {
        return Ok(cgroup::kill(&record.all_cgroups()).map(drop)?);
    }
    for pid in cgroup::processes(any)? {
        Process::now(pid).signal(signal)?;
    }
    Ok(())
}
