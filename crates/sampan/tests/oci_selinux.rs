//! SELinux labels of `sampan oci`'s containers.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

fn is_on() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// The label, where the policy knows it, and forbids nothing of it.
fn usual(label: &str) -> Option<String> {
    let permissive = fs::read_to_string("/sys/fs/selinux/enforce").unwrap() == "0";
    (permissive && fs::write("/sys/fs/selinux/context", label).is_ok()).then(|| label.to_owned())
}

fn label_of(path: &Path) -> String {
    let output = Command::new("stat").args(["-c", "%C"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_label_that_nobody_heeds_is_refused() {
    if is_on() {
        eprintln!("skipped: SELinux is on");
        return;
    }
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("unlabelled");
    bundle.sh("sleep 100");
    let plain = bundle.config.clone();
    for (at, name) in [("process", "selinuxLabel"), ("linux", "mountLabel")] {
        bundle.config[at][name] = json!("system_u:system_r:container_t:s0:c4,c5");
        bundle.save().create(&id, &[]).fails(1, "selinux is disabled");
        bundle.nothing_left(&id);
        // That is no label.
        bundle.config = plain.clone();
        bundle.config[at][name] = json!("");
        bundle.save();
    }
    bundle.create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    bundle.oci(&["exec", "--process-label", "a:b:c", &id, "true"]).fails(255, "selinux is disabled");
    bundle.oci(&["exec", "--process-label", "", &id, "true"]).ok();
}

#[test]
fn processes_and_mounts_are_labelled() {
    if !is_on() {
        eprintln!("skipped: SELinux is off");
        return;
    }
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("labelled");
    // Those that any policy has, and lets be: this process's own, and a file's.
    let own = fs::read_to_string("/proc/self/attr/current").unwrap().trim_end_matches(['\0', '\n']).to_owned();
    let process = usual("system_u:system_r:container_t:s0:c4,c5").unwrap_or_else(|| own.clone());
    let config = bundle.at("config.json");
    let file = usual("system_u:object_r:container_file_t:s0:c4,c5").unwrap_or_else(|| label_of(&config));
    bundle.config["process"]["selinuxLabel"] = json!(process);
    bundle.config["linux"]["mountLabel"] = json!(file);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/acpi", "/sys/kernel"]);
    bundle.sh("cat /proc/self/attr/current; echo; sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    ground::until("it says so", || bundle.output().contains('\n'));
    assert_eq!(bundle.output().trim_end_matches(['\0', '\n']), process);
    let root = format!("/proc/{}/root", bundle.state(&id)["pid"]);
    for path in ["/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/mqueue", "/sys/kernel"] {
        assert_eq!(label_of(format!("{root}{path}").as_ref()), file, "{path}");
    }
    for path in ["/proc", "/sys"] {
        assert_ne!(label_of(format!("{root}{path}").as_ref()), file, "{path}");
    }
    let label = |words: &[&str]| {
        let words = [&["exec"], words, &[&id, "cat", "/proc/self/attr/current"]].concat();
        bundle.oci(&words).ok().trim_end_matches('\0').to_owned()
    };
    assert_eq!(label(&[]), process);
    assert_eq!(label(&["--process-label", &own]), own);
    bundle.oci(&["exec", "--process-label", "no:such:label", &id, "true"]).fails(255, "no:such:label");
    bundle.oci(&["delete", "--force", &id]).ok();
    for (at, name) in [("process", "selinuxLabel"), ("linux", "mountLabel")] {
        let good = bundle.config.clone();
        bundle.config[at][name] = json!("no:such:label");
        bundle.save().create(&id, &[]).fails(1, "EINVAL");
        bundle.nothing_left(&id);
        bundle.config = good;
    }
}
