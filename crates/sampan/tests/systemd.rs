//! What systemd does for containers: its journal keeps what they print, and its unit brings them back.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::{Ground, ran, until};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const UNIT: &str = "/etc/systemd/system/sampan.service";

/// `None`, with a line that says why, where there is no systemd.
fn ground() -> Option<Ground> {
    let ground = Ground::new()?;
    // sd_booted(3).
    if !Path::new("/run/systemd/system").exists() {
        println!("skipped: systemd does not run here");
        return None;
    }
    Some(ground)
}

fn systemctl(words: &[&str]) -> String {
    ran(Command::new("systemctl").args(words).output().unwrap()).ok()
}

/// The entries of a container's, as the journal has them; its program is asked until there are so many.
fn entries(container: &str, count: usize) -> Vec<Value> {
    let mut entries: Vec<Value> = Vec::new();
    until("the journal", || {
        let mut journalctl = Command::new("journalctl");
        journalctl.args(["--output=json", "--all", "--no-pager", &format!("CONTAINER_ID_FULL={container}")]);
        let out = ran(journalctl.output().unwrap()).ok();
        entries = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        entries.len() >= count
    });
    entries
}

#[test]
fn the_journal_keeps_what_a_container_prints() {
    let Some(ground) = ground() else { return };
    let flags = [
        "run",
        "-d",
        "--log-driver=journald",
        "--log-opt=labels=place",
        "--log-opt=tag={{.Name}}/x",
        "--label=place=sea",
    ];
    let script = "echo out; sleep 0.3; echo err >&2; sleep 0.3; printf 'a\\377\\tb\\n'; sleep 0.3; \
        dd if=/dev/zero bs=1k count=40 2>/dev/null | tr '\\0' x; echo; sleep 0.3; printf unfinished; exec sleep 1000";
    let id = ground.make(&[&flags[..], &["--name=talks"]].concat(), &["sh", "-c", script]).ok();
    let found = entries(&id, 7);
    let first = &found[0];
    for (name, value) in [
        ("MESSAGE", "out"),
        ("CONTAINER_NAME", "talks"),
        ("CONTAINER_ID", &id[..12]),
        ("CONTAINER_TAG", "talks/x"),
        ("SYSLOG_IDENTIFIER", "talks/x"),
        ("PLACE", "sea"),
        ("PRIORITY", "6"),
        ("_COMM", "sampan-monitor"),
    ] {
        assert_eq!(first[name], value, "{name} of {first}");
    }
    assert_eq!((&found[1]["MESSAGE"], &found[1]["PRIORITY"]), (&"err".into(), &"3".into()));
    // No text, so journalctl gives the bytes.
    assert_eq!(found[2]["MESSAGE"], serde_json::json!([97, 255, 9, 98]));
    assert_eq!(found[3]["CONTAINER_PARTIAL_MESSAGE"], "true");

    let mut logs = ground.command(&["logs", "talks"]).output().unwrap();
    assert_eq!(logs.stderr, b"err\n");
    let long = [b'x'; 40 << 10];
    let expected = [&b"out\na\xff\tb\n"[..], &long, b"\nunfinished"].concat();
    assert!(logs.stdout == expected, "{} bytes, not {}", logs.stdout.len(), expected.len());
    logs = ground.command(&["logs", "--tail=1", "--since=10m", "talks"]).output().unwrap();
    assert_eq!(logs.stdout, b"unfinished");
    assert_eq!(ground.call(&["inspect", "--format", "{{.HostConfig.LogConfig.Type}}", "talks"]).ok(), "journald");

    let follow = ground.command(&["logs", "--follow", "--tail=0", "talks"]).stdout(Stdio::piped()).spawn().unwrap();
    ground.call(&["kill", "talks"]).ok();
    assert!(follow.wait_with_output().unwrap().status.success(), "it ends with the container");
    // They stay when it has ended.
    assert!(ground.call(&["logs", "talks"]).ok().starts_with("out\n"));
}

/// One at a time has the unit.
struct Unit;

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["disable", "--now", "sampan"]).output();
        let _ = fs::remove_file(UNIT);
    }
}

#[test]
fn the_unit_brings_back_what_policies_say() {
    let Some(ground) = ground() else { return };
    if Path::new(UNIT).exists() {
        println!("skipped: this machine has a unit of sampan's already");
        return;
    }
    for (name, policy) in [("always", "always"), ("kept", "unless-stopped"), ("let", "unless-stopped"), ("never", "no")]
    {
        let flags = ["run", "-d", "--stop-signal=KILL", "--restart", policy, "--name", name];
        ground.make(&flags, &["sleep", "1000"]).ok();
    }
    ground.call(&["pod", "create", "--network=none", "--restart=always", "pod"]).ok();
    let rootfs = format!("{}:O", ground.rootfs().display());
    ground
        .call(&["run", "-d", "--stop-signal=KILL", "--pod=pod", "--name=member", "--rootfs", &rootfs, "sleep", "1000"])
        .ok();
    ground.call(&["stop", "let"]).ok();

    let _unit = Unit;
    assert_eq!(ground.call(&["system", "enable"]).ok(), UNIT);
    assert_eq!(systemctl(&["is-enabled", "sampan"]), "enabled");
    let names = ["always", "kept", "let", "member", "never"];
    let states = || names.map(|name| ground.state(name)).join(" ");
    // As a machine does that goes down in order.
    systemctl(&["start", "sampan"]);
    systemctl(&["stop", "sampan"]);
    assert_eq!(states(), "exited exited exited exited exited");
    fs::remove_dir_all(ground.dir.join("state")).unwrap();
    systemctl(&["start", "sampan"]);
    assert_eq!(states(), "running running exited running exited");
    assert_eq!(ground.call(&["pod", "ps", "--format", "{{.Status}}"]).ok(), "Running");

    // As one does that loses its power: nobody says a word.
    let running: Vec<Value> = fs::read_dir(ground.dir.join("state/containers"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
        .map(|entry| serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap())
        .collect();
    assert_eq!(running.len(), 4);
    for record in &running {
        let monitor = i32::try_from(record["monitor"].as_i64().unwrap()).unwrap();
        let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
        rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    }
    until("their ends", || running.iter().all(|record| !Path::new(&format!("/proc/{}", record["pid"])).exists()));
    fs::remove_dir_all(ground.dir.join("state")).unwrap();
    systemctl(&["restart", "sampan"]);
    assert_eq!(states(), "running running exited running exited");

    ground.call(&["system", "disable"]).ok();
    assert!(!Path::new(UNIT).exists());
    assert_eq!(states(), "running running exited running exited", "they do not go with it");
}
