//! What callers of `sampan oci` read, look for and judge by, beside what a container does.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[test]
fn signal_0_asks_whether_it_runs() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("asked");
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["kill", &id, "0"]).ok();
    assert_eq!(bundle.state(&id)["status"], "running");
    bundle.oci(&["kill", &id, "KILL"]).ok();
    bundle.until_status(&id, "stopped");
    bundle.oci(&["kill", &id, "0"]).fails(1, "container not running");
    bundle.oci(&["kill", "-a", &id, "0"]).ok();
    bundle.oci(&["delete", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn a_list_has_runcs_order() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("listed");
    bundle.config["annotations"] = json!({ "a": "b" });
    bundle.sh("sleep 100").create(&id, &[]).ok();
    let text = bundle.oci(&["list", "--format", "json"]).ok();
    let fields = ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"];
    let at: Vec<usize> = fields.iter().map(|name| text.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(at.is_sorted(), "{text}");
    assert_eq!(bundle.oci(&["list", "-q"]).ok(), id);
    bundle.oci(&["delete", "--force", &id]).ok();
    assert_eq!(bundle.oci(&["list", "--format", "json"]).ok(), "[]");
    bundle.oci(&["--root", "nowhere", "list"]).fails(1, "ENOENT");
}

/// With a log it is said there; nothing is said that was not asked for.
#[test]
fn debugging_goes_to_standard_error_or_the_log() {
    let Some(bundle) = Bundle::new() else { return };
    let said = bundle.oci(&["--debug", "features"]);
    assert!(said.code == 0 && said.err.contains("level=debug"), "{said:?}");
    let logged = bundle.oci(&["--debug", "--log", "log", "--log-format", "json", "features"]);
    assert_eq!((logged.code, &*logged.err), (0, ""));
    let line: Value = serde_json::from_str(fs::read_to_string(bundle.at("log")).unwrap().trim()).unwrap();
    assert_eq!(line["level"], "debug");
    assert_eq!(bundle.oci(&["features"]).err, "");
    // As runc and crun: nothing is done of which nobody could be told.
    bundle.oci(&["--log", "no/such/log", "features"]).fails(1, "cannot open the log no/such/log");
}

/// Engines show it to whoever asked for the command: one line, and a code that is not the command's.
#[test]
fn a_command_that_cannot_be_executed_is_one_line() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("line");
    bundle.ground.file("bin/script", "#!/no/interpreter\n");
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    for command in ["/bin/script", "/nosuch", "nosuch", "/etc"] {
        let ran = bundle.oci(&["exec", &id, command]);
        ran.fails(255, &format!("cannot execute {command}"));
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    bundle.oci(&["exec", &id, "sh", "-c", "exit 42"]).fails(42, "");
    bundle.oci(&["exec", &id, "sh", "-c", "kill -9 $$"]).fails(137, "");
    bundle.oci(&["exec", "nobody", "true"]).fails(255, "does not exist");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn a_new_configuration_has_a_cgroup_namespace_where_v2_rules() {
    let Some(bundle) = Bundle::new() else { return };
    let config: Value = serde_json::from_slice(&fs::read(bundle.at("config.json")).unwrap()).unwrap();
    let has = config["linux"]["namespaces"].as_array().unwrap().contains(&json!({ "type": "cgroup" }));
    assert_eq!(has, Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
}

/// Both its processes are where its first is, on v1, on v2, and on v2 beside v1.
#[test]
fn another_process_is_in_all_cgroups_of_the_first() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("hybrid");
    let kept = |namespace: &Value| namespace["type"] != "cgroup";
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(kept);
    bundle.sh("cat /proc/self/cgroup; sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    ground::until("it says so", || bundle.output().contains("0::"));
    assert_eq!(bundle.oci(&["exec", &id, "cat", "/proc/self/cgroup"]).ok(), bundle.output().trim());
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn rootless_is_auto_true_or_false() {
    let Some(bundle) = Bundle::new() else { return };
    for word in ["auto", "true", "false", "True", "0"] {
        bundle.oci(&["--rootless", word, "list", "-q"]).fails(1, "ENOENT");
    }
    bundle.oci(&["--rootless=perhaps", "list"]).fails(1, "auto, true, false");
}
