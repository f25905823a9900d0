//! What `sampan oci features` says is what there is.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn it_has_all_that_the_spec_names() {
    let Some(bundle) = Bundle::new() else { return };
    let features: Value = serde_json::from_str(&bundle.oci(&["features"]).ok()).unwrap();
    for at in [
        "/ociVersionMin",
        "/ociVersionMax",
        "/hooks",
        "/mountOptions",
        "/annotations",
        "/potentiallyUnsafeConfigAnnotations",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/cgroup/v1",
        "/linux/cgroup/v2",
        "/linux/cgroup/systemd",
        "/linux/cgroup/systemdUser",
        "/linux/cgroup/rdma",
        "/linux/seccomp/enabled",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
        "/linux/seccomp/archs",
        "/linux/seccomp/knownFlags",
        "/linux/seccomp/supportedFlags",
        "/linux/apparmor/enabled",
        "/linux/selinux/enabled",
        "/linux/intelRdt/enabled",
        "/linux/intelRdt/schemata",
        "/linux/intelRdt/monitoring",
        "/linux/memoryPolicy/modes",
        "/linux/memoryPolicy/flags",
        "/linux/mountExtensions/idmap/enabled",
        "/linux/netDevices/enabled",
    ] {
        assert!(features.pointer(at).is_some(), "{at}");
    }
    // For Go, where an absent list is nobody's answer.
    let Ok(theirs) = Command::new("runc").arg("features").output() else {
        eprintln!("skipped: no runc to compare with");
        return;
    };
    let theirs: Value = serde_json::from_slice(&theirs.stdout).unwrap();
    for at in
        ["/hooks", "/linux/namespaces", "/linux/capabilities", "/linux/seccomp/actions", "/linux/seccomp/operators"]
    {
        let ours = texts(features.pointer(at).unwrap());
        let missing: Vec<&str> =
            texts(theirs.pointer(at).unwrap()).into_iter().filter(|name| !ours.contains(name)).collect();
        assert_eq!(missing, <[&str; 0]>::default(), "{at}");
    }
}

#[test]
fn mount_options_that_it_has_are_taken() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("features");
    let features: Value = serde_json::from_str(&bundle.oci(&["features"]).ok()).unwrap();
    let source = bundle.at("source");
    fs::create_dir(&source).unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/tmp", "type": "tmpfs" }));
    let options = texts(&features["mountOptions"]);
    for option in &options {
        let destination = format!("/tmp/{option}");
        bundle.config["mounts"].as_array_mut().unwrap().push(match *option {
            // What has to be on a disk of its own (mounts.rs).
            "idmap" | "ridmap" => continue,
            "tmpcopyup" | "sync" | "dirsync" | "lazytime" | "nolazytime" | "mand" | "nomand" => {
                json!({ "destination": destination, "type": "tmpfs", "options": [option] })
            }
            _ => json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", option] }),
        });
    }
    let shown = bundle.sh("ls /tmp").oci(&["run", &id]).ok();
    assert_eq!(shown.lines().count(), options.len() - 2, "{shown}");
    bundle.nothing_left(&id);
}

#[test]
fn words_of_filters_and_policies_that_it_has_are_known() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("features-words");
    let features: Value = serde_json::from_str(&bundle.oci(&["features"]).ok()).unwrap();
    let linux = &features["linux"];
    let seccomp = &linux["seccomp"];
    let mut rules: Vec<Value> = texts(&seccomp["actions"])
        .into_iter()
        .filter(|action| *action != "SCMP_ACT_NOTIFY")
        .map(|action| json!({ "names": ["acct"], "action": action, "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] }))
        .collect();
    rules.extend(texts(&seccomp["operators"]).into_iter().map(|operator| {
        let test = json!({ "index": 0, "value": 1, "valueTwo": 1, "op": operator });
        json!({ "names": ["quotactl"], "action": "SCMP_ACT_ERRNO", "args": [test] })
    }));
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules, "architectures": seccomp["archs"],
        "flags": seccomp["supportedFlags"],
    });
    bundle.sh("true").oci(&["run", &id]).ok();
    for mode in texts(&linux["memoryPolicy"]["modes"]) {
        let nodes = if matches!(mode, "MPOL_DEFAULT" | "MPOL_LOCAL") { "" } else { "0" };
        bundle.config["linux"]["memoryPolicy"] = json!({ "mode": mode, "nodes": nodes });
        let ran = bundle.sh("true").oci(&["run", &id]);
        // Some are newer than some kernels, which then say so.
        assert!(ran.code == 0 || ran.err.contains("set_mempolicy: "), "{mode}: {ran:?}");
    }
    for flag in texts(&linux["memoryPolicy"]["flags"]) {
        bundle.config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": [flag] });
        bundle.sh("true").oci(&["run", &id]).ok();
    }
    bundle.nothing_left(&id);
}

/// As crun says it, which people look for.
#[test]
fn the_version_says_whether_it_checkpoints() {
    let Some(bundle) = Bundle::new() else { return };
    let said = bundle.oci(&["--version"]).ok();
    assert!(said.starts_with("sampan-oci version ") && said.contains(" +SECCOMP"), "{said}");
    let criu = Command::new("criu").arg("--version").output().is_ok();
    assert_eq!(said.contains(" +CRIU"), criu, "{said}");
    let mut without = bundle.command(&bundle.at("sampan-oci"), &["--version"]);
    let said = ground::ran(without.env("PATH", "/none").output().unwrap()).ok();
    assert!(said.contains(" +SECCOMP") && !said.contains("CRIU"), "{said}");
}
