//! The same request on three layouts, as text.

use super::*;
use spec::runtime::{BlockIo, Cpu, Memory, Pids, ThrottleDevice, WeightDevice};

fn path() -> CgroupPath {
    CgroupPath::of_container(None, "abc", false).unwrap()
}

fn target(anchor: &str, present: usize) -> Target {
    Target { anchor: anchor.into(), present, writable: true, ..Target::default() }
}

fn v1_hierarchy(controllers: &str) -> Hierarchy {
    let mount = format!("/sys/fs/cgroup/{}", controllers.trim_start_matches("name="));
    let controllers = controllers.split(',').map(str::to_owned).collect();
    Hierarchy { controllers, target: target(&mount, 0), mount }
}

fn bare() -> Layout {
    let all = IdSet::parse("0-3").unwrap();
    Layout {
        path: path(),
        v1: Vec::new(),
        v2: None,
        cpus: all.clone(),
        mems: IdSet::parse("0").unwrap(),
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
            name: "sda".into(),
            schedulers: "none [mq-deadline]".into(),
            partitions: vec![(8, 1)],
        }]),
    }
}

fn v1() -> Layout {
    let all = ["cpu,cpuacct", "cpuset", "freezer", "memory", "devices", "blkio", "pids", "name=systemd"];
    Layout { v1: all.into_iter().map(v1_hierarchy).collect(), ..bare() }
}

fn tree(controllers: &str, mount: &str) -> Unified {
    let level = Level { controllers: names(controllers), delegated: true, ..Level::default() };
    Unified { offered: names(controllers), target: target(mount, 0), levels: vec![level] }
}

pub(super) fn hybrid() -> Layout {
    Layout { v2: Some(tree("hugetlb", "/sys/fs/cgroup/unified")), ..v1() }
}

pub(super) fn v2() -> Layout {
    Layout { v2: Some(tree("cpuset cpu io memory pids", "/sys/fs/cgroup")), ..bare() }
}

pub(super) fn everything() -> Resources {
    let device = ThrottleDevice { major: 8, minor: 0, rate: 1 << 20 };
    Resources {
        memory: Some(Memory {
            limit: Some(100 << 20),
            swap: Some(150 << 20),
            reservation: Some(50 << 20),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(25_000),
            period: Some(100_000),
            burst: Some(1000),
            cpus: "1,0".into(),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(64) }),
        block_io: Some(BlockIo {
            weight: Some(500),
            throttle_read_bps_device: vec![device],
            throttle_write_iops_device: vec![ThrottleDevice { rate: 100, ..device }],
            ..BlockIo::default()
        }),
        devices: default_rules(),
        ..Resources::default()
    }
}

fn text(plan: &Plan) -> String {
    let mut lines: Vec<String> = plan.prepare.iter().map(HostStep::shell).collect();
    lines.extend(plan.join.iter().map(InitStep::shell));
    lines.extend(plan.clone_into.iter().map(|dir| format!("clone into {dir}")));
    lines.join("\n").replace("/sys/fs/cgroup", "C")
}

fn planned(layout: &Layout, resources: &Resources) -> String {
    text(&plan(layout, resources, false).unwrap())
}

fn rejected(layout: &Layout, resources: &Resources) -> String {
    let error = plan(layout, resources, false).unwrap_err();
    format!("{error} ({})", error.hint.as_deref().unwrap_or_default())
}

const DEVICES: &str = "\
echo a > DIR/devices.deny
echo 'c *:* m' > DIR/devices.allow
echo 'b *:* m' > DIR/devices.allow
echo 'c 1:3 rwm' > DIR/devices.allow
echo 'c 1:5 rwm' > DIR/devices.allow
echo 'c 1:7 rwm' > DIR/devices.allow
echo 'c 1:8 rwm' > DIR/devices.allow
echo 'c 1:9 rwm' > DIR/devices.allow
echo 'c 5:0 rwm' > DIR/devices.allow
echo 'c 5:1 rwm' > DIR/devices.allow
echo 'c 5:2 rwm' > DIR/devices.allow
echo 'c 136:* rwm' > DIR/devices.allow";

const V1_LIMITS: &str = "\
mkdir -p C/cpu,cpuacct/sampan/abc
echo 512 > C/cpu,cpuacct/sampan/abc/cpu.shares
echo 100000 > C/cpu,cpuacct/sampan/abc/cpu.cfs_period_us
echo 25000 > C/cpu,cpuacct/sampan/abc/cpu.cfs_quota_us
echo 1000 > C/cpu,cpuacct/sampan/abc/cpu.cfs_burst_us
mkdir -p C/cpuset/sampan/abc
[ -n \"$(cat C/cpuset/sampan/cpuset.cpus)\" ] || cat C/cpuset/cpuset.cpus > C/cpuset/sampan/cpuset.cpus
[ -n \"$(cat C/cpuset/sampan/cpuset.mems)\" ] || cat C/cpuset/cpuset.mems > C/cpuset/sampan/cpuset.mems
[ -n \"$(cat C/cpuset/sampan/abc/cpuset.cpus)\" ] || cat C/cpuset/sampan/cpuset.cpus > C/cpuset/sampan/abc/cpuset.cpus
[ -n \"$(cat C/cpuset/sampan/abc/cpuset.mems)\" ] || cat C/cpuset/sampan/cpuset.mems > C/cpuset/sampan/abc/cpuset.mems
echo 0-1 > C/cpuset/sampan/abc/cpuset.cpus
mkdir -p C/memory/sampan/abc
echo 104857600 > C/memory/sampan/abc/memory.limit_in_bytes
echo 157286400 > C/memory/sampan/abc/memory.memsw.limit_in_bytes
echo 52428800 > C/memory/sampan/abc/memory.soft_limit_in_bytes
mkdir -p C/devices/sampan/abc
DEVICES
mkdir -p C/blkio/sampan/abc
echo 500 > C/blkio/sampan/abc/blkio.bfq.weight
echo '8:0 1048576' > C/blkio/sampan/abc/blkio.throttle.read_bps_device
echo '8:0 100' > C/blkio/sampan/abc/blkio.throttle.write_iops_device
mkdir -p C/pids/sampan/abc
echo 64 > C/pids/sampan/abc/pids.max
";

fn v1_text(after: &str) -> String {
    let devices = DEVICES.replace("DIR", "C/devices/sampan/abc");
    V1_LIMITS.replace("DEVICES", &devices) + after
}

#[test]
fn everywhere_is_every_hierarchy_and_every_controller() {
    let plan = plan_everywhere(&hybrid(), &Resources::default(), false).unwrap();
    let mut v1: Vec<String> = plan.cgroup.v1.iter().map(|(names, _)| names.join(",")).collect();
    v1.sort_unstable();
    assert_eq!(v1, ["blkio", "cpu,cpuacct", "cpuset", "devices", "freezer", "memory", "name=systemd", "pids"]);
    assert_eq!(plan.join.len(), v1.len());
    assert_eq!(plan.cgroup.v2_controllers, ["hugetlb"]);
    let plan = plan_everywhere(&v2(), &Resources::default(), false).unwrap();
    assert_eq!(plan.cgroup.v2_controllers, ["cpu", "cpuset", "io", "memory", "pids"]);
    assert!(plan.cgroup.v1.is_empty());
}

#[test]
fn on_v1() {
    let expected = v1_text(
        "\
mkdir -p C/freezer/sampan/abc
echo 0 > C/cpu,cpuacct/sampan/abc/tasks
echo 0 > C/cpuset/sampan/abc/tasks
echo 0 > C/memory/sampan/abc/tasks
echo 0 > C/devices/sampan/abc/tasks
echo 0 > C/blkio/sampan/abc/tasks
echo 0 > C/pids/sampan/abc/tasks
echo 0 > C/freezer/sampan/abc/tasks",
    );
    assert_eq!(planned(&v1(), &everything()), expected);
}

#[test]
fn on_a_hybrid() {
    let expected = v1_text(
        "\
mkdir -p C/unified/sampan
mkdir C/unified/sampan/abc
echo 0 > C/cpu,cpuacct/sampan/abc/tasks
echo 0 > C/cpuset/sampan/abc/tasks
echo 0 > C/memory/sampan/abc/tasks
echo 0 > C/devices/sampan/abc/tasks
echo 0 > C/blkio/sampan/abc/tasks
echo 0 > C/pids/sampan/abc/tasks
clone into C/unified/sampan/abc",
    );
    assert_eq!(planned(&hybrid(), &everything()), expected);
}

#[test]
fn on_v2() {
    let expected = "\
mkdir -p C/sampan
echo '+cpu +cpuset +io +memory +pids' > C/cgroup.subtree_control
echo '+cpu +cpuset +io +memory +pids' > C/sampan/cgroup.subtree_control
mkdir C/sampan/abc
echo 59 > C/sampan/abc/cpu.weight
echo '25000 100000' > C/sampan/abc/cpu.max
echo 1000 > C/sampan/abc/cpu.max.burst
echo 0-1 > C/sampan/abc/cpuset.cpus
echo 'default 4950' > C/sampan/abc/io.weight
echo '8:0 rbps=1048576 wiops=100' > C/sampan/abc/io.max
echo 104857600 > C/sampan/abc/memory.max
echo 52428800 > C/sampan/abc/memory.swap.max
echo 52428800 > C/sampan/abc/memory.low
echo 64 > C/sampan/abc/pids.max
# no shell equivalent: bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, 62 instructions), then bpf(BPF_PROG_ATTACH) to C/sampan/abc
clone into C/sampan/abc";
    assert_eq!(planned(&v2(), &everything()), expected);
}

#[test]
fn without_limits() {
    let nothing = Resources::default();
    assert_eq!(
        planned(&hybrid(), &nothing),
        "mkdir -p C/memory/sampan/abc\nmkdir -p C/unified/sampan\nmkdir C/unified/sampan/abc\n\
         echo 0 > C/memory/sampan/abc/tasks\nclone into C/unified/sampan/abc"
    );
    // Unlimited is what a new cgroup is.
    let unlimited = Resources {
        memory: Some(Memory { limit: Some(-1), swap: Some(-1), ..Memory::default() }),
        cpu: Some(Cpu { quota: Some(-1), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(-1) }),
        ..Resources::default()
    };
    assert_eq!(planned(&hybrid(), &unlimited), planned(&hybrid(), &nothing));
    let none = plan(&bare(), &nothing, true).unwrap();
    assert!(none.prepare.is_empty() && none.cgroup == Cgroup::default());
    assert_eq!(none.notes.len(), 2, "{:?}", none.notes);
}

#[test]
fn every_directory_is_undone() {
    for layout in [v1(), hybrid(), v2()] {
        let plan = plan(&layout, &everything(), false).unwrap();
        for step in &plan.prepare {
            let verbs = step.undo();
            assert_eq!(verbs.len(), usize::from(matches!(step, HostStep::Create(_))));
            for verb in verbs {
                let line = verb.line();
                assert!(line.ends_with("/sampan/abc\n"), "{line}");
                assert_eq!(crate::undo::Verb::parse(line.trim_end()), Some(verb));
            }
        }
    }
}

#[test]
fn what_the_journal_may_not_ask() {
    let parse = |line: &str| crate::undo::Verb::parse(line);
    assert!(parse("remove-cgroup /sys/fs/cgroup /sys/fs/cgroup/sampan/x").is_some());
    assert!(parse("remove-cgroup / /sampan/x").is_some());
    for bad in ["/c /c", "/c /c/", "/c /cx/y", "/c /c/../d", "/c /d/x", "c c/x", "/c /c//x"] {
        assert_eq!(parse(&format!("remove-cgroup {bad}")), None, "{bad}");
    }
}

#[test]
fn parents_that_were_there_stay() {
    let keep = |parent: &str, present| {
        let path = CgroupPath::of_container(Some(parent), "abc", false).unwrap();
        let mut layout = Layout { path, ..v2() };
        let tree = layout.v2.as_mut().unwrap();
        tree.target.present = present;
        tree.levels.resize(present + 1, tree.levels[0].clone());
        let plan = plan(&layout, &Resources::default(), false).unwrap();
        let Some(HostStep::Create(create)) = plan.prepare.first() else { panic!("{plan:?}") };
        create.level(create.keep)
    };
    assert_eq!(keep("/a/b", 0), "/sys/fs/cgroup");
    assert_eq!(keep("/a/b", 1), "/sys/fs/cgroup/a");
    assert_eq!(keep("/a/b", 2), "/sys/fs/cgroup/a/b");
    assert_eq!(keep("/sampan", 1), "/sys/fs/cgroup");
}

fn memory(limit: i64) -> Resources {
    Resources { memory: Some(Memory { limit: Some(limit), ..Memory::default() }), ..Resources::default() }
}

fn cpu(cpu: Cpu) -> Resources {
    Resources { cpu: Some(cpu), ..Resources::default() }
}

#[test]
fn limits_out_of_range() {
    let reject = |resources: Resources| rejected(&v1(), &resources);
    assert_eq!(
        reject(cpu(Cpu { burst: Some(1), ..Cpu::default() })),
        "cannot set the CPU burst to 1: it can't be more than the CPU quota ()"
    );
    let swap = |limit, swap| Resources {
        memory: Some(Memory { limit, swap: Some(swap), ..Memory::default() }),
        ..Resources::default()
    };
    assert_eq!(reject(swap(None, 1 << 30)), "cannot limit memory and swap to 1g: this needs a memory limit too ()");
    assert_eq!(
        reject(swap(Some(8 << 20), 7 << 20)),
        "cannot limit memory and swap to 7m: the sum of memory and swap can't be less than the memory, 8m ()"
    );
    assert_eq!(
        reject(cpu(Cpu { quota: Some(999), ..Cpu::default() })),
        "cannot set the CPU quota to 999: it can't be less than 1 ms (1000) ()"
    );
    assert_eq!(
        reject(cpu(Cpu { cpus: "0-4".into(), ..Cpu::default() })),
        "cannot bind the container to CPUs 0-4: this host can give it only 0-3 (choose from 0-3)"
    );
    assert_eq!(
        reject(cpu(Cpu { cpus: "1-".into(), ..Cpu::default() })),
        "cannot bind the container to CPUs \"1-\": that is no list like 0-2,4 ()"
    );
    let throttle = |minor| Resources {
        block_io: Some(BlockIo {
            throttle_read_bps_device: vec![ThrottleDevice { major: 8, minor, rate: 1 }],
            ..BlockIo::default()
        }),
        ..Resources::default()
    };
    assert_eq!(
        reject(throttle(1)),
        "cannot limit I/O of the device 8:1: it is a partition, and the kernel limits whole disks \
         (name the disk: /dev/sda (8:0))"
    );
    assert_eq!(reject(throttle(9)), "cannot limit I/O of the device 8:9: there is no such block device ()");
    let weight = WeightDevice { major: 8, minor: 0, weight: 200, leaf_weight: None };
    let weight = BlockIo { weight_device: vec![weight], ..BlockIo::default() };
    let weight = Resources { block_io: Some(weight), ..Resources::default() };
    assert_eq!(
        reject(weight.clone()),
        "cannot set the I/O weight of the device 8:0: its I/O scheduler is not bfq \
         (echo bfq > /sys/block/sda/queue/scheduler)"
    );
    let mut served = v1();
    served.disks.as_mut().unwrap()[0].schedulers = "none mq-deadline [bfq]".into();
    assert!(planned(&served, &weight).contains("echo '8:0 200' > C/blkio/sampan/abc/blkio.bfq.weight_device"));
    let cpus = |text: &str| v1().check_cpus(text.parse().unwrap()).map_err(|error| error.to_string());
    assert_eq!(cpus("4"), Ok(()));
    assert_eq!(cpus("4.5").unwrap_err(), "cannot limit the container to 4.5 CPUs: there are only 4");
}

#[test]
fn what_the_host_lacks() {
    let mut layout = v1();
    layout.features.swap = false;
    assert_eq!(
        rejected(&layout, &everything()),
        "cannot limit memory and swap to 150m: this kernel does not account swap \
         (boot with swapaccount=1, or leave --memory-swap out)"
    );
    layout.v1.retain(|it| !it.serves("memory"));
    assert_eq!(
        rejected(&layout, &memory(8 << 20)),
        "cannot limit memory to 8m: this host has no cgroup controller `memory` (boot with cgroup_enable=memory)"
    );
    let swappiness = Memory { swappiness: Some(10), ..Memory::default() };
    assert_eq!(
        rejected(&v2(), &Resources { memory: Some(swappiness), ..Resources::default() }),
        "cannot set swappiness for the container: cgroup v2 has no such setting ()"
    );
    let mut layout = v2();
    layout.features.io_cost = false;
    let weight = BlockIo { weight: Some(100), ..BlockIo::default() };
    assert_eq!(
        rejected(&layout, &Resources { block_io: Some(weight), ..Resources::default() }),
        "cannot set the I/O weight: this kernel has neither the bfq I/O scheduler nor io.cost \
         (modprobe bfq, and echo bfq > /sys/block/DISK/queue/scheduler)"
    );
    let unified = Resources { unified: [("memory.high".into(), "1".into())].into(), ..Resources::default() };
    assert_eq!(
        rejected(&v1(), &unified),
        "cannot set the cgroup v2 file \"memory.high\": invalid configuration: `memory` is a controller of cgroup v1 here, \
         at /sys/fs/cgroup/memory (use linux.resources, or a host with cgroup v2)"
    );
    for file in ["cgroup.procs", "memory.max/../x", "memory", ".max"] {
        let unified = Resources { unified: [(file.into(), "1".into())].into(), ..Resources::default() };
        assert!(plan(&v2(), &unified, false).is_err(), "{file}");
    }
}

/// As a service manager gives an ordinary user its part of the tree: this process is in DIR/app, beside which is room.
#[test]
fn delegated_in_part() {
    let mut layout = v2();
    let tree = layout.v2.as_mut().unwrap();
    let dir = "/sys/fs/cgroup/user";
    tree.target = target(dir, 0);
    tree.levels[0].controllers = names("memory pids");
    layout.path = CgroupPath::of_container(None, "abc", true).unwrap();
    let plan = |layout: &Layout, resources: &Resources| super::plan(layout, resources, true);
    let text = text(&plan(&layout, &memory(8 << 20)).unwrap());
    assert_eq!(
        text,
        "mkdir -p C/user/sampan\necho +memory > C/user/cgroup.subtree_control\n\
         echo +memory > C/user/sampan/cgroup.subtree_control\nmkdir C/user/sampan/abc\n\
         echo 8388608 > C/user/sampan/abc/memory.max\nclone into C/user/sampan/abc"
    );
    let shares = cpu(Cpu { shares: Some(2), ..Cpu::default() });
    let error = plan(&layout, &shares).unwrap_err();
    assert_eq!(error.why, "the cgroup controller `cpu` is not delegated to this user below /sys/fs/cgroup/user");
    layout.v2.as_mut().unwrap().offered = names("memory pids");
    let error = plan(&layout, &shares).unwrap_err();
    assert_eq!(error.to_string(), "cannot set CPU shares to 2: this host has no cgroup controller `cpu`");

    let level = &mut layout.v2.as_mut().unwrap().levels[0];
    level.occupied = true;
    let error = plan(&layout, &memory(8 << 20)).unwrap_err();
    assert!(error.why.starts_with("/sys/fs/cgroup/user holds processes"), "{error}");
    // Nobody asked for a limit: a cgroup without controllers, and a note.
    let without = plan(&layout, &Resources::default()).unwrap();
    assert_eq!((without.notes.len(), without.cgroup.v2_controllers.len()), (1, 0));
    assert!(without.clone_into.is_some());

    let level = &mut layout.v2.as_mut().unwrap().levels[0];
    (level.occupied, level.delegated) = (false, false);
    let error = plan(&layout, &memory(8 << 20)).unwrap_err();
    assert_eq!(error.why, "the cgroup controller `memory` is not delegated to this user below /sys/fs/cgroup/user");
    layout.v2.as_mut().unwrap().levels[0].enabled = names("memory");
    assert!(plan(&layout, &memory(8 << 20)).is_ok(), "enabled by somebody else");
}

#[test]
fn what_the_container_sees() {
    let cgroup = |layout| plan(&layout, &Resources::default(), false).unwrap().cgroup;
    let root = "/sys/fs/cgroup".to_owned();
    assert_eq!(container_mounts(&cgroup(v2()), Within::Own), [Mount::Cgroup2 { destination: root.clone() }]);
    assert_eq!(
        container_mounts(&cgroup(v2()), Within::Joined),
        [Mount::Bind { source: "/sys/fs/cgroup/sampan/abc".into(), destination: root.clone() }]
    );
    let whole = Mount::Bind { source: root.clone(), destination: root.clone() };
    assert_eq!(container_mounts(&cgroup(v2()), Within::Callers), [whole]);
    let at = |name: &str| format!("/sys/fs/cgroup/{name}");
    let cgroup = cgroup(v1());
    let mut expected = vec![Mount::Tmpfs { destination: root }];
    for name in ["cpu,cpuacct", "memory", "freezer"] {
        expected.push(Mount::Cgroup { destination: at(name), options: name.into() });
        if name.contains(',') {
            expected.push(Mount::Symlink { target: name.into(), link: at("cpu") });
            expected.push(Mount::Symlink { target: name.into(), link: at("cpuacct") });
        }
    }
    assert_eq!(container_mounts(&cgroup, Within::Own), expected);
    let named = Cgroup { v1: vec![(vec!["name=systemd".into()], "/s".into())], v2: None, ..cgroup };
    let mount = Mount::Cgroup { destination: at("systemd"), options: "name=systemd".into() };
    assert_eq!(container_mounts(&named, Within::Own)[1], mount);
    let bound = Mount::Bind { source: "/s".into(), destination: at("systemd") };
    assert_eq!(container_mounts(&named, Within::Callers)[1], bound);
}

#[test]
fn limits_are_taken_away() {
    let resources = Resources {
        memory: Some(Memory { limit: Some(-1), ..Memory::default() }),
        pids: Some(Pids { limit: Some(-1) }),
        block_io: Some(BlockIo {
            throttle_read_bps_device: vec![ThrottleDevice { major: 8, minor: 0, rate: 0 }],
            ..BlockIo::default()
        }),
        ..Resources::default()
    };
    let text = |layout: &Layout| {
        let limits = update(layout, &resources, &Current::default()).unwrap();
        limits.iter().map(|limit| format!("{} {}", limit.file, limit.value)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(text(&v2()), "io.max 8:0 rbps=max, memory.swap.max max, memory.max max, pids.max max");
    assert_eq!(
        text(&v1()),
        "memory.memsw.limit_in_bytes 9223372036854775807, memory.limit_in_bytes 9223372036854775807, \
         blkio.throttle.read_bps_device 8:0 0, pids.max max"
    );
    let new = planned(&v2(), &resources);
    assert!(!new.contains("max"), "{new}");
}

/// What v2 has in one place is told again, and nothing else.
#[test]
fn an_update_is_completed_on_v2() {
    let current = Current { memory: Some(32 << 20), swap: Some(32 << 20), quota: Some(50_000), period: None };
    let text = |resources: Resources| {
        let limits = update(&v2(), &resources, &current).map_err(|error| error.to_string())?;
        Ok::<_, String>(
            limits.iter().map(|limit| format!("{} {}", limit.file, limit.value)).collect::<Vec<_>>().join(", "),
        )
    };
    let memory =
        |limit, swap| Resources { memory: Some(Memory { limit, swap, ..Memory::default() }), ..Resources::default() };
    assert_eq!(text(memory(Some(48 << 20), None)).unwrap(), "memory.max 50331648, memory.swap.max 16777216");
    assert_eq!(text(memory(None, Some(40 << 20))).unwrap(), "memory.max 33554432, memory.swap.max 8388608");
    assert!(text(memory(Some(128 << 20), None)).unwrap_err().contains("can't be less"));
    assert_eq!(text(cpu(Cpu { period: Some(200_000), ..Cpu::default() })).unwrap(), "cpu.max 50000 200000");
    assert_eq!(text(cpu(Cpu { quota: Some(60_000), ..Cpu::default() })).unwrap(), "cpu.max 60000");
}
