//! A container's cgroup where systemd makes it: as a scope, by the process that is to be in it.
//!
//! Invariant: what the plan does before the clone is that of a container without systemd, less the directories of
//! systemd's hierarchies; every limit is written, as a property and to its file, once systemd has made those.

use super::property::{self, Properties};
use super::step::{AttachStep, Create, HostStep, InitStep, Scope, Version};
use super::unit::Unit;
use super::{Layout, Limit, Plan, compose, device};
use crate::Rejected;
use spec::bus::Value;
use spec::runtime::Resources;
use std::collections::BTreeMap;

/// What was observed of a systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Systemd {
    /// Where it is spoken to.
    pub address: String,
    pub version: u32,
    /// Its units are below this.
    pub control_group: String,
}

/// What is asked of it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub systemd: &'a Systemd,
    pub unit: &'a Unit,
    /// The container's.
    pub id: &'a str,
    pub annotations: &'a BTreeMap<String, String>,
}

/// As [`super::plan_everywhere`], in a scope. `layout` was observed for the path that systemd will give it.
///
/// # Errors
/// As [`super::plan`]; an annotation that is no property.
pub fn plan_scope(layout: &Layout, resources: &Resources, rootless: bool, asked: Asked<'_>) -> Result<Plan, Rejected> {
    let cannot = |why: &str| Rejected::new("cannot use --systemd-cgroup", why);
    if rootless && layout.v1("memory").is_some() {
        return Err(cannot("on cgroup v1 only root may"));
    }
    let whole = compose(layout, resources, rootless, true)?;
    let systemds = Systemds::of(layout);
    let mut plan = Plan { cgroup: whole.cgroup, notes: whole.notes, ..Plan::default() };
    let (mut dirs, mut after) = (Vec::new(), Vec::new());
    for step in whole.prepare {
        match step {
            HostStep::Create(create) if systemds.makes(&create) => {
                dirs.push(create.dir());
                after.extend(enable(create));
            }
            HostStep::Create(_) => plan.prepare.push(step),
            step => after.push(step),
        }
    }
    if dirs.is_empty() {
        return Err(cannot("the hierarchy that systemd keeps its units in is not mounted"));
    }
    let is_systemds = |file: &str| dirs.iter().any(|dir| file.strip_prefix(dir.as_str()) == Some("/tasks"));
    plan.join = whole.join.into_iter().filter(|InitStep::Join { file }| !is_systemds(file)).collect();
    plan.clone_into = whole.clone_into.filter(|dir| !dirs.contains(dir));
    let limits: Vec<Limit> = after.iter().filter_map(limit).collect();
    let properties = self::properties(asked, layout, &limits, resources, rootless)?;
    let Systemd { address, .. } = asked.systemd;
    let scope = Scope { address: address.clone(), unit: asked.unit.name.clone(), properties, dirs };
    plan.attach = std::iter::once(AttachStep::Scope(scope)).chain(after.into_iter().map(AttachStep::Host)).collect();
    Ok(plan)
}

fn limit(step: &HostStep) -> Option<Limit> {
    match step {
        HostStep::Limit(limit) => Some(limit.clone()),
        _ => None,
    }
}

/// Which hierarchies systemd has its units in.
struct Systemds<'a> {
    v1: Option<&'a str>,
    v2: Option<&'a str>,
}

impl<'a> Systemds<'a> {
    /// Where it has a v1 hierarchy of its own it need not know of a v2 tree; it does where its slices are there.
    fn of(layout: &'a Layout) -> Self {
        let v1 = layout.v1("name=systemd").map(|hierarchy| hierarchy.target.anchor.as_str());
        let tree = layout.v2.as_ref().filter(|tree| v1.is_none() || tree.target.present > 0);
        Self { v1, v2: tree.map(|tree| tree.target.anchor.as_str()) }
    }

    fn makes(&self, create: &Create) -> bool {
        let in_it = |anchor: Option<&str>| anchor == Some(create.anchor.as_str());
        match create.version {
            Version::V1 { .. } => in_it(self.v1),
            Version::V2 { .. } => in_it(self.v2),
            Version::Resctrl { .. } => false,
        }
    }
}

/// Of the controllers systemd hands down those that it knows.
fn enable(create: Create) -> Option<HostStep> {
    let Version::V2 { controllers, first } = &create.version else { return None };
    let levels = (*first..create.components.len()).map(|depth| create.level(depth)).collect();
    (!controllers.is_empty()).then(|| HostStep::Enable { levels, controllers: controllers.clone() })
}

fn properties(
    asked: Asked<'_>,
    layout: &Layout,
    limits: &[Limit],
    resources: &Resources,
    rootless: bool,
) -> Result<Vec<property::Property>, Rejected> {
    let Asked { systemd, unit, id, annotations } = asked;
    let on_v1 = |controller| layout.v1(controller).is_some();
    let yes = Value::Bool(true);
    let mut properties = Properties::default();
    properties.set("Description", Value::Text(format!("sampan container {id}")));
    properties.set("Slice", Value::text(&unit.slice));
    // Below it the container's own processes may do as they like (systemd's CGROUP_DELEGATION document).
    properties.set("Delegate", yes.clone());
    // Not stopped with the machine's other units: who made the container ends it.
    properties.set("DefaultDependencies", Value::Bool(false));
    properties.set("CollectMode", Value::text("inactive-or-failed"));
    let io = if on_v1("blkio") { "BlockIOAccounting" } else { "IOAccounting" };
    for accounting in ["CPUAccounting", io, "MemoryAccounting", "TasksAccounting"] {
        properties.set(accounting, yes.clone());
    }
    // Without a word systemd has a limit of its own.
    if resources.pids.and_then(|pids| pids.limit) == Some(-1) {
        properties.set("TasksMax", Value::Uint64(u64::MAX));
    }
    property::of_limits(&mut properties, limits, systemd.version, None);
    if !rootless && !resources.devices.is_empty() {
        property::of_devices(&mut properties, &device::parse(&resources.devices)?, on_v1("devices"));
    }
    // A scope that runs cannot be told.
    let group = resources.unified.get("memory.oom.group").map(|text| text.trim());
    let policy = [("0", "continue"), ("1", "kill")].into_iter().find(|(text, _)| Some(*text) == group);
    if let Some((_, policy)) = policy.filter(|_| systemd.version >= 253) {
        properties.set("OOMPolicy", Value::text(policy));
    }
    property::of_annotations(&mut properties, annotations)?;
    Ok(properties.done())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{everything, hybrid, v2};
    use super::*;

    fn planned(mut layout: Layout, rootless: bool) -> Result<Plan, Rejected> {
        let systemd = Systemd { address: "unix:path=/bus".into(), version: 257, control_group: "/".into() };
        let unit = Unit::parse("a.slice:x:y", "id", false).unwrap();
        layout.path = unit.path("/").unwrap();
        let asked = Asked { systemd: &systemd, unit: &unit, id: "id", annotations: &BTreeMap::new() };
        plan_scope(&layout, &everything(), rootless, asked)
    }

    fn shells(steps: &[AttachStep]) -> Vec<String> {
        steps.iter().map(AttachStep::shell).collect()
    }

    #[test]
    fn on_v2_all_of_it_comes_after_the_clone() {
        let plan = planned(v2(), false).unwrap();
        assert_eq!((plan.prepare.len(), plan.join.len(), plan.clone_into.as_ref()), (0, 0, None));
        assert_eq!(plan.cgroup.v2.as_deref(), Some("/sys/fs/cgroup/a.slice/x-y.scope"));
        let shells = shells(&plan.attach);
        assert!(shells[0].contains("x-y.scope replace") && shells[0].contains("PIDs au 1 $PID"), "{}", shells[0]);
        assert!(shells[0].contains("MemoryMax t 104857600 "), "{}", shells[0]);
        assert!(
            shells[0]
                .ends_with("until grep -qsx $PID /sys/fs/cgroup/a.slice/x-y.scope/cgroup.procs; do sleep 0.02; done")
        );
        assert!(shells[1].ends_with("> /sys/fs/cgroup/a.slice/cgroup.subtree_control"), "{}", shells[1]);
        assert!(
            shells[2..].iter().any(|shell| shell == "echo 104857600 > /sys/fs/cgroup/a.slice/x-y.scope/memory.max")
        );
        let undo: Vec<String> = plan.attach.iter().flat_map(AttachStep::undo).map(|verb| verb.line()).collect();
        assert_eq!(
            undo,
            [
                "stop-unit unix:path=/bus x-y.scope\n",
                "remove-cgroup /sys/fs/cgroup/a.slice /sys/fs/cgroup/a.slice/x-y.scope\n"
            ]
        );
        for line in undo {
            let verb = crate::undo::Verb::parse(line.trim_end()).unwrap();
            assert_eq!(verb.line(), line);
        }
    }

    #[test]
    fn on_v1_what_is_not_systemds_is_ours() {
        let mut layout = hybrid();
        let plan = planned(layout.clone(), false).unwrap();
        assert_eq!(plan.prepare.len(), layout.v1.len() - 1 + 1, "the v2 tree is ours, too");
        assert!(plan.clone_into.is_some());
        assert_eq!(plan.join.len(), layout.v1.len() - 1);
        assert!(
            shells(&plan.attach)[0]
                .ends_with("/sys/fs/cgroup/systemd/a.slice/x-y.scope/cgroup.procs; do sleep 0.02; done")
        );
        layout.v2.as_mut().unwrap().target.present = 1;
        let plan = planned(layout.clone(), false).unwrap();
        assert_eq!((plan.prepare.len(), plan.clone_into), (layout.v1.len() - 1, None));
        let error = planned(layout, true).unwrap_err();
        assert_eq!(error.why, "on cgroup v1 only root may");
    }
}
