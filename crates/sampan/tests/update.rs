//! `sampan update`: limits of containers that run, and of those that are to be started.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::live::Live;
use ground::{Ground, ran};
use std::fs;

/// A file of the container's cgroup: of its own in the v1 hierarchy of the controller, or on v2.
fn file(live: &Live, controller: &str, v1: &str, v2: &str) -> Option<String> {
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", live.pid())).unwrap();
    let path = |line: &str| line.splitn(3, ':').nth(2).unwrap().to_owned();
    let serves = |line: &&str| line.split(':').nth(1).unwrap().split(',').any(|name| name == controller);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = |is: &dyn Fn(&str) -> bool| {
        let point = |line: &str| line.split(' ').nth(4).unwrap().to_owned();
        mounts.lines().find(|line| is(line)).map(point)
    };
    let of_v1 = |line: &str| {
        line.contains(" - cgroup ")
            && line.rsplit(',').next().is_some()
            && line.split([',', ' ']).any(|it| it == controller)
    };
    let (dir, name) = match cgroup.lines().find(serves) {
        Some(line) => (mount(&of_v1)? + &path(line), v1),
        None => (
            mount(&|line| line.contains(" - cgroup2 "))? + &path(cgroup.lines().find(|line| line.starts_with("0::"))?),
            v2,
        ),
    };
    assert!(dir.contains(&live.id()), "{controller}: {dir}");
    fs::read_to_string(format!("{dir}/{name}")).ok().map(|text| text.trim().to_owned())
}

#[test]
fn limits_of_one_that_runs() {
    let Some(live) = Live::new(&["--memory=64m"]) else { return };
    // More processes than one, which all have to come along.
    live.sampan(&["exec", "-d", "c", "sh", "-c", "while :; do usleep 1000; done"]).ok();
    assert_eq!(live.sampan(&["update", "--memory=128m", "c"]).ok(), "c");
    assert_eq!(file(&live, "memory", "memory.limit_in_bytes", "memory.max").unwrap(), (128 << 20).to_string());
    live.sampan(&["container", "update", "-m", "32m", "--memory-swap=48m", "c"]).ok();
    assert_eq!(file(&live, "memory", "memory.limit_in_bytes", "memory.max").unwrap(), (32 << 20).to_string());
    // Of which it had none when it was started.
    live.sampan(&["update", "--pids-limit=17", "--cpus=0.5", "--cpu-shares=512", "--cpuset-cpus=0", "c"]).ok();
    assert_eq!(file(&live, "pids", "pids.max", "pids.max").unwrap(), "17");
    let quota = file(&live, "cpu", "cpu.cfs_quota_us", "cpu.max").unwrap();
    assert!(quota == "50000" || quota == "50000 100000", "{quota}");
    assert_eq!(file(&live, "cpuset", "cpuset.cpus", "cpuset.cpus").unwrap(), "0");
    let many = live.sampan(&["exec", "c", "sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done 2>&1"]);
    assert!(many.out.contains("fork"), "a new process is bound by it, too: {many:?}");
    live.sampan(&["update", "--pids-limit=-1", "c"]).ok();
    assert_eq!(file(&live, "pids", "pids.max", "pids.max").unwrap(), "max");
    live.sampan(&["update", "--cpu-quota=1000", "c"]).ok();
    live.sampan(&["update", "c"]).fails(1, "nothing to update");
    live.sampan(&["update", "--cpuset-cpus=999", "c"]).fails(1, "999");
    live.sampan(&["update", "--oom-score-adj=5", "c"]).fails(1, "cannot be changed");
    live.sampan(&["update", "--restart=always", "c"]).fails(1, "--rm");
    live.sampan(&["update", "--memory=1g", "absent"]).fails(1, "absent");
    // What was made for it goes with it.
    let id = live.id();
    live.end();
    let left = std::process::Command::new("find").args(["/sys/fs/cgroup", "-name", &id]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn what_is_updated_holds_for_the_next_start() {
    let Some(ground) = Ground::new() else { return };
    let sampan = |words: &[&str]| ran(ground.command(words).output().unwrap());
    let rootfs = format!("{}:O", ground.rootfs().display());
    let run =
        ["run", "-d", "--name=c", "--network=none", "--memory=64m", "--cpus=2", "--rootfs", &rootfs, "sleep", "1000"];
    sampan(&run).ok();
    let limits = |pids: &str, memory: u64| {
        let pid = sampan(&["inspect", "--format", "{{.State.Pid}}", "c"]).ok();
        let pids_max = sampan(&[
            "exec",
            "c",
            "sh",
            "-c",
            "i=0; while [ $i -lt 30 ]; do sleep 1 & i=$((i+1)); done 2>&1; wait; echo end",
        ]);
        assert_eq!(pids_max.out.contains("fork"), pids != "max", "{pids_max:?} {pid}");
        let shown = sampan(&["inspect", "--format", "{{.HostConfig.Memory}}", "c"]).ok();
        assert_eq!(shown, memory.to_string());
    };
    limits("max", 64 << 20);
    sampan(&["update", "--memory=96m", "--pids-limit=15", "--restart=on-failure:2", "c"]).ok();
    limits("15", 96 << 20);
    sampan(&["update", "--cpu-period=50000", "c"]).fails(1, "--cpus");
    sampan(&["restart", "-t", "0", "c"]).ok();
    limits("15", 96 << 20);
    assert_eq!(sampan(&["inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", "c"]).ok(), "on-failure");
    sampan(&["stop", "-t", "0", "c"]).ok();
    // One that does not run.
    sampan(&["update", "--memory=80m", "--latest"]).ok();
    sampan(&["start", "c"]).ok();
    limits("15", 80 << 20);
    sampan(&["rm", "-f", "c"]).ok();
}

#[test]
fn a_policy_is_in_force_at_once() {
    let Some(ground) = Ground::new() else { return };
    let sampan = |words: &[&str]| ran(ground.command(words).output().unwrap());
    let rootfs = format!("{}:O", ground.rootfs().display());
    sampan(&["run", "-d", "--name=c", "--network=none", "--rootfs", &rootfs, "sleep", "1000"]).ok();
    sampan(&["update", "--restart=always", "c"]).ok();
    let pid = || sampan(&["inspect", "--format", "{{.State.Pid}}", "c"]).ok();
    let first = pid();
    assert!(std::process::Command::new("kill").args(["-KILL", &first]).status().unwrap().success());
    ground::until("it is started again", || !["0", &first].contains(&pid().as_str()));
    sampan(&["update", "--restart=no", "c"]).ok();
    assert!(std::process::Command::new("kill").args(["-KILL", &pid()]).status().unwrap().success());
    ground::until("it stays ended", || sampan(&["ps", "-a", "--format", "{{.State}}"]).ok() == "exited");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(sampan(&["ps", "-a", "--format", "{{.State}}"]).ok(), "exited");
    sampan(&["rm", "c"]).ok();
}

/// The undo of what an update made is in the journal of another process, which dies.
#[test]
fn it_is_undone_even_after_a_kill() {
    let Some(ground) = Ground::new() else { return };
    let sampan = |words: &[&str]| ran(ground.command(words).output().unwrap());
    let rootfs = format!("{}:O", ground.rootfs().display());
    let id = sampan(&["run", "-d", "--name=c", "--network=none", "--rootfs", &rootfs, "sleep", "1000"]).ok();
    sampan(&["update", "--pids-limit=50", "--cpus=0.5", "c"]).ok();
    let record = fs::read_to_string(ground.dir.join(format!("state/containers/{id}.json"))).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert!(
        std::process::Command::new("kill").args(["-KILL", &record["monitor"].to_string()]).status().unwrap().success()
    );
    let left = || {
        sampan(&["ps"]).ok();
        let found = std::process::Command::new("find").args(["/sys/fs/cgroup", "-name", &id]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).into_owned()
    };
    ground::until("all of it is gone", || left().is_empty());
    // It has the limits when it is started again.
    sampan(&["start", "c"]).ok();
    let many = sampan(&["exec", "c", "sh", "-c", "i=0; while [ $i -lt 90 ]; do sleep 2 & i=$((i+1)); done 2>&1; echo"]);
    assert!(many.out.contains("fork"), "{many:?}");
    sampan(&["rm", "-f", "c"]).ok();
}

#[test]
fn why_it_died_knows_the_new_limit() {
    let Some(ground) = Ground::new() else { return };
    let hungry = "while [ ! -e /go ]; do usleep 10000; done; tail /dev/zero";
    ground.make(&["run", "-d", "--name=a"], &["sh", "-c", hungry]).ok();
    let updated = ground.call(&["update", "--memory=16m", "a"]);
    if updated.code != 0 {
        println!("skipped: {}", updated.err);
        ground.call(&["rm", "-f", "a"]).ok();
        return;
    }
    ground.call(&["exec", "a", "touch", "/go"]).ok();
    ground.call(&["wait", "a"]).ok();
    let record = ground.record("a");
    assert_eq!((&record["out_of_memory"], &record["death"]["memory_limit"]), (&true.into(), &(16 << 20).into()));
    assert!(record["death"]["memory_peak"].as_u64().unwrap() > 8 << 20, "{record}");
}
