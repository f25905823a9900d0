//! What is left of a command that is killed: what it had acknowledged, or what was before; and nothing else.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// `sampan WORDS`, killed after a part of the time that it takes; whether it had said that it was done.
fn killed(ground: &Ground, words: &[&str], after: Duration) -> bool {
    let mut child = ground.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Ever later, until it was done in time: so that each moment has its turn, whatever the machine's load.
fn at_each_moment(ground: &Ground, mut time: impl FnMut(Duration) -> bool) {
    let mut done = 0;
    for round in 0..200u64 {
        done += u32::from(time(Duration::from_micros(round * 700)));
        if done > 8 {
            break;
        }
    }
    assert!(done > 0, "it was never done");
    ground.call(&["ps"]).ok();
}

#[test]
fn a_removal() {
    let Some(ground) = Ground::new() else { return };
    at_each_moment(&ground, |after| {
        ground.make(&["create", "--name=a"], &["true"]).ok();
        let done = killed(&ground, &["rm", "a"], after);
        match ground.state("a").as_str() {
            "" => {}
            // Whole, then.
            "created" if !done => {
                ground.call(&["start", "--attach", "a"]).ok();
                ground.call(&["rm", "a"]).ok();
            }
            state => panic!("{state}, done: {done}"),
        }
        ground.is_empty();
        done
    });
}

#[test]
fn a_new_name() {
    let Some(ground) = Ground::new() else { return };
    at_each_moment(&ground, |after| {
        ground.make(&["create", "--name=a"], &["true"]).ok();
        let done = killed(&ground, &["rename", "a", "b"], after);
        let listed = ground.listed();
        let [row] = listed.as_slice() else { panic!("{listed:?}") };
        let name = row["Names"].as_str().unwrap();
        assert!(name == "b" || name == "a" && !done, "{name}, done: {done}");
        assert_eq!(names(&ground.dir.join("data/names")), [name]);
        ground.call(&["rm", name]).ok();
        ground.is_empty();
        done
    });
}

#[test]
fn a_new_name_of_one_that_runs() {
    let Some(ground) = Ground::new() else { return };
    ground.make(&["run", "-d", "--name=a"], &["sleep", "1000"]).ok();
    let id = ground.record("a")["id"].as_str().unwrap().to_owned();
    // As it is when it was killed between its two records.
    let running = ground.dir.join("state/containers").join(&id).with_extension("json");
    let text = fs::read_to_string(&running).unwrap();
    fs::write(&running, text.replace("\"name\":\"a\"", "\"name\":\"b\"")).unwrap();
    std::os::unix::fs::symlink(&id, ground.dir.join("data/names/b")).unwrap();
    fs::remove_file(ground.dir.join("state/swept")).unwrap();
    assert_eq!(ground.state("b"), "running");
    assert_eq!(names(&ground.dir.join("data/names")), ["b"]);
    ground.call(&["rename", "b", "a"]).ok();
    ground.call(&["stop", "--time=0", "a"]).ok();
    assert_eq!(ground.state("a"), "exited");
    ground.call(&["rm", "a"]).ok();
    ground.is_empty();
}

#[test]
fn a_new_network() {
    let Some(ground) = Ground::new() else { return };
    let networks = ground.dir.join("data/networks");
    at_each_moment(&ground, |after| {
        let done = killed(&ground, &["network", "create", "--subnet=10.222.7.0/24", "n"], after);
        let listed = ground.call(&["network", "ls", "--filter=type=custom", "--format={{.Name}}"]).ok();
        assert!(listed == "n" || listed.is_empty() && !done, "{listed}, done: {done}");
        let expected: &[&str] = if listed.is_empty() { &[] } else { &["n.json"] };
        ground.call(&["ps"]).ok();
        assert_eq!(names(&networks), expected);
        if !listed.is_empty() {
            ground.call(&["network", "rm", "n"]).ok();
        }
        done
    });
}

#[test]
fn a_commit_does_not_leave_it_paused() {
    let Some(ground) = Ground::new() else { return };
    let tar = ground.dir.join("root.tar");
    let rootfs = ground.rootfs();
    let packed = std::process::Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(&tar).arg(".").status();
    assert!(packed.unwrap().success());
    ground.call(&["import", tar.to_str().unwrap(), "base"]).ok();
    ground.call(&["run", "-d", "--network=none", "--name=a", "base", "sh", "-c", "echo x >/new; sleep 1000"]).ok();
    let start = Instant::now();
    ground.call(&["commit", "a", "whole"]).ok();
    let took = start.elapsed();
    let mut paused = 0;
    for part in 1..=30 {
        killed(&ground, &["commit", "a", "image"], took * part / 25);
        let still = names(&ground.dir.join("state/containers")).iter().any(|name| name.ends_with(".still"));
        paused += u32::from(still);
        // Who worked for it dies with it, a moment later.
        until("it goes on", || ground.state("a") == "running");
    }
    assert!(paused > 0, "it was never killed while it paused");
    // Somebody's own pause is another matter.
    ground.call(&["pause", "a"]).ok();
    killed(&ground, &["commit", "a", "image"], took / 2);
    assert_eq!(ground.state("a"), "paused");
    ground.call(&["rm", "-f", "a"]).ok();
    until("nothing is left", || names(&ground.dir.join("state/containers")).is_empty());
}
