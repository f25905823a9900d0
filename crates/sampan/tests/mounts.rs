//! Volumes, end to end: what of the host is seen, how, and what comes back.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, ran};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of the test's, with a file in it.
fn volume(ground: &Ground, name: &str) -> PathBuf {
    let path = ground.dir.join(name);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), format!("of {name}\n")).unwrap();
    path
}

/// A script on the host, in a mount namespace of its own; `$D` is the ground, `run FLAGS… -- SCRIPT` the container.
fn staged(ground: &Ground, script: &str) -> Ran {
    const RUN: &str = r#"set -e
run() {
	flags=
	while [ "$1" != -- ]; do flags="$flags $1"; shift; done
	"$SAMPAN" --root "$D/data" --state "$D/state" run --rm --network=none $flags --rootfs "$D/rootfs:O" sh -c "$2"
}
"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation=private", "sh", "-c"]).arg(format!("{RUN}{script}"));
    ran(command.env("D", &ground.dir).env("SAMPAN", ground::SAMPAN).output().unwrap())
}

#[test]
fn a_missing_source() {
    let Some(ground) = Ground::new() else { return };
    let absent = ground.dir.join("a/b");
    let at = absent.display();
    let refused = ground.sh(&["--mount", &format!("type=bind,src={at},dst=/v")], "true");
    refused.fails(125, "there is no such file or directory on this host");
    assert!(refused.err.contains("hint:") && !ground.dir.join("a").exists(), "{refused:?}");
    assert_eq!(ground.sh(&["-v", &format!("{at}:/v")], "touch /v/new; stat -c %F-%u-%a /v").ok(), "directory-0-755");
    assert!(absent.join("new").exists());
    let made = format!("type=bind,src={}/c,dst=/v,bind-create-src", ground.dir.display());
    ground.sh(&["--mount", &made], "touch /v/new").ok();
    // Below a file nothing can be made.
    let below = format!("{}/rootfs/etc/passwd/x:/v", ground.dir.display());
    ground.sh(&["-v", &below], "true").fails(125, "not a directory");
}

#[test]
fn sources_that_are_not_absolute() {
    let Some(ground) = Ground::new() else { return };
    volume(&ground, "volume");
    let run = |source: &str| {
        ran(ground.runner(&["-v", source], &["cat", "/v/file"]).current_dir(&ground.dir).output().unwrap())
    };
    assert_eq!(run("./volume:/v").ok(), "of volume");
    run("below/volume:/v").fails(125, "\"below/volume\" is no name of a volume");
}

#[test]
fn below_the_source() {
    let Some(ground) = Ground::new() else { return };
    volume(&ground, "volume");
    let script = r#"mkdir "$D/volume/below"; mount -t tmpfs tmpfs "$D/volume/below"; touch "$D/volume/below/seen"
run -v "$D/volume:/v" -v "$D/volume:/alone:bind" -- 'ls /v/below /alone/below; touch /v/below/new'
ls "$D/volume/below"
for how in enabled writable readonly disabled; do
	run --mount "type=bind,src=$D/volume,dst=/v,ro,bind-recursive=$how" -- '
		! touch /v/new 2>/dev/null; touch /v/below/new 2>/dev/null && echo writable || echo read-only; ls /v/below'
done"#;
    let below = "new\nseen";
    let expected = format!(
        "/alone/below:\n\n/v/below:\nseen\n{below}\nread-only\n{below}\nwritable\n{below}\nread-only\n{below}\nread-only"
    );
    assert_eq!(staged(&ground, script).ok(), expected);
}

/// What the host has read-only no container gets to write.
#[test]
fn a_read_only_source_stays_so() {
    let Some(ground) = Ground::new() else { return };
    volume(&ground, "volume");
    let script = r#"mount --bind "$D/volume" "$D/volume"; mount -o remount,bind,ro "$D/volume"
run -v "$D/volume:/v" -- 'touch /v/new 2>&1'"#;
    assert!(staged(&ground, script).out.contains("Read-only"));
}

#[test]
fn propagation() {
    let Some(ground) = Ground::new() else { return };
    volume(&ground, "volume");
    // Seen in the container: what the host mounts there while it runs. Seen on the host: what it mounts itself.
    let script = r#"mkdir "$D/volume/host" "$D/volume/inside"
mount --bind "$D/volume" "$D/volume"; mount --make-shared "$D/volume"
for how in private rprivate slave rslave shared rshared; do
	mkfifo "$D/go" "$D/went"
	run --cap-add=SYS_ADMIN --security-opt=seccomp=unconfined -v "$D/volume:/v:$how" -v "$D:/d" -- '
		mount -t tmpfs tmpfs /v/inside && touch /v/inside/seen
		echo >/d/went; read -r line </d/go; ls /v/host' >"$D/out" &
	read -r line <"$D/went"
	mount -t tmpfs tmpfs "$D/volume/host"; touch "$D/volume/host/seen"
	echo "$how host:$(ls "$D/volume/inside")"
	echo >"$D/go"; wait $!
	echo "$how inside:$(cat "$D/out")"
	umount "$D/volume/host"; umount "$D/volume/inside" 2>/dev/null || :
	rm "$D/go" "$D/went"
done"#;
    let mut expected = String::new();
    for (how, host, inside) in [
        ("private", "", ""),
        ("rprivate", "", ""),
        ("slave", "", "seen"),
        ("rslave", "", "seen"),
        ("shared", "seen", "seen"),
        ("rshared", "seen", "seen"),
    ] {
        expected += &format!("{how} host:{host}\n{how} inside:{inside}\n");
    }
    assert_eq!(staged(&ground, script).ok(), expected.trim_end());
}

#[test]
fn propagation_that_cannot_be() {
    let Some(ground) = Ground::new() else { return };
    volume(&ground, "volume");
    let script = r#"mount --bind "$D/volume" "$D/volume"; mount --make-private "$D/volume"
for how in shared rslave; do ! run -v "$D/volume:/v:$how" -- true || exit 9; done
mount --make-shared "$D/volume"
! run -v "$D/volume:/v:shared" --tmpfs /v/below -- true"#;
    let ran = staged(&ground, script);
    for why in ["in no shared mount", "in no shared or slave mount", "/v is shared with the host"] {
        ran.fails(0, why);
    }
}

#[test]
fn nested_in_any_order() {
    let Some(ground) = Ground::new() else { return };
    let (outer, inner) = (volume(&ground, "outer"), volume(&ground, "inner"));
    let (outer, inner) = (format!("{}:/v", outer.display()), format!("{}:/v/w", inner.display()));
    let script = "cat /v/file /v/w/file; echo x >/v/t/new";
    for flags in [["-v", &outer, "-v", &inner], ["-v", &inner, "-v", &outer]] {
        let flags = [&["--tmpfs", "/v/t"], flags.as_slice()].concat();
        assert_eq!(ground.sh(&flags, script).ok(), "of outer\nof inner");
    }
    assert!(!ground.dir.join("outer/t/new").exists());
    // The container's own files are in it, too.
    let etc = format!("{}:/etc", ground.dir.join("outer").display());
    assert!(ground.sh(&["-v", &etc, "--hostname=ship"], "cat /etc/file /etc/hosts").ok().contains("of outer"));
}

#[test]
fn one_target_twice() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "volume");
    let short = format!("{}:/v", volume.display());
    let long = format!("type=bind,src={},dst=/v/", volume.display());
    for flags in [["-v", &short, "-v", &short], ["-v", &short, "--mount", &long], ["-v", &short, "--tmpfs", "/v"]] {
        ground.sh(&flags, "true").fails(125, "two mounts have this target");
    }
}

#[test]
fn files_and_links_as_sources_and_targets() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "volume");
    symlink("file", volume.join("link")).unwrap();
    let mount = |from: &str, to: &str| format!("{}/{from}:{to}", volume.display());
    let (file, link, new) = (mount("file", "/etc/passwd:ro"), mount("link", "/x/l"), mount("file", "/x/y/new"));
    let script = "cat /etc/passwd /x/l /x/y/new; echo 2>/dev/null >/etc/passwd || echo refused";
    assert_eq!(
        ground.sh(&["-v", &file, "-v", &link, "-v", &new], script).ok(),
        "of volume\nof volume\nof volume\nrefused"
    );
    // A target that leads out of the root leads into it again.
    let name = format!("new-{}", ground.dir.file_name().unwrap().display());
    symlink("/tmp", ground.rootfs().join("out")).unwrap();
    symlink("../../../../tmp", ground.rootfs().join("up")).unwrap();
    for link in ["/out", "/up"] {
        let out = ground.sh(&["-v", &mount("file", &format!("{link}/{name}"))], &format!("cat /tmp/{name}"));
        assert_eq!(out.ok(), "of volume");
    }
    assert!(!Path::new("/tmp").join(name).exists());
    // A directory onto a file, and the other way around.
    ground.sh(&["-v", &mount("", "/etc/group")], "true").fails(125, "ENOTDIR");
    ground.sh(&["-v", &mount("file", "/etc")], "true").fails(125, "EISDIR");
}

#[test]
fn memory_as_a_file_system() {
    let Some(ground) = Ground::new() else { return };
    let flags = ["--tmpfs", "/a:size=1m,mode=700,uid=5", "--mount", "type=tmpfs,dst=/b,tmpfs-size=2m,tmpfs-mode=750"];
    let flags = [flags.as_slice(), &["--tmpfs", "/c:exec", "--tmpfs", "/d"]].concat();
    let script = "for d in a b c d; do grep \" /$d \" /proc/mounts | cut -d' ' -f4; stat -c %a-%u /$d; done
        cp /bin/busybox /c/true; cp /bin/busybox /d/true; /c/true && ! /d/true 2>/dev/null && echo noexec
        dd if=/dev/zero of=/a/x bs=1M count=2 2>/dev/null || du -k /a/x | cut -f1";
    let out = ground.sh(&flags, script).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].contains("noexec") && lines[0].contains("size=1024k"), "{out}");
    assert!(lines[2].contains("size=2048k") && !lines[4].contains("noexec"), "{out}");
    assert_eq!([lines[1], lines[3], lines[5], lines[7]], ["700-5", "750-0", "1777-0", "1777-0"]);
    assert_eq!(&lines[8..], ["noexec", "1024"]);
}

#[test]
fn what_a_read_only_root_leaves_writable() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "volume");
    let flags = ["--read-only", "--tmpfs", "/tmp", "-v", &format!("{}:/v", volume.display())];
    let script = "for at in / /etc /tmp /v /dev/shm; do touch $at/new 2>/dev/null && echo $at; done";
    assert_eq!(ground.sh(&flags, script).ok(), "/tmp\n/v\n/dev/shm");
    assert!(volume.join("new").exists());
}

#[test]
fn hints_without_effect_here() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "volume");
    for option in ["nocopy", "cached", "z", "Z"] {
        let flags = ["-v", &format!("{}:/v:{option}", volume.display())];
        assert_eq!(ground.sh(&flags, "cat /v/file").ok(), "of volume", "{option}");
    }
    assert_eq!(fs::metadata(&volume).unwrap().uid(), 0);
}

/// Over what is otherwise sampan's own.
#[test]
fn in_place_of_the_defaults() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "volume");
    let at = volume.display();
    let flags = ["-v", &format!("{at}/file:/etc/hosts"), "-v", &format!("{at}:/dev/shm")];
    assert_eq!(ground.sh(&flags, "cat /etc/hosts /dev/shm/file").ok(), "of volume\nof volume");
    assert_eq!(ground.sh(&["-v", "/dev:/dev"], "ls /dev/shm >/dev/null; test -c /dev/null && echo null").ok(), "null");
}

fn owners(volume: &Path, names: &[&str]) -> Vec<(u32, u32)> {
    let owner = |name: &&str| {
        let found = fs::symlink_metadata(volume.join(name)).unwrap();
        (found.uid(), found.gid())
    };
    names.iter().map(owner).collect()
}

#[test]
fn given_to_the_user() {
    let Some(ground) = Ground::new() else { return };
    let (other, volume) = (volume(&ground, "other"), volume(&ground, "volume"));
    fs::create_dir_all(volume.join("deep/deeper")).unwrap();
    fs::write(volume.join("deep/deeper/file"), "").unwrap();
    symlink(&other, volume.join("out")).unwrap();
    symlink(other.join("file"), volume.join("deep/out")).unwrap();
    symlink("volume", ground.dir.join("way")).unwrap();
    let flags = ["-u", "app", "-v", &format!("{}/way:/v:U", ground.dir.display())];
    ground.sh(&flags, "touch /v/deep/deeper/new && ls /v >/dev/null").ok();
    let names = ["", "file", "deep", "deep/deeper", "deep/deeper/file", "deep/deeper/new", "out", "deep/out"];
    assert_eq!(owners(&volume, &names), [(1000, 1001); 8]);
    assert_eq!(owners(&other, &["", "file"]), [(0, 0); 2]);
    // Made and given; a single file; an own user namespace.
    let made = format!("type=bind,src={}/way/a/b,dst=/v,bind-create-src,U", ground.dir.display());
    ground.sh(&["-u", "1000:7", "--mount", &made], "touch /v/new").ok();
    assert_eq!(owners(&volume, &["a", "a/b", "a/b/new"]), [(0, 0), (1000, 7), (1000, 7)]);
    let file = format!("{}/file:/v:U", volume.display());
    ground.sh(&["-u", "app", "--uidmap=0:100000:65536", "-v", &file], "echo more >>/v && [ -O /v ]").ok();
    assert_eq!(owners(&volume, &["file", "deep"]), [(101_000, 101_001), (1000, 1001)]);

    let explained = ground.sh(&["--uidmap=0:100000:65536", "-v", &file, "--explain"], "true").ok();
    let line = format!("chown -hR 100000:100000 {}/file", volume.display());
    assert!(explained.contains(&line) && explained.contains("stays so"), "{explained}");
    for system in ["/", "/usr", "/etc/passwd", "/proc/self/root"] {
        let refused = ground.sh(&["-v", &format!("{system}:/v:U")], "true");
        refused.fails(125, "it is one of the system's own directories");
    }
}

#[test]
fn shifted_ids() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "volume");
    let at = volume.display();
    let map = "--uidmap=0:100000:65536";
    let script = "stat -c %u:%g /v/file; touch /v/new; chown 5:6 /v/new; stat -c %u:%g /v/new";
    for flag in [format!("-v={at}:/v:idmap"), format!("--mount=type=bind,src={at},dst=/v,idmap")] {
        assert_eq!(ground.sh(&[map, &flag], script).ok(), "0:0\n5:6");
        assert_eq!(owners(&volume, &["file", "new"]), [(0, 0), (5, 6)]);
        fs::remove_file(volume.join("new")).unwrap();
    }
    // Without, nobody's.
    assert_eq!(ground.sh(&[map, "-v", &format!("{at}:/v")], "stat -c %u:%g /v/file").ok(), "65534:65534");
    // Maps of its own, with and without a user namespace.
    let own = format!("{at}:/v:idmap=uids=0-1000-1;gids=0-1001-1");
    assert_eq!(ground.sh(&["-v", &own], "stat -c %u:%g /v/file").ok(), "1000:1001");
    assert_eq!(ground.sh(&["-u", "app", "-v", &own], "touch /v/new && stat -c %u:%g /v/new").ok(), "1000:1001");
    assert_eq!(owners(&volume, &["new"]), [(0, 0)]);
    let inside = format!("{at}:/v:idmap=uids=0-100007-1;gids=0-100008-1");
    assert_eq!(ground.sh(&[map, "-v", &inside], "stat -c %u:%g /v/file").ok(), "7:8");
    // Both: on the disk it is the user's as the namespace counts.
    ground.sh(&[map, "-u", "app", "-v", &format!("{at}:/v:idmap,U")], "touch /v/both && [ -O /v/file ]").ok();
    assert_eq!(owners(&volume, &["file", "both"]), [(1000, 1001); 2]);

    ground.sh(&["-v", &format!("{at}:/v:idmap")], "true").fails(125, "no user namespace of its own");
    let proc = ground.sh(&[map, "-v", "/proc:/v:idmap"], "true");
    proc.fails(125, "has no idmapped mounts");
}

/// As a vendor's file says, in a mount namespace that has it.
#[test]
fn a_device_by_name() {
    let Some(ground) = Ground::new() else { return };
    let volume = volume(&ground, "vendor");
    let file = format!(
        "cdiVersion: 0.8.0\nkind: vendor.com/net\ncontainerEdits:\n  env: [ALL=1]\ndevices:\n- name: one\n  containerEdits:\n    \
         env: [ONE=2]\n    deviceNodes:\n    - {{path: /dev/vendor, hostPath: /dev/full, permissions: rw}}\n    \
         mounts:\n    - {{hostPath: {}, containerPath: /vendor, options: [ro, rbind]}}\n",
        volume.display()
    );
    fs::create_dir_all(ground.dir.join("run/cdi")).unwrap();
    fs::write(ground.dir.join("run/cdi/vendor.yaml"), file).unwrap();
    let script = r#"mount --rbind "$D/run" /run
run --device vendor.com/net=one -- 'echo $ALL $ONE; cat /vendor/file; echo x >/dev/vendor 2>&1 || stat -c %t:%T /dev/vendor'
! run --device vendor.com/net=two -- true"#;
    let ran = staged(&ground, script);
    ran.fails(0, "no file in /etc/cdi or /var/run/cdi has a device of this name");
    assert_eq!(ran.out, "1 2\nof vendor\n1:7\n");
}
