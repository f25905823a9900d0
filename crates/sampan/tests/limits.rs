//! Limits, end to end: in force in the kernel, felt inside, and refused before anything is touched.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::Ground;
use std::fs;
use std::process::Command;

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
