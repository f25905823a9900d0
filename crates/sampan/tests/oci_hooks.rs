//! What hooks are given, and what is said when one fails.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::ran;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

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

/// As runc and crun: what finds libraries and devices for the container writes to its root.
#[test]
fn a_read_only_root_is_sealed_after_the_hooks() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("sealed");
    let sh =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo made >./etc/made"], "env": ["PATH=/usr/bin:/bin"] }]);
    bundle.config["hooks"] = json!({ "createContainer": sh });
    bundle.config["root"]["readonly"] = true.into();
    bundle.sh("cat /etc/made; (: >/etc/more) 2>/dev/null || echo sealed");
    assert_eq!(bundle.oci(&["run", &id]).ok(), "made\nsealed");
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

/// As both of crun and runc do; of the container's own hooks, where they differ, as runc 1.3.
#[test]
fn a_hook_without_an_environment_has_its_callers() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("inherited");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "FROM=process"]);
    let outside = bundle.at("seen");
    let mount = json!({ "destination": "/seen", "type": "bind", "source": outside, "options": ["bind"] });
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    let stages = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let agreed = |seen: &str| seen.lines().filter(|line| !line.contains("Container")).collect::<Vec<_>>().join(" ");
    let mut seen = |env: Value| {
        let hook = |stage: &str| {
            let to = if stage == "startContainer" { "/seen" } else { outside.to_str().unwrap() };
            let script = format!("echo {stage} ${{FROM-nobody}} >>{to}");
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env }])
        };
        bundle.config["hooks"] = stages.iter().map(|stage| ((*stage).to_owned(), hook(stage))).collect();
        bundle.sh("true");
        let run = |runtime: &Path| {
            fs::write(&outside, "").unwrap();
            let mut command = bundle.command(runtime, &["run", &id]);
            assert_eq!(ran(command.env("FROM", "caller").output().unwrap()).ok(), "");
            fs::read_to_string(&outside).unwrap()
        };
        let ours = run(&bundle.at("sampan-oci"));
        match Command::new("runc").arg("--version").output() {
            Ok(_) => assert_eq!(agreed(&ours), agreed(&run("runc".as_ref()))),
            Err(_) => println!("skipped: no runc to compare with"),
        }
        ours
    };
    let all =
        |from: [&str; 6]| stages.iter().zip(from).map(|(stage, from)| format!("{stage} {from}\n")).collect::<String>();
    let absent = ["caller", "caller", "nobody", "process", "caller", "caller"];
    assert_eq!(seen(Value::Null), all(absent));
    assert_eq!(seen(json!([])), all(absent.map(|from| if from == "caller" { "nobody" } else { from })));
    assert_eq!(seen(json!(["FROM=hook"])), all(["hook"; 6]));
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
