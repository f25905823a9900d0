//! Time namespaces of `sampan oci`: the clocks of a container are its own.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::{Value, json};
use std::path::Path;

/// None where the kernel has no time namespaces.
fn bundle() -> Option<Bundle> {
    if !Path::new("/proc/self/timens_offsets").exists() {
        eprintln!("skipped: no time namespaces here");
        return None;
    }
    Bundle::new()
}

fn add(bundle: &mut Bundle, namespace: Value) {
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

const SHOW: &str = "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime";
const OFFSETS: [&str; 6] = ["monotonic", "7881", "2718281", "boottime", "1000000", "3141519"];

#[test]
fn clocks_begin_where_they_are_told_to() {
    let Some(mut bundle) = bundle() else { return };
    let id = id("time");
    add(&mut bundle, json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!(null);
    let plain = bundle.sh(SHOW).oci(&["run", &id]).ok();
    assert_eq!(words(&plain)[..6], ["monotonic", "0", "0", "boottime", "0", "0"]);
    let offsets = json!({
        "monotonic": { "secs": 7881, "nanosecs": 2_718_281 }, "boottime": { "secs": 1_000_000, "nanosecs": 3_141_519 }
    });
    bundle.config["linux"]["timeOffsets"] = offsets;
    let shifted = bundle.sh(SHOW).oci(&["run", &id]).ok();
    assert_eq!(words(&shifted)[..6], OFFSETS);
    let uptime = |text: &str| words(text)[6].parse::<u64>().unwrap();
    assert!((1_000_000..1_001_000).contains(&(uptime(&shifted) - uptime(&plain))), "{plain} {shifted}");
    // One clock only, and back.
    bundle.config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": -1 } });
    let back = bundle.sh(SHOW).oci(&["run", &id]).ok();
    assert_eq!(words(&back)[..6], ["monotonic", "0", "0", "boottime", "-1", "0"]);
    bundle.nothing_left(&id);
}

#[test]
fn with_a_user_namespace_and_for_an_exec_and_a_neighbour() {
    let Some(mut bundle) = bundle() else { return };
    let (first, second) = (id("time-first"), id("time-second"));
    let plain = bundle.config["linux"]["namespaces"].clone();
    add(&mut bundle, json!({ "type": "time" }));
    add(&mut bundle, json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.config["linux"]["timeOffsets"] = json!({
        "monotonic": { "secs": 7881, "nanosecs": 2_718_281 }, "boottime": { "secs": 1_000_000, "nanosecs": 3_141_519 }
    });
    bundle.sh(&format!("{SHOW}; sleep 100")).create(&first, &[]).ok();
    bundle.oci(&["start", &first]).ok();
    ground::until("it says so", || words(&bundle.output()).len() == 7);
    assert_eq!(words(&bundle.output())[..6], OFFSETS);
    let inside = bundle.oci(&["exec", &first, "cat", "/proc/self/timens_offsets"]).ok();
    assert_eq!(words(&inside), OFFSETS);

    let pid = bundle.state(&first)["pid"].to_string();
    let other = bundle.config["linux"].as_object_mut().unwrap();
    for name in ["uidMappings", "gidMappings", "timeOffsets"] {
        other.remove(name);
    }
    other["namespaces"] = plain;
    add(&mut bundle, json!({ "type": "time", "path": format!("/proc/{pid}/ns/time") }));
    let joined = bundle.sh(SHOW).oci(&["run", &second]).ok();
    assert_eq!(words(&joined)[..6], OFFSETS);
    // Those of a namespace that lives are fixed.
    bundle.config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1 } });
    bundle.save().create(&second, &[]).fails(1, "not the container's own");
    bundle.oci(&["delete", "--force", &first]).ok();
    bundle.nothing_left(&first);
}

#[test]
fn offsets_that_cannot_be() {
    let Some(mut bundle) = bundle() else { return };
    let id = id("time-bad");
    bundle.sh("true");
    let set = |bundle: &mut Bundle, clock: &str, offset: Value| {
        bundle.config["linux"]["timeOffsets"] = json!({ clock: offset });
        bundle.save();
    };
    set(&mut bundle, "monotonic", json!({ "secs": 1 }));
    bundle.create(&id, &[]).fails(1, "no time namespace");
    add(&mut bundle, json!({ "type": "time" }));
    for (clock, offset, why) in [
        ("realtime", json!({ "secs": 1 }), "neither monotonic nor boottime"),
        ("monotonic", json!({ "nanosecs": 1_000_000_000 }), "more than a second"),
        ("monotonic", json!({ "nanosecs": -1 }), "`-1`"),
        ("monotonic", json!({ "secs": 0.5 }), "floating point"),
        ("monotonic", json!({ "secs": -1_000_000_000_000_i64 }), "begin before 0"),
        ("boottime", json!({ "secs": i64::MAX }), "ERANGE"),
    ] {
        set(&mut bundle, clock, offset);
        bundle.create(&id, &[]).fails(1, why);
        bundle.nothing_left(&id);
    }
}
