//! `update`: other limits for a container that runs.

use crate::record::{Record, Scope};
use crate::root::Root;
use crate::{Id, io, refused};
use plan::Rejected;
use plan::cgroup::CgroupPath;
use runtime::{Result, apply, observe};
use spec::json::parse;
use spec::runtime::{IntelRdt, Resources, Status};

/// Resources as config.json has them.
///
/// # Errors
/// They are none.
pub fn resources(text: &[u8]) -> Result<Resources> {
    parse(text).map_err(|error| Rejected::new("cannot read the resources", error.to_string()).into())
}

/// What the container's resctrl group is allowed.
///
/// # Errors
/// It has none; the kernel refuses.
fn share(record: &Record, asked: &IntelRdt) -> Result<()> {
    let lines = plan::cgroup::schemata(asked);
    let Some(group) = record.resctrl.first() else {
        return match lines.first() {
            Some(line) => {
                refused(format!("cannot allow {line}"), "the container has no resctrl group (linux.intelRdt)")
            }
            None => Ok(()),
        };
    };
    let file = format!("{group}/schemata");
    lines
        .iter()
        .try_for_each(|line| std::fs::write(&file, format!("{line}\n")).map_err(io(format!("cannot allow {line}"))))
}

/// What is not named stays.
///
/// # Errors
/// It has ended; a limit that cannot be had, or is not in force.
pub fn update(root: &Root, id: &Id, resources: &Resources, share: &IntelRdt) -> Result<()> {
    let what = format!("cannot update the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    if matches!(record.status(&home), Status::Stopped | Status::Creating) {
        return refused(what, "container not running");
    }
    let path = CgroupPath::parse(&record.cgroup_path)?;
    let disks = resources.block_io.is_some();
    let layout = match &record.scope {
        Some(_) => observe::cgroup::observe_for_systemd(&path, disks)?,
        None => observe::cgroup::observe(&path, disks)?,
    };
    let (current, usage) = record.cgroup.as_deref().map(observe::cgroup::current).unwrap_or_default();
    check_usage(resources, usage)?;
    let limits = plan::cgroup::update(&layout, resources, &current)?;
    if let Some(Scope { address, unit, version }) = &record.scope {
        let properties = plan::cgroup::properties(&limits, *version, current.period);
        if !properties.is_empty() {
            runtime::systemd::set(address, unit, properties)?;
        }
    }
    apply::cgroup::update(&limits).map_err(|error| Rejected::new(what, error.to_string()))?;
    self::share(&record, share)
}

/// What v1 does by itself: it refuses a limit that it cannot make the container keep. In words that callers of an OCI
/// runtime know.
fn check_usage(resources: &Resources, usage: Option<u64>) -> Result<()> {
    let asked = resources.memory.as_ref().filter(|memory| memory.check_before_update == Some(true));
    let Some((memory, usage)) = asked.zip(usage) else { return Ok(()) };
    let limits = [("memory+swap", memory.swap), ("memory", memory.limit)];
    let below = |(what, limit): (_, Option<i64>)| {
        let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit != 0)?;
        (limit < usage).then_some((what, limit))
    };
    match limits.into_iter().find_map(below) {
        Some((what, limit)) => refused(
            format!("cannot limit {what} to {limit}"),
            format!("rejecting {what} limit {limit}, because it's below the current usage {usage} (checkBeforeUpdate)"),
        ),
        None => Ok(()),
    }
}
