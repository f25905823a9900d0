//! The escapes that SECURITY.md names, tried from inside of a bundle's container, and of a process that joins it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id, receive};
use ground::{Ran, ran, until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

/// The runtime, from a shell that has files open that are not the container's.
fn with_files(bundle: &Bundle, words: &[&str]) -> Ran {
    let name = bundle.at("sampan-oci");
    let run = bundle.command(&name, words);
    let mut shell = Command::new("bash");
    shell.args(["-c", "exec 7</etc/passwd 9</ 33<>/dev/null; exec \"$@\"", "bash"]);
    shell.arg(run.get_program()).args(run.get_args()).current_dir(bundle.at(""));
    ran(shell.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn bundle_leaks_no_descriptor() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("files");
    bundle.sh("ls /proc/$$/fd; sleep 100");
    bundle.create(&id, &[]).ok();
    // Of the one that waits, too: no directory of the host's but the container's own root, which is its way in.
    let pid = bundle.state(&id)["pid"].to_string();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let at = fs::read_link(entry.unwrap().path()).unwrap();
        assert!(!at.is_dir() || at == std::path::Path::new("/"), "{}", at.display());
    }
    bundle.oci(&["start", &id]).ok();
    let seen = with_files(&bundle, &["exec", &id, "sh", "-c", "ls /proc/$$/fd; true"]);
    assert_eq!(seen.ok(), "0\n1\n2");
    bundle.oci(&["delete", "--force", &id]).ok();
    bundle.sh("ls /proc/$$/fd; true");
    assert_eq!(with_files(&bundle, &["run", &id]).ok(), "0\n1\n2");
}

#[test]
fn bundle_cwd_through_descriptors() {
    let Some(mut bundle) = Bundle::new() else { return };
    let (id, other) = (id("cwd"), id("cwd-of"));
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    for fd in 3..12 {
        let cwd = format!("/proc/self/fd/{fd}");
        let ran = with_files(&bundle, &["exec", "--cwd", &cwd, &id, "sh", "-c", "cat ../etc/passwd"]);
        assert!(ran.code != 0 && ran.out.is_empty(), "exec {fd}: {ran:?}");
        bundle.config["process"]["cwd"] = cwd.into();
        bundle.sh("cat ../etc/passwd");
        let ran = with_files(&bundle, &["run", &other]);
        assert!(ran.code != 0 && ran.out.is_empty(), "run {fd}: {ran:?}");
    }
}

#[test]
fn bundle_command_is_not_sampan() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("own");
    bundle.ground.file("tmp/script", "#!/proc/self/exe\n");
    bundle.sh("sleep 100").create(&id, &[]).ok();
    bundle.oci(&["start", &id]).ok();
    for command in ["/proc/self/exe", "/tmp/script"] {
        let ran = bundle.oci(&["exec", &id, command, "--version"]);
        assert!(ran.code != 0 && ran.out.is_empty() && ran.err.contains("CVE-2019-5736"), "{ran:?}");
    }
    bundle.oci(&["delete", "--force", &id]).ok();
    // All looks well before the start; what it is then, its own /proc says.
    bundle.config["process"]["args"] = json!(["/tmp/script"]);
    let ran = bundle.save().oci(&["run", &id]);
    assert!(ran.code != 0 && ran.out.is_empty() && ran.err.contains("CVE-2019-5736"), "{ran:?}");
}

#[test]
fn bundle_masks_with_the_null_device_only() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("null");
    fs::create_dir(bundle.at("rootfs/dev")).unwrap();
    fs::write(bundle.at("rootfs/secret"), "secret").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.sh("stat -c %t:%T /secret");
    let good = bundle.config.clone();
    symlink("/etc/passwd", bundle.at("rootfs/dev/null")).unwrap();
    assert_eq!(bundle.oci(&["run", &id]).ok(), "1:3");
    // Where /dev is the image's, or the configuration's null another device.
    let volume = bundle.at("volume");
    fs::create_dir(&volume).unwrap();
    symlink("../etc/passwd", volume.join("null")).unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    mounts.push(json!({ "destination": "/dev", "type": "bind", "source": volume, "options": ["bind"] }));
    let ran = bundle.save().oci(&["run", &id]);
    assert!(ran.code != 0 && ran.out.is_empty(), "{ran:?}");
    bundle.config = good;
    bundle.config["linux"]["devices"] = json!([{ "path": "/dev/null", "type": "c", "major": 1, "minor": 5 }]);
    bundle.save().oci(&["run", &id]).fails(1, "ENODEV");
    bundle.nothing_left(&id);
}

#[test]
fn bundle_console_is_not_redirected() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("console");
    let listener = UnixListener::bind(bundle.at("socket")).unwrap();
    let socket = bundle.at("socket").to_string_lossy().into_owned();
    bundle.config["process"]["terminal"] = true.into();
    bundle.config["root"]["readonly"] = false.into();
    ["dev/pts", "dev/shm", "dev/mqueue"]
        .iter()
        .for_each(|at| fs::create_dir_all(bundle.at("rootfs").join(at)).unwrap());
    symlink("/etc/passwd", bundle.at("rootfs/dev/console")).unwrap();
    bundle.sh("test -c /dev/console && test -f /etc/passwd && echo apart >/seen");
    // Under a /dev of its own, and where /dev is the image's: the link is covered, not where it leads.
    for _ in 0..2 {
        bundle.save().create(&id, &["--console-socket", &socket]).ok();
        let _terminal = receive(&listener);
        bundle.oci(&["start", &id]).ok();
        bundle.until_status(&id, "stopped");
        assert_eq!(fs::read_to_string(bundle.at("rootfs/seen")).unwrap(), "apart\n");
        fs::remove_file(bundle.at("rootfs/seen")).unwrap();
        bundle.oci(&["delete", &id]).ok();
        bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    }
    bundle.nothing_left(&id);
}

#[test]
fn bundle_proc_must_be_one() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("proc");
    bundle.sh("true");
    let good = bundle.config.clone();
    for (name, kind) in [("proc", "proc"), ("sys", "sysfs")] {
        symlink("/tmp", bundle.ground.rootfs().join(name)).unwrap();
        bundle.oci(&["run", &id]).fails(1, &format!("{kind} must be mounted on ordinary directory"));
        fs::remove_file(bundle.ground.rootfs().join(name)).unwrap();
    }
    // A setting goes to a procfs or nowhere.
    let fake = bundle.at("fake");
    fs::create_dir_all(fake.join("sys/net/ipv4")).unwrap();
    fs::write(fake.join("sys/net/ipv4/ip_default_ttl"), "old").unwrap();
    bundle.config = good;
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_default_ttl": "77" });
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/proc", "type": "bind", "source": fake, "options": ["bind"] }));
    bundle.save().oci(&["run", &id]).fails(1, "cannot mount on /proc");
    assert_eq!(fs::read_to_string(fake.join("sys/net/ipv4/ip_default_ttl")).unwrap(), "old");
}

#[test]
fn bundle_proc_is_not_covered() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("cover");
    ["proc", "dir"].iter().for_each(|name| fs::create_dir_all(bundle.at("rootfs").join(name)).unwrap());
    symlink("/proc", bundle.at("rootfs/link")).unwrap();
    fs::write(bundle.at("file"), "text\n").unwrap();
    let good = bundle.config.clone();
    let mount = |at: &str, kind: &str, source: &str| json!({ "destination": at, "type": kind, "source": source, "options": if kind == "bind" { &["rbind"][..] } else { &[] } });
    let file = bundle.at("file").to_string_lossy().into_owned();
    for (at, kind, word) in [
        ("/proc/self", "tmpfs", "cannot mount on"),
        ("/proc", "tmpfs", "cannot mount on"),
        ("/proc", "bind", "cannot mount on"),
        ("//dir/../proc/./sys/kernel", "tmpfs", "cannot mount on"),
        ("/proc/version", "bind", "cannot mount on"),
        ("/link/sys", "tmpfs", "EXDEV"),
        ("/link/uptime", "bind", "EXDEV"),
        ("/link/self/attr", "tmpfs", "EXDEV"),
    ] {
        bundle.config = good.clone();
        bundle.config["mounts"].as_array_mut().unwrap().push(mount(at, kind, &file));
        let ran = bundle.sh("true").oci(&["run", &id]);
        assert!(ran.code == 1 && ran.err.contains(word), "{at}: {ran:?}");
    }
    // What lxcfs shows, and a procfs on a procfs.
    for (at, kind, source) in
        [("/proc/uptime", "bind", file.as_str()), ("/proc", "bind", "/proc"), ("/proc", "proc", "proc")]
    {
        bundle.config = good.clone();
        bundle.config["mounts"].as_array_mut().unwrap().push(mount(at, kind, source));
        bundle.sh("cat /proc/uptime").oci(&["run", &id]).ok();
    }
    bundle.nothing_left(&id);
}

#[test]
fn bundle_targets_stay_inside() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("inside");
    let outside = bundle.at("outside");
    fs::create_dir(&outside).unwrap();
    let up = format!("{}/outside", "../".repeat(12) + bundle.at("").to_str().unwrap().trim_start_matches('/'));
    symlink(&up, bundle.at("rootfs/up")).unwrap();
    symlink(&outside, bundle.at("rootfs/away")).unwrap();
    let file = bundle.at("file");
    fs::write(&file, "text").unwrap();
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    for (at, kind) in
        [("/up/made", "bind"), ("/away/made", "bind"), ("/up/below/deep", "tmpfs"), ("/../../up/x", "tmpfs")]
    {
        let options = if kind == "bind" { json!(["bind"]) } else { json!([]) };
        mounts.push(json!({ "destination": at, "type": kind, "source": file, "options": options }));
    }
    // Devices and masks, too.
    bundle.config["linux"]["devices"] = json!([{ "path": "/up/device", "type": "c", "major": 1, "minor": 3 }]);
    bundle.config["linux"]["maskedPaths"] = json!(["/up", "/away"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/away"]);
    bundle.config["process"]["cwd"] = "/away/cwd".into();
    bundle.config["root"]["readonly"] = false.into();
    bundle.sh("pwd");
    let ran = bundle.oci(&["run", &id]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{ran:?}");
    assert!(!Command::new("findmnt").arg(&outside).output().unwrap().status.success());
}

#[test]
fn bundle_gets_no_rights_it_does_not_name() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("rights");
    bundle.config["process"].as_object_mut().unwrap().remove("capabilities");
    let status = "grep -E '^(Cap|Groups|NoNewPrivs)' /proc/self/status | tr -s '\\t ' ' '; true";
    bundle.sh(&format!("{status}; sleep 100"));
    // With what its caller has, and would pass on.
    let words = ["--inh-caps=+chown,+kill", "--groups=7,8", "--"];
    let caller = |words_of: &[&str]| {
        let run = bundle.command(&bundle.at("sampan-oci"), words_of);
        let mut setpriv = Command::new("setpriv");
        setpriv.args(words).arg(run.get_program()).args(run.get_args()).current_dir(bundle.at("")).stdin(Stdio::null());
        setpriv.stdout(fs::File::create(bundle.at("output")).unwrap()).stderr(Stdio::inherit());
        assert!(setpriv.status().unwrap().success(), "{words_of:?}");
        bundle.output()
    };
    caller(&["create", &id]);
    bundle.oci(&["start", &id]).ok();
    until("it has told", || bundle.output().contains("NoNewPrivs"));
    let first = bundle.output();
    let joined = caller(&["exec", &id, "sh", "-c", status]);
    bundle.oci(&["delete", "--force", &id]).ok();
    for seen in [first, joined] {
        let sets: Vec<&str> = seen.lines().filter(|line| line.starts_with("Cap")).collect();
        assert!(sets.len() == 5 && sets.iter().all(|line| line.ends_with(" 0000000000000000")), "{seen}");
        assert!(seen.contains("Groups: \n"), "{seen}");
    }
}

#[test]
fn bundle_paths_may_be_hostile() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("hostile");
    bundle.sh("cat /etc/passwd; echo $HOME");
    // The image's passwd is looked into: as a link it is the container's own, and what is no file is not read.
    fs::remove_file(bundle.at("rootfs/etc/passwd")).unwrap();
    let secret = bundle.at("secret");
    fs::write(&secret, "root:x:0:0:root:/stolen:/bin/sh\n").unwrap();
    symlink(&secret, bundle.at("rootfs/etc/passwd")).unwrap();
    let ran = bundle.oci(&["run", &id]);
    assert_eq!(ran.out, "/\n", "{ran:?}");
    fs::remove_file(bundle.at("rootfs/etc/passwd")).unwrap();
    let made = Command::new("mkfifo").arg(bundle.at("rootfs/etc/passwd")).status().unwrap();
    assert!(made.success());
    bundle.sh("echo $HOME");
    assert_eq!(bundle.oci(&["run", &id]).ok(), "/");
    // A pipe for a configuration would hold the runtime up.
    fs::remove_file(bundle.at("config.json")).unwrap();
    assert!(Command::new("mkfifo").arg(bundle.at("config.json")).status().unwrap().success());
    bundle.oci(&["run", &id]).fails(1, "no regular file");
    // Nor does a pid file lead elsewhere.
    fs::remove_file(bundle.at("config.json")).unwrap();
    bundle.sh("true");
    let victim = bundle.at("victim");
    fs::write(&victim, "kept").unwrap();
    symlink(&victim, bundle.at("pid")).unwrap();
    bundle.oci(&["run", "--pid-file", "pid", &id]).ok();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o644);
}
