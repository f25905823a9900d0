//! Limits, end to end: in force in the kernel, felt inside, and refused before anything is touched.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, SAMPAN, ran, until};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";

/// Where a host has a controller, found by the files that the kernel has there, not by what sampan thinks.
struct Controller {
    /// Mount point of its hierarchy.
    mount: PathBuf,
    v1: bool,
}

/// By its names on v1 and v2; else says why not.
fn controller(v1: &str, v2: &str) -> Option<Controller> {
    let offers = |mount: &&PathBuf| {
        let offered = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        offered.split_whitespace().any(|name| name == v2)
    };
    let hierarchy = Path::new(ROOT).join(v1);
    if hierarchy.join("tasks").exists() {
        return Some(Controller { mount: hierarchy, v1: true });
    }
    let trees = [PathBuf::from(ROOT), Path::new(ROOT).join("unified")];
    let found = trees.iter().find(offers).map(|mount| Controller { mount: mount.clone(), v1: false });
    if found.is_none() {
        eprintln!("skipped: no cgroup controller {v2} on this host");
    }
    found
}

/// The memory controller of a kernel that accounts swap too; else says why not.
fn memory_and_swap() -> Option<Controller> {
    let memory = controller("memory", "memory")?;
    let accounted = if memory.v1 { memory.mount.join("memory.memsw.limit_in_bytes") } else { "/proc/swaps".into() };
    if !accounted.exists() {
        eprintln!("skipped: this kernel does not account swap");
        return None;
    }
    Some(memory)
}

/// A container that waits, and its id.
struct Waiting {
    child: Child,
    id: String,
}

impl Waiting {
    fn new(ground: &Ground, flags: &[&str]) -> Self {
        let cidfile = ground.dir.join("cid");
        let flags = [&["-i", "--cidfile", cidfile.to_str().unwrap()], flags].concat();
        let mut child = ground
            .runner(&flags, &["sh", "-c", "echo ready; read line; true"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            panic!("{flags:?}: {:?}", child.wait_with_output());
        }
        // It is written once the container runs, in one call.
        let mut id = String::new();
        until("its id", || {
            id = fs::read_to_string(&cidfile).unwrap_or_default();
            !id.is_empty()
        });
        fs::remove_file(cidfile).unwrap();
        Self { child, id }
    }

    /// A file of its cgroup, by the names of v1 and v2.
    fn read(&self, controller: &Controller, v1: &str, v2: &str) -> String {
        let file = controller.mount.join("sampan").join(&self.id).join(if controller.v1 { v1 } else { v2 });
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.trim().to_owned()
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let ended = ran(self.child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    }
}

#[test]
fn memory_limits_are_in_force() {
    let Some(ground) = Ground::new() else { return };
    let Some(memory) = memory_and_swap() else { return };
    let swap = |it: &Waiting| it.read(&memory, "memory.memsw.limit_in_bytes", "memory.swap.max");

    // On v1 swap is counted with the memory, on v2 by itself.
    let it = Waiting::new(&ground, &["--memory=32m", "--memory-swap=48m", "--memory-reservation=16m"]);
    assert_eq!(it.read(&memory, "memory.limit_in_bytes", "memory.max"), "33554432");
    assert_eq!(it.read(&memory, "memory.soft_limit_in_bytes", "memory.low"), "16777216");
    assert_eq!(swap(&it), if memory.v1 { "50331648" } else { "16777216" });
    it.end();

    // docker's default: as much again.
    let it = Waiting::new(&ground, &["--memory=32m"]);
    assert_eq!(swap(&it), if memory.v1 { "67108864" } else { "33554432" });
    it.end();

    let it = Waiting::new(&ground, &["--memory=32m", "--memory-swap=-1"]);
    let unlimited = swap(&it);
    assert!(unlimited == "max" || unlimited.parse::<u64>().is_ok_and(|bytes| bytes > 1 << 60), "{unlimited}");
    it.end();
}

#[test]
fn out_of_memory_is_told() {
    let Some(ground) = Ground::new() else { return };
    let Some(_) = memory_and_swap() else { return };
    // tail keeps a line that has no end, and is the container's first process.
    let limit = ["--memory=24m", "--memory-swap=24m", "-i"];
    let hog = ground.feed(&limit, &["tail"], &vec![0; 64 << 20]);
    ran(hog).fails(137, "out of memory: the kernel killed a process of the container (the limit is 24MiB)");
    // Of a process that it outlives, too, if it fails. Named to the kernel, which may take another one otherwise.
    let script = "head -c 64m /dev/zero | (echo 1000 >/proc/self/oom_score_adj; exec tail >/dev/null); exit 3";
    ground.sh(&limit[..2], script).fails(3, "out of memory");
    let calm = ground.sh(&limit[..2], "exit 3");
    assert!(!calm.err.contains("memory"), "{calm:?}");
}

/// CPUs and memory nodes that this process may use.
fn allowed(what: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix(what)).unwrap().trim_start_matches(':').trim().to_owned()
}

/// The first number of a list like `0-3,5`.
fn first(list: &str) -> &str {
    list.split([',', '-']).next().unwrap()
}

#[test]
fn cpu_and_pids_limits_are_in_force() {
    let Some(ground) = Ground::new() else { return };
    let Some(cpu) = controller("cpu", "cpu") else { return };
    let it = Waiting::new(&ground, &["--cpu-shares=512", "--cpu-quota=50000", "--cpu-period=200000"]);
    if cpu.v1 {
        let files = ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"];
        assert_eq!(files.map(|file| it.read(&cpu, file, "")), ["512", "50000", "200000"]);
    } else {
        assert_eq!(["cpu.weight", "cpu.max"].map(|file| it.read(&cpu, "", file)), ["59", "50000 200000"]);
    }
    it.end();

    let Some(pids) = controller("pids", "pids") else { return };
    let it = Waiting::new(&ground, &["--cpus=0.25", "--pids-limit=20"]);
    let quota = if cpu.v1 { "25000" } else { "25000 100000" };
    assert_eq!(it.read(&cpu, "cpu.cfs_quota_us", "cpu.max"), quota);
    assert_eq!(it.read(&pids, "pids.max", "pids.max"), "20");
    it.end();

    let Some(cpuset) = controller("cpuset", "cpuset") else { return };
    let (cpus, mems) = (allowed("Cpus_allowed_list"), allowed("Mems_allowed_list"));
    let (cpu, mem) = (first(&cpus), first(&mems));
    let it = Waiting::new(&ground, &["--cpuset-cpus", cpu, "--cpuset-mems", mem]);
    assert_eq!(["cpuset.cpus", "cpuset.mems"].map(|file| it.read(&cpuset, file, file)), [cpu, mem]);
    it.end();
    let seen = ground.sh(&["--cpuset-cpus", cpu], "grep Cpus_allowed_list /proc/self/status").ok();
    assert_eq!(seen.split_whitespace().last(), Some(cpu));
}

#[test]
fn pids_limit_stops_forks() {
    let Some(ground) = Ground::new() else { return };
    let Some(_) = controller("pids", "pids") else { return };
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done";
    let stopped = ground.sh(&["--pids-limit=5"], script);
    assert!(stopped.code != 0 && stopped.err.contains("fork"), "{stopped:?}");
    ground.sh(&["--pids-limit=50"], script).ok();
}

/// What a loop used of the time that passed: a tenth is allowed, less than a half is taken for it.
#[test]
fn cpus_throttle() {
    let Some(ground) = Ground::new() else { return };
    let Some(cpu) = controller("cpu", "cpu") else { return };
    let stat = if cpu.v1 { "/sys/fs/cgroup/cpu/cpu.stat" } else { "/sys/fs/cgroup/cpu.stat" };
    // proc_pid_stat(5): 14 and 15 are ticks in user and kernel mode. proc_uptime(5): seconds, in hundredths.
    let script = format!(
        "read start rest < /proc/uptime; (while :; do :; done) & sleep 1; set -- $(cat /proc/$!/stat); \
         read end rest < /proc/uptime; echo $((${{14}} + ${{15}})) $start $end $(grep nr_throttled {stat})"
    );
    let told = ground.sh(&["--cpus=0.1"], &script).ok();
    let words: Vec<&str> = told.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<f64>().unwrap();
    let (used, passed) = (number(0) / 100.0, number(2) - number(1));
    assert!(used < passed / 2.0 && number(4) > 0.0, "used {used} s of {passed} s: {told}");
}

/// The whole disk under this directory: its number and its node.
fn disk(dir: &Path) -> Option<(String, String)> {
    let dev = fs::metadata(dir).unwrap().dev();
    let number = format!("{}:{}", dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xf_ff00);
    let Ok(at) = fs::canonicalize(format!("/sys/dev/block/{number}")) else {
        eprintln!("skipped: {} is on {number}, which is no block device", dir.display());
        return None;
    };
    let at = if at.join("partition").exists() { at.parent()? } else { &at };
    let node = format!("/dev/{}", at.file_name()?.display());
    let number = fs::read_to_string(at.join("dev")).ok()?.trim().to_owned();
    if !Path::new(&node).exists() {
        eprintln!("skipped: there is no {node}");
        return None;
    }
    Some((number, node))
}

#[test]
fn disk_limits_are_in_force() {
    let Some(ground) = Ground::new() else { return };
    let Some(io) = controller("blkio", "io") else { return };
    let Some((number, node)) = disk(&ground.dir) else { return };
    let rates = [("read-bps", "8mb"), ("write-bps", "1mb"), ("read-iops", "300"), ("write-iops", "200")];
    let flags = rates.map(|(what, rate)| format!("--device-{what}={node}:{rate}"));
    let it = Waiting::new(&ground, &flags.each_ref().map(String::as_str));
    if io.v1 {
        let read = |what| it.read(&io, &format!("blkio.throttle.{what}_device"), "");
        let expected = ["8388608", "1048576", "300", "200"].map(|rate| format!("{number} {rate}"));
        assert_eq!(["read_bps", "write_bps", "read_iops", "write_iops"].map(read), expected);
    } else {
        assert_eq!(it.read(&io, "", "io.max"), format!("{number} rbps=8388608 wbps=1048576 riops=300 wiops=200"));
    }
    it.end();
}

/// Each, by itself, makes direct I/O last as long as it says. Past the page cache: on v1 what is written back later is
/// nobody's, and what is read from memory is no I/O.
#[test]
fn disk_limits_slow_a_container_down() {
    let Some(ground) = Ground::new() else { return };
    let Some(_) = controller("blkio", "io") else { return };
    let Some((_, node)) = disk(&ground.dir) else { return };
    let volume = format!("{}:/mnt", ground.dir.display());
    let write = "dd if=/dev/zero of=/mnt/file conv=notrunc oflag=direct";
    let read = "dd if=/mnt/file of=/dev/null iflag=direct";
    let time = |flags: &[&str], script: &str| {
        let start = Instant::now();
        let ended = ground.sh(&[&["-v", &volume], flags].concat(), script);
        if ended.code != 0 {
            eprintln!("skipped: {script}: {}", ended.err);
        }
        (ended.code == 0).then(|| start.elapsed())
    };
    // What is to be read and overwritten: allocated, so that a write is one operation.
    if time(&[], &format!("{write} bs=64k count=32")).is_none() {
        return;
    }
    for (limit, script) in [
        ("write-bps", format!("{write} bs=64k count=16")),
        ("read-bps", format!("{read} bs=64k count=16")),
        ("write-iops", format!("{write} bs=4k count=40")),
        ("read-iops", format!("{read} bs=4k count=40")),
    ] {
        // A second for 40 operations or 1 MiB; half of it is taken for that.
        let rate = if limit.ends_with("bps") { "1mb" } else { "40" };
        let flag = format!("--device-{limit}={node}:{rate}");
        let Some(limited) = time(&[&flag], &script) else { continue };
        assert!(limited > Duration::from_millis(500), "{flag}: {limited:?} for {script}");
    }
}

#[test]
fn io_weight_is_in_force() {
    let Some(ground) = Ground::new() else { return };
    let Some(io) = controller("blkio", "io") else { return };
    let ended = ground.sh(&["--blkio-weight=200"], "true");
    if ended.code != 0 {
        ended.fails(125, "error: cannot set the I/O weight");
        return eprintln!("skipped: {}", ended.err);
    }
    let disks = fs::read_dir("/sys/block").unwrap().flatten();
    let schedulers = disks.filter_map(|disk| fs::read_to_string(disk.path().join("queue/scheduler")).ok());
    let heeded = schedulers.into_iter().any(|all| all.contains("[bfq]"));
    let warned = ended.err.starts_with("warning: the I/O weight has no effect: no disk uses the bfq I/O scheduler");
    assert!(if io.v1 { warned != heeded } else { !(warned && heeded) }, "{ended:?}");

    let mut it = Waiting::new(&ground, &["--blkio-weight=200"]);
    if io.v1 {
        assert_eq!(it.read(&io, "blkio.bfq.weight", ""), "200");
    } else {
        let dir = io.mount.join("sampan").join(&it.id);
        let bfq = fs::read_to_string(dir.join("io.bfq.weight")).unwrap_or_default();
        let cost = fs::read_to_string(dir.join("io.weight")).unwrap_or_default();
        assert!(bfq.starts_with("default 200\n") || cost.starts_with("default 1920\n"), "{bfq:?} {cost:?}");
    }
    drop(it.child.stdin.take());
    assert!(it.child.wait().unwrap().success());
}

/// With the message of a refusal: what, why, and a hint where one is known. Nothing was begun.
#[test]
fn refused() {
    const REFUSED: [(&str, &[&str]); 8] = [
        (
            "--memory=1m",
            &["error: cannot limit memory to 1m", "  a container needs at least 6m", "hint: ask for 6m or more"],
        ),
        (
            "--memory=8m --memory-swap=7m",
            &[
                "error: cannot limit memory and swap to 7m",
                "  --memory-swap counts memory and swap",
                "hint: ask for 8m",
            ],
        ),
        (
            "--memory=8m --memory-reservation=9m",
            &["error: cannot reserve 9m of memory", "  --memory is 8m", "hint: reserve less than the limit"],
        ),
        ("--cpus=999999", &["error: cannot limit the container to 999999 CPUs", "  there are only ", "hint: ask for "]),
        (
            "--cpuset-cpus=60000",
            &[
                "error: cannot bind the container to CPUs 60000",
                "  this host can give it only 0",
                "hint: choose from 0",
            ],
        ),
        (
            "--cpuset-mems=60000",
            &["error: cannot bind the container to memory nodes 60000", "  this host can", "hint: choose from "],
        ),
        (
            "--device-read-bps=/dev/null:1mb",
            &["error: cannot limit the device /dev/null", "  it is no block device of this host", "hint: lsblk"],
        ),
        ("--cpu-shares=1", &["error: invalid value \"1\" for --cpu-shares", "  \"1\" is not from 2 to 262144"]),
    ];
    let Some(ground) = Ground::new() else { return };
    for (flags, lines) in REFUSED {
        let flags: Vec<&str> = flags.split(' ').collect();
        let ended = ground.run(&flags, &["true"]);
        assert_eq!((ended.code, ended.out.as_str()), (125, ""), "{flags:?}");
        assert_eq!(ended.err.lines().count(), lines.len(), "{}", ended.err);
        for (line, start) in ended.err.lines().zip(lines) {
            assert!(line.starts_with(start), "{start:?} does not begin {line:?}");
        }
        let kept = |dir: &str| fs::read_dir(ground.dir.join(dir)).map_or(0, Iterator::count);
        assert_eq!(["data/containers", "data/names", "state/containers"].map(kept), [0; 3], "{flags:?}");
    }
}

/// A mount namespace without the hierarchy is a host without the controller.
#[test]
fn a_missing_controller_is_named() {
    let Some(ground) = Ground::new() else { return };
    let hierarchy = Path::new(ROOT).join("pids");
    if !hierarchy.join("tasks").exists() {
        return eprintln!("skipped: the pids controller is not a mount of its own here");
    }
    let run = ground.runner(&["--pids-limit=5"], &["true"]);
    let mut without = Command::new("unshare");
    without
        .args(["--mount", "sh", "-c", "umount \"$0\" && exec \"$@\""])
        .arg(hierarchy)
        .arg(SAMPAN)
        .args(run.get_args());
    ran(without.output().unwrap())
        .fails(125, "error: cannot limit processes to 5\n  this host has no cgroup controller `pids`\n");
}

fn anywhere(name: &str) -> bool {
    let below =
        |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| entry.path().join(name).exists());
    Path::new(ROOT).join(name).exists() || below(Path::new(ROOT))
}

/// The first sampan makes it, the second finds it there, and the first to end can't remove it.
#[test]
fn the_last_to_leave_removes_the_parent() {
    let Some(ground) = Ground::new() else { return };
    let parent = format!("limits-{}", std::process::id());
    let flag = format!("--cgroup-parent=/{parent}/inner");
    let first = Waiting::new(&ground, &[&flag]);
    let second = Waiting::new(&ground, &[&flag]);
    first.end();
    assert!(anywhere(&parent));
    second.end();
    assert!(!anywhere(&parent));
}

#[test]
fn a_parent_that_was_there_stays() {
    let Some(ground) = Ground::new() else { return };
    let Some(memory) = controller("memory", "memory") else { return };
    let parent = memory.mount.join(format!("limits-theirs-{}", std::process::id()));
    fs::create_dir(&parent).unwrap();
    let flag = format!("--cgroup-parent=/{}/inner", parent.file_name().unwrap().display());
    let ended = ground.sh(&[&flag], "true");
    let (stays, inner) = (parent.exists(), parent.join("inner").exists());
    fs::remove_dir(&parent).unwrap();
    ended.ok();
    assert!(stays && !inner);
}

/// A character device that anybody may open, once its node lets him, and that no container is given.
fn harmless_device() -> Option<String> {
    let misc = fs::read_to_string("/proc/misc").unwrap();
    let find = |name| misc.lines().find(|line| line.ends_with(name))?.split_whitespace().next().map(str::to_owned);
    ["loop-control", "fuse", "tun"].into_iter().find_map(find)
}

/// The node is open to all, so nothing but the rules of the container's cgroup keeps it closed.
#[test]
fn a_user_namespace_keeps_the_device_rules() {
    let Some(ground) = Ground::new() else { return };
    let Some(minor) = harmless_device() else { return eprintln!("skipped: no device to open") };
    let node = ground.dir.join("node");
    let made = Command::new("mknod").args(["-m", "666"]).arg(&node).args(["c", "10", &minor]).status().unwrap();
    assert!(made.success());
    let volume = format!("{}:/tmp/node", node.display());
    for maps in [&[][..], &["--uidmap=0:100000:65536"]] {
        let refused = ground.sh(&[maps, &["-v", &volume]].concat(), ": < /tmp/node");
        assert!(refused.code != 0 && refused.err.contains("not permitted"), "{maps:?}: {refused:?}");
        let rule = format!("--device-cgroup-rule=c 10:{minor} r");
        ground.sh(&[maps, &["-v", &volume, &rule]].concat(), ": < /tmp/node").ok();
    }
}
