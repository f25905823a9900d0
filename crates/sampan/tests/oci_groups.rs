//! Supplementary groups of the caller's that a container keeps (crun's `run.oci.keep_original_groups`, podman's
//! `--group-add keep-groups`).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::Ran;
use ground::bundle::{Bundle, id};
use serde_json::json;
use std::process::{Command, Stdio};

const GROUPS: &str = "grep Groups: /proc/self/status | tr -s '\\t ' ' '";

/// By a caller who is in these groups.
fn call(bundle: &Bundle, words: &[&str]) -> Ran {
    let run = bundle.command(&bundle.at("sampan-oci"), words);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--groups=7,8", "--"]).arg(run.get_program()).args(run.get_args()).current_dir(bundle.at(""));
    let output = std::fs::File::create(bundle.at("output")).unwrap();
    // One file for both: a pipe would end with the container only.
    setpriv.stderr(output.try_clone().unwrap()).stdout(output).stdin(Stdio::null());
    let code = setpriv.status().unwrap().code().unwrap_or(-1);
    Ran { code, out: bundle.output(), err: String::new() }
}

#[test]
fn it_keeps_them_when_that_is_asked_for() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("groups");
    bundle.oci(&["features"]).ok();
    bundle.config["process"]["user"]["additionalGids"] = json!([9]);
    bundle.sh(GROUPS);
    for (annotation, seen) in [("1", "Groups: 7 8 "), ("true", "Groups: 7 8 "), ("0", "Groups: 9 ")] {
        bundle.config["annotations"] = json!({ "run.oci.keep_original_groups": annotation });
        bundle.save();
        assert_eq!(call(&bundle, &["run", &id]).out.trim_end(), seen.trim_end(), "{annotation}");
    }
    bundle.config["annotations"] = json!({ "run.oci.keep_original_groups": "1" });
    // In a user namespace they have no names, and permit all the same.
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.save();
    assert_eq!(call(&bundle, &["run", &id]).out.trim_end(), "Groups: 65534 65534");
    // What joins it has those of its own caller.
    bundle.sh("sleep 1000");
    call(&bundle, &["create", &id]).ok();
    bundle.oci(&["start", &id]).ok();
    assert_eq!(call(&bundle, &["exec", &id, "sh", "-c", GROUPS]).out.trim_end(), "Groups: 65534 65534");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}
