//! Limits, end to end: in force in the kernel, felt inside, and refused before anything is touched.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, ran, until};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
    let Some(memory) = controller("memory", "memory") else { return };
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
    let Some(_) = controller("memory", "memory") else { return };
    // tail keeps a line that has no end, and is the container's first process.
    let limit = ["--memory=24m", "--memory-swap=24m", "-i"];
    let hog = ground.feed(&limit, &["tail"], &vec![0; 64 << 20]);
    ran(hog).fails(137, "out of memory: the kernel killed a process of the container (the limit is 24MiB)");
    // Of a process that it outlives, too, if it fails.
    let script = "head -c 64m /dev/zero | tail > /dev/null; exit 3";
    ground.sh(&limit[..2], script).fails(3, "out of memory");
    let calm = ground.sh(&limit[..2], "exit 3");
    assert!(!calm.err.contains("memory"), "{calm:?}");
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
