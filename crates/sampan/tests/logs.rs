//! `sampan logs`: what containers printed.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod ground;

use ground::{Ground, Ran, ran, until};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// A container that has ended, with a log that others wrote; its id.
fn with_log(ground: &Ground, name: &str, log: serde_json::Value, file: &str, text: &str) -> String {
    let mut run = ground.command(&["run", "--network=none", "--name", name, "-l", "kind=it", "-e", "A=b"]);
    ran(run.arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).arg("true").output().unwrap()).ok();
    let id = sampan(ground, &["ps", "-aq", "--no-trunc", "-f", &format!("name=^{name}$")]).ok();
    let directory = ground.dir.join("data/containers").join(&id);
    fs::write(directory.join("request.json"), json!({ "log": log }).to_string()).unwrap();
    fs::create_dir_all(directory.join("logs")).unwrap();
    fs::write(directory.join("logs").join(file), text).unwrap();
    id
}

const KUBELETS: &str = "2016-10-06T00:17:09.669794202Z stdout F one\n\
                        2016-10-06T00:17:10.5Z stderr F bad\n\
                        2016-10-06T00:17:11.000000000Z stdout P tw\n\
                        2016-10-06T02:17:12.000000000+02:00 stdout F o\n";

#[test]
fn a_log_of_the_kubelets_form_is_printed_as_it_was_written() {
    let Some(ground) = Ground::new() else { return };
    with_log(&ground, "web", json!({ "driver": "k8s-file", "labels": ["kind"], "env": ["A"] }), "ctr.log", KUBELETS);
    let logs = |flags: &[&str]| {
        let ran = sampan(&ground, &[&["logs"], flags, &["web"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        (ran.out, ran.err)
    };
    let both = |out: &str, err: &str| (out.to_owned(), err.to_owned());
    assert_eq!(logs(&[]), both("one\ntwo\n", "bad\n"));
    assert_eq!(logs(&["-n", "1"]), both("two\n", ""));
    assert_eq!(logs(&["--tail=2"]), both("two\n", "bad\n"));
    assert_eq!(logs(&["--tail", "-1"]), logs(&["--tail=all"]));
    assert_eq!(logs(&["--since", "2016-10-06T00:17:10"]), both("two\n", "bad\n"));
    assert_eq!(logs(&["--since", "2016-10-06T00:17:10", "--until=2016-10-06T00:17:10.9Z"]), both("", "bad\n"));
    assert_eq!(logs(&["--since", "1h"]), both("", ""));
    assert_eq!(logs(&["-ft"]).0, "2016-10-06T00:17:09.669794202Z one\n2016-10-06T00:17:11.000000000Z two\n");
    assert_eq!(logs(&["--details", "--names"]).1, "web A=b,kind=it bad\n");
    assert_eq!(logs(&["--latest"][..0]), logs(&["--color"]));
    assert_eq!(sampan(&ground, &["container", "logs", "-l"]).ok(), "one\ntwo");
    sampan(&ground, &["logs", "--tail", "x", "web"]).fails(1, "not a number of lines");
    sampan(&ground, &["logs", "none"]).fails(1, "no container has this name or id");
    sampan(&ground, &["logs"]).fails(1, "CONTAINER");
}

#[test]
fn logs_of_several_are_in_the_order_of_time() {
    let Some(ground) = Ground::new() else { return };
    let text = "{\"log\":\"half\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:10Z\"}\n";
    let web = with_log(&ground, "web", json!({}), "ctr.log", KUBELETS);
    let db = with_log(&ground, "db", json!({ "driver": "json-file" }), "json.log", text);
    let (web, db) = (&web[..12], &db[..12]);
    let merged = sampan(&ground, &["logs", "web", "db"]);
    assert_eq!(merged.out, format!("{web} one\n{db} half{web} two\n"));
    let coloured = sampan(&ground, &["logs", "--color", "--names", "web", "db"]).out;
    assert!(coloured.starts_with("\x1b[36mweb\x1b[0m one\n\x1b[33mdb\x1b[0m half"), "{coloured:?}");
}

#[test]
fn what_keeps_no_log_says_why() {
    let Some(ground) = Ground::new() else { return };
    let id = with_log(&ground, "quiet", json!({ "driver": "none" }), "ctr.log", "");
    sampan(&ground, &["logs", "quiet"]).fails(1, "its log driver is none");
    fs::remove_file(ground.dir.join("data/containers").join(id).join("request.json")).unwrap();
    sampan(&ground, &["logs", "quiet"]).fails(1, "none is kept");
    ground.run(&["--log-opt", "max-size=0"], &["true"]).fails(125, "a log file of no bytes");
    ground.run(&["--log-driver=none", "--log-opt", "max-size=1m"], &["true"]).fails(125, "has no option max-size");
    ground.run(&["--log-driver=none"], &["true"]).ok();
}

/// A container that is watched, without a network.
fn detached(ground: &Ground, name: &str, flags: &[&str], script: &str) {
    let mut run = ground.command(&["run", "-d", "--network=none", "--name", name]);
    run.args(flags).arg("--rootfs").arg(format!("{}:O", ground.rootfs().display())).args(["sh", "-c", script]);
    ran(run.output().unwrap()).ok();
}

fn remove(ground: &Ground, name: &str) {
    sampan(ground, &["rm", "-f", name]).ok();
}

/// The numbers from 1 on, a line each.
fn numbers(last: u32) -> Vec<u8> {
    (1..=last).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

/// Of two long texts, not both whole.
#[track_caller]
fn same(found: &[u8], wanted: &[u8]) {
    let at = found.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(found == wanted, "{} bytes of {}, different from {at:?} on", found.len(), wanted.len());
}

#[test]
fn nothing_is_lost_of_who_writes_as_fast_as_he_can() {
    let Some(ground) = Ground::new() else { return };
    for driver in ["k8s-file", "json-file"] {
        let flags = ["--log-driver", driver, "--log-opt", "max-size=-1"];
        detached(&ground, "fast", &flags, "seq 1 200000 & seq 1 200000 >&2; wait");
        assert_eq!(sampan(&ground, &["wait", "fast"]).ok(), "0");
        let logs = ground.command(&["logs", "fast"]).output().unwrap();
        same(&logs.stdout, &numbers(200_000));
        same(&logs.stderr, &numbers(200_000));
        let tail = sampan(&ground, &["logs", "-n", "1000", "fast"]);
        assert_eq!(tail.out.lines().count() + tail.err.lines().count(), 1000);
        remove(&ground, "fast");
    }
}

#[test]
fn who_follows_sees_all_of_it_while_files_get_full() {
    let Some(ground) = Ground::new() else { return };
    // He begins before the first line, and ends with the container.
    let flags = ["--log-opt", "max-size=50k", "--log-opt", "max-file=1000"];
    detached(&ground, "full", &flags, "while [ ! -e /tmp/go ]; do sleep 0.1; done; seq 1 100000");
    let mut follow = ground.command(&["logs", "-f", "full"]);
    let follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sampan(&ground, &["exec", "full", "touch", "/tmp/go"]).ok();
    let followed = follow.wait_with_output().unwrap();
    assert!(followed.status.success(), "{followed:?}");
    same(&followed.stdout, &numbers(100_000));
    let id = sampan(&ground, &["ps", "-aq", "--no-trunc"]).ok();
    let files = fs::read_dir(ground.dir.join("data/containers").join(id).join("logs")).unwrap();
    let sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() > 20 && sizes.iter().all(|size| *size <= 50 << 10), "{sizes:?}");
    remove(&ground, "full");

    // The bound is kept, and what is left is the end.
    let flags = ["--log-opt", "max-size=10k", "--log-opt", "max-file=2"];
    detached(&ground, "bound", &flags, "seq 1 50000");
    assert_eq!(sampan(&ground, &["wait", "bound"]).ok(), "0");
    let left = sampan(&ground, &["logs", "bound"]).ok();
    assert!(numbers(50_000).ends_with(format!("{left}\n").as_bytes()) && left.len() < 4000, "{}", left.len());
    remove(&ground, "bound");
}

#[test]
fn any_bytes_and_any_length_are_kept() {
    let Some(ground) = Ground::new() else { return };
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut blob = vec![0; 1 << 20];
    std::io::Read::read_exact(&mut random, &mut blob).unwrap();
    let line = vec![b'x'; 3 << 20];
    ground.file("blob", &blob);
    ground.file("line", [&line[..], b"\nlast"].concat());
    for driver in ["k8s-file", "json-file"] {
        detached(&ground, "bytes", &["--log-driver", driver], "cat /blob; cat /line >&2");
        assert_eq!(sampan(&ground, &["wait", "bytes"]).ok(), "0");
        let logs = ground.command(&["logs", "bytes"]).output().unwrap();
        same(&logs.stdout, &blob);
        same(&logs.stderr, &[&line[..], b"\nlast"].concat());
        // Its time is before a line, not before each piece of one. What the other stream ended with, without a newline,
        // may come last.
        let timed = ground.command(&["logs", "-t", "--tail", "3", "bytes"]).output().unwrap();
        assert_eq!(timed.stderr.len(), 2 * 31 + line.len() + 5);
        remove(&ground, "bytes");
    }
}

#[test]
fn who_follows_ends_with_the_container_and_with_who_watches_it() {
    let Some(ground) = Ground::new() else { return };
    detached(&ground, "web", &["--rm"], "echo one; while :; do sleep 1; done");
    let follow = || {
        let mut command = ground.command(&["logs", "-f", "web"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (follow(), follow());
    until("they wait", || {
        [&first, &second].iter().all(|child| {
            let fds = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
            fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.ends_with("anon_inode:inotify")))
        })
    });
    sampan(&ground, &["kill", "web"]).ok();
    for child in [first, second] {
        assert_eq!(ran(child.wait_with_output().unwrap()).ok(), "one");
    }
    // Nobody says a word when the monitor is killed.
    detached(&ground, "web", &[], "echo one; while :; do sleep 1; done");
    until("its word", || sampan(&ground, &["logs", "web"]).ok() == "one");
    let child = follow();
    let id = sampan(&ground, &["ps", "-q", "--no-trunc"]).ok();
    let record = fs::read_to_string(ground.dir.join("state/containers").join(format!("{id}.json"))).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let monitor = record["monitor"].as_i64().filter(|pid| *pid > 1).unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &monitor]).status().unwrap().success());
    assert_eq!(ran(child.wait_with_output().unwrap()).ok(), "one");
    assert_eq!(sampan(&ground, &["logs", "web"]).ok(), "one");
    remove(&ground, "web");
}

/// A full disk costs the log what it cannot hold, not the container; and the log says how much.
#[test]
fn what_a_full_disk_lost_is_said() {
    let Some(ground) = Ground::new() else { return };
    let small = ground.dir.join("small");
    fs::create_dir(&small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=128k", "small"];
    assert!(Command::new("mount").args(mount).arg(&small).status().unwrap().success());
    let path = format!("path={}", small.join("log").display());
    let script = "seq 1 20000; touch /tmp/done; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo again; exit 3";
    detached(&ground, "web", &["--log-opt", &path, "--log-opt", "max-size=-1"], script);
    until("all is written", || sampan(&ground, &["exec", "web", "test", "-e", "/tmp/done"]).code == 0);
    assert!(Command::new("mount").args(["-o", "remount,size=256k"]).arg(&small).status().unwrap().success());
    sampan(&ground, &["exec", "web", "touch", "/tmp/go"]).ok();
    assert_eq!(sampan(&ground, &["wait", "web"]).ok(), "3");
    let logs = sampan(&ground, &["logs", "web"]);
    assert!(logs.out.ends_with("again\n"), "{logs:?}");
    // What is missing is counted, to the byte.
    let lines = logs.out.lines().count();
    assert!(lines > 2000 && lines < 20_000 && logs.out.starts_with("1\n2\n"), "{lines}");
    let count = |line: &str| -> Option<usize> {
        let (lost, why) = line.strip_prefix("sampan: ")?.split_once(' ')?;
        (why == "bytes of output are missing here: the log could not be written").then(|| lost.parse().ok())?
    };
    let lost: usize = logs.err.lines().map(|line| count(line).unwrap()).sum();
    assert_eq!(logs.out.len() + lost, numbers(20_000).len() + "again\n".len());
    remove(&ground, "web");
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
}

#[test]
fn the_end_of_a_long_log_is_found_without_the_rest_of_it() {
    let Some(ground) = Ground::new() else { return };
    let id = with_log(&ground, "long", json!({}), "ctr.log", "");
    let path = ground.dir.join("data/containers").join(id).join("logs/ctr.log");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    for second in 0..1_000_000u32 {
        let (day, hour, rest) = (1 + second / 86_400, second / 3600 % 24, second % 3600);
        let time = format!("2020-01-{day:02}T{hour:02}:{:02}:{:02}.000000000Z", rest / 60, rest % 60);
        writeln!(file, "{time} stdout F line {second} with some more text behind it").unwrap();
    }
    drop(file);
    // The least of some, as the machine does other things, too.
    let timed = |flags: &[&str]| -> (Duration, Ran) {
        let once = |_| {
            let start = Instant::now();
            let ran = sampan(&ground, &[&["logs"], flags, &["long"]].concat());
            (start.elapsed(), ran)
        };
        (0..3).map(once).min_by_key(|(time, _)| *time).unwrap()
    };
    let (whole, all) = timed(&[]);
    assert_eq!(all.out.lines().count(), 1_000_000);
    let last = "line 999999 with some more text behind it\n";
    for (flags, lines) in [
        (&["--tail", "10"][..], 10),
        (&["--since", "2020-01-12T13:46:35"], 5),
        (&["--since", "2020-01-12T13:46:35", "-n", "3"], 3),
    ] {
        let (time, ran) = timed(flags);
        assert!(ran.out.lines().count() == lines && ran.out.ends_with(last), "{flags:?}: {}", ran.out);
        assert!(time * 4 < whole, "{flags:?} takes {time:?}, all of it {whole:?}");
    }
    let (time, ran) = timed(&["--since", "2020-01-06T00:00:00", "--until", "2020-01-06T00:00:01"]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    assert!(time * 4 < whole, "{time:?} of {whole:?}");
}
