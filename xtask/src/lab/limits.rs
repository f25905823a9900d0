//! `cargo xtask lab limits`: each limit that can be asked for, on the cgroups that this host has. What is asked for is in
//! force, as the kernel says to a process of the container, and felt by it where that is cheap; or it is an error.
//!
//! Invariant: a container that started with a limit that is not in force fails the lab, whatever it printed.
//! Must not: trust what sampan says of a limit; only that it refuses one.

use crate::command;
use crate::libtest::Count;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a limit is asked for.
enum By {
    /// `sampan run`.
    Flags(&'static str),
    /// `linux.resources` of a bundle's config.json, for what docker has no flag for.
    Bundle(&'static str),
}
use By::{Bundle, Flags};

struct Limit {
    name: &'static str,
    by: By,
    /// Where a container reads it, below /sys/fs/cgroup, and what is right; empty: it has to be refused there.
    v1: (&'static str, &'static str),
    v2: (&'static str, &'static str),
    /// A script, and a word that it prints where the limit is felt.
    felt: Option<(&'static str, &'static str)>,
}

const REFUSED: (&str, &str) = ("", "");

const fn limit(
    name: &'static str,
    by: By,
    v1: (&'static str, &'static str),
    v2: (&'static str, &'static str),
    felt: Option<(&'static str, &'static str)>,
) -> Limit {
    Limit { name, by, v1, v2, felt }
}

/// `$DISK` and `$NUMBER` stand for a whole disk of this host. A file that is no cgroup's is the same on both.
const LIMITS: &[Limit] = &[
    limit(
        "memory",
        Flags("-m 32m"),
        ("memory/memory.limit_in_bytes", "33554432"),
        ("memory.max", "33554432"),
        Some(("tail /dev/zero & wait $! || echo killed", "killed")),
    ),
    limit(
        "memory reservation",
        Flags("-m 32m --memory-reservation 16m"),
        ("memory/memory.soft_limit_in_bytes", "16777216"),
        ("memory.low", "16777216"),
        None,
    ),
    limit(
        "memory and swap",
        Flags("-m 32m --memory-swap 48m"),
        ("memory/memory.memsw.limit_in_bytes", "50331648"),
        ("memory.swap.max", "16777216"),
        None,
    ),
    limit("swappiness", Flags("--memory-swappiness 10"), ("memory/memory.swappiness", "10"), REFUSED, None),
    limit(
        "no OOM killer",
        Flags("-m 32m --oom-kill-disable"),
        ("memory/memory.oom_control", "oom_kill_disable 1"),
        REFUSED,
        None,
    ),
    limit(
        "kernel memory",
        Bundle(r#"{"memory":{"limit":67108864,"kernel":33554432}}"#),
        ("memory/memory.kmem.limit_in_bytes", "33554432"),
        REFUSED,
        None,
    ),
    limit("CPU shares", Flags("--cpu-shares 512"), ("cpu/cpu.shares", "512"), ("cpu.weight", "59"), None),
    limit(
        "CPU quota",
        Flags("--cpu-quota 50000 --cpu-period 200000"),
        ("cpu/cpu.cfs_quota_us", "50000"),
        ("cpu.max", "50000 200000"),
        None,
    ),
    limit(
        "CPU period",
        Flags("--cpu-quota 50000 --cpu-period 200000"),
        ("cpu/cpu.cfs_period_us", "200000"),
        ("cpu.max", "50000 200000"),
        None,
    ),
    limit(
        "CPUs",
        Flags("--cpus 0.1"),
        ("cpu/cpu.cfs_quota_us", "10000"),
        ("cpu.max", "10000 100000"),
        Some((
            "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; cat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu.stat \
             2>/dev/null | grep -v 'nr_throttled 0' | grep nr_throttled",
            "nr_throttled",
        )),
    ),
    limit(
        "CPU burst",
        Bundle(r#"{"cpu":{"quota":50000,"period":100000,"burst":10000}}"#),
        ("cpu/cpu.cfs_burst_us", "10000"),
        ("cpu.max.burst", "10000"),
        None,
    ),
    limit("CPU idle", Bundle(r#"{"cpu":{"idle":1}}"#), ("cpu/cpu.idle", "1"), ("cpu.idle", "1"), None),
    limit(
        "realtime",
        Bundle(r#"{"cpu":{"realtimePeriod":1000000,"realtimeRuntime":1000}}"#),
        ("cpu/cpu.rt_runtime_us", "1000"),
        REFUSED,
        None,
    ),
    limit(
        "choice of CPUs",
        Flags("--cpuset-cpus 0"),
        ("cpuset/cpuset.cpus", "0"),
        ("cpuset.cpus", "0"),
        Some(("grep -w Cpus_allowed_list /proc/self/status", "\t0\n")),
    ),
    limit("choice of memory nodes", Flags("--cpuset-mems 0"), ("cpuset/cpuset.mems", "0"), ("cpuset.mems", "0"), None),
    limit(
        "processes",
        Flags("--pids-limit 5"),
        ("pids/pids.max", "5"),
        ("pids.max", "5"),
        Some(("sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done' 2>&1", "fork")),
    ),
    limit(
        "disk weight",
        Flags("--blkio-weight 200"),
        ("blkio/blkio.bfq.weight", "200"),
        ("io.bfq.weight", "default 200"),
        None,
    ),
    limit(
        "bytes read",
        Flags("--device-read-bps $DISK:8mb"),
        ("blkio/blkio.throttle.read_bps_device", "$NUMBER 8388608"),
        ("io.max", "rbps=8388608"),
        None,
    ),
    limit(
        "bytes written",
        Flags("--device-write-bps $DISK:1mb"),
        ("blkio/blkio.throttle.write_bps_device", "$NUMBER 1048576"),
        ("io.max", "wbps=1048576"),
        None,
    ),
    limit(
        "reads",
        Flags("--device-read-iops $DISK:300"),
        ("blkio/blkio.throttle.read_iops_device", "$NUMBER 300"),
        ("io.max", "riops=300"),
        None,
    ),
    limit(
        "writes",
        Flags("--device-write-iops $DISK:200"),
        ("blkio/blkio.throttle.write_iops_device", "$NUMBER 200"),
        ("io.max", "wiops=200"),
        None,
    ),
    limit(
        "huge pages",
        Bundle(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#),
        ("hugetlb/hugetlb.2MB.limit_in_bytes", "4194304"),
        ("hugetlb.2MB.max", "4194304"),
        None,
    ),
    limit(
        "RDMA",
        Bundle(r#"{"rdma":{"mlx5_0":{"hcaHandles":3}}}"#),
        ("rdma/rdma.max", "mlx5_0 hca_handle=3"),
        ("rdma.max", "mlx5_0 hca_handle=3"),
        None,
    ),
    limit(
        "class of packets",
        Bundle(r#"{"network":{"classID":1048577}}"#),
        ("net_cls/net_cls.classid", "1048577"),
        REFUSED,
        None,
    ),
    limit("unified", Bundle(r#"{"unified":{"memory.high":"33554432"}}"#), REFUSED, ("memory.high", "33554432"), None),
    limit("unified, a file that is not there", Bundle(r#"{"unified":{"memory.nosuch":"1"}}"#), REFUSED, REFUSED, None),
    limit(
        "open files",
        Flags("--ulimit nofile=100:200"),
        ("/proc/self/limits", "open files            100                  200"),
        ("/proc/self/limits", "open files            100                  200"),
        Some(("ulimit -n", "100")),
    ),
    limit(
        "core files",
        Flags("--ulimit core=0"),
        ("/proc/self/limits", "core file size        0                    0"),
        ("/proc/self/limits", "core file size        0                    0"),
        None,
    ),
    limit(
        "/dev/shm",
        Flags("--shm-size 1m"),
        ("/proc/self/mounts", "size=1024k"),
        ("/proc/self/mounts", "size=1024k"),
        Some(("head -c 2m /dev/zero >/dev/shm/file 2>/dev/null || stat -c %s /dev/shm/file", "1048576")),
    ),
    limit(
        "OOM score",
        Flags("--oom-score-adj 500"),
        ("/proc/self/oom_score_adj", "500"),
        ("/proc/self/oom_score_adj", "500"),
        None,
    ),
    limit(
        "no device",
        Flags(""),
        ("/proc/self/oom_score_adj", ""),
        ("/proc/self/oom_score_adj", ""),
        Some(("(mknod /tmp/node c 10 237 && : </tmp/node) 2>&1", "ermitted")),
    ),
    // An ordinary user makes no node, and no cgroup keeps those of the host from him: the rule is true for him anyway.
    limit(
        "a device, by a rule",
        Flags("--device-cgroup-rule 'c 10:237 r'"),
        ("/proc/self/oom_score_adj", ""),
        ("/proc/self/oom_score_adj", ""),
        Some((
            "mknod /tmp/node c 10 237 2>/dev/null || echo open; (: </tmp/node) 2>&1 | grep permitted || echo open",
            "open",
        )),
    ),
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    /// An ordinary user: whoever runs this, or one that is made up.
    User,
}

#[derive(Debug)]
enum Ended {
    InForce,
    Refused(String),
    Silent(String),
}

struct Lab {
    folder: PathBuf,
    sampan: PathBuf,
    /// Node and number of a whole disk.
    disk: Option<(String, String)>,
}

/// # Errors
/// A limit is asked for, and neither in force nor refused; or the lab cannot run here.
pub fn run(words: &[&str]) -> Result<(), String> {
    let sampan = match words.iter().find_map(|word| word.strip_prefix("--sampan=")) {
        Some(path) => PathBuf::from(path),
        None => {
            command::succeed(&mut command::cargo(&["build", "--release", "--quiet", "--package", "sampan"]))?;
            command::binary("release")?
        }
    };
    let count = all(sampan)?;
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed.len(), count.skipped.len());
    if count.failed.is_empty() { Ok(()) } else { Err(format!("{} failed", count.failed.len())) }
}

/// The same, for the suite.
///
/// # Errors
/// The lab cannot run here.
pub fn short() -> Result<Count, String> {
    if command::find("busybox").is_none() {
        let skipped = vec!["lab limits: there is no static busybox".to_owned()];
        return Ok(Count { skipped, ..Count::default() });
    }
    all(command::binary("release")?)
}

fn all(sampan: PathBuf) -> Result<Count, String> {
    let lab = Lab::new(sampan)?;
    let mut count = Count::default();
    println!("limits: this host has {}", layout());
    let whom: &[Who] = if command::is_root() { &[Who::Root, Who::User] } else { &[Who::User] };
    for who in whom {
        lab.starts(*who)?;
        for limit in LIMITS {
            lab.judge(&mut count, *who, limit)?;
        }
    }
    Ok(count)
}

/// In the words of the issue that this proves.
fn layout() -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let has = |kind: &str| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    let kind = match (has("cgroup"), has("cgroup2")) {
        (true, true) => "cgroup v1 with a v2 tree beside it",
        (true, false) => "cgroup v1",
        (false, true) => "cgroup v2",
        (false, false) => "no cgroups",
    };
    let systemd = if Path::new("/run/systemd/system").exists() { ", divided by a systemd" } else { "" };
    format!("{kind}{systemd}")
}

impl Lab {
    fn new(sampan: PathBuf) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("sampan-lab-limits-{}", std::process::id()));
        let lab = Self { sampan: folder.join("sampan"), folder, disk: disk() };
        let failed = |error: std::io::Error| format!("cannot make {}: {error}", lab.folder.display());
        let state = lab.folder.join("user/state");
        fs::create_dir_all(&state).map_err(failed)?;
        fs::set_permissions(state, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        // A copy: an ordinary user may not look into the build.
        fs::copy(sampan, &lab.sampan).map_err(failed)?;
        command::output(Command::new("bash").args(["-c", super::errors::IMAGE]).env("LAB", &lab.folder))?;
        let own = lab.folder.join("user");
        command::output(Command::new("cp").arg("-a").arg(lab.folder.join("rootfs")).arg(&own))?;
        if command::is_root() {
            command::output(Command::new("chown").args(["-R", "4321:4321"]).arg(&own))?;
        }
        Ok(lab)
    }

    /// Else every refusal would be about something else.
    fn starts(&self, who: Who) -> Result<(), String> {
        for by in [Flags(""), Bundle("{}")] {
            let (code, _, err) = self.container(who, &limit("", by, REFUSED, REFUSED, None), "true")?;
            if code != 0 {
                return Err(format!("no container starts, with no limit: {}", err.trim()));
            }
        }
        Ok(())
    }

    fn judge(&self, count: &mut Count, who: Who, limit: &Limit) -> Result<(), String> {
        let whose = if who == Who::Root { "root's" } else { "a user's" };
        let name = format!("limits: {whose} {}", limit.name);
        let asked = match limit.by {
            Flags(words) | Bundle(words) => words,
        };
        if asked.contains("$DISK") && self.disk.is_none() {
            println!("{name}: skipped: no disk with a node");
            count.skipped.push(format!("{name}: no disk with a node"));
            return Ok(());
        }
        match self.attempt(who, limit)? {
            Ended::InForce => println!("{name}: in force"),
            Ended::Refused(why) => println!("{name}: refused: {why}"),
            Ended::Silent(why) => {
                println!("{name}: FAILED: {why}");
                count.failed.push(name);
                return Ok(());
            }
        }
        count.passed += 1;
        Ok(())
    }

    fn attempt(&self, who: Who, limit: &Limit) -> Result<Ended, String> {
        let ((one, right1), (two, right2)) = (limit.v1, limit.v2);
        let place = |file: &str| if file.starts_with('/') { file.to_owned() } else { format!("/sys/fs/cgroup/{file}") };
        let files = [
            (one, place(one), right1),
            (two, place(two), right2),
            (two, format!("/sys/fs/cgroup/unified/{two}"), right2),
        ];
        let look: String = files
            .iter()
            .filter(|(file, ..)| !file.is_empty())
            .map(|(_, path, _)| format!("[ ! -f {path} ] || {{ echo AT {path}; cat {path}; exit; }}; "))
            .collect();
        let (code, out, err) = self.container(who, limit, &format!("{look}echo NOWHERE"))?;
        if code != 0 {
            let why = err.trim().replace('\n', "; ");
            let silent = || Ended::Silent(format!("it ends with {code} and no word"));
            return Ok(if why.is_empty() { silent() } else { Ended::Refused(why) });
        }
        let Some((at, text)) = out.strip_prefix("AT ").and_then(|rest| rest.split_once('\n')) else {
            return Ok(Ended::Silent("it started, and the kernel has no such file".to_owned()));
        };
        let right = files.iter().find(|(_, path, _)| path == at).map_or("", |(.., right)| right);
        let number = self.disk.as_ref().map_or("", |(_, number)| number);
        let right = right.replace("$NUMBER", number);
        if !text
            .lines()
            .any(|line| line == right || right.contains(['=', ' ']) && line.contains(&right) || right.is_empty())
        {
            return Ok(Ended::Silent(format!("{right:?} was asked for, and {at} has {:?}", text.trim())));
        }
        let Some((script, word)) = limit.felt else { return Ok(Ended::InForce) };
        let (_, out, err) = self.container(who, limit, script)?;
        if out.contains(word) { Ok(Ended::InForce) } else { Ok(Ended::Silent(format!("it is not felt: {out}{err}"))) }
    }

    fn container(&self, who: Who, limit: &Limit, script: &str) -> Result<(i32, String, String), String> {
        let own = if who == Who::Root { self.folder.clone() } else { self.folder.join("user") };
        let rootfs = own.join("rootfs");
        let (data, state) = (own.join("data"), own.join("state"));
        let mut words: Vec<String> = Vec::new();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        match limit.by {
            Flags(flags) => {
                let disk = self.disk.as_ref().map_or("", |(node, _)| node);
                words.extend(
                    ["--root", &text(&data), "--state", &text(&state), "run", "--rm", "--network=none"]
                        .map(str::to_owned),
                );
                // One flag has a space in its value.
                let mut quoted = false;
                let split = |c: char| {
                    quoted ^= c == '\'';
                    c == ' ' && !quoted
                };
                let flags = flags.split(split).filter(|flag| !flag.is_empty());
                words.extend(flags.map(|flag| flag.trim_matches('\'').replace("$DISK", disk)));
                words.extend([
                    "--rootfs".to_owned(),
                    format!("{}:O", text(&rootfs)),
                    "sh".into(),
                    "-c".into(),
                    script.into(),
                ]);
            }
            Bundle(resources) => {
                self.bundle(who, &own, resources, script)?;
                let id = format!("limits-{}", std::process::id());
                words.extend(["oci", "--root", &text(&state), "run", "--bundle", &text(&own), &id].map(str::to_owned));
            }
        }
        let ran = self.as_whom(who).args(words).stdin(Stdio::null()).output();
        let ran = ran.map_err(|error| format!("cannot run sampan: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((ran.status.code().unwrap_or(-1), text(&ran.stdout), text(&ran.stderr)))
    }

    fn as_whom(&self, who: Who) -> Command {
        if who == Who::Root || !command::is_root() {
            return Command::new(&self.sampan);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=4321", "--regid=4321", "--clear-groups"]).arg(&self.sampan);
        command.current_dir("/").env("XDG_RUNTIME_DIR", self.folder.join("user/state"));
        command
    }

    /// sampan's own template, with the script and the resources.
    fn bundle(&self, who: Who, own: &Path, resources: &str, script: &str) -> Result<(), String> {
        let place = own.join("config.json");
        let _ = fs::remove_file(&place);
        let mut spec = self.as_whom(who);
        spec.args(["oci", "spec", "--bundle"]).arg(own);
        if who == Who::User {
            spec.arg("--rootless");
        }
        command::output(&mut spec)?;
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what} {}: {error}", place.display());
        let text = fs::read(&place).map_err(|error| failed("read", &error))?;
        let mut config: Value = serde_json::from_slice(&text).map_err(|error| failed("read", &error))?;
        let asked: Value = serde_json::from_str(resources).map_err(|error| failed("make", &error))?;
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["process"]["terminal"] = json!(false);
        config["linux"]["resources"] = asked;
        fs::write(&place, config.to_string()).map_err(|error| failed("write", &error))?;
        if who == Who::User && command::is_root() {
            chown(&place, Some(4321), Some(4321)).map_err(|error| failed("give away", &error))?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn disk() -> Option<(String, String)> {
    let mut disks = fs::read_dir("/sys/block").ok()?.flatten();
    disks.find_map(|disk| {
        let name = disk.file_name().into_string().ok()?;
        let node = format!("/dev/{name}");
        let real = disk.path().join("device").exists() && Path::new(&node).exists();
        let number = fs::read_to_string(disk.path().join("dev")).ok().filter(|_| real)?;
        Some((node, number.trim().to_owned()))
    })
}
