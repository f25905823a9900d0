//! `--restart` and `sampan restart`: who is started again, when, and how often.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};

#[test]
fn one_that_fails_is_started_again_so_many_times() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a", "--restart=on-failure:2"], &["sh", "-c", "echo x >>/times; exit 3"]).ok();
    until("it is given up", || ground.state("a") == "exited");
    let record = ground.record("a");
    assert_eq!((&record["restarts"], &record["exit_code"]), (&2.into(), &3.into()));
    let monitor = record["monitor"].to_string();
    until("its monitor is gone", || !std::path::Path::new("/proc").join(&monitor).exists());

    ground.make(&["run", "-d", "--name=b", "--restart=on-failure"], &["true"]).ok();
    until("it has ended", || ground.state("b") == "exited");
    assert_eq!(ground.record("b")["restarts"], 0);
}

#[test]
fn one_that_is_always_there_keeps_its_monitor_and_stops_when_asked() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a", "--restart=always"], &["sh", "-c", "sleep 0.1"]).ok();
    let monitor = ground.record("a")["monitor"].clone();
    until("it was started twice more", || ground.record("a")["restarts"].as_u64() >= Some(2));
    assert_eq!(ground.record("a")["monitor"], monitor);
    until("it waits", || ground.state("a") == "restarting");
    assert_eq!(ground.call(&["stop", "a"]).ok(), "a");
    assert_eq!(ground.state("a"), "exited");
    ground.call(&["start", "a"]).ok();
    assert_eq!(ground.record("a")["restarts"], 0);
    until("it was started again", || ground.record("a")["restarts"].as_u64() >= Some(1));
    assert_eq!(ground.call(&["rm", "-f", "a"]).ok(), "a");
    ground.is_empty();
}

#[test]
fn a_kill_is_no_failure() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a", "--restart=always"], &["sleep", "1000"]).ok();
    ground.call(&["kill", "a"]).ok();
    assert_eq!(ground.state("a"), "exited");
    ground.call(&["start", "a"]).ok();
    // From outside it is one.
    let pid = ground.record("a")["pid"].clone();
    assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    until("it was started again", || ground.record("a")["restarts"] == 1);
    assert!(ground.state("a") == "running" && ground.record("a")["pid"] != pid);
}

#[test]
fn a_restart_is_another_process_of_the_same_container() {
    let Some(ground) = Ground::new() else { return };
    let id = ground.make(&["run", "-d", "--name=a"], &["sh", "-c", "echo x >>/times; sleep 1000"]).ok();
    let before = ground.record("a");
    assert_eq!(ground.call(&["restart", "--time=0", "a"]).ok(), "a");
    let after = ground.record("a");
    assert!(after["id"] == id && after["created"] == before["created"] && after["pid"] != before["pid"]);
    let upper = ground.dir.join("data/containers").join(&id).join("upper/times");
    until("it has begun", || std::fs::read_to_string(&upper).is_ok_and(|text| text == "x\nx\n"));
    ground.call(&["stop", "--time=0", "a"]).ok();
    ground.call(&["restart", "a"]).ok();
    assert_eq!(ground.state("a"), "running");
    let bad = ground.make(&["run", "--rm", "--restart=sometimes"], &["true"]);
    bad.fails(125, "unknown restart policy");
}
