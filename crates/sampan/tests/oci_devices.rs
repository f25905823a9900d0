//! Devices of a bundle with a user namespace, in which no node can be made.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::{Value, json};
use std::process::Command;

fn mapped(bundle: &mut Bundle, devices: Value) {
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.config["linux"]["devices"] = devices;
    let chown = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.ground.rootfs()).status();
    assert!(chown.unwrap().success());
}

/// The host has none of these, and a zero of the host's is nobody's in the container.
#[test]
fn a_user_namespace_has_devices_that_the_host_has_not() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("devices");
    mapped(
        &mut bundle,
        json!([
            { "path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o157, "uid": 10, "gid": 11 },
            { "path": "/dev/deep/er", "type": "c", "major": 1, "minor": 3 },
            { "path": "/dev/far", "type": "c", "major": 1, "minor": 3, "uid": 70_000 },
            { "path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 0, "gid": 0 },
            { "path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 3, "gid": 4 }
        ]),
    );
    bundle.sh("stat -c '%n %F %a %u:%g %t:%T' /dev/mine /dev/deep/er /dev/far /dev/zero /dev/pipe; \
        grep -E ' /dev/(mine|null) .*nosuid.*noexec' /proc/self/mountinfo | wc -l; head -c 3 /dev/zero | wc -c; echo x >/dev/deep/er && echo written; ls -l /dev/null | cut -c1");
    let expected = "/dev/mine character special file 157 10:11 1:5\n\
        /dev/deep/er character special file 666 0:0 1:3\n\
        /dev/far character special file 666 65534:0 1:3\n\
        /dev/zero character special file 600 0:0 1:5\n\
        /dev/pipe fifo 622 3:4 0:0\n2\n3\nwritten\nc";
    assert_eq!(bundle.oci(&["run", &id]).ok(), expected);
    bundle.nothing_left(&id);
}

/// Where the maps are not known, they are the host's own nodes.
#[test]
fn in_a_joined_user_namespace_the_host_must_have_the_device() {
    let Some(mut bundle) = Bundle::new() else { return };
    let (first, second) = (id("first"), id("second"));
    mapped(&mut bundle, json!([]));
    bundle.sh("sleep 100");
    bundle.create(&first, &[]).ok();
    let state: Value = serde_json::from_str(&bundle.oci(&["state", &first]).ok()).unwrap();
    let namespace = format!("/proc/{}/ns/user", state["pid"]);
    let last = bundle.config["linux"]["namespaces"].as_array_mut().unwrap().last_mut().unwrap();
    last["path"] = namespace.into();
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    for (path, minor, said) in [("/dev/zero", 3, "/dev/zero (c 1:3)"), ("/dev/no-such", 5, "mknod /dev/no-such c 1 5")]
    {
        bundle.config["linux"]["devices"] = json!([{ "path": path, "type": "c", "major": 1, "minor": minor }]);
        bundle.sh("true");
        bundle.oci(&["run", &second]).fails(1, said);
    }
    // The host's root is none of the container's, and its node is for all.
    let kept = "/dev/zero is the host's node, and keeps its owner and mode (65534:65534, 0o666 in the container)";
    for (more, said) in [
        (json!({}), ""),
        (json!({ "fileMode": 0o666, "uid": 65534 }), ""),
        (json!({ "uid": 0 }), kept),
        (json!({ "fileMode": 0o600 }), kept),
    ] {
        let mut device = json!({ "path": "/dev/zero", "type": "c", "major": 1, "minor": 5 });
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bundle.config["linux"]["devices"] = json!([device]);
        bundle.sh("head -c 3 /dev/zero | wc -c");
        let _ = std::fs::remove_file(bundle.at("log"));
        assert_eq!(bundle.oci(&["--log", "log", "--log-format", "json", "run", &second]).ok(), "3");
        let log = std::fs::read_to_string(bundle.at("log")).unwrap_or_default();
        let told: Vec<String> =
            log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["msg"].to_string()).collect();
        assert_eq!(told.concat().trim_matches('"'), said);
    }
    bundle.oci(&["delete", "--force", &first]).ok();
    bundle.nothing_left(&first);
    bundle.nothing_left(&second);
}
