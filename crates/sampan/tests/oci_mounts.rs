//! Mounts of bundles, where other runtimes had something to mend.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::bundle::{Bundle, id};
use ground::{Ran, ran};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

impl Mounts for Bundle {}

trait Mounts: Borrow {
    fn mount(&mut self, source: &str, destination: &str, options: &[&str]) -> &mut Value {
        let kind = if options.iter().any(|option| option.ends_with("bind")) { "bind" } else { "tmpfs" };
        let mounts = self.bundle().config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "source": source, "destination": destination, "type": kind, "options": options }));
        mounts.last_mut().unwrap()
    }

    fn in_user_namespace(&mut self) {
        let bundle = self.bundle();
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        (bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]) = (maps.clone(), maps);
    }

    /// `run`, where the script has made mounts first that nobody else has.
    fn after(&mut self, script: &str, words: &[&str]) -> Ran {
        let bundle = self.bundle();
        bundle.save();
        let run = bundle.command(&bundle.at("sampan-oci"), words);
        let script = format!("{script} && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", &script, "sh"]).arg(run.get_program()).args(run.get_args());
        ran(command.current_dir(bundle.at("")).stdin(Stdio::null()).output().unwrap())
    }

    /// Paths of the test's that a user namespace can reach, too, and where it need not make what it mounts on.
    fn open_up(&mut self) {
        let bundle = self.bundle();
        fs::set_permissions(bundle.at(""), fs::Permissions::from_mode(0o755)).unwrap();
        ["proc", "sys", "dev"].iter().for_each(|name| fs::create_dir_all(bundle.ground.rootfs().join(name)).unwrap());
    }
}

trait Borrow {
    fn bundle(&mut self) -> &mut Bundle;
}

impl Borrow for Bundle {
    fn bundle(&mut self) -> &mut Bundle {
        self
    }
}

const FLAGS: &str = "awk '$2 ~ \"^/v\" { print $2, $4 }' /proc/mounts";

#[test]
fn a_bind_has_the_flags_that_it_names() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.open_up();
    bundle.sh(FLAGS);
    let good = bundle.config.clone();
    let source = bundle.at("source");
    fs::create_dir(&source).unwrap();
    let source = source.to_str().unwrap().to_owned();
    let made = |flags: &str| format!("mount -t tmpfs t {source} && mount -o remount,bind,{flags} {source}");
    // Options, what the source has, what the mount has then, and what where a user namespace could not take it off.
    for (options, had, has, kept) in [
        ("bind", "ro,noexec,nodiratime", "ro,noexec,nodiratime,relatime", "ro,noexec,nodiratime,relatime"),
        ("bind,dev", "ro,noexec,nosymfollow", "rw,relatime", "ro,noexec,relatime"),
        ("bind,rw", "ro,nosuid", "rw,relatime", "EPERM"),
        ("bind,exec,ro", "nosuid,noatime", "ro,noatime", "ro,nosuid,noatime"),
        ("bind,exec", "noexec", "rw,relatime", "EPERM"),
        ("bind,atime", "noatime", "rw,noatime", "rw,noatime"),
        ("bind,strictatime", "noatime", "rw", "EPERM"),
        ("bind,nodiratime", "noatime", "rw,nodiratime,relatime", "EPERM"),
        ("bind,relatime", "relatime", "rw,relatime", "rw,relatime"),
        ("bind,sync,silent", "ro", "ro,relatime", "ro,relatime"),
    ] {
        for (user, expected) in [(false, has), (true, kept)] {
            let id = id("flags");
            bundle.config = good.clone();
            bundle.mount(&source, "/v", &options.split(',').collect::<Vec<_>>());
            if user {
                bundle.in_user_namespace();
            }
            let ran = bundle.after(&made(had), &["run", &id]);
            if expected == "EPERM" {
                ran.fails(1, expected);
                continue;
            }
            // What a tmpfs says besides is the kernel's affair.
            let seen = ran.ok();
            let own = ["size=", "nr_inodes=", "inode64", "inode32", "mode=", "uid=", "gid="];
            let words = seen.split(' ').nth(1).unwrap().split(',');
            let flags: Vec<&str> = words.filter(|word| !own.iter().any(|own| word.starts_with(own))).collect();
            assert_eq!(flags.join(","), expected, "{options} of {had}, {user}");
        }
    }
}

#[test]
fn recursive_flags_are_apart_from_the_mounts_own() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("deep");
    let source = bundle.at("source");
    fs::create_dir_all(&source).unwrap();
    let source = source.to_str().unwrap().to_owned();
    bundle.mount(&source, "/v", &["rbind", "ro", "rnosuid", "rnoatime"]);
    bundle.mount(&source, "/v2", &["rbind", "rro"]);
    bundle.sh("for at in /v /v/sub /v2 /v2/sub; do touch $at/x 2>/dev/null && echo $at; done; \
        awk '$2 ~ \"^/v\" { print $2, ($4 ~ /nosuid/) ($4 ~ /noatime/) }' /proc/mounts");
    let made = format!("mount -t tmpfs t {source} && mkdir {source}/sub && mount -t tmpfs t {source}/sub");
    let seen = bundle.after(&made, &["run", &id]).ok();
    assert_eq!(seen, "/v/sub\n/v 11\n/v/sub 11\n/v2 00\n/v2/sub 00");
    bundle.nothing_left(&id);
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_covers() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("mode");
    for (name, mode) in [("plain", 0o710), ("all", 0o7777), ("other", 0o700)] {
        fs::create_dir(bundle.at(&format!("rootfs/{name}"))).unwrap();
        fs::set_permissions(bundle.at(&format!("rootfs/{name}")), fs::Permissions::from_mode(mode)).unwrap();
    }
    bundle.mount("tmpfs", "/plain", &["nosuid"]);
    bundle.mount("tmpfs", "/all", &["nosuid"]);
    bundle.mount("tmpfs", "/other", &["mode=1500"]);
    bundle.mount("tmpfs", "/absent/deep", &[]);
    bundle.sh("stat -c %a /plain /all /other /absent/deep");
    assert_eq!(bundle.oci(&["run", &id]).ok(), "710\n7777\n1500\n1777");
    let mode = |path: &str| fs::metadata(bundle.at(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("rootfs/other"), mode("rootfs/absent/deep")), (0o700, 0o755));
}

#[test]
fn dangling_links_are_made_inside() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("dangling");
    let root = |path: &str| bundle.at(&format!("rootfs/{path}"));
    symlink("/made/by/it", root("jump")).unwrap();
    symlink("/jump/more/file", root("etc/link")).unwrap();
    symlink("../nearby/./file", root("etc/relative")).unwrap();
    symlink("/../../../out", root("etc/out")).unwrap();
    symlink("loop", root("etc/loop")).unwrap();
    fs::write(bundle.at("file"), "text\n").unwrap();
    let file = bundle.at("file").to_str().unwrap().to_owned();
    for link in ["link", "relative", "out"] {
        bundle.mount(&file, &format!("/etc/{link}"), &["bind"]);
    }
    bundle.sh("cat /made/by/it/more/file /nearby/file /out");
    assert_eq!(bundle.oci(&["run", &id]).ok(), "text\ntext\ntext");
    assert!(!bundle.at("out").exists() && !PathBuf::from("/out").exists());
    bundle.mount(&file, "/etc/loop/below", &["bind"]);
    bundle.save().oci(&["run", &id]).fails(1, "ELOOP");
    bundle.nothing_left(&id);
}

#[test]
fn a_source_may_lie_in_an_earlier_mount() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.open_up();
    for name in ["a/x", "b"] {
        fs::create_dir_all(bundle.at(name)).unwrap();
    }
    fs::write(bundle.at("b/file"), "of b\n").unwrap();
    for name in ["mnt", "copy"] {
        fs::create_dir(bundle.at(&format!("rootfs/{name}"))).unwrap();
    }
    let (a, b) = (bundle.at("a"), bundle.at("b"));
    let root = bundle.ground.rootfs().canonicalize().unwrap();
    let inside = |path: &str| root.join(path).to_str().unwrap().to_owned();
    bundle.mount(a.to_str().unwrap(), "/mnt", &["bind"]);
    bundle.mount(b.to_str().unwrap(), "/mnt/x", &["bind"]);
    // Some callers name what is in the container by its path on the host.
    bundle.mount(&inside("mnt"), &inside("copy"), &["rbind"]);
    bundle.sh("cat /copy/x/file; stat -c %u /copy");
    let good = bundle.config.clone();
    assert_eq!(bundle.oci(&["run", &id("order")]).ok(), "of b\n0");
    let last = bundle.config["mounts"].as_array_mut().unwrap().last_mut().unwrap();
    let maps = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    (last["uidMappings"], last["gidMappings"]) = (maps.clone(), maps);
    let shifted = bundle.config.clone();
    assert_eq!(bundle.save().oci(&["run", &id("shifted")]).ok(), "of b\n100000");
    for (config, owner) in [(good, 65534), (shifted, 0)] {
        bundle.config = config;
        bundle.in_user_namespace();
        assert_eq!(bundle.save().oci(&["run", &id("order")]).ok(), format!("of b\n{owner}"));
    }
}

#[test]
fn links_themselves_are_mounted_where_that_is_asked_for() {
    let Some(mut bundle) = Bundle::new() else { return };
    symlink("/etc/passwd", bundle.at("link")).unwrap();
    let link = bundle.at("link").to_str().unwrap().to_owned();
    bundle.mount(&link, "/copied", &["bind", "copy-symlink"]);
    bundle.mount(&link, "/itself", &["bind", "src-nofollow"]);
    bundle.mount(&link, "/followed", &["bind"]);
    bundle.sh("readlink /copied; readlink /itself; readlink /followed || head -n 1 /followed");
    let host = fs::read_to_string("/etc/passwd").unwrap();
    let expected = format!("/etc/passwd\n/etc/passwd\n{}", host.lines().next().unwrap());
    assert_eq!(bundle.oci(&["run", &id("links")]).ok(), expected);
}

#[test]
fn a_path_that_is_masked_twice_is_covered_once() {
    let Some(mut bundle) = Bundle::new() else { return };
    fs::create_dir(bundle.at("rootfs/secret")).unwrap();
    fs::write(bundle.at("rootfs/file"), "secret").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret", "/file", "/secret", "/file"]);
    bundle.sh("cat /file; ls /secret; grep -c -e ' /secret ' -e ' /file ' /proc/mounts");
    assert_eq!(bundle.oci(&["run", &id("masked")]).ok(), "2");
}

/// On a host whose mounts are shared, as a systemd has it: neither by the runtime nor by the container.
#[test]
fn what_is_mounted_in_a_bind_is_not_seen_on_the_host() {
    let Some(mut bundle) = Bundle::new() else { return };
    let source = bundle.at("source").to_string_lossy().into_owned();
    fs::create_dir(&source).unwrap();
    let set_up = format!(
        "mount --make-rshared / && mount -t tmpfs top {source} && mkdir -p {source}/sub/in {source}/top {source}/hidden &&
        mount -t tmpfs sub {source}/sub && mkdir {source}/sub/in;"
    );
    let good = bundle.config.clone();
    for options in [&["rbind"][..], &["rbind", "private"], &["rbind", "rslave"], &["rbind", "rprivate"], &["bind"]] {
        bundle.config = good.clone();
        let capabilities = bundle.config["process"]["capabilities"].as_object_mut().unwrap();
        capabilities.values_mut().for_each(|set| set.as_array_mut().unwrap().push("CAP_SYS_ADMIN".into()));
        bundle.mount(&source, "/bound", options);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "destination": "/bound/top", "type": "tmpfs", "source": "runtime" }));
        mounts.push(json!({ "destination": "/bound/sub/in", "type": "tmpfs", "source": "runtime" }));
        bundle.config["linux"]["maskedPaths"] = json!(["/bound/hidden"]);
        bundle.config["linux"]["seccomp"] = json!(null);
        bundle.sh("mount -t tmpfs own /bound/top && mount -t tmpfs own /bound/sub && echo mounted");
        bundle.save();
        let run = bundle.command(&bundle.at("sampan-oci"), &["run", &id("tells")]);
        let script = format!("{set_up} cat /proc/self/mountinfo >before; \"$@\"; diff before /proc/self/mountinfo");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", &script, "sh"]).arg(run.get_program()).args(run.get_args());
        let ran = ran(command.current_dir(bundle.at("")).stdin(Stdio::null()).output().unwrap());
        assert_eq!(ran.ok(), "mounted", "{options:?}");
    }
}

#[test]
fn the_root_is_shared_with_its_own_only() {
    let Some(mut bundle) = Bundle::new() else { return };
    let good = bundle.config.clone();
    for (propagation, expected) in [("shared", "10"), ("rslave", "01"), ("private", "00"), ("", "01")] {
        bundle.config = good.clone();
        bundle.config["linux"]["rootfsPropagation"] = propagation.into();
        bundle.sh("awk '$5 == \"/\" { print ($0 ~ /shared:/) ($0 ~ /master:/) }' /proc/self/mountinfo");
        let ran = bundle.after("mount --make-rshared /", &["run", &id("peers")]);
        assert_eq!(ran.ok(), expected, "{propagation}");
    }
}

#[test]
fn without_pivot_root_nothing_of_the_host_is_left() {
    let Some(mut bundle) = Bundle::new() else { return };
    let id = id("moved");
    // A full procfs anywhere in the mount namespace lets a user namespace mount one, without the masks.
    bundle.sh("awk '$2 == \"/\" { n++ } END { print n }' /proc/mounts; ls / | grep -c -x rootfs; ls -d /../bin; \
        mkdir -p /tmp/p; unshare -mrpf sh -c 'mount -t proc none /tmp/p && ls /tmp/p' 2>/dev/null; chroot . true 2>/dev/null && echo left; true");
    bundle.config["root"]["readonly"] = false.into();
    // Without it the kernel maps no root (user_namespaces(7)).
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_SETFCAP"]);
    }
    bundle.save();
    assert_eq!(bundle.oci(&["run", "--no-pivot", &id]).ok(), "1\n0\n/../bin");
    bundle.in_user_namespace();
    bundle.open_up();
    fs::set_permissions(bundle.at("rootfs/tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(bundle.save().oci(&["run", "--no-pivot", &id]).ok(), "1\n0\n/../bin");
    bundle.nothing_left(&id);
}

#[test]
fn a_working_directory_that_only_its_user_may_enter() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.open_up();
    bundle.in_user_namespace();
    // Root of a user namespace has no say over what belongs to a group from outside of it.
    let home = bundle.at("rootfs/home/app");
    std::os::unix::fs::chown(&home, Some(101_000), Some(5)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    bundle.config["process"]["cwd"] = "/home/app".into();
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1001 });
    bundle.sh("pwd; id -u");
    assert_eq!(bundle.oci(&["run", &id("late")]).ok(), "/home/app\n1000");
    bundle.config["process"]["user"] = json!({ "uid": 1001, "gid": 1001 });
    bundle.save().oci(&["run", &id("late")]).fails(1, "EACCES");
}
