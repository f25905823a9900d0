//! A container's cgroup: which directories it needs, in which hierarchies, with which limits (v1, hybrid, v2).
//!
//! Invariant: a limit that was asked for becomes a step or an error, never nothing.
//!
//! A directory is made where something is asked of it: a limit, the device rules, the memory controller's count of OOM
//! kills and peak. Not in the other v1 hierarchies, as docker does: each costs 80 µs to make, enter and remove. Killing
//! and freezing is what the v2 tree is for, also beside v1, where it does both at once for the whole tree; without one
//! the v1 freezer serves, and cpuacct for the CPU time that the v2 tree would tell.

mod delegate;
mod device;
mod layout;
mod limit;
mod mount;
mod path;
mod property;
mod request;
mod resctrl;
mod scope;
mod step;
mod unit;
mod v1;
mod v2;
mod variant;

pub use delegate::delegate;
pub use device::{Insn, default_rules};
pub use layout::{Current, Disk, Features, Hierarchy, IdSet, Layout, Level, Target, Unified};
pub use limit::Limit;
pub use mount::{HIERARCHY_OPTIONS, Mount, Within, container_mounts};
pub use path::CgroupPath;
pub use property::{Property, properties};
pub use resctrl::{Resctrl, group as resctrl_group, plan as resctrl, schemata};
pub use scope::{Asked, Systemd, plan_scope};
pub use step::{
    AttachStep, CPUSET, Create, DELEGATE, DeviceFilter, DeviceList, Enter, HostStep, InitStep, Scope, Undo, Version,
    enable,
};
pub use unit::Unit;

use crate::Rejected;
use layout::Reach;
use limit::Check;
use path::SHARED;
use request::{HugePages, Request};
use spec::runtime::Resources;
use std::collections::{BTreeMap, BTreeSet};

/// The steps of one container, and what they make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub prepare: Vec<HostStep>,
    /// When the child is there, before it goes on.
    pub attach: Vec<AttachStep>,
    /// v2: the directory for `CLONE_INTO_CGROUP`; in a shell `echo 0 > DIR/cgroup.procs` in the child.
    pub clone_into: Option<String>,
    /// v1.
    pub join: Vec<InitStep>,
    pub cgroup: Cgroup,
    /// What the container does without, though nobody asked for it: one line each.
    pub notes: Vec<String>,
}

/// Where a container's cgroup is: what is needed to show it inside, and to watch it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cgroup {
    pub v2: Option<String>,
    /// Controllers enabled for it there.
    pub v2_controllers: Vec<String>,
    /// Controllers of a hierarchy, and the directory.
    pub v1: Vec<(Vec<String>, String)>,
}

impl Cgroup {
    /// The container's directory in the v1 hierarchy of this controller.
    #[must_use]
    pub fn v1(&self, controller: &str) -> Option<&str> {
        let serves = |controllers: &[String]| controllers.iter().any(|name| name == controller);
        self.v1.iter().find(|(controllers, _)| serves(controllers)).map(|(_, dir)| dir.as_str())
    }

    /// The container's v2 directory, if the controller is enabled there.
    #[must_use]
    pub fn v2(&self, controller: &str) -> Option<&str> {
        self.v2.as_deref().filter(|_| self.v2_controllers.iter().any(|name| name == controller))
    }
}

/// A [`Limit`] that has no directory yet.
struct Value {
    what: &'static str,
    file: String,
    value: String,
    check: Check,
}

type Values = Vec<Value>;

fn value(what: &'static str, file: impl Into<String>, value: impl ToString, check: Check) -> Value {
    Value { what, file: file.into(), value: value.to_string(), check }
}

/// For the container that `layout` was observed for. `rootless`: not the machine's root, so no device rules: only root
/// may set them, and the nodes that such a user's container reaches are those that he himself may open. A container that
/// root gave a user namespace keeps its rules: it may be shown nodes of the host that anybody may open.
///
/// # Errors
/// A limit out of its range, or one whose controller is absent, not delegated, or lacks the feature.
pub fn plan(layout: &Layout, resources: &Resources, rootless: bool) -> Result<Plan, Rejected> {
    compose(layout, resources, rootless, false)
}

/// As [`plan`], but with every controller that can be had, for those who read a container's use of them in its cgroup,
/// wherever they find it by /proc/PID/cgroup: in a hierarchy where it had none they would read the host's.
///
/// # Errors
/// As [`plan`].
pub fn plan_everywhere(layout: &Layout, resources: &Resources, rootless: bool) -> Result<Plan, Rejected> {
    compose(layout, resources, rootless, true)
}

/// Limits for a container that runs, and has every controller: in the order in which they are to be tried. As in runc
/// the device rules stay as they are.
///
/// # Errors
/// As [`plan`].
pub fn update(layout: &Layout, resources: &Resources, current: &Current) -> Result<Vec<Limit>, Rejected> {
    let mut request = request::parse(resources)?;
    complete(&mut request, resources, layout, current)?;
    check_host(&request, layout)?;
    let mut draft = Draft { layout, v1: BTreeMap::new(), v2: BTreeMap::new(), notes: Vec::new() };
    draft.unlimited(resources)?;
    draft.limits(&request)?;
    draft.unified(&resources.unified)?;
    let mut plan = Plan::default();
    for (at, values) in draft.v1 {
        limits(&mut plan, &own(&layout.path, &layout.v1[at].target, 0, Version::V1 { cpuset: false }).dir(), values);
    }
    if let Some(tree) = &layout.v2 {
        let dir = own(&layout.path, &tree.target, 0, Version::V2 { controllers: Vec::new(), first: 0 }).dir();
        limits(&mut plan, &dir, draft.v2.into_values().flat_map(|(_, values)| values));
    }
    let limit = |step| match step {
        HostStep::Limit(limit) => Some(limit),
        _ => None,
    };
    Ok(plan.prepare.into_iter().filter_map(limit).collect())
}

/// The cgroups in which a container must be, and the controllers that must be enabled for it, before [`update`] can be.
///
/// # Errors
/// As [`plan()`].
pub fn places(layout: &Layout, resources: &Resources) -> Result<Vec<Create>, Rejected> {
    let request = request::parse(resources)?;
    let mut draft = Draft { layout, v1: BTreeMap::new(), v2: BTreeMap::new(), notes: Vec::new() };
    draft.limits(&request)?;
    draft.unlimited(resources)?;
    let path = &layout.path;
    let on_v1 = draft.v1.keys().map(|at| &layout.v1[*at]);
    let on_v1 = on_v1.map(|it| (&it.target, Version::V1 { cpuset: it.serves("cpuset") }));
    let first = draft.v2.values().map(|(first, _)| *first).min();
    let on_v2 =
        layout.v2.as_ref().zip(first).map(|(tree, first)| {
            (&tree.target, Version::V2 { controllers: draft.v2.keys().cloned().collect(), first })
        });
    Ok(on_v1.chain(on_v2).map(|(target, version)| own(path, target, kept(path, target), version)).collect())
}

/// v2 counts swap by itself and has a quota and its period in one file, so what is not named must be told again to stay.
fn complete(request: &mut Request, resources: &Resources, layout: &Layout, current: &Current) -> Result<(), Rejected> {
    let on_v2 = |controller| layout.v1(controller).is_none();
    let memory = resources.memory.as_ref();
    let untold = |limit: Option<i64>| limit.is_none_or(|limit| limit == 0);
    if on_v2("memory") && memory.is_some_and(|memory| memory.limit != Some(-1)) {
        if request.memory.is_some() && untold(memory.and_then(|memory| memory.swap)) {
            request.memory_swap = current.memory.zip(current.swap).map(|(memory, swap)| memory.saturating_add(swap));
        }
        if request.memory_swap.is_some() {
            request.memory = request.memory.or(current.memory);
        }
        request::check_swap(request)?;
    }
    if on_v2("cpu") && request.period.is_some() && untold(resources.cpu.as_ref().and_then(|cpu| cpu.quota)) {
        request.quota = current.quota;
    }
    Ok(())
}

fn compose(layout: &Layout, resources: &Resources, rootless: bool, everywhere: bool) -> Result<Plan, Rejected> {
    let request = request::check(resources)?;
    check_host(&request, layout)?;
    let mut draft = Draft { layout, v1: BTreeMap::new(), v2: BTreeMap::new(), notes: Vec::new() };
    draft.limits(&request)?;
    draft.unified(&resources.unified)?;
    let rules = device::parse(&resources.devices)?;
    let devices = if rootless || rules.is_empty() { None } else { Some(rules) };
    if everywhere {
        draft.everywhere();
    }
    draft.watching();
    draft.finish(devices)
}

/// CPUs, nodes and disks that are there.
fn check_host(request: &Request, layout: &Layout) -> Result<(), Rejected> {
    for (what, asked, have) in [("CPUs", &request.cpus, &layout.cpus), ("memory nodes", &request.mems, &layout.mems)] {
        if let Some(asked) = asked.as_ref().filter(|asked| !have.holds(asked)) {
            return Err(Rejected::new(
                format!("cannot bind the container to {what} {asked}"),
                format!("this host can give it only {have}"),
            )
            .hint(format!("choose from {have}")));
        }
    }
    let Some(disks) = &layout.disks else { return Ok(()) };
    for number in request.throttles.keys().chain(request.device_weights.keys()) {
        if disks.iter().any(|disk| (disk.major, disk.minor) == *number) {
            continue;
        }
        let (major, minor) = number;
        let what = format!("cannot limit I/O of the device {major}:{minor}");
        return Err(match disks.iter().find(|disk| disk.partitions.contains(number)) {
            Some(disk) => Rejected::new(what, "it is a partition, and the kernel limits whole disks")
                .hint(format!("name the disk: /dev/{} ({}:{})", disk.name, disk.major, disk.minor)),
            None => Rejected::new(what, "there is no such block device"),
        });
    }
    Ok(())
}

/// A weight of its own can be given to no disk but one that bfq serves; another takes it with EOPNOTSUPP.
fn check_bfq(request: &Request, layout: &Layout) -> Result<(), Rejected> {
    let disks = layout.disks.iter().flatten();
    let weighted = |disk: &&Disk| request.device_weights.contains_key(&(disk.major, disk.minor));
    match disks.filter(weighted).find(|disk| !disk.bfq()) {
        None => Ok(()),
        Some(Disk { major, minor, name, .. }) => Err(Rejected::new(
            format!("cannot set the I/O weight of the device {major}:{minor}"),
            "its I/O scheduler is not bfq",
        )
        .hint(format!("echo bfq > /sys/block/{name}/queue/scheduler"))),
    }
}

fn check_swap(request: &Request, layout: &Layout) -> Result<(), Rejected> {
    match request.memory_swap {
        Some(limit) if !layout.features.swap => Err(Rejected::new(
            format!("cannot limit memory and swap to {}", request::size(limit)),
            "this kernel does not account swap",
        )
        .hint("boot with swapaccount=1, or leave --memory-swap out")),
        _ => Ok(()),
    }
}

struct Draft<'a> {
    layout: &'a Layout,
    /// Index into `layout.v1`.
    v1: BTreeMap<usize, Values>,
    /// Controllers with the first level to enable each.
    v2: BTreeMap<String, (usize, Values)>,
    notes: Vec<String>,
}

enum Place {
    V1(usize),
    V2(usize),
}

impl Draft<'_> {
    fn limits(&mut self, request: &Request) -> Result<(), Rejected> {
        let layout = self.layout;
        // By what v1 and v2 call it; a value says by itself whether anything was asked of it.
        self.controller("memory", "memory", request.memory_asked(), |v1| {
            check_swap(request, layout)?;
            if v1 { Ok(v1::memory(request)) } else { v2::memory(request) }
        })?;
        self.controller("cpu", "cpu", request.cpu_asked(), |v1| {
            if v1 { v1::cpu(request, layout) } else { v2::cpu(request) }
        })?;
        let ids = |what, file, ids: &Option<IdSet>| ids.as_ref().map(|ids| value(what, file, ids, Check::Ids));
        self.controller("cpuset", "cpuset", request.cpuset_asked(), |_| {
            let cpus = ids("CPUs", "cpuset.cpus", &request.cpus);
            Ok(cpus.into_iter().chain(ids("memory nodes", "cpuset.mems", &request.mems)).collect())
        })?;
        self.controller("pids", "pids", request.pids_asked(), |_| {
            Ok(request.pids.map(|limit| value("processes", "pids.max", limit, Check::Text)).into_iter().collect())
        })?;
        self.controller("hugetlb", "hugetlb", request.hugepages_asked(), |v1| {
            let end = if v1 { "limit_in_bytes" } else { "max" };
            let file = |page: &str| format!("hugetlb.{page}.{end}");
            let limit = |(page, pages): (&String, &HugePages)| match pages.limit {
                None if !v1 => value("huge pages", file(page), "max", Check::Text),
                limit => value("huge pages", file(page), limit.unwrap_or(pages.most), Check::Bytes),
            };
            Ok(request.hugepages.iter().map(limit).collect())
        })?;
        self.controller("rdma", "rdma", request.rdma_asked(), |_| {
            let line = |(device, limit)| format!("{device} {limit}");
            let limits = request.rdma.iter().map(line);
            Ok(limits.map(|line| value("RDMA", "rdma.max", &line, Check::Line(line.clone()))).collect())
        })?;
        // v2 has neither: there packets are told apart by their sockets' cgroup.
        self.controller("net_cls", "net_cls", request.class_asked(), |_| {
            let class = request.class.map(|class| value("the class of packets", "net_cls.classid", class, Check::Text));
            Ok(class.into_iter().collect())
        })?;
        self.controller("net_prio", "net_prio", request.priorities_asked(), |_| {
            let lines = request.priorities.iter().map(|(name, priority)| format!("{name} {priority}"));
            let priority =
                |line: String| value("the priority of packets", "net_prio.ifpriomap", &line, Check::Line(line.clone()));
            Ok(lines.map(priority).collect())
        })?;
        self.controller("blkio", "io", request.io_asked(), |v1| {
            if v1 { v1::io(request, layout) } else { v2::io(request, layout) }
        })
    }

    /// What is -1 takes a limit away, which a new cgroup need not be told.
    fn unlimited(&mut self, resources: &Resources) -> Result<(), Rejected> {
        // The kernel rounds it down to whole pages, and so does the check.
        const MOST: &str = "9223372036854775807";
        let is = |value: Option<i64>| value == Some(-1);
        let memory = resources.memory.as_ref();
        let limit = is(memory.and_then(|memory| memory.limit));
        let reservation = is(memory.and_then(|memory| memory.reservation));
        let swap = memory.and_then(|memory| memory.swap);
        // As runc: without a limit of memory there is none of the sum.
        let swap = is(swap) || limit && self.layout.features.swap && swap.is_none_or(|swap| swap == 0);
        let asked = |any: bool| any.then(|| "take a limit away".to_owned());
        self.controller("memory", "memory", asked(limit || swap || reservation), |v1| {
            let (files, word, check) = if v1 {
                let files = ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.soft_limit_in_bytes"];
                (files, MOST, Check::Bytes)
            } else {
                (["memory.swap.max", "memory.max", "memory.low"], "max", Check::Text)
            };
            let asked = [swap, limit, reservation].into_iter().zip(files).filter(|(asked, _)| *asked);
            // No protection is 0, not the most.
            let word = |file: &str| if file == "memory.low" { "0" } else { word };
            Ok(asked.map(|(_, file)| value("memory", file, word(file), check.clone())).collect())
        })?;
        let quota = is(resources.cpu.as_ref().and_then(|cpu| cpu.quota));
        self.controller("cpu", "cpu", asked(quota), |v1| {
            Ok(vec![if v1 {
                value("CPU time", "cpu.cfs_quota_us", -1, Check::Text)
            } else {
                value("CPU time", "cpu.max", "max", Check::Any)
            }])
        })?;
        let pids = is(resources.pids.and_then(|pids| pids.limit));
        self.controller("pids", "pids", asked(pids), |_| Ok(vec![value("processes", "pids.max", "max", Check::Text)]))
    }

    fn controller(
        &mut self,
        v1_name: &str,
        v2_name: &str,
        asked: Option<String>,
        values: impl FnOnce(bool) -> Result<Values, Rejected>,
    ) -> Result<(), Rejected> {
        let Some(asked) = asked else { return Ok(()) };
        match self.place(v1_name, v2_name).map_err(|(why, hint)| reject(&asked, why, hint))? {
            Place::V1(at) => self.v1.entry(at).or_default().extend(values(true)?),
            Place::V2(first) => self.on_v2(v2_name, first, values(false)?),
        }
        Ok(())
    }

    fn on_v2(&mut self, controller: &str, first: usize, values: Values) {
        let entry = self.v2.entry(controller.to_owned()).or_insert((first, Vec::new()));
        entry.1.extend(values);
    }

    /// Where the controller is, or why it can't be had and what to do.
    fn place(&self, v1_name: &str, v2_name: &str) -> Result<Place, (String, Option<String>)> {
        let layout = self.layout;
        if let Some(at) = layout.v1.iter().position(|it| it.controllers.iter().any(|name| name == v1_name)) {
            let Hierarchy { mount, target, .. } = &layout.v1[at];
            return if target.writable {
                Ok(Place::V1(at))
            } else {
                let why = format!("the cgroup v1 hierarchy of the `{v1_name}` controller, {mount}, is not writable");
                let fix = "run as the host's root (a container's needs it mounted writable: mount -o remount,rw), or on a \
                           host with cgroup v2, where it can be delegated";
                Err((why, Some(fix.into())))
            };
        }
        self.place_v2(v2_name).map(Place::V2)
    }

    fn place_v2(&self, name: &str) -> Result<usize, (String, Option<String>)> {
        let absent = || {
            if self.layout.v1.is_empty() && self.layout.v2.is_none() {
                let hint = "mount -t cgroup2 cgroup2 /sys/fs/cgroup";
                return ("no cgroup hierarchy is mounted that shows sampan's own cgroup".into(), Some(hint.to_owned()));
            }
            let hint = (name == "memory").then(|| "boot with cgroup_enable=memory".to_owned());
            (format!("this host has no cgroup controller `{name}`"), hint)
        };
        let tree = self.layout.v2.as_ref().ok_or_else(absent)?;
        match tree.reach(name) {
            Reach::From(first) => Ok(first),
            Reach::Absent => Err(absent()),
            Reach::NotDelegated => Err((
                format!("the cgroup controller `{name}` is not delegated to this user below {}", tree.target.anchor),
                Some(
                    "run it with `systemd-run --user --scope -p Delegate=yes` (which gives what `Delegate=` in \
                     user@.service lists: cpu cpuset io memory pids), or as root"
                        .into(),
                ),
            )),
            Reach::Occupied(level) => Err((
                format!(
                    "{} holds processes, and below such a cgroup the kernel enables no controller (`{name}`)",
                    self.level(tree, level)
                ),
                Some("start sampan in a cgroup below it: `DelegateSubgroup=` of its systemd unit does that".into()),
            )),
        }
    }

    fn level(&self, tree: &Unified, level: usize) -> String {
        let mut dir = vec![tree.target.anchor.clone()];
        dir.extend(self.layout.path.components()[..level].iter().cloned());
        dir.join("/")
    }

    fn unified(&mut self, files: &BTreeMap<String, String>) -> Result<(), Rejected> {
        for (file, text) in files {
            let bad = |why: &str| Rejected::new(format!("cannot set the cgroup v2 file {file:?}"), why);
            let proper = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let controller = match file.split_once('.') {
                Some((controller, _)) if !controller.is_empty() && file.chars().all(proper) => controller,
                _ => return Err(bad("it is not the name of a controller's file")),
            };
            if controller == "cgroup" {
                return Err(bad("cgroup.* is for sampan to write"));
            }
            if let Some(hierarchy) = self.layout.v1(controller) {
                let why = format!(
                    "invalid configuration: `{controller}` is a controller of cgroup v1 here, at {}",
                    hierarchy.mount
                );
                return Err(bad(&why).hint("use linux.resources, or a host with cgroup v2"));
            }
            if self.layout.v2.is_none() {
                return Err(bad("invalid configuration: this host has no cgroup v2 tree"));
            }
            let first = self.place_v2(controller).map_err(|(why, hint)| with_hint(bad(&why), hint))?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let values = lines.map(|line| value("as told", file, line, Check::Any)).collect();
            self.on_v2(controller, first, values);
        }
        Ok(())
    }

    /// Directories and controllers that no limit needs, but the engine: without them it can do less.
    fn watching(&mut self) {
        match self.place("memory", "memory") {
            Ok(Place::V1(at)) => _ = self.v1.entry(at).or_default(),
            Ok(Place::V2(first)) => self.on_v2("memory", first, Values::new()),
            Err((why, _)) => self.notes.push(format!("memory use and OOM kills are not counted: {why}")),
        }
        if self.has_tree() {
            return;
        }
        for controller in ["freezer", "cpuacct"] {
            if let Some(at) = self.layout.v1.iter().position(|it| it.target.writable && it.serves(controller)) {
                self.v1.entry(at).or_default();
            }
        }
        if self.v1.is_empty() {
            self.notes.push("no cgroup for the container: none is delegated to this user".into());
        }
    }

    fn everywhere(&mut self) {
        for (at, hierarchy) in self.layout.v1.iter().enumerate() {
            if hierarchy.target.writable {
                self.v1.entry(at).or_default();
            }
        }
        for controller in self.layout.v2.iter().flat_map(|tree| &tree.offered) {
            if let Ok(first) = self.place_v2(controller) {
                self.on_v2(controller, first, Values::new());
            }
        }
    }

    fn has_tree(&self) -> bool {
        self.layout.v2.as_ref().is_some_and(|tree| tree.target.writable)
    }

    fn finish(mut self, devices: Option<Vec<device::Rule>>) -> Result<Plan, Rejected> {
        let path = &self.layout.path;
        let mut plan = Plan { notes: std::mem::take(&mut self.notes), ..Plan::default() };
        let v1_devices = self.v1_devices(devices.is_some())?;
        let mut v1: Vec<(&Hierarchy, Values)> =
            std::mem::take(&mut self.v1).into_iter().map(|(at, values)| (&self.layout.v1[at], values)).collect();
        // What kills best comes last, so that its undo comes first: the freezer stops forks, the v2 tree needs no loop.
        v1.sort_by_key(|(hierarchy, _)| hierarchy.serves("freezer"));
        for (hierarchy, values) in v1 {
            let version = Version::V1 { cpuset: hierarchy.serves("cpuset") };
            let dir = create(&mut plan, path, &hierarchy.target, version)?;
            limits(&mut plan, &dir, values);
            if let (true, Some(rules)) = (v1_devices && hierarchy.serves("devices"), &devices) {
                let rules = device::exceptions(rules)?;
                plan.prepare.push(HostStep::Devices(DeviceList { dir: dir.clone(), rules }));
            }
            plan.join.push(InitStep::Join { file: format!("{dir}/tasks") });
            plan.cgroup.v1.push((hierarchy.controllers.clone(), dir));
        }
        if let Some(tree) = self.layout.v2.as_ref().filter(|tree| tree.target.writable) {
            let first = self.v2.values().map(|(first, _)| *first).min().unwrap_or(0);
            let controllers: Vec<String> = self.v2.keys().cloned().collect();
            let version = Version::V2 { controllers: controllers.clone(), first };
            let dir = create(&mut plan, path, &tree.target, version)?;
            limits(&mut plan, &dir, self.v2.into_values().flat_map(|(_, values)| values));
            if let (false, Some(rules)) = (v1_devices, &devices) {
                let program = device::program(rules);
                plan.prepare.push(HostStep::Filter(DeviceFilter { dir: dir.clone(), program }));
            }
            plan.clone_into = Some(dir.clone());
            plan.cgroup.v2 = Some(dir);
            plan.cgroup.v2_controllers = controllers;
        }
        Ok(plan)
    }

    /// There are rules, and a v1 hierarchy for them; else the v2 tree takes them.
    fn v1_devices(&mut self, rules: bool) -> Result<bool, Rejected> {
        if !rules {
            return Ok(false);
        }
        let at = self.layout.v1.iter().position(|it| it.target.writable && it.serves("devices"));
        if let Some(at) = at {
            self.v1.entry(at).or_default();
        } else if !self.has_tree() {
            return Err(Rejected::new(
                "cannot keep the container from the host's devices",
                "neither a v1 `devices` hierarchy nor a v2 tree is writable",
            )
            .hint("mount cgroups writable, or ask for no device rules"));
        }
        Ok(at.is_some())
    }
}

fn create(plan: &mut Plan, path: &CgroupPath, target: &Target, version: Version) -> Result<String, Rejected> {
    let refuse = |why: String, fix: &str| {
        let what = format!("cannot use the cgroup {path} below {}", target.anchor);
        Err(Rejected::new(what, why).hint(format!("choose another cgroup path, or {fix}")))
    };
    // In words that callers of an OCI runtime know.
    if target.taken > 0 {
        let why = format!("container's cgroup is not empty: {} process(es) found", target.taken);
        return refuse(why, "end what runs there");
    }
    if target.frozen {
        return refuse("container's cgroup unexpectedly frozen".to_owned(), "thaw it");
    }
    let create = own(path, target, kept(path, target), version);
    let dir = create.dir();
    plan.prepare.push(HostStep::Create(create));
    Ok(dir)
}

/// How many components are not the container's to remove.
fn kept(path: &CgroupPath, target: &Target) -> usize {
    let shared = &path.components()[..path.components().len() - 1];
    // The engine's own shared directory is its to remove even if another container made it.
    target.present.min(shared.iter().position(|name| name == SHARED).unwrap_or(shared.len()))
}

fn own(path: &CgroupPath, target: &Target, keep: usize, version: Version) -> Create {
    Create { anchor: target.anchor.clone(), components: path.components().to_vec(), keep, version }
}

fn limits(plan: &mut Plan, dir: &str, values: impl IntoIterator<Item = Value>) {
    let limit = |Value { what, file, value, check }| Limit { dir: dir.to_owned(), file, value, check, what };
    plan.prepare.extend(values.into_iter().map(limit).map(HostStep::Limit));
}

fn reject(asked: &str, why: String, hint: Option<String>) -> Rejected {
    with_hint(Rejected::new(format!("cannot {asked}"), why), hint)
}

fn with_hint(rejected: Rejected, hint: Option<String>) -> Rejected {
    match hint {
        Some(hint) => rejected.hint(hint),
        None => rejected,
    }
}

/// The controllers' names that a v2 file tree offers, for [`Level`].
#[must_use]
pub fn names(list: &str) -> BTreeSet<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
