//! The order of the steps, for every combination of what changes it.

#![allow(clippy::unwrap_used, reason = "a test may")]

use plan::host::{Host, Subordinate};
use plan::ids::UserNamespaces;
use plan::order::{Existing, NetworkSteps};
use plan::step::{AttachStep, InitStep};
use plan::{Input, Plan, Rootfs, network, plan};
use spec::runtime::{
    Capabilities, Config, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process, Resources, Root, Seccomp,
};

/// What a container may or may not have.
#[derive(Debug, Clone, Copy)]
struct Case {
    rootless: bool,
    user_namespace: bool,
    joined_user_namespace: bool,
    pid_namespace: bool,
    network: bool,
    terminal: bool,
    no_new_privileges: bool,
    filter: bool,
    oom_score: bool,
    reaper: bool,
    apparmor: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    (0..1 << 11).map(|set: u32| {
        let has = |bit: u32| set & 1 << bit != 0;
        Case {
            rootless: has(0),
            // Without root every container has one.
            user_namespace: has(0) || has(1),
            joined_user_namespace: has(2),
            pid_namespace: has(3),
            network: has(4),
            terminal: has(5),
            no_new_privileges: has(6),
            filter: has(7),
            oom_score: has(8),
            reaper: has(9),
            apparmor: has(10),
        }
    })
}

/// The map of the initial user namespace.
fn all() -> Vec<IdMapping> {
    vec![IdMapping { container_id: 0, host_id: 0, size: u32::MAX }]
}

fn host(rootless: bool) -> Host {
    Host {
        euid: if rootless { 1000 } else { 0 },
        egid: if rootless { 1000 } else { 0 },
        kernel: (6, 12),
        capabilities: if rootless { 0 } else { u64::MAX },
        last_capability: 40,
        time_namespace: true,
        hard_limits: std::iter::empty().collect(),
        subordinate: rootless.then_some(Subordinate { uid: (100_000, 65536), gid: (100_000, 65536) }),
        user_namespaces: UserNamespaces::Allowed,
        initial: true,
        ids: plan::mounts::Ids { uid: all(), gid: all() },
        setgroups: true,
        owned: if rootless { vec![] } else { vec![NamespaceKind::Mount, NamespaceKind::Network] },
        machine: "x86_64".to_owned(),
    }
}

fn config(case: Case) -> Config {
    use NamespaceKind as Kind;
    let mut namespaces: Vec<Namespace> = [Kind::Mount, Kind::Network, Kind::Uts, Kind::Ipc, Kind::Cgroup]
        .into_iter()
        .map(|kind| Namespace { kind, path: None })
        .collect();
    let maps = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    let mut linux = Linux { ..Linux::default() };
    if case.user_namespace {
        let path = case.joined_user_namespace.then(|| "/proc/7/ns/user".into());
        if path.is_none() {
            (linux.uid_mappings, linux.gid_mappings) = (maps.clone(), maps);
        }
        namespaces.push(Namespace { kind: Kind::User, path });
    }
    namespaces.push(Namespace { kind: Kind::Pid, path: (!case.pid_namespace).then(|| "/proc/7/ns/pid".into()) });
    let mount = |destination: &str, kind: &str| Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: kind.to_owned(),
        ..Mount::default()
    };
    Config {
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: "h".to_owned(),
        mounts: vec![mount("/proc", "proc"), mount("/dev", "tmpfs"), mount("/sys/fs/cgroup", "cgroup")],
        process: Some(Process {
            terminal: case.terminal,
            args: vec!["true".to_owned()],
            cwd: "/".to_owned(),
            capabilities: Some(Capabilities::default()),
            no_new_privileges: case.no_new_privileges,
            apparmor_profile: if case.apparmor { "p".to_owned() } else { String::new() },
            oom_score_adj: case.oom_score.then_some(100),
            ..Process::default()
        }),
        linux: Some(Linux {
            namespaces,
            sysctl: [("net.ipv4.ip_forward".to_owned(), "0".to_owned())].into(),
            resources: Some(Resources::default()),
            seccomp: case
                .filter
                .then(|| Seccomp { default_action: "SCMP_ACT_ALLOW".to_owned(), ..Seccomp::default() }.into()),
            masked_paths: vec!["/proc/kcore".to_owned()],
            readonly_paths: vec!["/proc/sys".to_owned()],
            ..linux
        }),
        ..Config::default()
    }
}

fn planned(case: Case) -> Plan {
    let pasta = network::Pasta {
        path: "pasta".to_owned(),
        pid_file: "pid".to_owned(),
        user_namespace: case.user_namespace,
        mtu: None,
        published: Vec::new(),
    };
    let attach = if case.network { vec![network::AttachStep::Pasta(pasta)] } else { Vec::new() };
    let input = Input {
        config: &config(case),
        rootfs: Rootfs::Directory("/rootfs".to_owned()),
        idmapped: false,
        host: &host(case.rootless),
        data: "/data",
        files: Vec::new(),
        volumes: Vec::new(),
        secrets: plan::secrets::Secrets::default(),
        cgroup: plan::cgroup::Plan::default(),
        network: NetworkSteps { attach, init: vec![network::InitStep::Loopback], ..NetworkSteps::default() },
        first: if case.reaper { plan::order::First::Reaper } else { plan::order::First::Command },
        foreground: true,
        create_cwd: true,
        existing: Existing::Nothing,
        state: spec::runtime::State::default(),
        bundle: None,
        compiled: None,
    };
    plan(input).unwrap()
}

/// Where the only step of its kind is, or none.
fn place(steps: &[InitStep], is: impl Fn(&InitStep) -> bool) -> Option<usize> {
    let mut at = steps.iter().enumerate().filter(|(_, step)| is(step)).map(|(at, _)| at);
    let first = at.next();
    assert_eq!(at.next(), None, "twice: {steps:?}");
    first
}

macro_rules! at {
    ($steps:expr, $pattern:pat) => {
        place($steps, |step| matches!(step, $pattern))
    };
}

#[test]
fn the_order_holds() {
    for case in cases() {
        assert!(std::panic::catch_unwind(|| check(case)).is_ok(), "{case:?}");
    }
}

fn check(case: Case) {
    use InitStep as S;
    let planned = planned(case);
    let steps = planned.init.as_slice();
    let last = |is: fn(&S) -> bool| steps.iter().rposition(is);
    let first = |is: fn(&S) -> bool| steps.iter().position(is);
    let pivot = at!(steps, S::Pivot { .. });
    assert!(pivot.is_some());

    // Identity before mounts, all mounts before the change of root, of which there is one.
    let root = at!(steps, S::Root { .. });
    assert!(last(|step| matches!(step, S::Join { .. } | S::BecomeRoot { .. } | S::UnshareCgroup)) < root);
    assert!(at!(steps, S::Propagation { .. }) < root);
    let mounts = |step: &S| matches!(step, S::Root { .. } | S::Mount(_) | S::Device { .. } | S::Symlink { .. });
    assert!(root <= first(mounts) && last(mounts) < pivot);
    assert_eq!(at!(steps, S::BecomeRoot { .. }).is_some(), case.user_namespace);

    // Settings while /proc can be written, then what covers it, then nothing is mounted any more.
    assert!(last(mounts) < at!(steps, S::Sysctl { .. }));
    assert!(at!(steps, S::Sysctl { .. }) < at!(steps, S::Readonly { .. }));
    assert!(at!(steps, S::Readonly { .. }) < at!(steps, S::Mask { .. }));
    assert!(at!(steps, S::Mask { .. }) < pivot);
    assert!(place(steps, |step| matches!(step, S::ReadonlyMount { path } if path == "/")) < pivot);

    // A session of its own, and one terminal or none.
    assert_eq!(at!(steps, S::Console { .. }).is_some(), case.terminal);
    assert_eq!(at!(steps, S::Session).is_some(), !case.terminal);

    // The profile by the caller's /proc; the reaper from the caller's mounts.
    assert_eq!(at!(steps, S::AppArmor { .. }).is_some(), case.apparmor);
    assert!(at!(steps, S::AppArmor { .. }) < root);
    assert_eq!(at!(steps, S::Reaper { .. }).is_some(), case.reaper);
    assert!(at!(steps, S::Reaper { .. }) < pivot);

    // Rights last, each while it can still be given up; then the word, and nothing after the filter but the exec.
    let (bounding, user, capabilities) =
        (at!(steps, S::Bounding { .. }), at!(steps, S::User { .. }), at!(steps, S::Capabilities { .. }));
    assert!(pivot < at!(steps, S::Chdir { .. }) && at!(steps, S::Chdir { .. }) < at!(steps, S::NotSampan));
    assert!(at!(steps, S::NotSampan) < bounding && bounding < user && user < capabilities);
    let (ready, filter) = (at!(steps, S::Ready), at!(steps, S::Seccomp { .. }));
    assert_eq!(filter.is_some(), case.filter);
    assert_eq!(at!(steps, S::NoNewPrivileges).is_some(), case.no_new_privileges);
    assert!(at!(steps, S::NoNewPrivileges) < ready && capabilities < ready);
    if case.filter && case.no_new_privileges {
        assert_eq!(filter, Some(steps.len() - 1));
    } else {
        assert_eq!(ready, Some(steps.len() - 1));
        assert!(filter < user && (filter.is_none() || at!(steps, S::NotSampan) < filter));
    }

    // Hidden as soon as nobody has to look at it from outside, and before it is like a process of the container.
    let awaited = last(|step| matches!(step, S::AwaitGo | S::AwaitAttached));
    let hidden = at!(steps, S::Undumpable);
    assert_eq!(hidden, Some(awaited.map_or(0, |at| at + 1)));
    assert!(hidden < user);

    // Parent and child agree on how often the one waits for the other, and in which order.
    let told: Vec<bool> = planned
        .attach
        .iter()
        .filter_map(|step| match step {
            AttachStep::Go => Some(false),
            AttachStep::Attached => Some(true),
            _ => None,
        })
        .collect();
    let waits: Vec<bool> = steps
        .iter()
        .filter_map(|step| match step {
            S::AwaitGo => Some(false),
            S::AwaitAttached => Some(true),
            _ => None,
        })
        .collect();
    assert_eq!(told, waits);
    assert!(planned.attach.last().is_none_or(|step| matches!(step, AttachStep::Go | AttachStep::Attached)));
}
