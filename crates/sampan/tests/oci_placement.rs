//! Where processes of `sampan oci` run, and where their memory is.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::json;
use std::path::Path;

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
