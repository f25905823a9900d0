//! Cgroups on the real kernel: v1, hybrid or v2, whichever this machine has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "clippy.toml's leave ends at helpers"
)]

use plan::cgroup::{CgroupPath, HostStep, Layout, Plan, Undo, default_rules};
use runtime::apply::cgroup::{self as apply, Dirs};
use runtime::observe::cgroup::observe;
use spec::runtime::{BlockIo, Cpu, DeviceRule, Memory, Pids, Resources, ThrottleDevice};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A cgroup under a parent of the test's own, gone with the value.
struct Fixture {
    layout: Layout,
    plan: Plan,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn path() -> CgroupPath {
    let parent = unique("sampan-test");
    CgroupPath::of_container(Some(&format!("/{parent}")), "c", false).unwrap()
}

fn look() -> Layout {
    observe(&path(), false).unwrap()
}

fn cgroup(resources: &Resources) -> Fixture {
    cgroup_on(resources, |_| {})
}

/// On less of a host than this is.
fn cgroup_on(resources: &Resources, change: impl FnOnce(&mut Layout)) -> Fixture {
    let path = path();
    let mut layout = observe(&path, resources.block_io.is_some()).unwrap();
    change(&mut layout);
    let plan = plan::cgroup::plan(&layout, resources, false).unwrap();
    let fixture = Fixture { layout, plan };
    let mut dirs = Dirs::new();
    for step in &fixture.plan.prepare {
        apply::apply(step, &mut dirs).unwrap_or_else(|error| panic!("{}: {error}", step.shell()));
    }
    fixture
}

impl Fixture {
    /// A shell that enters by the steps' own shell form.
    fn shell(&self, script: &str) -> Command {
        let mut lines: Vec<String> = self.plan.join.iter().map(|step| step.shell()).collect();
        lines.extend(self.plan.clone_into.iter().map(|dir| format!("echo 0 > {dir}/cgroup.procs")));
        let mut command = Command::new("sh");
        command.arg("-ec").arg(format!("{}\n{script}", lines.join("\n"))).stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> Output {
        self.shell(script).output().unwrap()
    }

    fn spawn(&self, script: &str) -> Child {
        self.shell(script).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Through the journal's lines, as another process would.
    fn undo(&self) -> Vec<String> {
        let lines: Vec<String> = self.plan.prepare.iter().flat_map(HostStep::undo).map(|verb| verb.line()).collect();
        let verbs = lines.iter().rev().map(|line| plan::undo::Verb::parse(line.trim_end()).unwrap());
        verbs.flat_map(undo).map(|error| error.to_string()).collect()
    }

    fn dirs(&self) -> Vec<String> {
        let v1 = self.plan.cgroup.v1.iter().map(|(_, dir)| dir.clone());
        v1.chain(self.plan.cgroup.v2.clone()).collect()
    }

    /// A file of the container's, by its v1 and v2 names.
    fn read(&self, controller: &str, v1: &str, v2: &str) -> String {
        let path = match self.plan.cgroup.v1(controller) {
            Some(dir) => format!("{dir}/{v1}"),
            None => format!("{}/{v2}", self.plan.cgroup.v2.as_ref().unwrap()),
        };
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }

    /// Those of cgroups below it, too. The last directory is the one to kill and to freeze by.
    fn processes(&self) -> Vec<i32> {
        let dirs = self.dirs();
        let find = [dirs.last().unwrap(), "-name", "cgroup.procs", "-exec", "cat", "{}", "+"];
        let out = Command::new("find").args(find).output().unwrap();
        String::from_utf8_lossy(&out.stdout).lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let errors = self.undo();
        if !std::thread::panicking() {
            assert_eq!(errors, [""; 0]);
            for dir in self.dirs() {
                let parent = Path::new(&dir).parent().unwrap();
                let shared = parent.to_string_lossy().contains("sampan");
                assert!(!(Path::new(&dir).exists() || shared && parent.exists()), "left: {dir}");
            }
        }
    }
}

fn undo(verb: plan::undo::Verb) -> Vec<apply::Error> {
    match verb {
        plan::undo::Verb::Cgroup(Undo::Remove { dir, keep }) => apply::remove_all(&dir, &keep),
        other => panic!("{other:?}"),
    }
}

/// Else says why not.
fn can(controllers: &[&str]) -> bool {
    if !is_root() {
        println!("skipped: not root");
        return false;
    }
    let layout = look();
    for name in controllers {
        let v2 = if *name == "blkio" { "io" } else { name };
        let on_v2 = layout.v2.as_ref().is_some_and(|tree| tree.levels[0].controllers.contains(v2));
        if layout.v1(name).is_none() && !on_v2 {
            println!("skipped: no controller {name} on this host");
            return false;
        }
    }
    true
}

/// No swap, where that can be said: what is limited then goes nowhere else.
fn memory(limit: i64) -> Resources {
    let swap = look().features.swap.then_some(limit);
    let memory = Memory { limit: Some(limit), swap, ..Memory::default() };
    Resources { memory: Some(memory), ..Resources::default() }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct TempDir(String);

fn tempdir() -> TempDir {
    let path = format!("{}/{}", std::env::temp_dir().display(), unique("sampan-cgroup"));
    std::fs::create_dir(&path).unwrap();
    TempDir(path)
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn limits_are_in_force() {
    if !can(&["memory", "cpu", "pids"]) {
        return;
    }
    let mut resources = memory(64 << 20);
    resources.memory.as_mut().unwrap().reservation = Some((32 << 20) + 1);
    let cpus = if can(&["cpuset"]) { "0-0" } else { "" };
    resources.cpu = Some(Cpu {
        shares: Some(512),
        quota: Some(50_000),
        period: Some(200_000),
        cpus: cpus.into(),
        ..Cpu::default()
    });
    resources.pids = Some(Pids { limit: Some(20) });
    resources.devices = default_rules();
    let it = cgroup(&resources);
    assert_eq!(it.read("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(it.read("memory", "memory.soft_limit_in_bytes", "memory.low"), "33554432");
    if it.layout.features.swap {
        let expected = if it.plan.cgroup.v1("memory").is_some() { "67108864" } else { "0" };
        assert_eq!(it.read("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), expected);
    }
    if it.plan.cgroup.v1("cpu").is_some() {
        assert_eq!(it.read("cpu", "cpu.shares", ""), "512");
        assert_eq!(it.read("cpu", "cpu.cfs_quota_us", ""), "50000");
        assert_eq!(it.read("cpu", "cpu.cfs_period_us", ""), "200000");
    } else {
        assert_eq!(it.read("cpu", "", "cpu.weight"), "59");
        assert_eq!(it.read("cpu", "", "cpu.max"), "50000 200000");
    }
    assert_eq!(it.read("pids", "pids.max", "pids.max"), "20");
    if !cpus.is_empty() {
        let status = it.run("grep Cpus_allowed_list /proc/self/status");
        assert_eq!(String::from_utf8_lossy(&status.stdout).split_whitespace().last(), Some("0"));
    }
}

#[test]
fn memory_limit_kills_and_is_told() {
    if !can(&["memory"]) || !look().features.swap {
        println!("skipped: swap is not accounted");
        return;
    }
    let it = cgroup(&memory(32 << 20));
    let calm = it.run("true");
    assert!(calm.status.success(), "{calm:?}");
    assert_eq!(apply::oom_kills(&it.plan.cgroup).unwrap(), 0);
    // Without a newline tail has to keep all of it.
    let hog = it.run("head -c 300M /dev/zero | tail > /dev/null");
    assert_eq!(hog.status.code(), Some(137), "{hog:?}");
    assert!(apply::oom_kills(&it.plan.cgroup).unwrap() >= 1);
}

#[test]
fn pids_limit_stops_forks() {
    if !can(&["pids"]) {
        return;
    }
    let it = cgroup(&Resources { pids: Some(Pids { limit: Some(5) }), ..Resources::default() });
    let bomb = it.run("for i in 1 2 3 4 5 6 7 8; do sleep 3 & done");
    assert!(!bomb.status.success());
    assert!(String::from_utf8_lossy(&bomb.stderr).contains("fork"), "{bomb:?}");
}

#[test]
fn cpu_quota_throttles() {
    if !can(&["cpu"]) {
        return;
    }
    let cpu = Cpu { quota: Some(10_000), period: Some(100_000), ..Cpu::default() };
    let it = cgroup(&Resources { cpu: Some(cpu), ..Resources::default() });
    let busy = it.run("i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done");
    assert!(busy.status.success());
    let stat = it.read("cpu", "cpu.stat", "cpu.stat");
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
    assert_ne!(throttled, "0", "{stat}");
}

#[test]
fn io_limit_slows_down() {
    if !can(&["blkio"]) {
        return;
    }
    let dir = tempdir();
    let dev = std::fs::metadata(&dir.0).unwrap().dev();
    let major = i64::try_from(dev >> 8 & 0xfff).unwrap();
    let minor = i64::try_from(dev & 0xff | dev >> 12 & 0xf_ff00).unwrap();
    let layout = observe(&path(), true).unwrap();
    if !layout.disks.as_ref().unwrap().iter().any(|disk| (disk.major, disk.minor) == (major, minor)) {
        println!("skipped: {} is on {major}:{minor}, which is no disk", dir.0);
        return;
    }
    let rate = ThrottleDevice { major, minor, rate: 1 << 20 };
    let io = BlockIo { throttle_write_bps_device: vec![rate], ..BlockIo::default() };
    let it = cgroup(&Resources { block_io: Some(io), ..Resources::default() });
    let start = Instant::now();
    let dd = it.run(&format!("dd if=/dev/zero of={}/file bs=256k count=12 oflag=direct 2>&1", dir.0));
    assert!(dd.status.success(), "{dd:?}");
    assert!(start.elapsed() > Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[test]
fn the_unified_map_is_written() {
    if !can(&[]) || look().v2.is_none_or(|tree| !tree.levels[0].controllers.contains("memory")) {
        println!("skipped: no memory controller on v2");
        return;
    }
    let pairs = [("memory.high", "48M"), ("memory.max", "64M"), ("cpu.max", "50000"), ("pids.max", "9")];
    let unified = pairs.into_iter().map(|(file, value)| (file.into(), value.into())).collect();
    let it = cgroup(&Resources { unified, ..Resources::default() });
    assert_eq!(it.read("", "", "memory.high"), "50331648");
    assert_eq!(it.read("", "", "cpu.max"), "50000 100000");
}

fn only_zero() -> Resources {
    let rule = |text: &str, minor| DeviceRule {
        allow: true,
        kind: "c".into(),
        major: Some(1),
        minor: Some(minor),
        access: text.into(),
    };
    let mut devices = vec![DeviceRule { access: "rwm".into(), ..DeviceRule::default() }];
    devices.extend([rule("rwm", 5), rule("r", 3)]);
    Resources { devices, ..Resources::default() }
}

fn denies_devices(it: &Fixture) {
    let dir = tempdir();
    let works = |script: &str| {
        let out = it.run(&script.replace("DIR", &dir.0));
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success() || text.contains("not permitted"), "{script}: {text}");
        out.status.success()
    };
    assert!(works("head -c 1 /dev/zero"));
    assert!(works(": > /dev/zero"));
    assert!(works("mknod DIR/zero c 1 5"));
    assert!(works(": < /dev/null"));
    assert!(!works(": > /dev/null"));
    assert!(!works(": <> /dev/null"));
    assert!(!works(": < /dev/urandom"));
    assert!(!works("mknod DIR/null c 1 3"));
    assert!(!works("mknod DIR/disk b 254 0"));
    // A fifo is no device.
    assert!(works("mknod DIR/fifo p"));
}

#[test]
fn device_rules() {
    if can(&[]) {
        let it = cgroup(&only_zero());
        println!("devices by {}", if it.layout.v1("devices").is_some() { "v1" } else { "eBPF" });
        denies_devices(&it);
    }
}

#[test]
fn device_rules_by_ebpf() {
    if !can(&[]) || look().v2.is_none() {
        println!("skipped: no v2 tree");
        return;
    }
    let it = cgroup_on(&only_zero(), |layout| layout.v1.clear());
    assert!(it.plan.prepare.iter().any(|step| matches!(step, HostStep::Filter(_))));
    denies_devices(&it);
}

#[test]
fn default_devices_work() {
    for ebpf in [false, true] {
        if !can(&[]) || ebpf && look().v2.is_none() {
            continue;
        }
        let resources = Resources { devices: default_rules(), ..Resources::default() };
        let it = cgroup_on(&resources, |layout| {
            if ebpf {
                layout.v1.clear();
            }
        });
        let dir = tempdir();
        let script = "for d in null zero full random urandom; do : < /dev/$d; done; mknod DIR/k c 1 11; ! cat DIR/k";
        let out = it.run(&script.replace("DIR", &dir.0));
        assert!(out.status.success(), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("not permitted"), "{out:?}");
    }
}

/// Processes in the cgroup and in cgroups below it, in all hierarchies, that nobody waits for.
fn busy_tree(it: &Fixture) -> Child {
    let mut script = String::new();
    let mut inside = String::new();
    for dir in it.dirs() {
        let file = if Some(&dir) == it.plan.cgroup.v2.as_ref() { "cgroup.procs" } else { "tasks" };
        script += &format!("mkdir -p {dir}/a/b\n");
        inside += &format!("echo 0 > {dir}/a/b/{file}; ");
    }
    script += &format!("(setsid sleep 1000 &)\n({inside} sleep 1000) &\nsleep 1000");
    let child = it.spawn(&script);
    wait_until("four processes", || it.processes().len() >= 4);
    child
}

/// With the v2 tree, if there is one, and with v1 alone.
fn without_and_with_v2(test: impl Fn(Fixture)) {
    if !can(&[]) {
        return;
    }
    let devices = Resources { devices: default_rules(), ..Resources::default() };
    test(cgroup(&devices));
    if look().v1("freezer").is_some() {
        test(cgroup_on(&devices, |layout| layout.v2 = None));
    }
}

#[test]
fn undo_kills_and_removes_all() {
    without_and_with_v2(|it| {
        let mut child = busy_tree(&it);
        let pids = it.processes();
        assert_eq!(it.undo(), [""; 0]);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(it.dirs().iter().all(|dir| !Path::new(dir).exists()));
        for pid in pids {
            // A process leaves its cgroup a little before it is a zombie.
            wait_until("the end of a process", || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| "x) Z".into());
                stat.contains(") Z") || stat.contains(") X")
            });
        }
        assert_eq!(it.undo(), [""; 0], "again");
    });
}

#[test]
fn undo_of_a_frozen_container() {
    without_and_with_v2(|it| {
        let mut child = busy_tree(&it);
        let dir = it.dirs().pop().unwrap();
        let (file, word) =
            if it.plan.cgroup.v2.is_some() { ("cgroup.freeze", "1") } else { ("freezer.state", "FROZEN") };
        std::fs::write(format!("{dir}/{file}"), word).unwrap();
        assert_eq!(it.undo(), [""; 0]);
        child.wait().unwrap();
    });
}

/// Forks faster than a list of processes is read.
#[test]
fn undo_of_a_fork_bomb() {
    without_and_with_v2(|it| {
        let mut child = it.spawn("f() { while :; do sleep 0.01 & done; }; f & f & f & f");
        wait_until("some processes", || it.processes().len() > 20);
        assert_eq!(it.undo(), [""; 0]);
        child.wait().unwrap();
    });
}

#[test]
fn a_taken_path_is_rejected() {
    if !can(&[]) {
        return;
    }
    let it = cgroup(&Resources::default());
    let mut child = it.spawn("sleep 1000");
    wait_until("a process", || !it.processes().is_empty());
    let layout = observe(&it.layout.path, false).unwrap();
    let error = plan::cgroup::plan(&layout, &Resources::default(), false).unwrap_err();
    assert!(error.why.starts_with("container's cgroup is not empty"), "{error}");
    assert_eq!(it.undo(), [""; 0]);
    child.wait().unwrap();
}

/// Each is the last in the shared directory time and again.
#[test]
fn the_shared_directory_is_raced_for() {
    if !can(&["memory"]) {
        return;
    }
    let parent = "/sampan".to_owned();
    let resources = memory(64 << 20);
    let one = || {
        let path = CgroupPath::of_container(Some(&parent), &unique("race"), false).unwrap();
        let layout = observe(&path, false).unwrap();
        let plan = plan::cgroup::plan(&layout, &resources, false).unwrap();
        let mut dirs = Dirs::new();
        plan.prepare.iter().for_each(|step| apply::apply(step, &mut dirs).unwrap());
        let errors: Vec<_> = plan.prepare.iter().rev().flat_map(HostStep::undo).flat_map(undo).collect();
        assert!(errors.is_empty(), "{errors:?}");
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|_| _ = scope.spawn(|| (0..25).for_each(|_| one())));
    });
}

/// The steps' shell form makes the same cgroup.
#[test]
fn shell_form() {
    if !can(&["memory", "pids"]) {
        return;
    }
    let mut resources = memory(64 << 20);
    resources.pids = Some(Pids { limit: Some(7) });
    let cpus = if can(&["cpuset"]) { "0" } else { "" };
    resources.cpu = Some(Cpu { cpus: cpus.into(), ..Cpu::default() });
    let path = path();
    let layout = observe(&path, false).unwrap();
    let plan = plan::cgroup::plan(&layout, &resources, false).unwrap();
    let it = Fixture { layout, plan };
    let script: Vec<String> = it.plan.prepare.iter().map(HostStep::shell).collect();
    let out = Command::new("sh").arg("-euc").arg(script.join("\n")).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(it.read("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(it.read("pids", "pids.max", "pids.max"), "7");
    assert!(it.run("true").status.success());
}

/// Run by the next test as an ordinary user, or by hand in a delegated cgroup.
#[test]
fn unprivileged() {
    if is_root() {
        return;
    }
    let path = CgroupPath::of_container(None, &unique("user"), true).unwrap();
    let layout = observe(&path, false).unwrap();
    let rules = Resources { devices: default_rules(), ..Resources::default() };
    let plan = plan::cgroup::plan(&layout, &rules, true).unwrap();
    println!("notes: {:?}", plan.notes);
    let limited = plan::cgroup::plan(&layout, &memory(64 << 20), true);
    if plan.cgroup.v2("memory").is_some() {
        let it = Fixture { layout, plan: limited.unwrap() };
        let mut dirs = Dirs::new();
        it.plan.prepare.iter().for_each(|step| apply::apply(step, &mut dirs).unwrap());
        assert!(it.run("true").status.success());
        println!("delegated: {}", it.plan.cgroup.v2.as_ref().unwrap());
    } else {
        assert!(plan.prepare.is_empty() && !plan.notes.is_empty());
        let error = limited.unwrap_err();
        println!("{error}; hint: {:?}", error.hint);
        assert_eq!(error.what, "cannot limit memory to 64m");
    }
}

#[test]
fn without_delegation() {
    if !can(&[]) {
        return;
    }
    let copy = tempdir();
    let exe = format!("{}/test", copy.0);
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let mut command = Command::new(&exe);
    command.args(["--exact", "unprivileged", "--nocapture"]).uid(65534).gid(65534).current_dir("/");
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    // Not as it is: a reader of our output would take its lines for ours.
    text.lines().for_each(|line| println!("| {line}"));
    assert!(out.status.success() && text.contains("1 passed"), "{out:?}");
}

/// What one container pays: printed, not judged.
#[test]
fn cost() {
    if !can(&["memory", "pids"]) {
        return;
    }
    let mut resources = memory(64 << 20);
    resources.pids = Some(Pids { limit: Some(2048) });
    resources.devices = default_rules();
    let mut best = [Duration::MAX; 4];
    for _ in 0..30 {
        let path = path();
        let mut times = vec![Instant::now()];
        let layout = observe(&path, false).unwrap();
        times.push(Instant::now());
        let plan = plan::cgroup::plan(&layout, &resources, false).unwrap();
        times.push(Instant::now());
        let mut dirs = Dirs::new();
        plan.prepare.iter().for_each(|step| apply::apply(step, &mut dirs).unwrap());
        times.push(Instant::now());
        let errors: Vec<_> = plan.prepare.iter().rev().flat_map(HostStep::undo).flat_map(undo).collect();
        times.push(Instant::now());
        assert!(errors.is_empty(), "{errors:?}");
        for (best, pair) in best.iter_mut().zip(times.windows(2)) {
            *best = (*best).min(pair[1] - pair[0]);
        }
    }
    println!("observe {:?}, plan {:?}, apply {:?}, undo {:?}", best[0], best[1], best[2], best[3]);
}
