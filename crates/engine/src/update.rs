//! `sampan update`: other limits for a container, at once if it runs, and for each start to come; another restart policy.
//!
//! Invariant: what is acknowledged is in force, read back by the kernel's own words, and in what it is started from.

use crate::config::{self, Facts};
use crate::containers::{self, Which};
use crate::durable;
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::model::Model;
use crate::paths::{Paths, cannot_use};
use crate::request::{Limits, Restart, Run};
use crate::{ground, start, top};
use plan::cgroup::{self, CgroupPath, Create, Layout};
use runtime::journal::Journal;
use runtime::{apply, observe};
use spec::runtime::Resources;
use std::fs::File;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// What is absent stays as it is.
    pub limits: Limits,
    pub restart: Option<Restart>,
}

/// # Errors
/// No such container; limits that contradict each other or those that it has; one that is not in force.
pub fn update(paths: &Paths, which: &Which, asked: &Update) -> Result<()> {
    let listed = containers::which(paths, which)?;
    let record = &listed.record;
    let what = format!("cannot update container {}", record.name);
    let directory = paths.container(&record.id);
    // One at a time: what is not changed is written, too.
    let lock = File::open(&directory).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| Error::io(what.clone(), &error))?;
    let kept = paths.request(&record.id).exists();
    let before = if kept { start::load(paths, record)? } else { Run { remove: true, ..Run::default() } };
    if let (true, Some(Restart::Always | Restart::OnFailure(_) | Restart::UnlessStopped)) =
        (before.remove, asked.restart)
    {
        return Err(Error::rejected(what, "it goes when it has ended (--rm), so it is not started again"));
    }
    let limits = before.limits.updated(&asked.limits).map_err(|why| Error::rejected(what.clone(), why))?;
    let request = Run { limits, restart: asked.restart.unwrap_or(before.restart), ..before };
    request.limits.check()?;
    if listed.running && asked.limits != Limits::default() {
        containers::first(paths, record, &what)?;
        let mut model = Model::load(paths, record)?;
        apply(paths, &record.id, record.pid, &request, &asked.limits, &mut model)?;
    }
    if kept {
        save(paths, &record.id, &request)?;
    }
    events::tell(paths, [News::of(record, "update")]);
    Ok(())
}

/// Whole or not at all, and on the disk.
fn save(paths: &Paths, id: &str, request: &Run) -> Result<()> {
    let path = paths.request(id);
    let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
    let text = serde_json::to_vec(request).map_err(|error| cannot(error.into()))?;
    durable::replace(&path, &text).map_err(|error| cannot(error).into())
}

fn apply(paths: &Paths, id: &str, first: i32, request: &Run, asked: &Limits, model: &mut Model) -> Result<()> {
    let path = CgroupPath::parse(&model.path)?;
    let disks = ground::disks(request);
    let layout = observe::cgroup::observe(&path, !disks.is_empty()).map_err(runtime::Error::from)?;
    if let Some(cpus) = asked.cpus {
        layout.check_cpus(cpus)?;
    }
    let facts = Facts { swap: layout.features.swap, disks, ..Facts::default() };
    let resources = changed(asked, config::limits(&request.limits, &facts)?);
    extend(paths, id, first, &layout, &resources, model)?;
    let current = model.cgroup.as_deref().map(|dir| observe::cgroup::current(dir).0).unwrap_or_default();
    let limits = cgroup::update(&layout, &resources, &current)?;
    Ok(apply::cgroup::update(&limits).map_err(runtime::Error::from)?)
}

/// Of what is asked for, only the kinds of which something is new.
fn changed(asked: &Limits, all: Resources) -> Resources {
    let any = |some: &[bool]| some.contains(&true);
    let memory = any(&[asked.memory.is_some(), asked.memory_swap.is_some(), asked.memory_reservation.is_some()]);
    let sets = any(&[asked.cpuset_cpus.is_some(), asked.cpuset_mems.is_some()]);
    let time = any(&[asked.cpus.is_some(), asked.cpu_quota.is_some(), asked.cpu_period.is_some()]);
    let rates = [&asked.device_read_iops, &asked.device_write_iops].iter().any(|rates| !rates.is_empty());
    let bytes = [&asked.device_read_bps, &asked.device_write_bps].iter().any(|rates| !rates.is_empty());
    let io = any(&[asked.blkio_weight.is_some(), !asked.blkio_weight_device.is_empty(), rates, bytes]);
    Resources {
        memory: all.memory.filter(|_| memory || asked.memory_swappiness.is_some()),
        cpu: all.cpu.filter(|_| sets || time || asked.cpu_shares.is_some()),
        pids: all.pids.filter(|_| asked.pids.is_some()),
        block_io: all.block_io.filter(|_| io),
        ..Resources::default()
    }
}

/// A container has cgroups where it had limits when it was started: where it has none yet it gets them, and all its
/// processes enter.
fn extend(
    paths: &Paths,
    id: &str,
    first: i32,
    layout: &Layout,
    resources: &Resources,
    model: &mut Model,
) -> Result<()> {
    let mut grown = false;
    for create in cgroup::places(layout, resources)? {
        let (dir, own) = (create.dir(), model.all_cgroups());
        let is_new = !own.contains(&dir);
        if is_new {
            let of_its_own = matches!(create.version, cgroup::Version::V1 { .. });
            if !of_its_own {
                return Err(Error::rejected(
                    format!("cannot find the container's cgroup {}", own.first().cloned().unwrap_or_default()),
                    format!("seen from here it would be {dir}"),
                )
                .hint("call it in the session in which the container was started"));
            }
            Journal::add(&paths.journal(id), &cgroup::HostStep::Create(create.clone()).undo())?;
        }
        let pids = || top::pids(model, first);
        let entered = apply::cgroup::extend(&create, is_new, &mut || pids().unwrap_or_default());
        entered.map_err(runtime::Error::from)?;
        if is_new {
            let controllers = controllers(layout, &create);
            model.cgroups.push((controllers, dir));
            grown = true;
        }
    }
    if grown { Ok(model.replace(paths, id)?) } else { Ok(()) }
}

fn controllers(layout: &Layout, create: &Create) -> Vec<String> {
    let of = |it: &&cgroup::Hierarchy| create.anchor.starts_with(&it.mount);
    let longest = layout.v1.iter().filter(of).max_by_key(|it| it.mount.len());
    longest.map(|it| it.controllers.clone()).unwrap_or_default()
}
