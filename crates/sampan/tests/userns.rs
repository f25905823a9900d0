//! Root's containers in a user namespace of their own: who they are inside, outside and on the disk.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, NESTED, Ran, SAMPAN, ran, until};
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

const MAP: &str = "--uidmap=0:100000:65536";

/// No mount, and no container.
#[track_caller]
fn is_clean(ground: &Ground) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let dir = ground.dir.to_str().unwrap();
    assert!(!mounts.contains(dir), "{mounts}");
    for place in ["data/containers", "state/containers"] {
        assert_eq!(fs::read_dir(ground.dir.join(place)).unwrap().count(), 0, "{place}");
    }
}

#[test]
fn root_inside() {
    let Some(ground) = Ground::new() else { return };
    let script = "id; stat -c '%u:%g %n' / /bin/busybox /etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/pts /tmp
        cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; touch /new && rm -r /etc/hosts 2>/dev/null
        echo more >>/etc/hosts && chown 7:8 /etc/group && stat -c %u:%g /etc/group";
    let owned = "0:0 /\n0:0 /bin/busybox\n0:0 /etc/hosts\n0:0 /etc/hostname\n0:0 /etc/resolv.conf\n0:0 /dev\n\
                 0:0 /dev/pts\n0:0 /tmp";
    let expected = format!("uid=0(root) gid=0(root)\n{owned}\n 0 100000 65536\n 0 100000 65536\n7:8");
    assert_eq!(ground.sh(&[MAP], script).ok(), expected);
    assert_eq!(ground.sh(&["--gidmap=0:100000:65536"], script).ok(), expected);
    is_clean(&ground);
}

#[test]
fn users_inside() {
    let Some(ground) = Ground::new() else { return };
    let script = "id -u; id -g; id -G; tr -s ' ' </proc/self/gid_map; touch /tmp/new && stat -c %u:%g /tmp/new";
    fs::set_permissions(ground.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let flags = [MAP, "--gidmap=0:200000:30", "--gidmap=1001:300000:1", "-u", "app"];
    assert_eq!(ground.sh(&flags, script).ok(), "1000\n1001\n1001 10\n 0 200000 30\n 1001 300000 1\n1000:1001");
    let refused = ground.sh(&["--uidmap=0:100000:10", "-u", "app"], "true");
    refused.fails(125, "the container's user namespace does not map it");
    is_clean(&ground);
}

/// What is new belongs to the mapped ids on the disk, and stays with the container.
#[test]
fn on_the_disk() {
    let Some(ground) = Ground::new() else { return };
    let rootfs = format!("{}:O", ground.rootfs().display());
    let script = "touch /new /etc/passwd; echo x >>/bin/busybox.new; chown 5:6 /etc/group";
    let run = ["run", "--name=kept", "--network=none", MAP, "--rootfs", &rootfs, "sh", "-c", script];
    ran(ground.command(&run).output().unwrap()).ok();
    let container = fs::read_dir(ground.dir.join("data/containers")).unwrap().next().unwrap().unwrap().path();
    let owner = |path: &str| {
        let found = fs::metadata(container.join("upper").join(path)).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!(owner("new"), (100_000, 100_000));
    // What came up from a layer is on the disk as the layer has it: seen through the maps as well.
    assert_eq!(owner("etc/group"), (100_005, 100_006));
    ran(ground.command(&["rm", "kept"]).output().unwrap()).ok();
    is_clean(&ground);
}

/// Its layers are seen through the maps (mount_setattr(2)): nothing of an image is written a second time, or changed.
#[test]
fn an_image_is_not_copied() {
    let Some(ground) = Ground::new() else { return };
    let sampan = |words: &[&str]| ran(ground.command(words).output().unwrap());
    sampan(&["image", "bootstrap", "busybox"]).ok();
    let used = |part: &str| {
        let du = std::process::Command::new("du").args(["-sk", "--"]).arg(ground.dir.join("data").join(part)).output();
        let text = String::from_utf8(du.unwrap().stdout).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let before = used("layers");
    let script = "stat -c %u:%g /bin/busybox; tr -s ' ' </proc/self/uid_map";
    for name in ["one", "two"] {
        let run = ["run", "--name", name, "--network=none", MAP, "busybox", "sh", "-c", script];
        assert_eq!(sampan(&run).ok(), "0:0\n 0 100000 65536");
    }
    assert_eq!(used("layers"), before);
    assert!(used("containers") < before / 5, "{} of {before}", used("containers"));
    sampan(&["rm", "one", "two"]).ok();
    sampan(&["system", "check"]).ok();
}

/// The namespace's root is nobody on the host; what he is given he is given.
#[test]
fn a_source_that_only_the_hosts_root_reaches() {
    let Some(ground) = Ground::new() else { return };
    let closed = ground.dir.join("closed");
    fs::DirBuilder::new().mode(0o700).create(&closed).unwrap();
    fs::create_dir(closed.join("volume")).unwrap();
    fs::write(closed.join("volume/file"), "seen\n").unwrap();
    fs::write(closed.join("secret"), "unseen\n").unwrap();
    fs::set_permissions(closed.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let (volume, secret) = (format!("{}/volume:/v", closed.display()), format!("{}/secret:/s", closed.display()));
    let script = "cat /v/file; cat /s 2>/dev/null || echo closed; touch /v/new 2>/dev/null || echo read-only";
    assert_eq!(ground.sh(&[MAP, "-v", &volume, "-v", &secret], script).ok(), "seen\nclosed\nread-only");
    is_clean(&ground);
}

#[test]
fn a_directory_as_it_is() {
    let Some(ground) = Ground::new() else { return };
    let rootfs = ground.rootfs();
    let run = |script: &str| {
        let run = ["run", "--rm", "--network=none", MAP, "--rootfs", rootfs.to_str().unwrap(), "sh", "-c", script];
        ran(ground.command(&run).output().unwrap()).ok()
    };
    assert_eq!(run("stat -c %u:%g / /bin/busybox; touch /new; chown 5:6 /new"), "0:0\n0:0");
    let found = fs::metadata(rootfs.join("new")).unwrap();
    assert_eq!((found.uid(), found.gid()), (5, 6));
    // One that has the namespace's ids already is not shifted twice.
    assert!(Command::new("chown").args(["-hR", "100000:100000"]).arg(&rootfs).status().unwrap().success());
    assert_eq!(run("stat -c %u:%g / /bin/busybox; touch /newer"), "0:0\n0:0");
    assert_eq!(fs::metadata(rootfs.join("newer")).unwrap().uid(), 100_000);
    is_clean(&ground);
}

/// Of a root that has the namespace's ids already: mount(8) shifts ids since util-linux 2.39.
#[test]
fn the_script_makes_the_same() {
    let Some(ground) = Ground::new() else { return };
    assert!(Command::new("chown").args(["-hR", "100000:100000"]).arg(ground.rootfs()).status().unwrap().success());
    let script =
        "id -u; stat -c %u:%g / /bin/busybox /etc/hosts; cat /proc/self/uid_map; touch /new && stat -c %u:%g /new";
    let shifted = ground.sh(&[MAP, "--explain", "-v", "/opt:/opt:idmap"], script).ok();
    assert!(shifted.contains("mount --rbind -o 'X-mount.idmap=u:0:100000:65536 g:0:100000:65536' /opt"), "{shifted}");
    let explained = ground.sh(&[MAP, "--explain"], script).ok();
    let ran = ran(Command::new("bash").args(["-c", &explained]).output().unwrap());
    assert_eq!(ran.ok(), ground.sh(&[MAP], script).ok());
    is_clean(&ground);
}

#[test]
fn the_host_as_image() {
    let Some(ground) = Ground::new() else { return };
    let script = "id -u; stat -c %u:%g / /etc/hosts; cat /etc/shadow 2>/dev/null | wc -l; touch /x /usr/x /etc/x";
    for map in [MAP, "--gidmap=0:100000:65536"] {
        let run = ["run", "--rm", "--network=none", map, "host", "sh", "-c", script];
        assert_eq!(ran(ground.command(&run).output().unwrap()).ok(), "0\n0:0\n0:0\n0");
    }
    is_clean(&ground);
}

#[test]
fn a_store_that_only_the_hosts_root_reaches() {
    let Some(ground) = Ground::new() else { return };
    fs::set_permissions(&ground.dir, fs::Permissions::from_mode(0o700)).unwrap();
    let refused = ground.sh(&[MAP], "true");
    refused.fails(125, "user 100000 of this host, may not go through");
    assert!(refused.err.contains(&format!("chmod o+x {}", ground.dir.display())), "{refused:?}");
    ground.sh(&[], "true").ok();
    is_clean(&ground);
}

#[test]
fn nothing_is_left_of_a_killed_one() {
    let Some(ground) = Ground::new() else { return };
    let mut child = ground.runner(&[MAP], &["sh", "-c", "echo up; exec sleep 1000"]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    ground.sh(&[MAP], "true").ok();
    until("all is undone", || fs::read_dir(ground.dir.join("data/containers")).unwrap().count() == 0);
    is_clean(&ground);
}

/// As podman: a user namespace of its own, in which all ids are the same.
#[test]
fn root_keeps_all_ids() {
    let Some(ground) = Ground::new() else { return };
    let script = "id -u; readlink /proc/self/ns/user; tr -s ' ' </proc/self/uid_map; stat -c %u:%g / /etc/hosts";
    let own = fs::read_link("/proc/self/ns/user").unwrap().to_string_lossy().into_owned();
    let map = fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let out = ground.sh(&["--userns=keep-id"], script).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines[0], &lines[2..]), ("0", [format!(" {map}").as_str(), "0:0", "0:0"].as_slice()), "{out}");
    assert_ne!(lines[1], own);
    let user = ground.sh(&["--userns=keep-id:uid=1000", "--user=5"], "id -u").ok();
    assert_eq!(user, "5");
    assert_eq!(ground.sh(&["--userns=keep-id:uid=1000"], "id -un").ok(), "app");
    is_clean(&ground);
}

/// Root of a user namespace: `unshare` is the shell's, with flags for unshare(1).
fn as_root_of(ground: &Ground, unshare: &[&str], flags: &[&str], script: &str) -> Ran {
    let run = ground.runner(flags, &["sh", "-c", script]);
    ran(Command::new("unshare").args(unshare).arg(run.get_program()).args(run.get_args()).output().unwrap())
}

/// Who is root already needs no user namespace for a container, but has no say over devices.
#[test]
fn root_of_a_user_namespace() {
    let Some(ground) = Ground::new() else { return };
    let script = "tr -s ' ' </proc/self/uid_map; stat -c %u /; echo >/dev/null && echo ok; touch /x; tty </dev/tty";
    // Its mount namespace is its own, or the machine's.
    for unshare in [["-Urm"], ["-Ur"]] {
        let ran = as_root_of(&ground, &unshare, &["-v=/opt:/v"], script);
        assert_eq!(ran.out, " 0 0 1\n0\nok\n", "{ran:?}");
    }
    for (flag, why) in [
        ("--user=5", "the user namespace that sampan is in does not have it"),
        ("--group-add=5", "the user namespace that sampan is in does not have it"),
        ("-v=/opt:/v:idmap=uids=0-5-1;gids=0-5-1", "only root of the host may"),
        ("-p=80", "pasta cannot enter the container"),
    ] {
        let flags = if flag.starts_with("-p") { vec![flag, "--network=pasta"] } else { vec![flag] };
        as_root_of(&ground, &["-Urm"], &flags, "true").fails(125, why);
    }
    let explained = as_root_of(&ground, &["-Urm"], &["--explain"], script).ok();
    let ran = ran(Command::new("unshare").args(["-Urm", "bash", "-c", &explained]).output().unwrap());
    assert!(ran.out.starts_with(" 0 0 1\n0\nok\n"), "{ran:?}");
    is_clean(&ground);
}

/// Its own network namespace is its to make links in.
#[test]
fn root_of_a_user_namespace_with_a_network() {
    let Some(ground) = Ground::new() else { return };
    let run = ground.command(&["run", "--rm", "--rootfs"]);
    let words: Vec<&str> = run.get_args().map(|word| word.to_str().unwrap()).collect();
    let rootfs = format!("{}:O", ground.rootfs().display());
    let script = "ip link set lo up && \"$0\" \"$@\" && ls /sys/class/net";
    let mut command = Command::new("unshare");
    command.args(["-Urmn", "sh", "-c", script]).arg(run.get_program()).args(words).args([&rootfs, "sh", "-c"]);
    let out = ran(command.arg("ip -4 address show eth0 | grep -c inet").output().unwrap()).ok();
    assert!(out.starts_with("1\n"), "{out}");
    is_clean(&ground);
}

/// The last is a user namespace with the machine's map.
#[test]
fn sampan_in_sampan() {
    let Some(ground) = Ground::new() else { return };
    let sampan = format!("-v={SAMPAN}:/sampan:ro");
    for flags in [[].as_slice(), &[MAP], &["--userns=keep-id"]] {
        Ground::is_nested(ground.sh(&[flags, &["--privileged", "--tmpfs=/work:exec", &sampan]].concat(), NESTED));
    }
    is_clean(&ground);
}

#[test]
fn modes_that_are_not_there_yet() {
    let Some(ground) = Ground::new() else { return };
    for mode in ["auto", "private"] {
        let refused = ground.sh(&[&format!("--userns={mode}")], "true");
        refused.fails(125, "root has no subordinate ids of its own");
        assert!(refused.err.contains("--uidmap"), "{refused:?}");
    }
    ground.sh(&[MAP, "--userns=auto"], "true").fails(125, "that mode has id maps of its own");
}
