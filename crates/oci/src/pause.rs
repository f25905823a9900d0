//! `pause` and `resume`: the container's processes get no CPU, and get it again.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::Result;
use runtime::apply::cgroup;
use spec::runtime::Status;

/// # Errors
/// It does not run.
pub fn pause(root: &Root, id: &Id) -> Result<()> {
    let what = format!("cannot pause the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    match record.status(&home) {
        Status::Running | Status::Created if record.any_cgroup().is_none() => {
            refused(what, "it has no cgroup: none is delegated to this user")
        }
        Status::Running | Status::Created => Ok(cgroup::freeze(&record.all_cgroups(), true)?),
        Status::Paused => refused(what, "container is paused already"),
        Status::Stopped | Status::Creating => refused(what, "container not running"),
    }
}

/// # Errors
/// It is not paused.
pub fn resume(root: &Root, id: &Id) -> Result<()> {
    let what = format!("cannot resume the container {id}");
    let (_, record) = Record::load(root, id, &what)?;
    let cgroups = record.all_cgroups();
    if cgroup::is_frozen(&cgroups) {
        Ok(cgroup::freeze(&cgroups, false)?)
    } else {
        refused(what, "container not paused")
    }
}
