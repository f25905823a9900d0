//! Containers that live without a command that waits for them: create, start, run -d, stop, kill, wait, rename.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};
use std::fs;
use std::path::Path;

/// Says when it is asked to stop, and stops.
const POLITE: &str = "trap 'echo bye; exit 7' TERM; echo up; while :; do usleep 10000; done";

fn log(ground: &Ground, name: &str) -> String {
    let id = fs::read_link(ground.dir.join("data/names").join(name)).unwrap();
    let logs = ground.dir.join("data/containers").join(id).join("logs");
    let files = fs::read_dir(logs).into_iter().flatten().flatten();
    files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}

fn is_alive(pid: &serde_json::Value) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_container_runs_on_when_the_command_has_ended() {
    let Some(ground) = Ground::new() else { return };
    let id = ground.make(&["run", "-d", "--name=a"], &["sh", "-c", POLITE]).ok();
    assert_eq!(id.len(), 64);
    assert_eq!(ground.state("a"), "running");
    until("it has said something", || log(&ground, "a").contains("stdout F up\n"));
    let record = ground.record("a");
    assert!(is_alive(&record["pid"]) && is_alive(&record["monitor"]));
    // Nobody's terminal, directory or file is held by its monitor.
    let monitor = format!("/proc/{}", record["monitor"]);
    assert_eq!(fs::read_link(format!("{monitor}/cwd")).unwrap(), Path::new("/"));
    assert_eq!(fs::read_link(format!("{monitor}/fd/0")).unwrap(), Path::new("/dev/null"));
    assert!(fs::read_to_string(format!("{monitor}/comm")).unwrap().starts_with("sampan-monitor"));

    assert_eq!(ground.call(&["stop", "a"]).ok(), "a");
    let record = ground.record("a");
    assert_eq!((&record["exit_code"], &record["death"]["overdue"]), (&7.into(), &false.into()));
    assert_eq!(record["death"]["sent"]["signal"], 15);
    assert!(log(&ground, "a").contains("stdout F bye\n"));
    assert_eq!(ground.state("a"), "exited");
    // docker: one that does not run is stopped.
    assert_eq!(ground.call(&["stop", "a"]).ok(), "a");
    assert_eq!(ground.call(&["rm", "a"]).ok(), "a");
    ground.is_empty();
}

#[test]
fn a_container_is_made_and_started_as_often_as_one_likes() {
    let Some(ground) = Ground::new() else { return };
    let id =
        ground.make(&["create", "--name=a", "-e", "A=1"], &["sh", "-c", "echo $A >>/said; cat /said; exit 5"]).ok();
    assert_eq!(ground.state("a"), "created");
    assert_eq!(ground.call(&["wait", "a"]).ok(), "0", "docker's word for one that never ran");
    for time in 1..=3 {
        assert_eq!(ground.call(&["start", &id[..12]]).ok(), id[..12]);
        assert_eq!(ground.call(&["wait", "a"]).ok(), "5");
        assert_eq!(log(&ground, "a").matches("stdout F 1\n").count(), (1..=time).sum::<usize>());
    }
    ground.make(&["create", "--name=a"], &["true"]).fails(1, "already in use by container");
    ground.call(&["start", "absent"]).fails(1, "cannot find container absent");
    assert_eq!(ground.call(&["rm", "a"]).ok(), "a");
    ground.is_empty();
}

#[test]
fn what_cannot_be_started_leaves_nothing_of_a_run_and_the_reason_with_what_was_made() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d"], &["absent"]).fails(127, "absent");
    ground.make(&["create"], &["absent"]).fails(127, "absent");
    ground.file("bin/lost", "#!/bin/sh\n");
    let mount = format!("--mount=type=bind,src={},dst=/bin/own", ground.rootfs().join("bin/lost").display());
    ground.is_empty();
    ground.make(&["create", "--name=a", &mount], &["/bin/own"]).ok();
    fs::remove_file(ground.rootfs().join("bin/lost")).unwrap();
    ground.call(&["start", "a"]).fails(1, "bin/lost");
    assert_eq!(ground.state("a"), "created");
    ground.file("bin/lost", "#!/bin/sh\nexit 3\n");
    ground.call(&["start", "a"]).ok();
    assert_eq!(ground.call(&["wait", "a"]).ok(), "3");
}

#[test]
fn who_does_not_stop_in_time_is_killed() {
    let Some(ground) = Ground::new() else { return };
    let deaf = "trap '' TERM; echo up; while :; do sleep 1; done";
    ground.make(&["run", "-d", "--name=a", "--stop-timeout=1"], &["sh", "-c", deaf]).ok();
    until("it is up", || log(&ground, "a").contains("up"));
    ground.call(&["stop", "a"]).ok();
    let record = ground.record("a");
    assert_eq!((&record["exit_code"], &record["death"]["overdue"]), (&137.into(), &true.into()));
    ground.call(&["start", "a"]).ok();
    assert_eq!(ground.call(&["stop", "--time=0", "a"]).ok(), "a");
    // Its own signal, and one that is named.
    ground
        .make(
            &["run", "-d", "--name=b", "--stop-signal=USR1"],
            &["sh", "-c", "trap 'exit 3' USR1; echo up; while :; do usleep 10000; done"],
        )
        .ok();
    until("it is up", || log(&ground, "b").contains("up"));
    ground.call(&["stop", "b"]).ok();
    assert_eq!(ground.record("b")["exit_code"], 3);
    ground
        .make(&["run", "-d", "--name=c"], &["sh", "-c", "trap 'exit 4' INT; echo up; while :; do usleep 10000; done"])
        .ok();
    until("it is up", || log(&ground, "c").contains("up"));
    ground.call(&["stop", "-s", "INT", "c"]).ok();
    assert_eq!(ground.record("c")["exit_code"], 4);
}

#[test]
fn signals_are_sent_and_the_sender_is_known() {
    let Some(ground) = Ground::new() else { return };
    let script = "trap 'echo hup' HUP; echo up; while :; do usleep 10000; done";
    ground.make(&["run", "-d", "--name=a"], &["sh", "-c", script]).ok();
    until("it is up", || log(&ground, "a").contains("up"));
    assert_eq!(ground.call(&["kill", "--signal=HUP", "a"]).ok(), "a");
    until("it got the signal", || log(&ground, "a").contains("hup"));
    assert_eq!(ground.call(&["kill", "a"]).ok(), "a");
    let record = ground.record("a");
    assert_eq!((&record["exit_code"], &record["death"]["signal"]), (&137.into(), &9.into()));
    assert_eq!((&record["death"]["sent"]["program"], &record["death"]["sent"]["uid"]), (&"sampan".into(), &0.into()));
    ground.call(&["kill", "a"]).fails(1, "it is not running");
}

#[test]
fn one_that_goes_with_its_end_leaves_nothing_and_who_waits_is_told() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--rm", "--name=a"], &["sh", "-c", "sleep 0.5; exit 9"]).ok();
    assert_eq!(ground.call(&["wait", "a"]).ok(), "9");
    ground.is_empty();
    ground.make(&["run", "-d", "--rm", "--name=a"], &["sleep", "1000"]).ok();
    // docker: a restart is no end.
    ground.call(&["restart", "--time=0", "a"]).ok();
    assert_eq!(ground.state("a"), "running");
    ground.call(&["rm", "a"]).fails(1, "it is running");
    assert_eq!(ground.call(&["rm", "-f", "a"]).ok(), "a");
    ground.is_empty();
}

#[test]
fn a_name_can_be_changed_and_taken_over() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a"], &["sleep", "1000"]).ok();
    ground.make(&["create", "--name=b"], &["true"]).ok();
    ground.call(&["rename", "a", "b"]).fails(1, "already in use");
    ground.call(&["rename", "a", "c"]).ok();
    assert_eq!((ground.state("a"), ground.state("c")), (String::new(), "running".to_owned()));
    ground.call(&["stop", "--time=0", "c"]).ok();
    assert_eq!(ground.state("c"), "exited");
    let id = ground.make(&["run", "-d", "--replace", "--name=c"], &["sleep", "1000"]).ok();
    assert_eq!(ground.record("c")["id"], id);
    let other = ground.make(&["run", "-d", "--replace", "--name=c"], &["sleep", "1000"]).ok();
    assert_eq!(ground.record("c")["id"], other);
    assert_eq!(ground.listed().len(), 2);
}

#[test]
fn the_death_of_its_monitor_is_its_own_and_the_next_command_says_so() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a"], &["sleep", "1000"]).ok();
    let record = ground.record("a");
    let kill = |pid: &serde_json::Value| {
        assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    };
    kill(&record["monitor"]);
    until("its process is gone", || !is_alive(&record["pid"]));
    assert_eq!(ground.state("a"), "exited");
    let record = ground.record("a");
    assert_eq!((&record["exit_code"], &record["death"]["unseen"]), (&137.into(), &true.into()));
    ground.call(&["start", "a"]).ok();
    assert_eq!(ground.state("a"), "running");
    kill(&ground.record("a")["pid"]);
    until("its end was seen", || ground.state("a") == "exited");
    assert_eq!(ground.record("a")["death"]["unseen"], false);
}

#[test]
fn out_of_memory_is_told_with_limit_and_peak() {
    let Some(ground) = Ground::new() else { return };
    let made = ground.make(&["run", "-d", "--name=a", "--memory=16m"], &["sh", "-c", "tail /dev/zero"]);
    if made.code != 0 {
        println!("skipped: {}", made.err);
        return;
    }
    ground.call(&["wait", "a"]).ok();
    let record = ground.record("a");
    assert_eq!(record["out_of_memory"], true, "{record}");
    assert_eq!(record["death"]["memory_limit"], 16 << 20);
    assert!(record["death"]["memory_peak"].as_u64().unwrap() > 8 << 20, "{record}");
}
