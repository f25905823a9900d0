//! Resources of `sampan oci`'s containers, and the commands about cgroups, on whichever cgroups this machine has.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::{Ran, ran, until};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

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
    let created = bundle.save().create(id, &[]);
    if created.err.contains("does not account swap") {
        eprintln!("skipped: {}", created.err);
        return None;
    }
    created.ok();
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
        fs::read_to_string(format!("{}/sampan-{id}/pids.max", dir("/sys/fs/cgroup/pids", "/sys/fs/cgroup"))).unwrap()
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
    // As Go writes and takes them.
    fs::write(bundle.at("resources"), r#"{ "Pids": { "Limit": 40 } }"#).unwrap();
    bundle.oci(&["update", "--resources=resources", &id]).ok();
    assert_eq!(pids(), "40\n");
    fs::write(bundle.at("process"), r#"{ "Args": ["pwd"], "CWD": "/bin", "user": {}, "env": ["PATH=/bin"] }"#).unwrap();
    assert_eq!(bundle.oci(&["exec", "--process", "process", &id]).ok(), "/bin");
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
    if !Path::new("/sys/fs/resctrl/schemata").exists() {
        update(&bundle, &id, &["--l3-cache-schema", "L3:0=f"]).fails(1, "no resctrl group");
    }
    update(&bundle, &id, &["--cpu-idle=0", "--cpu-share=256"]).ok();
    assert_eq!((idle(), shares()), ("0".to_owned(), if is_v1("cpu") { "256" } else { "35" }.to_owned()));
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn memory_and_swap_change_together() {
    let id = id("swap");
    let resources = json!({ "memory": { "limit": 32 << 20, "swap": 64 << 20 } });
    let Some(bundle) = sleeping(&id, &resources) else { return };
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

#[test]
fn of_many_device_rules_the_last_that_speaks_counts() {
    let id = id("rules");
    let rule = |allow: bool, minor: u32, access: &str| json!({ "allow": allow, "type": "c", "major": 10, "minor": minor, "access": access });
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    rules.extend((1000..1800).map(|minor| rule(true, minor, "rwm")));
    rules.extend([rule(true, 200, "rw"), rule(true, 229, "rwm"), rule(false, 229, "rwa")]);
    let Some(bundle) = sleeping(&id, &json!({ "devices": rules })) else { return };
    let opens = |numbers: &str| {
        let script = format!("mknod /dev/x c {numbers}; true <>/dev/x; code=$?; rm /dev/x; exit $code");
        bundle.oci(&["exec", "--cap", "CAP_MKNOD", &id, "sh", "-c", &script])
    };
    // There may be no such driver, but nobody is kept from asking it.
    let asked = |ran: &Ran| ran.code == 0 || ran.err.contains("No such device");
    assert!(asked(&opens("10 200")) && asked(&opens("10 1799")), "{:?}", opens("10 200"));
    opens("10 229").fails(1, "Operation not permitted");
    opens("10 1800").fails(1, "Operation not permitted");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

/// The container's directories, on v2 and in the v1 hierarchies, as this process sees them.
fn dirs(id: &str) -> Vec<String> {
    let name = format!("sampan-{id}");
    let found =
        std::process::Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn another_process_is_in_the_cgroup_that_is_named() {
    let id = id("sub");
    let Some(bundle) = sleeping(&id, &json!({})) else { return };
    let dirs = dirs(&id);
    for dir in &dirs {
        fs::create_dir_all(format!("{dir}/a/b")).unwrap();
        // On v1 a new one has none, and takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|_| is_v1("cpuset") && dir.contains("cpuset")) {
            let all = fs::read_to_string(format!("{dir}/{file}")).unwrap();
            ["a", "a/b"].iter().for_each(|below| fs::write(format!("{dir}/{below}/{file}"), &all).unwrap());
        }
    }
    let exec = |cgroups: &[&str], command: &[&str]| {
        let flags = cgroups.iter().map(|cgroup| format!("--cgroup={cgroup}")).collect::<Vec<_>>();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        bundle.oci(&[&["exec"], &flags[..], &[&id], command].concat())
    };
    let seen = |cgroups: &[&str]| {
        let own = exec(cgroups, &["cat", "/proc/self/cgroup"]).ok();
        own.lines().map(|line| line.rsplit(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(seen(&[]).iter().chain(&seen(&["/"])).all(|path| path == "/"));
    assert_eq!(seen(&["a/b"]).iter().filter(|path| *path == "/a/b").count(), dirs.len());
    exec(&[".."], &["true"]).fails(255, "bad sub cgroup path");
    exec(&["none"], &["true"]).fails(255, "none: no such file or directory");
    exec(&["none:/"], &["true"]).fails(255, "unknown controller none");
    if is_v1("memory") {
        let seen = seen(&["memory,pids:a", "cpuset:/a/b"]);
        let count = |at: &str| seen.iter().filter(|path| *path == at).count();
        assert_eq!((count("/a"), count("/a/b")), (2, 1), "{seen:?}");
        fs::create_dir(format!("/sys/fs/cgroup/cpuset/sampan-{id}/empty")).unwrap();
        exec(&["cpuset:empty"], &["true"]).fails(255, "has no CPUs");
        exec(&["memory:none"], &["true"]).fails(255, "no such file or directory");
    } else {
        // What hands controllers down holds no process: the next one is where the first is.
        let top = &dirs[0];
        fs::write(format!("{top}/a/cgroup.procs"), bundle.state(&id)["pid"].to_string()).unwrap();
        fs::write(format!("{top}/cgroup.subtree_control"), "+pids").unwrap();
        assert_eq!(seen(&[]), ["/a"]);
        exec(&["/"], &["true"]).fails(255, "EBUSY");
    }
    // What was made below goes with it.
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

/// Its first process may have left the v2 cgroup, and somebody removed that.
#[test]
fn another_process_is_where_the_first_went() {
    let id = id("moved");
    let Some(bundle) = sleeping(&id, &json!({})) else { return };
    let tops = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let Some(top) = tops.into_iter().find(|top| Path::new(top).join("cgroup.controllers").exists()) else {
        eprintln!("skipped: no v2 tree");
        return;
    };
    let (own, other) = (format!("{top}/sampan-{id}"), format!("{top}/{id}-other"));
    fs::create_dir(&other).unwrap();
    fs::write(format!("{other}/cgroup.procs"), bundle.state(&id)["pid"].to_string()).unwrap();
    fs::remove_dir(own).unwrap();
    let seen = bundle.oci(&["exec", &id, "cat", "/proc/self/cgroup"]).ok();
    assert!(seen.lines().any(|line| line.starts_with("0::") && line.ends_with(&format!("/{id}-other"))), "{seen}");
    bundle.oci(&["delete", "--force", &id]).ok();
    ground::until("it is empty", || fs::remove_dir(&other).is_ok());
    bundle.nothing_left(&id);
}

#[test]
fn a_cgroup_that_is_in_use_is_refused() {
    let (id, second) = (id("first"), id("second"));
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["linux"]["cgroupsPath"] = format!("/sampan/{id}").into();
    bundle.config["process"]["args"] = json!(["sleep", "100"]);
    bundle.save().create(&id, &[]).ok();
    bundle.create(&second, &[]).fails(1, "container's cgroup is not empty");
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["run", &second]).fails(1, "container's cgroup is not empty");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
    let trees = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter();
    let v2 = trees.filter(|tree| Path::new(tree).join("cgroup.procs").exists());
    let mut kinds = v2.map(|tree| (tree, "cgroup.freeze", ["1", "0"]));
    let v1 = ("/sys/fs/cgroup/freezer", "freezer.state", ["FROZEN", "THAWED"]);
    let (tree, file, [frozen, thawed]) = kinds.next().unwrap_or(v1);
    let dir = format!("{tree}/sampan/{id}");
    fs::create_dir_all(format!("{dir}/below")).unwrap();
    fs::write(format!("{dir}/{file}"), frozen).unwrap();
    bundle.create(&id, &[]).fails(1, "container's cgroup unexpectedly frozen");
    fs::write(format!("{dir}/{file}"), thawed).unwrap();
    // Empty ones are as good as none.
    bundle.create(&id, &[]).ok();
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn all_its_processes_are_killed_where_it_shares_a_pid_namespace() {
    let id = id("shared");
    let Some(mut bundle) = Bundle::new() else { return };
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    bundle.sh("sleep 100 & sleep 100");
    let pids = |bundle: &Bundle| bundle.oci(&["ps", "--format", "json", &id]).ok();
    bundle.create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    until("both are there", || pids(&bundle).matches(',').count() == 1);
    bundle.oci(&["kill", &id, "KILL"]).ok();
    until("all are killed", || pids(&bundle) == "[]");
    bundle.oci(&["kill", &id, "KILL"]).fails(1, "container not running");
    bundle.oci(&["delete", &id]).ok();
    // Of one whose first process is gone.
    bundle.sh("sleep 100 &");
    bundle.create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.until_status(&id, "stopped");
    assert_ne!(pids(&bundle), "[]");
    bundle.oci(&["kill", &id, "TERM"]).fails(1, "container not running");
    bundle.oci(&["kill", &id, "KILL"]).ok();
    until("all are killed", || pids(&bundle) == "[]");
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn a_frozen_container_is_killed() {
    let id = id("frozen");
    let Some(bundle) = sleeping(&id, &json!({})) else { return };
    bundle.oci(&["pause", &id]).ok();
    bundle.oci(&["kill", &id, "KILL"]).ok();
    bundle.until_status(&id, "stopped");
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn what_a_container_uses_is_told() {
    let id = id("stats");
    let resources = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 50 } });
    let Some(bundle) = sleeping(&id, &resources) else { return };
    let text = bundle.oci(&["events", "--stats", &id]).ok();
    let line: Value = serde_json::from_str(&text).unwrap();
    assert!(text.starts_with(&format!(r#"{{"type":"stats","id":"{id}","data":"#)), "{text}");
    let data = &line["data"];
    for field in ["cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        assert!(!data[field].is_null(), "{field}");
    }
    assert_eq!((&data["pids"]["current"], &data["pids"]["limit"]), (&json!(1), &json!(50)));
    assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
    let number = |at: &str| data.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    assert!(number("/memory/usage/usage") > 0 && number("/memory/usage/max") > 0 && !data["memory"]["raw"].is_null());
    // More than the parts, which are rounded; and what was measured is in this order.
    assert!(number("/cpu/usage/total") > 1000, "{}", data["cpu"]);
    assert_eq!(data["cpuset"]["cpus"].as_array().map(Vec::is_empty), Some(false));

    let mut events = bundle.command(&bundle.at("sampan-oci"), &["events", "--interval=10ms", &id]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["type"], "stats");
    }
    bundle.oci(&["delete", "--force", &id]).ok();
    // It ends by itself.
    lines.for_each(|line| assert!(line.unwrap().contains("stats")));
    assert!(events.wait().unwrap().success());
    bundle.oci(&["events", "--interval=0s", &id]).fails(1, "interval");
    bundle.oci(&["events", "--stats", &id]).fails(1, "does not exist");
    bundle.nothing_left(&id);
}

#[test]
fn who_listens_is_told_that_memory_ran_out() {
    let id = id("oom");
    let Some(bundle) = sleeping(&id, &json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } })) else { return };
    let mut events = bundle.command(&bundle.at("sampan-oci"), &["events", "--interval=10ms", &id]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    // Now it listens.
    lines.next().unwrap().unwrap();
    // Of a line that has no end tail keeps all. Named to the kernel, which may take another process otherwise.
    let script = "head -c 64m /dev/zero | (echo 1000 >/proc/self/oom_score_adj; exec tail >/dev/null)";
    bundle.oci(&["exec", &id, "sh", "-c", script]);
    let told = format!(r#"{{"type":"oom","id":"{id}"}}"#);
    assert!(lines.any(|line| line.unwrap() == told));
    bundle.oci(&["delete", "--force", &id]).ok();
    // The kernel may have killed more than one for it.
    assert!(lines.map(Result::unwrap).all(|line| line.contains("stats") || line == told));
    assert!(events.wait().unwrap().success());
    bundle.nothing_left(&id);
}

/// What is done, and where it cannot be is refused by name.
#[test]
fn every_property_is_in_force_or_an_error() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("property");
    let no_setting = "cgroup v2 has no such setting";
    let has = |file: &str| Path::new("/sys/fs/cgroup").join(file).exists();
    type Expected = Result<&'static str, &'static str>;
    // A controller, a property of it, the file that then says what on v1, and what becomes of it on v2.
    let cases: [(&str, Value, &str, Expected, Expected); 14] = [
        ("cpu", json!({ "cpu": { "idle": 1 } }), "cpu.idle", Ok("1"), Ok("1")),
        ("cpu", json!({ "cpu": { "idle": 0, "burst": 0, "realtimeRuntime": 0 } }), "cpu.idle", Ok("0"), Ok("0")),
        ("memory", json!({ "memory": { "limit": 1 << 22 } }), "memory.limit_in_bytes", Ok("4194304"), Err("")),
        ("memory", json!({ "memory": { "swappiness": 7 } }), "memory.swappiness", Ok("7"), Err(no_setting)),
        (
            "memory",
            json!({ "memory": { "disableOOMKiller": true, "useHierarchy": true } }),
            "memory.oom_control",
            Ok("oom_kill_disable 1"),
            Err(no_setting),
        ),
        ("memory", json!({ "memory": { "useHierarchy": false } }), "", Err("useHierarchy"), Err("useHierarchy")),
        (
            "memory",
            json!({ "memory": { "kernelTCP": 1 << 22 } }),
            "memory.kmem.tcp.limit_in_bytes",
            Ok("4194304"),
            Err(no_setting),
        ),
        ("blkio", json!({ "blockIO": { "leafWeight": 100 } }), "", Err("leafWeight"), Err("leafWeight")),
        ("rdma", json!({ "rdma": { "nope_1": { "hcaHandles": 3 } } }), "", Err("RDMA"), Err("RDMA")),
        ("rdma", json!({ "rdma": { "nope_1": {} } }), "", Err("hcaHandles"), Err("hcaHandles")),
        ("net_cls", json!({ "network": { "classID": 0x10_0001 } }), "net_cls.classid", Ok("1048577"), Err("net_cls")),
        (
            "net_prio",
            json!({ "network": { "priorities": [{ "name": "lo", "priority": 5 }] } }),
            "net_prio.ifpriomap",
            Ok("lo 5"),
            Err("net_prio"),
        ),
        (
            "cpu",
            json!({ "cpu": { "realtimeRuntime": 1000, "realtimePeriod": 500_000 } }),
            "cpu.rt_runtime_us",
            if has("cpu/cpu.rt_runtime_us") { Ok("1000") } else { Err("cpu.rt_runtime_us") },
            Err(no_setting),
        ),
        ("pids", json!({ "pids": {} }), "pids.max", Ok("max"), Ok("max")),
    ];
    let good = bundle.config.clone();
    for (controller, resources, file, v1, v2) in cases {
        bundle.config = good.clone();
        for (name, value) in resources.as_object().unwrap() {
            bundle.config["linux"]["resources"][name] = value.clone();
        }
        // Real-time CPU time can only be had where those above have some.
        bundle.config["linux"]["cgroupsPath"] = format!("/{id}").into();
        let path = if is_v1(controller) { format!("{controller}/{file}") } else { file.to_owned() };
        bundle.sh(&format!("cat /sys/fs/cgroup/{path}"));
        let expected = if is_v1(controller) { v1 } else { v2 };
        let ran = bundle.oci(&["run", &id]);
        match expected {
            Ok(text) => assert!(ran.ok().lines().any(|line| line == text), "{resources}"),
            // There it has another name.
            Err("") => assert_eq!(ran.code, 1),
            Err(why) => ran.fails(1, why),
        }
        bundle.nothing_left(&id);
    }
    if is_v1("cpu") && has("cpu/cpu.rt_runtime_us") {
        bundle.config["linux"]["resources"] = json!({ "cpu": { "realtimeRuntime": 1000 } });
        bundle.config["linux"]["cgroupsPath"] = format!("/sampan/{id}").into();
        bundle.sh("true").oci(&["run", &id]).fails(1, "each cgroup above");
        bundle.nothing_left(&id);
    }
}

#[test]
fn limits_of_disks_and_huge_pages_are_taken_away() {
    let id = id("away");
    let Some(bundle) = sleeping(&id, &json!({})) else { return };
    let set = |resources: Value| {
        fs::write(bundle.at("resources"), resources.to_string()).unwrap();
        update(&bundle, &id, &["-r", "resources"])
    };
    let disks = fs::read_dir("/sys/block").unwrap().flatten();
    let number = |disk: fs::DirEntry| fs::read_to_string(disk.path().join("dev")).ok();
    let Some(disk) = disks.filter_map(number).next() else {
        eprintln!("skipped: no disk");
        return;
    };
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let (major, minor): (u64, u64) = (major.parse().unwrap(), minor.parse().unwrap());
    let rate = |rate: u64| {
        let device = json!([{ "major": major, "minor": minor, "rate": rate }]);
        set(json!({ "blockIO": { "throttleReadBpsDevice": device, "throttleWriteIOPSDevice": device } })).ok();
        read(&bundle, &id, ["blkio/blkio.throttle.read_bps_device", "io.max"])
    };
    assert!(rate(1 << 20).contains("1048576"));
    assert_eq!(rate(0), "");
    let has_pages = fs::read_to_string("/proc/cgroups").unwrap().contains("hugetlb");
    if !has_pages || !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        eprintln!("skipped: huge pages: this kernel does not account them");
        return;
    }
    for limit in [4_u64 << 20, u64::MAX] {
        set(json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": limit }] })).ok();
    }
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

/// What /proc/self/cgroup says leads to it in the whole tree of v2, as privileged agents count on; of v1 there are its own.
#[test]
fn without_a_namespace_the_callers_cgroups_are_seen() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("seen");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
    let own = if is_v1("memory") { "memory".to_owned() } else { format!("sampan-{id}") };
    let own = format!("/sys/fs/cgroup/{own}");
    for (options, writable) in [(["ro", "nosuid"], "1"), (["rw", "nosuid"], "0")] {
        let is_cgroup = |mount: &&mut Value| mount["type"] == "cgroup";
        bundle.config["mounts"].as_array_mut().unwrap().iter_mut().find(is_cgroup).unwrap()["options"] = json!(options);
        bundle.sh(&format!("grep -x $$ {own}/cgroup.procs; (: >>{own}/cgroup.procs) 2>/dev/null; echo $?"));
        assert_eq!(bundle.oci(&["run", &id]).ok(), format!("1\n{writable}"));
        bundle.nothing_left(&id);
    }
    if is_v1("memory") && Path::new("/sys/fs/cgroup/unified").exists() {
        bundle.sh("cat /sys/fs/cgroup/unified/cgroup.procs");
        assert!(bundle.oci(&["run", &id]).ok().lines().any(|pid| pid == "1"));
    }
}
