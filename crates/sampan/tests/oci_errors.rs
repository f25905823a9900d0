//! What `sampan oci` is given wrong: one error that says why, exit code 1, and nothing is made.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::{Ran, SAMPAN, ran};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

/// One message, and nothing left; with the number of the step at most where only the kernel could tell.
#[track_caller]
fn refuses(bundle: &Bundle, ran: &Ran, id: &str, why: &str) {
    assert!(is_refused(ran, why), "{why:?}: {ran:?}");
    bundle.nothing_left(id);
}

fn is_refused(ran: &Ran, why: &str) -> bool {
    let one = ran.err.starts_with("error: ") && ran.err.matches("error:").count() == 1;
    matches!(ran.code, 1 | 255) && one && ran.err.contains(why) && !ran.err.contains("panicked")
}

/// `create` of the bundle's configuration with another value at each place.
#[track_caller]
fn table(name: &str, cases: &[(&str, Value, &str)]) {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id(name);
    bundle.sh("true");
    let good = bundle.config.clone();
    let mut wrong = Vec::new();
    for (at, value, why) in cases {
        bundle.config = good.clone();
        let (above, name) = at.rsplit_once('/').unwrap();
        let above = bundle.config.pointer_mut(above).unwrap();
        match above.as_array_mut() {
            Some(list) => list.push(value.clone()),
            None => above[name] = value.clone(),
        }
        bundle.save();
        let ran = bundle.create(&id, &[]);
        if !is_refused(&ran, why) {
            wrong.push(format!("{at} {value}: not {why:?}: {ran:?}"));
            bundle.oci(&["delete", "--force", &id]).ok();
        }
        bundle.nothing_left(&id);
    }
    assert_eq!(wrong, <[&str; 0]>::default());
    bundle.config = good;
    bundle.save().create(&id, &[]).ok();
}

#[test]
fn a_configuration_that_cannot_be_read() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("unread");
    bundle.sh("true");
    let file = bundle.at("config.json");
    let good = fs::read(&file).unwrap();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (text, why) in [
        (&b""[..], "EOF while parsing"),
        (b"{", "EOF while parsing"),
        (b"null", "expected struct Config"),
        (b"[]", "ociVersion"),
        (b"{}", "ociVersion"),
        (b"\xff\xfe{}", "expected value"),
        (b"{\"hostname\": \"\xff\"}", "invalid unicode"),
        (b"{\"ociVersion\": \"1.0.2\", \"ociVersion\": \"1.0.2\"}", "duplicate field"),
        (b"{\"ociVersion\": 1}", "invalid type: integer `1`, expected a string"),
        (deep.as_bytes(), "recursion limit"),
        (&[&good[..], b"{}"].concat(), "trailing characters"),
        (&[&good[..], b"\0"].concat(), "trailing characters"),
    ] {
        fs::write(&file, text).unwrap();
        refuses(&bundle, &bundle.create(&id, &[]), &id, why);
    }
    fs::remove_file(&file).unwrap();
    refuses(&bundle, &bundle.create(&id, &[]), &id, "ENOENT");
    fs::create_dir(&file).unwrap();
    refuses(&bundle, &bundle.create(&id, &[]), &id, "no regular file");
    fs::remove_dir(&file).unwrap();
    // What would never end, or never come.
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refuses(&bundle, &bundle.create(&id, &[]), &id, "no regular file");
    for target in ["/dev/zero", "config.json"] {
        fs::remove_file(&file).unwrap();
        symlink(target, &file).unwrap();
        let why = if target == "config.json" { "ELOOP" } else { "no regular file" };
        refuses(&bundle, &bundle.create(&id, &[]), &id, why);
    }
    fs::remove_file(&file).unwrap();
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    refuses(&bundle, &bundle.create(&id, &[]), &id, "larger than");
    // A link is as good as what it leads to.
    fs::write(bundle.at("elsewhere.json"), &good).unwrap();
    fs::remove_file(&file).unwrap();
    symlink("elsewhere.json", &file).unwrap();
    bundle.create(&id, &[]).ok();
}

#[test]
fn a_root_or_process_that_is_none() {
    table(
        "process",
        &[
            ("/ociVersion", json!("1.0"), "ociVersion"),
            ("/root", json!({}), "no root"),
            ("/root/path", json!(""), "no root"),
            ("/root/path", json!("config.json"), "no directory"),
            ("/root/path", json!("root\0fs"), "NUL"),
            ("/process", json!({}), "process.cwd"),
            ("/process/args", json!("sh"), "expected a sequence"),
            ("/process/args", json!([""]), "no command"),
            ("/process/args", json!(["a\0b"]), "NUL"),
            ("/process/args", json!(["/bin"]), "EACCES"),
            ("/process/cwd", json!(""), "not an absolute path"),
            ("/process/cwd", json!("../.."), "not an absolute path"),
            ("/process/cwd", json!("/\0"), "NUL"),
            ("/process/cwd", json!("/bin/sh"), "ENOTDIR"),
            ("/process/env", json!(["A=B", "PATH"]), "\"PATH\""),
            ("/process/env", json!(["=B"]), "\"=B\""),
            ("/process/env", json!(["A=B\0"]), "NUL"),
            ("/process/env", json!({ "A": "B" }), "expected a sequence"),
            ("/process/user", json!({ "uid": -1 }), "`-1`"),
            ("/process/user", json!({ "uid": 4_294_967_296_u64 }), "`4294967296`"),
            ("/process/user", json!({ "uid": 4_294_967_295_u32 }), "4294967295"),
            ("/process/user", json!({ "gid": 4_294_967_295_u32 }), "4294967295"),
            ("/process/user", json!({ "additionalGids": [4_294_967_295_u32] }), "4294967295"),
            ("/process/user", json!({ "umask": 4096 }), "umask"),
            ("/process/oomScoreAdj", json!(1001), "oomScoreAdj"),
            ("/process/oomScoreAdj", json!(-1001), "oomScoreAdj"),
            ("/process/oomScoreAdj", json!(1_u64 << 40), "i32"),
            ("/process/rlimits/-", json!({ "type": "RLIMIT_CORE" }), "missing field"),
            ("/process/rlimits/-", json!({ "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 }), "named twice"),
            ("/process/rlimits/-", json!({ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }), "above the hard one"),
            ("/process/rlimits/-", json!({ "type": "RLIMIT_CORE", "soft": -1, "hard": 1 }), "`-1`"),
            ("/process/rlimits/-", json!({ "type": "CORE", "soft": 1, "hard": 1 }), "no such limit"),
            ("/process/consoleSize", json!({ "height": 70000, "width": 1 }), "u16"),
            ("/hostname", json!("h\0"), "NUL"),
            ("/hostname", json!("x".repeat(65)), "64"),
            ("/domainname", json!("x".repeat(65)), "64"),
        ],
    );
}

#[test]
fn namespaces_that_contradict_each_other() {
    let user = |more: Value| {
        let mut linux = json!({ "namespaces": [{ "type": "mount" }, { "type": "uts" }, { "type": "user" }] });
        linux.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        linux
    };
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 10 }]);
    let twice = json!([{ "containerID": 0, "hostID": 1, "size": 1 }, { "containerID": 0, "hostID": 2, "size": 1 }]);
    let over = json!([{ "containerID": 4_294_967_295_u32, "hostID": 1, "size": 2 }]);
    let none = json!([{ "containerID": 0, "hostID": 1, "size": 0 }]);
    table(
        "contradict",
        &[
            ("/linux/namespaces/-", json!({ "type": "pid" }), "named twice"),
            ("/linux/namespaces/-", json!({ "type": "PID" }), "unknown variant"),
            ("/linux/namespaces/-", json!({}), "missing field `type`"),
            ("/linux/namespaces/-", json!({ "type": "user" }), "uidMappings or gidMappings are missing"),
            ("/linux/namespaces/-", json!({ "type": "time", "path": "/nowhere" }), "ENOENT"),
            ("/linux/namespaces/-", json!({ "type": "time", "path": "relative" }), "not an absolute path"),
            ("/linux/namespaces/-", json!({ "type": "time", "path": "/dev/zero" }), "no namespace"),
            ("/linux/namespaces", json!([]), "uts namespace"),
            ("/linux/namespaces", json!([{ "type": "mount" }]), "uts namespace"),
            ("/linux/uidMappings", map.clone(), "no user namespace"),
            ("/linux/gidMappings", map.clone(), "no user namespace"),
            ("/linux", user(json!({ "uidMappings": map })), "missing"),
            ("/linux", user(json!({ "uidMappings": map, "gidMappings": twice })), "gidMappings"),
            ("/linux", user(json!({ "uidMappings": none, "gidMappings": map })), "uidMappings"),
            ("/linux", user(json!({ "uidMappings": over, "gidMappings": map })), "uidMappings"),
            ("/linux/sysctl", json!({ "kernel.domainname": "x", "net.ipv4/../x": "1" }), "net.ipv4/../x"),
            ("/linux/sysctl", json!({ "kernel.hostname": "x" }), "hostname of a container"),
            ("/linux/sysctl", json!({ "": "1" }), "sysctl"),
            ("/linux/sysctl", json!({ "net.core.somaxconn": "1\0" }), "EINVAL"),
        ],
    );
}

#[test]
fn mounts_devices_and_paths_that_cannot_be() {
    let mount = |more: Value| {
        let mut mount = json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" });
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mount
    };
    let device = |more: Value| {
        let mut device = json!({ "path": "/dev/d", "type": "c", "major": 1, "minor": 3 });
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([device])
    };
    let rule = |more: Value| json!([more]);
    table(
        "mounts",
        &[
            ("/mounts/-", json!({ "type": "tmpfs" }), "no destination"),
            ("/mounts/-", json!({}), "no destination"),
            ("/mounts/-", mount(json!({ "destination": "/\0" })), "NUL"),
            ("/mounts/-", mount(json!({ "destination": "/etc/passwd" })), "is a file there"),
            ("/mounts/-", mount(json!({ "type": "" })), "type is missing"),
            ("/mounts/-", mount(json!({ "type": "nosuchfs" })), "ENODEV"),
            ("/mounts/-", mount(json!({ "options": ["nosuchoption"] })), "nosuchoption"),
            ("/mounts/-", mount(json!({ "options": ["size=lots"] })), "size=lots"),
            ("/mounts/-", mount(json!({ "options": ["a\0"] })), "NUL"),
            ("/mounts/-", mount(json!({ "options": ["idmap"] })), "only the ids of a bind"),
            ("/mounts/-", mount(json!({ "type": "bind", "source": "" })), "needs a source"),
            ("/mounts/-", mount(json!({ "type": "bind", "source": "/etc", "options": ["size=1"] })), "\"size\""),
            ("/mounts/-", mount(json!({ "type": "bind", "source": "/etc", "options": ["bind", "xyz"] })), "\"xyz\""),
            ("/mounts/-", mount(json!({ "type": "bind", "source": "/etc", "destination": "/bin/sh" })), "ENOTDIR"),
            ("/linux/devices", device(json!({ "type": "x" })), "device type x"),
            ("/linux/devices", device(json!({ "type": "" })), "device type"),
            ("/linux/devices", device(json!({ "path": "" })), "device"),
            ("/linux/devices", device(json!({ "path": "dev/d" })), "not an absolute path"),
            ("/linux/devices", device(json!({ "major": -1 })), "-1"),
            ("/linux/devices", device(json!({ "major": 1_u64 << 33 })), "8589934592"),
            ("/linux/devices", device(json!({ "minor": 1 << 20 })), "1048576"),
            ("/linux/resources/devices", rule(json!({ "allow": true, "type": "q" })), "none of a, b and c"),
            ("/linux/resources/devices", rule(json!({ "allow": true, "access": "rx" })), "not made of r, w and m"),
            ("/linux/maskedPaths", json!(["relative"]), "not an absolute path"),
            ("/linux/readonlyPaths", json!(["../x"]), "not an absolute path"),
            ("/linux/readonlyPaths", json!(["/a\0"]), "NUL"),
            ("/linux/resources", json!({ "pids": { "limit": 1.5 } }), "floating point"),
            ("/linux/resources", json!({ "memory": { "limit": "1G" } }), "invalid type: string"),
            ("/linux/resources", json!({ "memory": { "limit": 9_223_372_036_854_775_808_u64 } }), "i64"),
            ("/linux/cgroupsPath", json!("a\0b"), "cgroup path"),
        ],
    );
}

#[test]
fn hooks_that_cannot_be_called() {
    let hook = |more: Value| json!([more]);
    table(
        "hooks",
        &[
            ("/hooks", json!({ "prestart": hook(json!({})) }), "not an absolute path"),
            ("/hooks", json!({ "createRuntime": hook(json!({ "path": "bin/true" })) }), "not an absolute path"),
            ("/hooks", json!({ "poststop": hook(json!({ "path": "true" })) }), "not an absolute path"),
            ("/hooks", json!({ "startContainer": hook(json!({ "path": "true" })) }), "not an absolute path"),
            ("/hooks", json!({ "createRuntime": hook(json!({ "path": "/nowhere" })) }), "ENOENT"),
            ("/hooks", json!({ "createRuntime": hook(json!({ "path": "/etc" })) }), "EACCES"),
            (
                "/hooks",
                json!({ "createContainer": hook(json!({ "path": "/nowhere" })) }),
                "createContainer hook #0: /nowhere",
            ),
            ("/hooks", json!({ "poststart": hook(json!({ "path": "/bin/true", "timeout": 0 })) }), "timeout"),
            ("/hooks", json!({ "poststart": hook(json!({ "path": "/bin/true", "timeout": -1 })) }), "timeout"),
            ("/hooks", json!({ "poststop": hook(json!({ "path": "/bin/true", "env": ["A"] })) }), "\"A\""),
            ("/hooks", json!({ "poststop": hook(json!({ "path": "/bin/true\0" })) }), "NUL"),
            ("/hooks", json!({ "prestart": {} }), "expected a sequence"),
        ],
    );
}

#[test]
fn arguments_that_name_nothing() {
    let Some(mut bundle) = Bundle::new() else { return };
    let good = id("arguments");
    bundle.sh("true");
    fs::write(bundle.at("plain"), "").unwrap();
    fs::set_permissions(bundle.at("plain"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut wrong = Vec::new();
    for (words, why) in [
        (&["create", ""][..], "container id"),
        (&["create", "a/b"], "container id"),
        (&["create", ".."], "container id"),
        (&["create", "../x"], "container id"),
        (&["create", "a\nb"], "container id"),
        (&["create", &"x".repeat(256)], "container id"),
        (&["create"], "missing CONTAINER"),
        (&["create", &good, "more"], "more"),
        (&["create", "--bundle", "/nowhere", &good], "/nowhere"),
        (&["create", "--bundle", "plain", &good], "ENOTDIR"),
        (&["create", "--bundle", "", &good], "bundle"),
        (&["create", "--pid-file", "nowhere/pid", &good], "nowhere"),
        (&["create", "--pid-file", "rootfs", &good], "rootfs"),
        (&["create", "--pid-file", "/", &good], "cannot write /"),
        (&["create", "--console-socket", "plain", &good], "no terminal"),
        (&["create", "--pidfd-socket", "plain", &good], "ECONNREFUSED"),
        (&["create", "--pidfd-socket", "nowhere", &good], "ENOENT"),
        (&["create", "--preserve-fds", "-1", &good], "-1"),
        (&["create", "--preserve-fds", "4294967295", &good], "not open"),
        (&["create", "--preserve-fds", "99", &good], "not open"),
        (&["create", "--nonsense", &good], "--nonsense"),
        (&["start", &good], "does not exist"),
        (&["exec", &good, "true"], "does not exist"),
        (&["pause", &good], "does not exist"),
        (&["update", "--pids-limit", "5", &good], "does not exist"),
        (&["update", "-r", "nowhere", &good], "nowhere"),
        (&["kill", &good, "99"], "99"),
        (&["state", ".."], "container id"),
        (&["delete", "--force", "../root"], "container id"),
        (&["list", "--format", "xml"], "xml"),
        (&["spec", "--bundle", "nowhere"], "nowhere"),
        (&["nonsense"], "nonsense"),
    ] {
        let ran = bundle.oci(words);
        if !is_refused(&ran, why) {
            wrong.push(format!("{words:?}: not {why:?}: {ran:?}"));
        }
        bundle.nothing_left(&good);
    }
    assert_eq!(wrong, <[&str; 0]>::default());
    bundle.config["process"]["terminal"] = true.into();
    bundle.save();
    let socket = |name: &str| bundle.create(&good, &["--console-socket", name]);
    refuses(&bundle, &socket("plain"), &good, "ECONNREFUSED");
    refuses(&bundle, &socket("nowhere"), &good, "ENOENT");
    assert!(!bundle.at("pid").exists());
    bundle.config["process"]["terminal"] = false.into();
    bundle.save();
    // A root that is no directory, or not ours to write to.
    for (root, why) in [("plain", "plain"), ("/proc/nowhere", "/proc/nowhere")] {
        let mut command = Command::new(SAMPAN);
        command.args(["oci", "--root", root, "create", &good]).current_dir(bundle.at(""));
        ran(command.output().unwrap()).fails(1, why);
    }
}

#[test]
fn a_process_that_is_none() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("exec-bad");
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    let before = bundle.oci(&["ps", "--format", "json", &id]).ok();
    let file = bundle.at("process.json");
    let base = json!({ "args": ["true"], "cwd": "/", "env": ["PATH=/bin"] });
    let with = |at: &str, value: Value| {
        let mut process = base.clone();
        process[at] = value;
        process.to_string()
    };
    for (text, why) in [
        (String::new(), "EOF while parsing"),
        (format!("{base} x"), "trailing characters"),
        ("{}".to_owned(), "process.cwd"),
        (with("args", json!([])), "no command"),
        (with("args", json!(["nope"])), "executable file not found in $PATH"),
        (with("args", json!(["a\0"])), "NUL"),
        (with("cwd", json!("bin")), "not an absolute path"),
        (with("cwd", json!("")), "not an absolute path"),
        (with("cwd", json!("/nowhere")), "ENOENT"),
        (with("env", json!(["A"])), "\"A\""),
        (with("terminal", json!(true)), "--console-socket"),
        (with("user", json!({ "uid": 4_294_967_295_u32 })), "4294967295"),
        (with("rlimits", json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }])), "above the hard one"),
        (with("selinuxLabel", json!("a:b:c")), "the SELinux label"),
        (with("oomScoreAdj", json!(9999)), "oomScoreAdj"),
    ] {
        fs::write(&file, &text).unwrap();
        let pid = bundle.at("exec-pid");
        let ran = bundle.oci(&["exec", "--detach", "--pid-file", "exec-pid", "--process", "process.json", &id]);
        assert!(is_refused(&ran, why), "{text}: {ran:?}");
        assert!(!pid.exists(), "{text}");
        assert_eq!(bundle.oci(&["ps", "--format", "json", &id]).ok(), before, "{text}");
    }
    bundle.oci(&["exec", "--process", "/dev/zero", &id]).fails(255, "larger than");
    bundle.oci(&["exec", "--process", "nowhere", &id]).fails(255, "nowhere");
    bundle.oci(&["exec", &id]).fails(255, "command");
    bundle.oci(&["exec", "--pid-file", "nowhere/pid", &id, "true"]).fails(255, "nowhere");
    for (text, why) in [
        ("", "EOF while parsing"),
        ("[]x", "trailing characters"),
        ("{\"pids\": {\"limit\": \"5\"}}", "invalid type: string"),
        ("{\"pids\": 5}", "invalid type: integer"),
        ("{\"cpu\": {\"cpus\": \"9999\"}}", "CPUs 9999"),
    ] {
        fs::write(bundle.at("resources.json"), text).unwrap();
        bundle.oci(&["update", "-r", "resources.json", &id]).fails(1, why);
    }
    bundle.oci(&["update", "-r", "/dev/zero", &id]).fails(1, "larger than");
}

#[test]
fn records_that_were_damaged() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("damaged");
    bundle.sh("true").create(&id, &[]).ok();
    let record = bundle.at("root").join(&id).join("record.json");
    let good = fs::read(&record).unwrap();
    for text in [&b""[..], b"{", b"[1]", b"{\"pid\": \"x\"}", &good[..good.len() / 2]] {
        fs::write(&record, text).unwrap();
        for verb in ["start", "state", "kill", "pause", "ps", "delete"] {
            bundle.oci(&[verb, &id]).fails(1, "damaged");
        }
        assert_eq!(bundle.oci(&["list", "-q"]).ok(), "");
    }
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.nothing_left(&id);
}
