//! Nothing is left of a container, wherever its start, its life or its undoing breaks off.
//!
//! Each step of the plan fails, and sampan or the container dies at it; then one ordinary command, and mounts, links,
//! addresses, rules, cgroups, processes, leases, files and sysctls are as before. Invariant: all of it happens in a
//! network namespace, directories and a cgroup parent of the test's own, so that it sees nothing of its neighbours.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::place::{Place, kill, until};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Each step of this run breaks off in each of the ways.
fn every_step(place: &Place, ways: &[&str], run: &dyn Fn() -> Command) {
    // Somebody else is in the network, so that what a container leaves there stays to be seen.
    let mut other = place.endless(&["--rm", "--name", "other", "-p", "9090:90"]);
    let before = place.state();
    let held = place.journals();
    let count = steps(&run().env("SAMPAN_FAULT", "fail:1").output().unwrap());
    for way in ways {
        for step in 1..=count {
            let what = format!("{way}:{step} of {count}");
            let output = run().env("SAMPAN_FAULT", &what[..way.len() + 1 + step.to_string().len()]).output().unwrap();
            match *way {
                "fail" => failed(&output, &what),
                // After it said that it was ready, its end is the container's.
                "die" if step == count => assert_eq!(output.status.code(), Some(137), "{what}: {output:?}"),
                "die" => assert!(matches!(output.status.code(), Some(0 | 125)), "{what}: {output:?}"),
                // The one that starts it is another process where a monitor is to watch it.
                _ => {
                    let killed = String::from_utf8_lossy(&output.stderr).contains("was killed");
                    assert!(output.status.code().is_none() || killed, "{what}: it was to be killed: {output:?}");
                }
            }
            if matches!(*way, "fail" | "die") {
                // Undone by the run itself.
                place.is_as(&before, &what);
                continue;
            }
            let left: Vec<_> = place.journals().into_iter().filter(|journal| !held.contains(journal)).collect();
            place.ps();
            if step == count {
                // Every step was done, so it could be seen to run, and is kept where it was to be.
                assert!(place.sampan(&["rm", "-f", "kept"]).status().unwrap().success());
            }
            place.is_as(&before, &what);
            // The same once more, from the journal that a reaper left that was killed before its last call.
            for (path, text) in &left {
                fs::write(path, text).unwrap();
            }
            place.ps();
            place.is_as(&before, &format!("{what}, undone twice"));
        }
    }
    kill(&mut other);
}

/// Of `step 1/85`.
#[track_caller]
fn steps(output: &Output) -> usize {
    let error = String::from_utf8_lossy(&output.stderr);
    let number = error.split_once("step 1/").and_then(|(_, rest)| rest.split_once(' ')?.0.parse().ok());
    number.unwrap_or_else(|| panic!("{output:?}"))
}

#[track_caller]
fn failed(output: &Output, what: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{what}: {error}");
    assert!(error.contains("\nstep:") && error.contains("EIO"), "{what}: {error}");
}

const WAYS: [&str; 4] = ["fail", "kill-before", "kill-after", "die"];

#[test]
fn every_step_of_a_bridged_container() {
    let Some(ground) = Place::new() else { return };
    let volume = format!("{}:/volume", ground.path("volume"));
    let flags = ["--rm", "-p", "8080:80", "-m", "64m", "--pids-limit", "50", "-v", &volume, "--name", "box"];
    every_step(&ground, &WAYS, &|| ground.shell(&flags, "true"));
}

#[test]
fn every_step_of_a_container_in_two_networks() {
    let Some(ground) = Place::new() else { return };
    for network in
        [&["--subnet", "10.9.1.0/24", "--ipv6", "one"][..], &["--subnet", "10.9.2.0/24", "--internal", "two"]]
    {
        assert!(ground.sampan(&[&["network", "create"], network].concat()).status().unwrap().success());
    }
    let flags = ["--rm", "-p", "8080:80", "--network=one:alias=db", "--network=two", "--name", "box"];
    every_step(&ground, &["fail", "kill-before", "kill-after"], &|| ground.shell(&flags, "true"));
}

#[test]
fn every_step_of_a_container_with_volumes() {
    let Some(ground) = Place::new() else { return };
    let memory = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory"];
    assert!(ground.sampan(&memory).status().unwrap().success());
    assert!(ground.sampan(&["secret", "create", "db", "/etc/hostname"]).status().unwrap().success());
    // One that nobody named gets what the image has there.
    let flags = ["--rm", "--network=none", "-v", "memory:/memory", "-v", "/bin", "--secret=db", "--name", "box"];
    let run = || ground.shell(&flags, "true");
    assert!(run().status().unwrap().success());
    every_step(&ground, &WAYS, &run);
}

#[test]
fn every_step_of_a_container_on_the_hosts_files() {
    let Some(ground) = Place::new() else { return };
    let parent = format!("--cgroup-parent=/{}", ground.name);
    every_step(&ground, &["fail", "kill-after"], &|| ground.sampan(&["run", &parent, "--rm", "host", "true"]));
}

#[test]
fn every_step_of_a_container_that_would_be_kept_with_a_terminal() {
    let Some(ground) = Place::new() else { return };
    every_step(&ground, &["fail", "kill-after"], &|| ground.shell(&["-t", "--name", "kept", "--user", "7:8"], "true"));
}

#[test]
fn sampan_is_killed_while_the_container_runs() {
    let Some(ground) = Place::new() else { return };
    drop(ground.shell(&["--rm"], "true").output().unwrap());
    ground.ps();
    until("the bridge to go", || !ground.state().iter().any(|line| line.contains("networks")));
    let before = ground.state();
    // A change of ids takes the parent-death signal back.
    for flags in [&["--rm"][..], &["--rm", "--user", "1000:1000"], &["--rm", "--init"], &["--rm", "--network=host"]] {
        let mut child = ground.endless(flags);
        kill(&mut child);
        // Before any other command: the kernel ends it.
        until("the end of the container", || ground.processes().is_empty());
        ground.ps();
        ground.is_as(&before, &format!("kill -9 of run {flags:?}"));
    }
}

#[test]
fn sampan_is_killed_while_it_undoes() {
    let Some(ground) = Place::new() else { return };
    let mut other = ground.endless(&["--rm", "--name", "other", "-p", "9090:90"]);
    let before = ground.state();
    for run in 0..40 {
        let keep = if run % 2 == 0 { "--rm" } else { "--init" };
        let mut child = ground.endless(&[keep, "--name", "box", "-p", "8080:80"]);
        let records = fs::read_dir(ground.dir.join("state/containers")).unwrap().flatten();
        let mut texts = records.filter_map(|record| fs::read_to_string(record.path()).ok());
        let record = texts.find(|text| text.contains("\"name\":\"box\"")).unwrap();
        let number = |key: &str| record.split_once(key).unwrap().1.split(',').next().unwrap().to_owned();
        let (pid, monitor) = (number("\"pid\":"), number("\"monitor\":"));
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        std::thread::sleep(Duration::from_micros(run * 250));
        if monitor != "0" {
            // It may have ended by now.
            let _ = Command::new("kill").args(["-9", &monitor]).stderr(Stdio::null()).status();
        }
        kill(&mut child);
        let alive = |stat: String| !stat.contains(") Z ");
        until("the monitor's end", || !fs::read_to_string(format!("/proc/{monitor}/stat")).is_ok_and(alive));
        ground.ps();
        if keep != "--rm" {
            // Kept, whatever came of the record of its end.
            let output = ground.sampan(&["rm", "box"]).output().unwrap();
            assert!(output.status.success(), "{run}: {output:?}");
        }
        ground.is_as(&before, &format!("run {run}"));
    }
    kill(&mut other);
}

#[test]
fn sampan_is_killed_at_any_time() {
    let Some(ground) = Place::new() else { return };
    drop(ground.shell(&["--rm"], "true").output().unwrap());
    ground.ps();
    until("the bridge to go", || !ground.state().iter().any(|line| line.contains("networks")));
    let before = ground.state();
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let ground = &ground;
            scope.spawn(move || {
                for run in 0..25u64 {
                    let mut child = ground.shell(&["--rm", "-m", "64m"], "true").spawn().unwrap();
                    // Spread over start, life, undoing and end.
                    std::thread::sleep(Duration::from_micros((worker * 25 + run) * 7919 % 97 * 700));
                    kill(&mut child);
                }
            });
        }
    });
    ground.ps();
    ground.is_as(&before, "100 kills");
}

#[test]
fn runs_that_reap_leave_each_other_alone() {
    let Some(ground) = Place::new() else { return };
    drop(ground.shell(&["--rm"], "true").output().unwrap());
    ground.ps();
    until("the bridge to go", || !ground.state().iter().any(|line| line.contains("networks")));
    let before = ground.state();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let ground = &ground;
            scope.spawn(move || {
                for run in 0..20 {
                    let name = format!("worker-{worker}");
                    let keep = if run % 2 == 0 { "--rm" } else { "--init" };
                    let output = ground.shell(&[keep, "--name", &name], "exit 7").output().unwrap();
                    assert_eq!(output.status.code(), Some(7), "{worker}/{run}: {output:?}");
                    if keep != "--rm" {
                        let output = ground.sampan(&["rm", &name]).output().unwrap();
                        assert!(output.status.success(), "{worker}/{run}: {output:?}");
                    }
                }
            });
        }
    });
    ground.is_as(&before, "160 runs");
}

#[test]
fn a_full_and_a_read_only_disk() {
    let Some(ground) = Place::new() else { return };
    let disk = ground.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        assert!(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", &disk]).status().unwrap().success());
    };
    let script = |data: &str, state: &str| {
        let rootfs = format!("{}:O", ground.path("rootfs"));
        let words = ["run", "--rm", "--rootfs", &rootfs, "/bin/busybox", "true"];
        ground.sampan_at(data, state, &words).output().unwrap()
    };
    let files = || {
        let output = Command::new("find").args([&disk, "-mindepth", "1", "-not", "-name", "filler"]).output().unwrap();
        let mut files: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        files
    };
    let (data, state) = (format!("{disk}/data"), format!("{disk}/state"));
    mount("size=256k");
    assert!(script(&data, &state).status.success());
    until("the bridge to go", || !files().iter().any(|file| file.contains("networks")));
    let before = files();
    // However little room there is, from none on.
    for free in 0..8 {
        let filler = format!("{disk}/filler");
        drop(Command::new("dd").args(["if=/dev/zero", &format!("of={filler}"), "bs=4096", "status=none"]).output());
        let size = fs::metadata(&filler).unwrap().len();
        fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(size - free * 4096).unwrap();
        let output = script(&data, &state);
        let error = String::from_utf8_lossy(&output.stderr);
        let clear = output.status.code() == Some(125) && (error.contains("ENOSPC") || error.contains("No space left"));
        assert!(clear || output.status.success(), "{free} pages free: {output:?}");
        fs::remove_file(filler).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while files() != before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(files(), before, "{free} pages free: {error}");
    }
    let state = ground.path("state");
    assert!(Command::new("mount").args(["-o", "remount,ro", &disk]).status().unwrap().success());
    let output = script(&data, &state);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(error.contains("EROFS") || error.contains("Read-only file system"), "{error}");
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
}
