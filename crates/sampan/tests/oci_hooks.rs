//! What hooks are given, and what is said when one fails.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::json;
use std::fs;

#[test]
fn hooks_find_the_root_where_the_bundle_has_it() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("where");
    let root = bundle.ground.rootfs().canonicalize().unwrap();
    for name in ["from-host", "from-inside"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    // In the container's mount namespace, before its root is changed: by the root's path, and in the working directory.
    let host = format!(
        "read -r state; pid=$(echo \"$state\" | sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); at={0}/from-host; \
         exec nsenter -m -t $pid sh -c \"mount -t tmpfs none $at && echo host >$at/file\"",
        root.display()
    );
    let inside = "mount -t tmpfs none ./from-inside && echo inside >./from-inside/file";
    let sh = |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
    bundle.config["hooks"] = json!({ "createRuntime": sh(&host), "createContainer": sh(inside) });
    bundle.sh("cat /from-host/file /from-inside/file");
    assert_eq!(bundle.oci(&["run", &id]).ok(), "host\ninside");
    assert!(!root.join("from-inside/file").exists());
    bundle.nothing_left(&id);
}

#[test]
fn a_hook_of_the_start_has_the_commands_environment() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("environment");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "TWICE=one", "OWN=yes", "TWICE=two"]);
    let sh =
        |env: &[&str]| json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo $OWN $TWICE $HOME >&2"], "env": env });
    bundle.config["hooks"] = json!({ "startContainer": [sh(&[]), sh(&["OWN=no"])] });
    bundle.sh("env | grep -c TWICE");
    let ran = bundle.oci(&["run", &id]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("1\n", "yes two /root\nno\n"));
}

#[test]
fn the_one_that_fails_is_named_as_runc_does() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("named");
    let stages = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"];
    for stage in stages {
        bundle.config["hooks"] = json!({ stage: [{ "path": "/bin/true" }, { "path": "/bin/false" }] });
        let ran = bundle.sh("sleep 1").oci(&["run", &id]);
        ran.fails(1, &format!("error running {stage} hook #1: /bin/false"));
        bundle.nothing_left(&id);
    }
    // More than a terminal holds, and it is all shown.
    bundle.config["process"]["terminal"] = true.into();
    let script = "i=0; while [ $i -lt 2000 ]; do echo line; i=$((i + 1)); done; exit 3";
    bundle.config["hooks"] = json!({ "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] });
    let ran = bundle.sh("true").oci(&["run", &id]);
    ran.fails(1, "it ended with 3");
    assert_eq!(ran.out.lines().filter(|line| *line == "line").count(), 2000);
}
