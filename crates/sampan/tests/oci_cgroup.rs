//! Resources of `sampan oci`'s containers, and the commands about cgroups, on whichever cgroups this machine has.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::{Ran, ran};
use serde_json::json;
use std::fs;

/// The controller's files are in a v1 hierarchy of its own, not in the v2 tree.
fn is_v1(controller: &str) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    own.lines().any(|line| line.split(':').nth(1).unwrap().split(',').any(|name| name == controller))
}

/// What the file says where the container sees it: of v1 `controller/file`, and of v2 below the root.
fn read(bundle: &Bundle, id: &str, files: [&str; 2]) -> String {
    let path = |file: &str| format!("/sys/fs/cgroup/{file}");
    let controller = files[0].split('/').next().unwrap();
    bundle.oci(&["exec", id, "cat", &path(files[usize::from(!is_v1(controller))])]).ok()
}

fn update(bundle: &Bundle, id: &str, words: &[&str]) -> Ran {
    bundle.oci(&[&["update"], words, &[id]].concat())
}

fn sleeping(id: &str, resources: &serde_json::Value) -> Option<Bundle> {
    let mut bundle = Bundle::new()?;
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    for (name, value) in resources.as_object().unwrap() {
        bundle.config["linux"]["resources"][name] = value.clone();
    }
    bundle.save().create(id, &[]).ok();
    bundle.oci(&["start", id]).ok();
    Some(bundle)
}

#[test]
fn limits_of_a_running_container_change() {
    let id = id("update");
    // Less than `sampan run` takes.
    let Some(bundle) = sleeping(&id, &json!({ "memory": { "limit": 5 << 20 }, "pids": { "limit": 0 } })) else {
        return;
    };
    let memory = || read(&bundle, &id, ["memory/memory.limit_in_bytes", "memory.max"]);
    let dir = |v1: &str, v2: &str| if is_v1("pids") { v1.to_owned() } else { v2.to_owned() };
    let pids = || {
        fs::read_to_string(format!("{}/sampan/{id}/pids.max", dir("/sys/fs/cgroup/pids", "/sys/fs/cgroup"))).unwrap()
    };
    // It may have no other: so nothing can be executed in it.
    assert_eq!(pids(), "1\n");
    update(&bundle, &id, &["--pids-limit=50"]).ok();
    assert_eq!((memory().as_str(), pids().as_str()), ("5242880", "50\n"));
    update(&bundle, &id, &["--memory", "128m"]).ok();
    assert_eq!(memory(), "134217728");
    let json = r#"{ "memory": { "limit": 67108864 }, "pids": { "limit": -1 }, "devices": [{ "allow": false }] }"#;
    fs::write(bundle.at("resources"), json).unwrap();
    bundle.oci(&["update", "--resources=resources", &id]).ok();
    assert_eq!((memory(), pids()), ("67108864".to_owned(), "max\n".to_owned()));
    let mut from_stdin = bundle.command(&bundle.at("sampan-oci"), &["update", "--resources", "-", &id]);
    from_stdin.stdin(fs::File::open(bundle.at("resources")).unwrap());
    ran(from_stdin.output().unwrap()).ok();
    update(&bundle, &id, &["--memory=-1"]).ok();
    assert!(memory() == "max" || memory().parse::<u64>().unwrap() > 1 << 60);
    bundle.oci(&["update", "--cpu-quota", "10", &id]).fails(1, "CPU quota");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.oci(&["update", "--memory", "64m", &id]).fails(1, "does not exist");
    bundle.nothing_left(&id);
}

#[test]
fn what_is_not_named_stays() {
    let id = id("stays");
    let resources = json!({ "cpu": { "quota": 50000, "period": 100_000 } });
    let Some(bundle) = sleeping(&id, &resources) else { return };
    let quota = || {
        if is_v1("cpu") {
            let file = |name: &str| read(&bundle, &id, [&format!("cpu/cpu.cfs_{name}_us"), ""]);
            format!("{} {}", file("quota").replace("-1", "max"), file("period"))
        } else {
            read(&bundle, &id, ["cpu", "cpu.max"])
        }
    };
    let burst = || read(&bundle, &id, ["cpu/cpu.cfs_burst_us", "cpu.max.burst"]);
    update(&bundle, &id, &["--cpu-period", "200000"]).ok();
    assert_eq!(quota(), "50000 200000");
    update(&bundle, &id, &["--cpu-quota", "60000"]).ok();
    assert_eq!(quota(), "60000 200000");
    update(&bundle, &id, &["--cpu-burst", "30000"]).ok();
    assert_eq!(burst(), "30000");
    update(&bundle, &id, &["--cpu-burst", "70000"]).fails(1, "EINVAL");
    update(&bundle, &id, &["--cpu-burst", "0"]).ok();
    assert_eq!(burst(), "0");
    update(&bundle, &id, &["--cpu-quota", "-1"]).ok();
    assert_eq!(quota(), "max 200000");
    // runc's name and ours.
    let shares = || read(&bundle, &id, ["cpu/cpu.shares", "cpu.weight"]);
    update(&bundle, &id, &["--cpu-share=512"]).ok();
    assert!(matches!(shares().as_str(), "512" | "59"));
    update(&bundle, &id, &["--cpu-shares=1024"]).ok();
    assert!(matches!(shares().as_str(), "1024" | "100"));
    let idle = || read(&bundle, &id, ["cpu/cpu.idle", "cpu.idle"]);
    update(&bundle, &id, &["--cpu-idle", "1"]).ok();
    assert_eq!(idle(), "1");
    update(&bundle, &id, &["--cpu-idle=0", "--cpu-share=256"]).ok();
    assert_eq!((idle(), shares()), ("0".to_owned(), if is_v1("cpu") { "256" } else { "35" }.to_owned()));
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn memory_and_swap_change_together() {
    let id = id("swap");
    let resources = json!({ "memory": { "limit": 32 << 20, "swap": 64 << 20 } });
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["linux"]["resources"]["memory"] = resources["memory"].clone();
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    let created = bundle.save().create(&id, &[]);
    if created.err.contains("does not account swap") {
        eprintln!("skipped: {}", created.err);
        return;
    }
    created.ok();
    bundle.oci(&["start", &id]).ok();
    let both = || {
        let read = |files| read(&bundle, &id, files).parse::<u64>().unwrap_or(u64::MAX) >> 20;
        let memory = read(["memory/memory.limit_in_bytes", "memory.max"]);
        let swap = read(["memory/memory.memsw.limit_in_bytes", "memory.swap.max"]);
        (memory, if is_v1("memory") || swap > 1 << 40 { swap } else { memory + swap })
    };
    assert_eq!(both(), (32, 64));
    for (words, expected) in [
        (&["--memory-swap", "96m"][..], (32, 96)),
        (&["--memory", "48m"], (48, 96)),
        (&["--memory=128m", "--memory-swap=160m"], (128, 160)),
        (&["--memory=16m", "--memory-swap=24m"], (16, 24)),
    ] {
        update(&bundle, &id, words).ok();
        assert_eq!(both(), expected, "{words:?}");
    }
    assert_eq!(update(&bundle, &id, &["--memory=32m"]).code, 1);
    assert_eq!(both(), (16, 24));
    update(&bundle, &id, &["--memory-swap=-1"]).ok();
    assert!(both().0 == 16 && both().1 > 1 << 30);
    update(&bundle, &id, &["--memory-swap=32m"]).ok();
    update(&bundle, &id, &["--memory=-1"]).ok();
    assert!(both().0 > 1 << 30 && both().1 > 1 << 30);
    fs::write(bundle.at("resources"), r#"{ "memory": { "limit": 4096, "checkBeforeUpdate": true } }"#).unwrap();
    // Of v1 by the kernel, of v2 by us.
    assert_eq!(update(&bundle, &id, &["-r", "resources"]).code, 1);
    assert!(both().0 > 1 << 30);
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}
