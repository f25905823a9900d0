//! Links of the host that `sampan oci` gives to a container. The host is a network namespace of the test's own.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::{Ran, ran};
use serde_json::{Value, json};
use std::process::Command;

/// The script in a host of its own, with a cable from `host0` to `peer0`, and `$RUN` for the container.
fn host(bundle: &Bundle, id: &str, script: &str) -> Ran {
    const CABLE: &str =
        "ip link set lo up; ip link add host0 mtu 1400 address 02:00:00:00:00:07 type veth peer name peer0;
        ip link set peer0 up";
    // So that it is there by that name.
    bundle.oci(&["features"]).ok();
    let run = format!("RUN='{} --root {} run {id}'", bundle.at("sampan-oci").display(), bundle.at("root").display());
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-ec", &format!("{CABLE}\n{run}\n{script}")]).current_dir(bundle.at(""));
    ran(command.output().unwrap())
}

/// None where there are no tools or no such links.
fn bundle() -> Option<Bundle> {
    let tools = ["unshare", "ip", "nsenter"];
    if tools.iter().any(|tool| Command::new(tool).arg("--help").output().is_err()) {
        eprintln!("skipped: needs {}", tools.join(", "));
        return None;
    }
    Bundle::new()
}

fn devices(bundle: &mut Bundle, devices: Value) -> &mut Bundle {
    bundle.config["linux"]["netDevices"] = devices;
    bundle.save()
}

/// In a namespace that is there already, in the file `ns`.
fn join(bundle: &mut Bundle) {
    let path = bundle.at("ns");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    let network = namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap();
    network["path"] = json!(path);
}

const MAKE: &str = "touch ns; unshare --net=ns true";
const ADDRESSES: &str = "ip address add 10.9.8.7/24 dev host0; ip address add 169.254.1.1/16 scope link dev host0
    ip link set host0 up; ip address add fd00::7/64 nodad dev host0";

fn is_whole(shown: &str, name: &str) {
    for part in ["UP", "mtu 1400", "02:00:00:00:00:07", "10.9.8.7/24", "fd00::7/64", &format!(" {name}@")] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("169.254.1.1"), "{shown}");
}

#[test]
fn a_link_moves_with_what_is_its_own() {
    let Some(mut bundle) = bundle() else { return };
    let id = id("links");
    bundle.sh("ip address show dev host0; ip route");
    devices(&mut bundle, json!({ "host0": {} }));
    let shown = host(&bundle, &id, &format!("{ADDRESSES}; $RUN; ip link show host0 2>&1 || true")).ok();
    is_whole(&shown, "host0");
    assert!(shown.contains("10.9.8.0/24 dev host0"), "{shown}");
    // What is no hardware goes with the namespace.
    assert!(shown.contains("does not exist"), "{shown}");
    bundle.sh("ip address show dev inside");
    devices(&mut bundle, json!({ "host0": { "name": "inside" }, "peer0": { "name": "eth%d" } }));
    is_whole(&host(&bundle, &id, &format!("{ADDRESSES}; $RUN")).ok(), "inside");
    bundle.sh("ls /sys/class/net; cat /sys/class/net/eth0/operstate");
    devices(&mut bundle, json!({ "host0": { "name": "eth%d" }, "peer0": { "name": "eth%d" } }));
    let shown = host(&bundle, &id, "$RUN").ok();
    assert!(shown.contains("eth0") && shown.contains("eth1") && shown.contains("up"), "{shown}");
    bundle.nothing_left(&id);
}

#[test]
fn an_address_keeps_its_peer() {
    let Some(mut bundle) = bundle() else { return };
    let id = id("links-peer");
    bundle.sh("ip address show dev host0; ip route; ip -6 route");
    devices(&mut bundle, json!({ "host0": {} }));
    const PEERS: &str = "ip address add 10.9.8.7 peer 10.9.8.1/32 dev host0; ip link set host0 up
        ip address add 10.7.0.2 peer 10.7.1.1/24 dev host0
        ip address add fd00::7 peer fd00::1/128 nodad dev host0";
    let shown = host(&bundle, &id, &format!("{PEERS}; $RUN")).ok();
    let whole = ["10.9.8.7 peer 10.9.8.1/32", "10.7.0.2 peer 10.7.1.1/24", "10.7.1.0/24 dev host0"];
    // Busybox shows no peer of IPv6, but there is a route to it.
    for part in whole.into_iter().chain(["10.9.8.1 dev host0", "fd00::7/128", "fd00::1 dev host0"]) {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    bundle.nothing_left(&id);
}

#[test]
fn a_namespace_that_is_there_keeps_it() {
    let Some(mut bundle) = bundle() else { return };
    let id = id("links-kept");
    bundle.sh("ip address show dev inside");
    join(&mut bundle);
    devices(&mut bundle, json!({ "host0": { "name": "inside" } }));
    let after = "nsenter --net=ns ip address show dev inside; nsenter --net=ns ip link set inside netns $$";
    let shown = host(&bundle, &id, &format!("{MAKE}; {ADDRESSES}; $RUN; echo =; {after}; ip link show inside")).ok();
    let (during, after) = shown.split_once('=').unwrap();
    is_whole(during, "inside");
    is_whole(after, "inside");
    assert_eq!(after.matches("02:00:00:00:00:07").count(), 2, "{after}");
    // A name that is taken there: nothing has moved.
    let taken = "nsenter --net=ns ip link add inside type veth peer name other";
    let ran = host(&bundle, &id, &format!("{MAKE}; {taken}; $RUN || ip -o link show host0"));
    ran.fails(0, "has a network device \"inside\" already");
    assert!(ran.out.contains("host0"), "{ran:?}");
    devices(&mut bundle, json!({ "host0": { "name": "inside%d" } })).sh("ip link show dev inside0");
    host(&bundle, &id, &format!("{MAKE}; {taken}; $RUN")).ok();
    bundle.nothing_left(&id);
}

#[test]
fn links_that_cannot_be_given_away() {
    let Some(mut bundle) = bundle() else { return };
    let id = id("links-bad");
    bundle.sh("true");
    let own = json!({ "host0": {} });
    for (asked, why) in [
        (json!({ "none0": {} }), "there is no such device"),
        (json!({ "host0": { "name": "lo" } }), "\"lo\" already"),
        (json!({ "host0": { "name": "a/b" } }), "invalid network device name"),
        (json!({ "host0": { "name": "a b" } }), "invalid network device name"),
        (json!({ "host0": { "name": "x234567890123456" } }), "invalid network device name"),
        (json!({ "host0": { "name": "%d" } }), "invalid network device name"),
        (json!({ "host0": { "name": "e%dx%d" } }), "invalid network device name"),
        (json!({ "": {} }), "invalid network device name"),
        (json!({ "host0": { "name": "x" }, "peer0": { "name": "x" } }), "\"x\" already"),
        (json!({ "host0": { "name": 1 } }), "invalid type"),
        (json!({ "lo": { "name": "x" } }), "EINVAL"),
    ] {
        let ran = host(devices(&mut bundle, asked.clone()), &id, "$RUN || ip -o link show host0");
        ran.fails(0, why);
        assert!(ran.out.contains("host0"), "{asked}: {ran:?}");
        bundle.nothing_left(&id);
    }
    join(&mut bundle);
    let link = "ln -s /proc/self/ns/net ns";
    let ran = host(devices(&mut bundle, own), &id, &format!("{link}; $RUN || ip -o link show host0"));
    ran.fails(0, "own network namespace");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "network");
    bundle.save();
    host(&bundle, &id, "$RUN || true").fails(0, "no network namespace");
    bundle.nothing_left(&id);
}
