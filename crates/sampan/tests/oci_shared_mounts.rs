//! Bundles without a mount namespace of their own: what they mount is where others are, and goes with them.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::until;
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Command, Stdio};

/// None, or the one at this path.
fn mount_namespace(bundle: &mut Bundle, path: Option<&str>) {
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "mount");
    if let Some(path) = path {
        namespaces.push(json!({ "type": "mount", "path": path }));
    }
}

/// What is mounted for the bundle, by whoever can see it.
fn mounts(bundle: &Bundle, of: &str) -> String {
    let below = bundle.at("root");
    let all = fs::read_to_string(format!("/proc/{of}/mountinfo")).unwrap();
    all.lines().filter(|line| line.contains(below.to_str().unwrap())).collect::<Vec<_>>().join("\n")
}

/// A process in a mount namespace of its own, to be joined.
struct Other(Child);

impl Other {
    fn new(propagation: &str) -> Self {
        let mut unshare = Command::new("unshare");
        let child = unshare.args(["--mount", "--propagation", propagation, "sleep", "100"]).stdin(Stdio::null());
        let other = Self(child.spawn().unwrap());
        let own = fs::read_link("/proc/self/ns/mnt").unwrap();
        until("it is in its own", || fs::read_link(other.namespace()).is_ok_and(|theirs| theirs != own));
        until("it sleeps", || fs::read_to_string(format!("/proc/{}/comm", other.0.id())).unwrap() == "sleep\n");
        other
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/mnt", self.0.id())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

const SEEN: &str = "readlink /proc/self/ns/mnt; cat /v/file; echo $$; wc -c </etc/passwd; \
    grep -o ' /proc/sys ro' /proc/self/mountinfo; ls /; touch /etc/x";

/// With a volume, a mask and a read-only root, it is as any other; but who is in the namespace sees it.
fn lives_and_goes(bundle: &mut Bundle, namespace: Option<&str>, of: &str) {
    let id = id(&format!("shared-{of}"));
    fs::create_dir_all(bundle.at("volume")).unwrap();
    fs::write(bundle.at("volume/file"), "volume\n").unwrap();
    mount_namespace(bundle, namespace);
    let volume = json!({ "destination": "/v", "type": "bind", "source": bundle.at("volume"), "options": ["rbind"] });
    let list = bundle.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount: &Value| mount["destination"] != "/v");
    list.push(volume);
    bundle.config["linux"]["maskedPaths"] = json!(["/etc/passwd", "/proc/acpi"]);
    let out = bundle.sh(&format!("{SEEN}; true")).oci(&["run", &id]);
    assert_eq!(out.code, 0, "{out:?}");
    let theirs = fs::read_link(format!("/proc/{of}/ns/mnt")).unwrap();
    let lines: Vec<&str> = out.out.lines().collect();
    assert_eq!(lines[..5], [theirs.to_str().unwrap(), "volume", "1", "0", " /proc/sys ro"], "{out:?}");
    assert!(lines.contains(&"bin") && !lines.contains(&"var"), "{out:?}");
    assert!(!bundle.at("rootfs/etc/x").exists());
    assert_eq!(mounts(bundle, of), "");
    bundle.nothing_left(&id);

    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    assert!(mounts(bundle, of).contains("/shared-mounts/root/proc"), "{}", mounts(bundle, of));
    let joined =
        bundle.oci(&["exec", &id, "sh", "-c", "cat /v/file; readlink /proc/self/ns/mnt; ls /; cat /proc/1/comm"]);
    let first = bundle.oci(&["exec", &id, "sh", "-c", "ls /"]).ok();
    assert_eq!(joined.ok(), format!("volume\n{}\n{first}\nsleep", theirs.display()));
    // Its cgroups are not taken for the host's.
    let another = id.clone() + "-2";
    let config = bundle.config.clone();
    bundle.sh("echo another");
    assert_eq!(bundle.oci(&["run", &another]).ok(), "another");
    bundle.config = config;
    bundle.oci(&["kill", &id, "KILL"]).ok();
    bundle.until_status(&id, "stopped");
    bundle.oci(&["delete", &id]).ok();
    assert_eq!(mounts(bundle, of), "");
    bundle.nothing_left(&id);
    assert!(bundle.at("rootfs/bin").exists() && bundle.at("volume/file").exists());
}

#[test]
fn a_bundle_in_the_callers_mount_namespace() {
    let Some(mut bundle) = Bundle::new() else { return };
    // A namespace that hears of the caller's mounts keeps none of them.
    let other = Other::new("slave");
    lives_and_goes(&mut bundle, None, "self");
    assert_eq!(mounts(&bundle, &other.0.id().to_string()), "");
}

#[test]
fn a_bundle_in_the_mount_namespace_of_another() {
    let Some(mut bundle) = Bundle::new() else { return };
    let other = Other::new("private");
    fs::create_dir_all(bundle.at("root")).unwrap();
    lives_and_goes(&mut bundle, Some(&other.namespace()), &other.0.id().to_string());
    // Where the namespace goes first, there is nothing to undo.
    let id = id("orphan");
    bundle.sh("sleep 100").create(&id, &[]).ok();
    drop(other);
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}

#[test]
fn a_create_that_was_killed_leaves_no_mount() {
    let Some(mut bundle) = Bundle::new() else { return };
    let other = Other::new("private");
    let of = other.0.id().to_string();
    let id = id("killed");
    for (namespace, of) in [(None, "self"), (Some(other.namespace()), &of)] {
        mount_namespace(&mut bundle, namespace.as_deref());
        bundle.sh("sleep 100");
        let (mut killed, mut seen) = (0, 0);
        for step in 1..60 {
            for kind in if step % 6 == 0 { &["fail", "die", "kill-after"][..] } else { &["kill-after"] } {
                let mut create = bundle.command(&bundle.at("sampan-oci"), &["create", &id]);
                create.env("SAMPAN_FAULT", format!("{kind}:{step}")).stdout(Stdio::null()).stderr(Stdio::null());
                killed += u32::from(create.status().unwrap().code().is_none());
                seen += u32::from(!mounts(&bundle, of).is_empty());
                bundle.oci(&["delete", "--force", &id]).ok();
                assert_eq!(mounts(&bundle, of), "", "{kind}:{step}");
                bundle.nothing_left(&id);
            }
        }
        assert!(killed > 30 && seen > 10, "{killed}, {seen}");
    }
    assert!(bundle.at("rootfs/bin").exists());
}

#[test]
fn what_cannot_be_undone_there_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("refused");
    mount_namespace(&mut bundle, None);
    let good = bundle.config.clone();
    let volume = json!({ "destination": "/v", "type": "bind", "source": "/tmp", "options": ["rbind", "rshared"] });
    bundle.config["mounts"].as_array_mut().unwrap().push(volume);
    bundle.sh("true").oci(&["run", &id]).fails(1, "cannot share the mount on /v");
    bundle.config = good;
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    (bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]) = (maps.clone(), maps);
    bundle.sh("true").oci(&["run", &id]).fails(1, "without a mount namespace");
    bundle.nothing_left(&id);
}
