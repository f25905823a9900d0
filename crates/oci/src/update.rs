//! `update`: other limits for a container that runs.

use crate::bundle::parse;
use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use plan::Rejected;
use plan::cgroup::CgroupPath;
use runtime::{Result, apply, observe};
use spec::runtime::{Resources, Status};

/// Resources as config.json has them.
///
/// # Errors
/// They are none.
pub fn resources(text: &[u8]) -> Result<Resources> {
    parse(text).map_err(|error| Rejected::new("cannot read the resources", error.to_string()).into())
}

/// What is not named stays.
///
/// # Errors
/// It has ended; a limit that cannot be had, or is not in force.
pub fn update(root: &Root, id: &Id, resources: &Resources) -> Result<()> {
    let what = format!("cannot update the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    if matches!(record.status(&home), Status::Stopped | Status::Creating) {
        return refused(what, "container not running");
    }
    let path = CgroupPath::parse(&record.cgroup_path)?;
    let layout = observe::cgroup::observe(&path, resources.block_io.is_some())?;
    Ok(apply::cgroup::update(&plan::cgroup::update(&layout, resources)?)?)
}
