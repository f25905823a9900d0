//! `kill`: a signal for the container's process, or for all of them.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::Result;
use runtime::process::{Process, Signal};

/// # Errors
/// It does not run.
pub fn kill(root: &Root, id: &Id, signal: Signal) -> Result<()> {
    let what = format!("cannot send {signal} to the container {id}");
    let (_, record) = Record::load(root, id, &what)?;
    // The words are those that callers look for.
    if record.process().signal(signal)? { Ok(()) } else { refused(what, "container not running") }
}

/// To all in its cgroup, whose first may be gone: where it shares a pid namespace they outlive it.
///
/// # Errors
/// The kernel's.
pub fn kill_all(root: &Root, id: &Id, signal: Signal) -> Result<()> {
    let (_, record) = Record::load(root, id, &format!("cannot send {signal} to the container {id}"))?;
    let Some(cgroup) = record.any_cgroup() else { return record.process().signal(signal).map(drop) };
    for pid in runtime::apply::cgroup::processes(cgroup)? {
        Process::now(pid).signal(signal)?;
    }
    Ok(())
}
