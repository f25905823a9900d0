//! What is left when processes die, race, or lose what they stand on: nothing, and of what was acknowledged all.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn kill(pid: &serde_json::Value) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
}

fn is_gone(pid: &serde_json::Value) -> bool {
    let zombie = |stat: String| stat.contains(") Z ");
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, zombie)
}

#[test]
fn of_many_that_start_a_container_one_does() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["create", "--name=a"], &["sh", "-c", "echo x >>/times; sleep 1000"]).ok();
    for time in 1..=5 {
        let starts: Vec<_> =
            (0..6).map(|_| ground.command(&["start", "a"]).stdout(Stdio::null()).spawn().unwrap()).collect();
        for mut start in starts {
            assert!(start.wait().unwrap().success());
        }
        let id = fs::read_link(ground.dir.join("data/names/a")).unwrap();
        let times = ground.dir.join("data/containers").join(id).join("upper/times");
        until("it has begun", || fs::read_to_string(&times).is_ok_and(|text| text.len() == 2 * time));
        ground.call(&["stop", "--time=0", "a"]).ok();
    }
}

#[test]
fn a_start_and_a_removal_at_once_leave_a_container_or_none() {
    let Some(ground) = Ground::new() else { return };
    for _ in 0..10 {
        ground.make(&["create", "--name=a"], &["sleep", "1000"]).ok();
        let mut start = ground.command(&["start", "a"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let removed = ground.call(&["rm", "a"]);
        start.wait().unwrap();
        match ground.state("a").as_str() {
            "" => assert_eq!(removed.code, 0, "{removed:?}"),
            "running" => assert!(removed.code == 1, "{removed:?}"),
            other => panic!("{other}: {removed:?}"),
        }
        ground.call(&["rm", "-f", "a"]).ok();
        ground.is_empty();
    }
}

#[test]
fn a_start_does_not_take_a_new_name_back() {
    let Some(ground) = Ground::new() else { return };
    for round in 0..12u64 {
        ground.make(&["create", "--name=a"], &["sleep", "1000"]).ok();
        let mut start = ground.command(&["start", "a"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 3));
        ground.call(&["rename", "a", "b"]).ok();
        // Under whichever name it was asked for.
        start.wait().unwrap();
        let names: Vec<_> = ground.listed().into_iter().map(|row| row["Names"].clone()).collect();
        assert_eq!(names, ["b"], "{round}");
        ground.call(&["start", "b"]).ok();
        assert_eq!(ground.state("b"), "running");
        ground.call(&["stop", "--time=0", "b"]).ok();
        assert_eq!(ground.state("b"), "exited");
        ground.call(&["rm", "b"]).ok();
        ground.is_empty();
    }
}

#[test]
fn monitor_and_container_die_in_any_order_at_any_time() {
    let Some(ground) = Ground::new() else { return };
    for round in 0..8 {
        let keep = round % 2 == 0;
        let flags: &[&str] = if keep { &["run", "-d", "--name=a"] } else { &["run", "-d", "--name=a", "--rm"] };
        ground.make(flags, &["sh", "-c", "while :; do echo x; usleep 1000; done"]).ok();
        let record = ground.record("a");
        let (first, second) = if round % 4 < 2 { ("pid", "monitor") } else { ("monitor", "pid") };
        kill(&record[first]);
        std::thread::sleep(std::time::Duration::from_millis(round * 2));
        kill(&record[second]);
        until("both are gone", || is_gone(&record["pid"]) && is_gone(&record["monitor"]));
        let state = ground.state("a");
        assert_eq!(state, if keep { "exited" } else { "" }, "{round}");
        ground.call(&["rm", "-f", "a"]).ok();
        ground.is_empty();
    }
}

#[test]
fn a_start_is_killed_at_any_time() {
    let Some(ground) = Ground::new() else { return };
    for round in 0..15u64 {
        let mut run = ground.command(&["run", "-d", "--network=none", "--name=a", "--rootfs"]);
        run.arg(format!("{}:O", ground.rootfs().display())).args(["sleep", "1000"]);
        let mut run = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 3));
        run.kill().unwrap();
        let said = run.wait_with_output().unwrap().stdout;
        // What it has begun goes on without it, or was never there: but not for ever in between.
        until("it is there or not", || matches!(ground.state("a").as_str(), "" | "running"));
        if !said.is_empty() {
            assert_eq!(ground.state("a"), "running", "it was acknowledged");
        }
        ground.call(&["rm", "-f", "a"]).ok();
        let left = || fs::read_dir(ground.dir.join("data/containers")).is_ok_and(|mut left| left.next().is_some());
        until("nothing is left", || !left());
    }
}

#[test]
fn a_lost_state_directory_takes_no_container_with_it() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a"], &["sleep", "1000"]).ok();
    let record = ground.record("a");
    fs::remove_dir_all(ground.dir.join("state")).unwrap();
    // Nobody can speak with its monitor any more, so it ends; the container is kept.
    until("it is not running", || ground.state("a") == "exited");
    until("its process is gone", || is_gone(&record["pid"]));
    ground.call(&["start", "a"]).ok();
    assert_eq!(ground.state("a"), "running");
    assert!(Path::new(&format!("/proc/{}", ground.record("a")["pid"])).exists());
}

#[test]
fn after_a_boot_comes_back_what_its_policy_says() {
    let Some(ground) = Ground::new() else { return };
    let make = |name: &str, policy: &str, command: &[&str]| {
        ground
            .make(
                &["run", "-d", &format!("--name={name}"), &format!("--restart={policy}"), "--stop-timeout=1"],
                command,
            )
            .ok();
    };
    make("always", "always", &["sleep", "1000"]);
    make("unless", "unless-stopped", &["sleep", "1000"]);
    make("stopped", "unless-stopped", &["sleep", "1000"]);
    make("never", "no", &["sleep", "1000"]);
    ground.call(&["stop", "--time=0", "stopped"]).ok();
    let mut stopped: Vec<String> = ground.call(&["system", "stop-all"]).ok().lines().map(str::to_owned).collect();
    stopped.sort();
    assert_eq!(stopped, ["always", "never", "unless"]);
    assert!(ground.listed().iter().all(|row| row["State"] == "exited"));
    // The state directory of a machine that has just started is empty.
    let _ = fs::remove_dir_all(ground.dir.join("state"));
    assert_eq!(ground.call(&["system", "start-all"]).ok(), "always\nunless");
    assert_eq!((ground.state("stopped").as_str(), ground.state("never").as_str()), ("exited", "exited"));
    if !Path::new("/run/systemd/system").exists() {
        ground.call(&["system", "enable"]).fails(1, "systemd does not run here");
    }
    let pruned = ground.call(&["container", "prune", "-f"]).ok();
    assert!(pruned.starts_with("Deleted Containers:\n") && pruned.contains("Total reclaimed space"), "{pruned}");
    assert_eq!(ground.listed().len(), 2);
}
