//! Where processes of `sampan oci` run, and where their memory is.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::ran;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `0-3`, of a process that nothing has bound; None where there is a single CPU.
fn all_cpus() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    if !list.starts_with("0-") {
        eprintln!("skipped: not on CPUs from 0 on, but {list}");
        return None;
    }
    Some(list.to_owned())
}

const CPUS: &str = "grep Cpus_allowed_list: /proc/self/status | cut -f 2";

/// `sampan oci` bound to the first CPU.
fn bound(bundle: &Bundle, words: &[&str]) -> String {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(bundle.at("sampan-oci")).arg("--root").arg(bundle.at("root"));
    ran(command.args(words).current_dir(bundle.at("")).output().unwrap()).ok()
}

#[test]
fn the_callers_cpus_are_not_the_containers() {
    let (Some(all), Some(mut bundle)) = (all_cpus(), Bundle::new()) else { return };
    let id = id("affinity");
    bundle.sh(CPUS);
    assert_eq!(bound(&bundle, &["run", &id]), all);
    let cpuset = Path::new("/sys/fs/cgroup/cpuset").exists()
        || fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|text| text.contains("cpuset"));
    if cpuset {
        bundle.config["linux"]["resources"]["cpu"] = json!({ "cpus": "1", "mems": "0" });
        bundle.sh(CPUS);
        assert_eq!(bound(&bundle, &["run", &id]), "1");
        bundle.sh("sleep 100").create(&id, &[]).ok();
        bundle.oci(&["start", &id]).ok();
        assert_eq!(bound(&bundle, &["exec", &id, "sh", "-c", CPUS]), "1");
        bundle.oci(&["delete", "--force", &id]).ok();
        bundle.config["linux"]["resources"]["cpu"] = json!(null);
    } else {
        eprintln!("skipped: the part with a cpuset, which is not there");
    }
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    assert_eq!(bound(&bundle, &["exec", &id, "sh", "-c", CPUS]), all);
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn an_exec_has_cpus_of_its_own() {
    let (Some(all), Some(mut bundle)) = (all_cpus(), Bundle::new()) else { return };
    let id = id("exec-affinity");
    bundle.config["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": "1" });
    bundle.sh(&format!("{CPUS}; sleep 100")).create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    // Not those of the first process.
    ground::until("it says so", || bundle.output().trim() == all);
    assert_eq!(bundle.oci(&["exec", &id, "sh", "-c", CPUS]).ok(), "1");
    let exec = |affinity: Value| {
        let process = json!({
            "args": ["sh", "-c", CPUS], "cwd": "/", "env": ["PATH=/bin"], "execCPUAffinity": affinity
        });
        fs::write(bundle.at("process.json"), process.to_string()).unwrap();
        bundle.oci(&["exec", "--process", "process.json", &id])
    };
    for (affinity, expected) in [
        (json!(null), "1"),
        (json!({ "initial": "1" }), "1"),
        (json!({ "initial": "0" }), "0"),
        (json!({ "initial": "0", "final": "0-1" }), "0-1"),
        (json!({ "final": "0,1" }), "0-1"),
        (json!({}), &*all),
    ] {
        assert_eq!(exec(affinity.clone()).ok(), expected, "{affinity}");
    }
    for (affinity, why) in [
        (json!({ "initial": "4000" }), "sched_setaffinity"),
        (json!({ "final": "4000" }), "sched_setaffinity"),
        (json!({ "final": "1-" }), "final CPU affinity"),
        (json!({ "initial": "," }), "it has no CPU"),
        (json!({ "initial": "0-70000" }), "larger than"),
        (json!({ "initial": 0 }), "invalid type"),
    ] {
        exec(affinity).fails(255, why);
    }
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.config["process"]["execCPUAffinity"] = json!({ "final": "2-1" });
    bundle.save().create(&id, &[]).fails(1, "ends before it begins");
    bundle.nothing_left(&id);
}

const POLICY: &str = "head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2";

#[test]
fn memory_has_its_nodes() {
    if !Path::new("/proc/self/numa_maps").exists() {
        eprintln!("skipped: this kernel has no memory policies");
        return;
    }
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("memory-policy");
    for (policy, expected) in [
        (json!(null), "default"),
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
        (json!({ "mode": "MPOL_LOCAL" }), "local"),
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" }), "interleave:0"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }), "bind=static:0"),
        (json!({ "mode": "MPOL_PREFERRED_MANY", "nodes": "0" }), "prefer (many):0"),
    ] {
        bundle.config["linux"]["memoryPolicy"] = policy;
        let shown = bundle.sh(POLICY).oci(&["run", &id]).ok();
        // Written with a blank by some kernels.
        assert_eq!(expected.split(' ').next(), Some(&*shown));
    }
    // Before the filter, which does not let it through.
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["set_mempolicy"], "action": "SCMP_ACT_ERRNO" }]
    });
    bundle.config["linux"]["memoryPolicy"] =
        json!({ "mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"] });
    bundle.sh(&format!("{POLICY}; sleep 100")).create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    ground::until("it says so", || bundle.output() == "prefer=relative:0\n");
    assert_eq!(bundle.oci(&["exec", &id, "sh", "-c", POLICY]).ok(), "prefer=relative:0");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn memory_policies_that_cannot_be() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("memory-bad");
    bundle.sh("true");
    for (policy, why) in [
        (json!({}), "invalid memory policy mode"),
        (json!({ "mode": "INTERLEAVE", "nodes": "0" }), "invalid memory policy mode"),
        (json!({ "nodes": "0-7" }), "invalid memory policy mode"),
        (json!({ "mode": "MPOL_PREFERRED", "flags": ["badflag"] }), "invalid memory policy flag"),
        (json!({ "mode": "MPOL_DEFAULT", "nodes": "0-7" }), "mode requires 0 nodes but got 8"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0-9876543210" }), "invalid memory policy node"),
        (json!({ "mode": "MPOL_BIND" }), "at least one node"),
        (json!({ "mode": "MPOL_BIND", "nodes": "1023" }), "set_mempolicy"),
        (
            json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"] }),
            "set_mempolicy",
        ),
        (json!({ "mode": 3 }), "invalid type"),
    ] {
        bundle.config["linux"]["memoryPolicy"] = policy;
        bundle.save().create(&id, &[]).fails(1, why);
        bundle.nothing_left(&id);
    }
}

/// On cgroup v1 a new cgroup has no realtime (`CONFIG_RT_GROUP_SCHED`).
#[test]
fn realtime_that_the_cgroup_has_not_is_named() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("realtime");
    if !Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        println!("skipped: no cgroup v1 that has realtime");
        return;
    }
    bundle.config["process"]["scheduler"] = json!({ "policy": "SCHED_FIFO", "priority": 10 });
    bundle.sh("cut -d' ' -f41 /proc/self/stat");
    let ran = bundle.oci(&["run", &id]);
    ran.fails(1, "EPERM");
    assert!(ran.err.contains("cpu.rt_runtime_us"), "{ran:?}");
    bundle.config["linux"]["resources"]["cpu"] = json!({ "realtimeRuntime": 1000, "realtimePeriod": 500_000 });
    // SCHED_FIFO is 1 (proc_pid_stat(5)).
    assert_eq!(bundle.save().oci(&["run", &id]).ok(), "1");
    bundle.nothing_left(&id);
}
