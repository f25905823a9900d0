//! What of others is read: each function takes bytes and comes back, whatever they are, with whether they are accepted.
//!
//! Invariant: what is accepted is planned alike twice, prints as a script, and its undo verbs read back from the journal.
//! Used by the mutations beside it and by the targets of `fuzz/`.

use plan::cgroup::{
    self, CgroupPath, Current, Disk, Features, Hierarchy, IdSet, Layout, Level, Limit, Target, Unified,
};
use plan::host::{Host, Subordinate};
use plan::ids::UserNamespaces;
use plan::order::{Existing, NetworkSteps};
use plan::step::{AttachStep, HostStep, InitStep};
use plan::undo::Verb;
use plan::{Input, Plan, Rootfs, join};
use spec::runtime::{Config, IdMapping, NamespaceKind, Process, Resources, State};

/// A config.json.
pub fn config(data: &[u8]) -> bool {
    let Ok(config) = serde_json::from_slice::<Config>(data) else { return false };
    if plan::invalid::check(&config).is_err() {
        return false;
    }
    let plans = hosts().map(|host| {
        let planned = create(&config, &host);
        assert_eq!(planned, create(&config, &host));
        planned.is_some_and(|plan| check(&plan))
    });
    plans.contains(&true)
}

/// The process of an `exec`.
pub fn process(data: &[u8]) -> bool {
    let Ok(process) = serde_json::from_slice::<Process>(data) else { return false };
    if plan::invalid::check_process(&process).is_err() {
        return false;
    }
    let plans = hosts().map(|host| {
        let planned = join::plan(join::Input {
            process: &process,
            personality: None,
            memory: None,
            filter: None,
            compiled: None,
            host: &host,
            first: (7, 99),
            namespaces: vec![NamespaceKind::Mount, NamespaceKind::Network],
            chrooted: false,
            cgroup: Some("/sys/fs/cgroup/a".to_owned()),
            cgroups: Vec::new(),
            enter: None,
            foreground: true,
        });
        planned.is_ok_and(|plan| check(&plan))
    });
    plans.contains(&true)
}

/// The resources of an `update`.
pub fn resources(data: &[u8]) -> bool {
    let Ok(resources) = serde_json::from_slice::<Resources>(data) else { return false };
    let Ok(path) = CgroupPath::parse("/a/b") else { return false };
    let current = Current { memory: Some(1 << 20), quota: Some(1000), ..Current::default() };
    let updates = layouts(&path).map(|layout| {
        let limits = cgroup::update(&layout, &resources, &current);
        let stays = |limit: &Limit| limit.path().starts_with("/sys/fs/cgroup/") && !limit.path().contains("/../");
        limits.is_ok_and(|limits| {
            assert!(limits.iter().all(stays), "{limits:?}");
            true
        })
    });
    updates.contains(&true)
}

/// A `linux.cgroupsPath`: what is accepted stays below where cgroups are.
pub fn cgroups_path(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(path) = CgroupPath::parse(text) else { return false };
    for name in path.components() {
        assert!(!name.contains(['/', '\0']) && !matches!(name.as_str(), "" | "." | ".."), "{text:?}");
    }
    let said = path.to_string();
    assert_eq!(CgroupPath::parse(&said).ok(), Some(path), "{said:?}");
    true
}

/// A line of a journal.
pub fn journal(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let verbs: Vec<Verb> = text.lines().filter_map(Verb::parse).collect();
    verbs.iter().for_each(reads_back);
    !verbs.is_empty()
}

fn create(config: &Config, host: &Host) -> Option<Plan> {
    let linux = config.linux.as_ref()?;
    let path = CgroupPath::parse(&linux.cgroups_path).or_else(|_| CgroupPath::of_container(None, "abc", false)).ok()?;
    let resources = linux.resources.clone().unwrap_or_default();
    let rootless = !host.is_machines_root();
    let planned = layouts(&path).map(|layout| cgroup::plan_everywhere(&layout, &resources, rootless).ok());
    let cgroup = planned.into_iter().flatten().next()?;
    let state = State { id: "abc".to_owned(), annotations: config.annotations.clone(), ..State::default() };
    let input = Input {
        config,
        compiled: None,
        rootfs: Rootfs::Directory("/bundle/rootfs".to_owned()),
        idmapped: false,
        host,
        data: "/run/c",
        files: Vec::new(),
        cgroup,
        network: NetworkSteps::default(),
        volumes: Vec::new(),
        secrets: plan::secrets::Secrets::default(),
        first: plan::order::First::Command,
        foreground: false,
        create_cwd: true,
        existing: Existing::Nothing,
        state,
        bundle: Some(plan::Bundle { keyring: true, no_pivot: None }),
    };
    plan::plan(input).ok()
}

fn check(plan: &Plan) -> bool {
    let undo = plan.prepare.iter().flat_map(HostStep::undo).chain(plan.attach.iter().flat_map(AttachStep::undo));
    undo.for_each(|verb| reads_back(&verb));
    assert!(!plan::script::script(plan, false).is_empty());
    assert!(plan.init.iter().map(InitStep::why).all(|why| !why.is_empty()));
    true
}

fn reads_back(verb: &Verb) {
    let line = verb.line();
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert_eq!(Verb::parse(line.trim_end_matches('\n')).as_ref(), Some(verb), "{line:?}");
}

/// The machine's root, an ordinary user, and root of a user namespace.
fn hosts() -> [Host; 3] {
    let ids = |size| vec![IdMapping { container_id: 0, host_id: 0, size }];
    let owned = vec![NamespaceKind::Mount, NamespaceKind::Network, NamespaceKind::Ipc, NamespaceKind::Uts];
    let root = Host {
        euid: 0,
        egid: 0,
        kernel: (6, 12),
        capabilities: u64::MAX,
        last_capability: 40,
        time_namespace: true,
        hard_limits: [("RLIMIT_NOFILE".to_owned(), 4096), ("RLIMIT_CORE".to_owned(), u64::MAX)].into(),
        subordinate: None,
        user_namespaces: UserNamespaces::Allowed,
        initial: true,
        ids: plan::mounts::Ids { uid: ids(u32::MAX), gid: ids(u32::MAX) },
        setgroups: true,
        owned: owned.clone(),
        machine: "x86_64".to_owned(),
    };
    let user = Host {
        euid: 1000,
        egid: 1000,
        capabilities: 0,
        subordinate: Some(Subordinate { uid: (100_000, 65536), gid: (100_000, 65536) }),
        owned: Vec::new(),
        ..root.clone()
    };
    let inner =
        Host { initial: false, ids: plan::mounts::Ids { uid: ids(65536), gid: ids(65536) }, owned, ..root.clone() };
    [root, user, inner]
}

/// v2, v1, and v1 with a tree of v2 beside it.
fn layouts(path: &CgroupPath) -> [Layout; 3] {
    let target = |anchor: &str| Target { anchor: anchor.to_owned(), writable: true, ..Target::default() };
    let hierarchy = |name: &str| {
        let mount = format!("/sys/fs/cgroup/{name}");
        Hierarchy { controllers: vec![name.to_owned()], target: target(&mount), mount }
    };
    let tree = |names: &str, mount: &str| {
        let level = Level { controllers: cgroup::names(names), delegated: true, ..Level::default() };
        Unified { offered: cgroup::names(names), target: target(mount), levels: vec![level] }
    };
    let bare = Layout {
        path: path.clone(),
        v1: Vec::new(),
        v2: Some(tree("cpuset cpu io memory pids", "/sys/fs/cgroup")),
        cpus: IdSet::parse("0-3").unwrap_or_default(),
        mems: IdSet::parse("0").unwrap_or_default(),
        features: Features {
            swap: true,
            cfs_quota: true,
            cfs_burst: true,
            throttle: true,
            blkio_bfq: true,
            blkio_weight: false,
            io_cost: true,
        },
        disks: Some(vec![Disk {
            major: 8,
            minor: 0,
            name: "sda".to_owned(),
            schedulers: "none [bfq]".to_owned(),
            partitions: vec![(8, 1)],
        }]),
    };
    let names = ["cpu", "cpuset", "freezer", "memory", "devices", "blkio", "pids"];
    let old = Layout { v1: names.map(hierarchy).to_vec(), v2: None, ..bare.clone() };
    let both = Layout { v2: Some(tree("hugetlb", "/sys/fs/cgroup/unified")), ..old.clone() };
    [bare, old, both]
}
