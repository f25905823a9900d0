//! Namespaces that a bundle joins, and what they belong to.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn open_up(bundle: &Bundle) {
    fs::set_permissions(bundle.at(""), fs::Permissions::from_mode(0o755)).unwrap();
    ["proc", "sys", "dev"].iter().for_each(|name| fs::create_dir_all(bundle.ground.rootfs().join(name)).unwrap());
}

fn path(bundle: &mut Bundle, kind: &str, path: &str) {
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != kind);
    namespaces.push(json!({ "type": kind, "path": path }));
}

#[test]
fn a_user_namespace_of_another_container_is_joined() {
    let Some(mut bundle) = Bundle::new() else { return };
    open_up(&bundle);
    let (first, second) = (id("owner"), id("joins"));
    let good = bundle.config.clone();
    path(&mut bundle, "user", "");
    bundle.config["linux"]["uidMappings"] = json!([
        { "containerID": 0, "hostID": 100_000, "size": 10 }, { "containerID": 10, "hostID": 300_000, "size": 9 }
    ]);
    bundle.config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 200_000, "size": 20 }]);
    bundle.sh("sleep 100").create(&first, &[]).ok();
    bundle.oci(&["start", &first]).ok();
    let pid = bundle.state(&first)["pid"].to_string();
    let ns = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    let names = [("user", "user"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
    let seen = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' ' | cut -c 2-; mount -t tmpfs t /tmp && echo mine; \
        for n in user net ipc uts pid mnt; do readlink /proc/self/ns/$n; done";
    // Alone: what is new belongs to it. With the others: those are entered, too.
    for joined in [&names[..1], &names[..]] {
        bundle.config = good.clone();
        for (kind, file) in joined {
            path(&mut bundle, kind, &ns(file));
        }
        for set in ["bounding", "effective", "permitted"] {
            bundle.config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
        }
        let out = bundle.sh(seen).oci(&["run", &second]).ok();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..4], ["0 100000 10", "10 300000 9", "0 200000 20", "mine"], "{out}");
        for (number, file) in ["user", "net", "ipc", "uts", "pid", "mnt"].iter().enumerate() {
            let theirs = fs::read_link(ns(file)).unwrap();
            let is_joined = joined.iter().any(|(_, name)| name == file);
            assert_eq!(lines[4 + number] == theirs.to_str().unwrap(), is_joined, "{file} of {out}");
        }
        // A process more enters all of it.
        bundle.sh("sleep 100").create(&second, &[]).ok();
        bundle.oci(&["start", &second]).ok();
        let own = bundle.oci(&["exec", &second, "readlink", "/proc/self/ns/user"]).ok();
        assert_eq!(own, fs::read_link(ns("user")).unwrap().to_str().unwrap());
        bundle.oci(&["delete", "--force", &second]).ok();
    }
    // Mounts are shifted by the maps of it.
    ["source", "rootfs/v"].iter().for_each(|name| fs::create_dir(bundle.at(name)).unwrap());
    bundle.config = good;
    path(&mut bundle, "user", &ns("user"));
    let mount = json!({ "source": "source", "destination": "/v", "type": "bind", "options": ["bind", "idmap"] });
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    assert_eq!(bundle.sh("stat -c %u:%g /v").oci(&["run", &second]).ok(), "0:0");
    bundle.oci(&["delete", "--force", &first]).ok();
    bundle.nothing_left(&second);
}

#[test]
fn a_namespace_of_somebody_else_goes_with_a_user_namespace() {
    let Some(mut bundle) = Bundle::new() else { return };
    open_up(&bundle);
    let (first, second) = (id("net"), id("own"));
    let good = bundle.config.clone();
    bundle.sh("sleep 100").create(&first, &[]).ok();
    let pid = bundle.state(&first)["pid"].to_string();
    let net = format!("/proc/{pid}/ns/net");
    path(&mut bundle, "network", &net);
    path(&mut bundle, "user", "");
    let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    (bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]) = (maps.clone(), maps);
    // It has no right to a sysfs of that network.
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount: &Value| mount["type"] != "sysfs" && mount["type"] != "cgroup");
    let out = bundle.sh("readlink /proc/self/ns/net; id -u; cat /proc/self/uid_map | tr -s ' '").oci(&["run", &second]);
    let theirs = fs::read_link(&net).unwrap();
    assert_eq!(out.ok(), format!("{}\n0\n 0 100000 65536", theirs.display()));
    bundle.config = good;
    bundle.oci(&["delete", "--force", &first]).ok();
    bundle.nothing_left(&second);
}

#[test]
fn a_user_namespace_in_the_hosts_network_sees_its_sysfs() {
    let Some(mut bundle) = Bundle::new() else { return };
    open_up(&bundle);
    let id = id("sysfs");
    path(&mut bundle, "user", "");
    // All of the host's ids: only the mounts stand in the way of its root.
    let maps = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    (bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]) = (maps.clone(), maps);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "network");
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let script = "ls /sys/class/net; grep ' /sys' /proc/self/mountinfo | grep -v '^[^ ]* [^ ]* [^ ]* [^ ]* [^ ]* ro'";
    let out = bundle.sh(&format!("{script}; true")).oci(&["run", &id]).ok();
    let mut links: Vec<_> = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    links.sort();
    assert_eq!(out.lines().collect::<Vec<_>>(), links);
    let of_sys =
        |table: &str| table.lines().filter(|line| line.contains(" /sys")).map(str::to_owned).collect::<Vec<_>>();
    let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(of_sys(&after), of_sys(&before));
    // One that is to be written to cannot be had.
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "sysfs" {
            mount["options"] = json!(["nosuid"]);
        }
    }
    bundle.sh("true").oci(&["run", &id]).fails(1, "EPERM");
    bundle.nothing_left(&id);
}

#[test]
fn a_user_namespace_has_settings_of_its_own() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("settings");
    let file = "/proc/sys/user/max_uts_namespaces";
    let before = std::fs::read_to_string(file).unwrap();
    bundle.config["linux"]["sysctl"] = json!({ "user.max_uts_namespaces": "7" });
    bundle.sh(&format!("cat {file}")).oci(&["run", &id]).fails(1, "no user namespace of its own");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    for map in ["uidMappings", "gidMappings"] {
        bundle.config["linux"][map] = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    }
    assert_eq!(bundle.save().oci(&["run", &id]).ok(), "7");
    assert_eq!(std::fs::read_to_string(file).unwrap(), before);
    bundle.nothing_left(&id);
}
