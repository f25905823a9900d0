//! Devices by name: what a vendor's file asks for beside nodes and mounts.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, not in what tests share"
)]

mod ground;

use ground::world::World;
use ground::{Ran, ran};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A machine whose /run/cdi, in a mount namespace of the test's, has this one device, `vendor.com/net=one`.
struct Machine {
    world: World,
}

impl Machine {
    fn new(edits: &Value) -> Option<Self> {
        let world = World::new()?;
        let machine = Self { world };
        machine.has(edits);
        Some(machine)
    }

    fn has(&self, edits: &Value) {
        let file = json!({
            "cdiVersion": "1.1.0", "kind": "vendor.com/net", "devices": [{ "name": "one", "containerEdits": edits }],
        });
        fs::write(self.world.ground.dir.join("vendor.json"), file.to_string()).unwrap();
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.world.ground.dir.join(name);
        fs::write(&path, format!("#!/bin/sh -e\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.world.ground.dir.join(name)).unwrap_or_default()
    }

    fn sampan(&self, words: &[&str]) -> Ran {
        let file = self.world.ground.dir.join("vendor.json");
        let script = "mount -t tmpfs run /run && mkdir /run/cdi && cp \"$0\" /run/cdi/ && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(file);
        let sampan = self.world.ground.command(words);
        command.arg(sampan.get_program()).args(sampan.get_args());
        self.world.host.inside(|| ran(command.output().unwrap()))
    }

    fn make(&self, words: &[&str], command: &[&str]) -> Ran {
        let rootfs = format!("{}:O", self.world.ground.rootfs().display());
        let own = ["--network=none", "--device=vendor.com/net=one", "--rootfs", &rootfs];
        self.sampan(&[words, &own, command].concat())
    }
}

#[test]
fn hooks_of_a_device_are_called_in_their_places() {
    let Some(machine) = Machine::new(&json!({})) else { return };
    let dir = machine.world.ground.dir.display().to_string();
    // As vendors' programs do: the root is what the bundle's config.json says.
    let root = "bundle=$(sed 's/.*\"bundle\":\"\\([^\"]*\\)\".*/\\1/')\n\
        root=$bundle/$(sed 's/.*\"root\":{\"path\":\"[^\"]*\\/\\([a-z]*\\)\".*/\\1/' $bundle/config.json)";
    let inside = machine.script("inside", &format!("{root}\nln -s by-a-hook $root/made; echo $1 >> {dir}/order"));
    let outside = machine.script("outside", &format!("cat > {dir}/told; echo $1 >> {dir}/order"));
    machine.world.ground.file("start", "#!/bin/sh\necho started by $1 $VENDOR > /note\n");
    let hook = |stage: &str, path: &str, more: &str| json!({ "hookName": stage, "path": path, "args": ["hook", more] });
    machine.has(&json!({
        "env": ["VENDOR=us"],
        "hooks": [
            hook("createContainer", &inside, "third"),
            hook("prestart", &outside, "first"),
            hook("createRuntime", &outside, "second"),
            hook("startContainer", "/start", "fourth"),
        ],
    }));
    let script = ["sh", "-c", "readlink /made; cat /note"];
    assert_eq!(machine.make(&["run", "--rm"], &script).ok(), "by-a-hook\nstarted by fourth us");
    assert_eq!(machine.said("order"), "first\nsecond\nthird\n");
    let state: Value = serde_json::from_str(&machine.said("told")).unwrap();
    assert_eq!(state["status"], "creating");
    assert!(state["pid"].as_i64().unwrap() > 1 && state["id"].as_str().unwrap().len() == 64, "{state}");

    // At each start, of one that a monitor watches.
    machine.make(&["create", "--name=kept"], &["sh", "-c", "cat /note; rm /made"]).ok();
    fs::remove_file(machine.world.ground.dir.join("order")).unwrap();
    for _ in 0..2 {
        assert_eq!(machine.sampan(&["start", "--attach", "kept"]).ok(), "started by fourth us");
    }
    assert_eq!(machine.said("order"), "first\nsecond\nthird\n".repeat(2));
    machine.sampan(&["rm", "kept"]).ok();

    // One that fails leaves nothing.
    let fails = machine.script("fails", "exit 3");
    for stage in ["createRuntime", "createContainer"] {
        machine.has(&json!({ "hooks": [hook(stage, &fails, "")] }));
        machine.make(&["run", "--rm"], &["true"]).fails(125, &format!("{stage} hook #0"));
        machine.make(&["run", "-d"], &["true"]).fails(125, &format!("{stage} hook #0"));
    }
    machine.has(&json!({ "hooks": [hook("poststop", &fails, "")] }));
    machine.make(&["run", "--rm"], &["true"]).fails(125, "asks for a hook \"poststop\"");
    machine.world.ground.is_empty();
}

#[test]
fn links_and_groups_of_a_device_are_the_containers() {
    let Some(machine) = Machine::new(&json!({
        "additionalGids": [4242],
        "netDevices": [{ "hostInterfaceName": "vend0", "name": "net7" }],
    })) else {
        return;
    };
    machine.make(&["run", "--rm"], &["true"]).fails(125, "vend0");
    machine.world.host.sh("ip link add vend0 type veth peer name vend1; ip address add 192.0.2.77/24 dev vend0");
    let script = ["sh", "-c", "id -G; ip -o -4 address show net7"];
    let out = machine.make(&["run", "--rm"], &script).ok();
    assert!(out.starts_with("0 4242\n") && out.contains("192.0.2.77/24"), "{out}");
    machine.has(&json!({ "intelRdt": { "closID": "x" } }));
    machine.make(&["run", "--rm"], &["true"]).fails(125, "asks for intelRdt");
    machine.world.ground.is_empty();
}
