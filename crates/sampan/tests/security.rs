//! The escapes that SECURITY.md names, tried from inside.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

/// Runs sampan from a shell line that sets something up first; `$@` is sampan and its arguments.
fn after(ground: &Ground, setup: &str, flags: &[&str], command: &[&str]) -> Ran {
    let run = ground.runner(flags, command);
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{setup}; exec \"$@\""), "bash", SAMPAN]).args(run.get_args());
    ran(shell.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn exe_is_not_writable() {
    let Some(ground) = Ground::new() else { return };
    let before = std::fs::read(SAMPAN).unwrap();
    let script =
        "readlink /proc/1/exe; cat /proc/1/exe 2>/dev/null | head -c1; echo broken 2>/dev/null >/proc/1/exe; true";
    assert_eq!(ground.sh(&["--init"], script).ok(), "");
    assert!(std::fs::read(SAMPAN).unwrap() == before);
}

#[test]
fn proc_self_exe_as_entrypoint() {
    let Some(ground) = Ground::new() else { return };
    ground.file("tmp/script", "#!/proc/self/exe\n");
    symlink("/proc/self/exe", ground.rootfs().join("tmp/link")).unwrap();
    for command in ["/proc/self/exe", "/tmp/script", "/tmp/link"] {
        let ran = ground.run(&[], &[command, "version"]);
        assert!((125..=127).contains(&ran.code) && ran.out.is_empty(), "{command}: {ran:?}");
    }
}

#[test]
fn no_descriptor_leaks() {
    let Some(ground) = Ground::new() else { return };
    for flags in [&[][..], &["--init"]] {
        let inside =
            after(&ground, "exec 7</etc/passwd 9</ 33<>/dev/null", flags, &["sh", "-c", "ls /proc/$$/fd; true"]);
        assert_eq!(inside.ok(), "0\n1\n2");
    }
}

#[test]
fn cwd_through_descriptors() {
    let Some(ground) = Ground::new() else { return };
    for fd in 3..12 {
        let flags = ["-w", &format!("/proc/self/fd/{fd}")];
        let ran = after(&ground, "exec 7</ 9</etc", &flags, &["sh", "-c", "cat ../etc/passwd"]);
        assert!(ran.code != 0 && ran.out.is_empty(), "{fd}: {ran:?}");
    }
}

#[test]
fn masked_path_with_a_false_null() {
    let Some(ground) = Ground::new() else { return };
    std::fs::create_dir(ground.rootfs().join("dev")).unwrap();
    symlink("/etc/passwd", ground.rootfs().join("dev/null")).unwrap();
    let script = "stat -c %t:%T /dev/null; for f in kcore keys timer_list sched_debug; do \
                  [ ! -e /proc/$f ] || stat -c %t:%T /proc/$f; done";
    let seen = ground.sh(&[], script).ok();
    assert!(seen.lines().count() > 1 && seen.lines().all(|line| line == "1:3"), "{seen}");
}

#[test]
fn console_is_not_redirected() {
    let Some(ground) = Ground::new() else { return };
    std::fs::create_dir(ground.rootfs().join("dev")).unwrap();
    symlink("/etc/passwd", ground.rootfs().join("dev/console")).unwrap();
    assert_eq!(ground.sh(&["-t"], "test -c /dev/console && test -f /etc/passwd && echo apart").ok(), "apart");
}

#[test]
fn proc_of_the_image_is_not_trusted() {
    let Some(ground) = Ground::new() else { return };
    std::fs::create_dir_all(ground.rootfs().join("proc/sys/net/ipv4")).unwrap();
    ground.file("proc/sys/net/ipv4/ip_default_ttl", "the image's\n");
    let flags = ["--sysctl", "net.ipv4.ip_default_ttl=77"];
    assert_eq!(ground.sh(&flags, "stat -f -c %T /proc; cat /proc/sys/net/ipv4/ip_default_ttl").ok(), "proc\n77");
}

#[test]
fn link_named_proc() {
    let Some(ground) = Ground::new() else { return };
    for name in ["proc", "sys"] {
        let link = ground.rootfs().join(name);
        symlink("/tmp", &link).unwrap();
        let ran = ground.sh(&[], "true");
        assert_eq!(ran.code, 125, "{name}: {ran:?}");
        std::fs::remove_file(link).unwrap();
    }
}

#[test]
fn volume_over_proc() {
    let Some(ground) = Ground::new() else { return };
    let tmp = ground.dir.display();
    for target in ["/proc", "/proc/sys", "/sys"] {
        let ran = ground.sh(&["-v", &format!("{tmp}:{target}")], "true");
        assert_eq!(ran.code, 125, "{target}: {ran:?}");
    }
}

#[test]
fn link_as_mount_target() {
    let Some(ground) = Ground::new() else { return };
    let (volume, outside) = (ground.dir.join("volume"), ground.dir.join("outside"));
    for dir in [&volume, &outside] {
        std::fs::create_dir(dir).unwrap();
    }
    std::fs::write(volume.join("file"), "mounted\n").unwrap();
    symlink(&outside, ground.rootfs().join("tmp/absolute")).unwrap();
    symlink("../../../../../../../../etc", ground.rootfs().join("tmp/dots")).unwrap();
    std::fs::create_dir_all(ground.rootfs().join(outside.strip_prefix("/").unwrap())).unwrap();
    for target in ["/tmp/absolute", "/tmp/dots"] {
        let flag = format!("{}:{target}", volume.display());
        assert_eq!(ground.run(&["-v", &flag], &["cat", &format!("{target}/file")]).ok(), "mounted");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn cgroup_is_read_only() {
    let Some(ground) = Ground::new() else { return };
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo $d; done; \
                  grep -c ' cgroup' /proc/mounts";
    assert_ne!(ground.sh(&[], script).ok(), "0");
    assert_eq!(ground.sh(&[], script).ok().lines().count(), 1, "only the number of mounts, no folder that was made");
}

#[test]
fn inheritable_set_is_empty() {
    let Some(ground) = Ground::new() else { return };
    for flags in [&[][..], &["--privileged"], &["-u", "app", "--cap-add=NET_ADMIN"]] {
        let sets = ground.run(flags, &["grep", "-E", "CapInh|CapAmb", "/proc/self/status"]).ok();
        assert_eq!(sets.matches("0000000000000000").count(), 2, "{flags:?}: {sets}");
    }
}

#[test]
fn groups_are_the_images() {
    let Some(ground) = Ground::new() else { return };
    let run = ground.runner(&["-u", "app"], &["id", "-G"]);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--groups", "77,88", SAMPAN]).args(run.get_args());
    assert_eq!(ran(setpriv.output().unwrap()).ok(), "1001 10");
}

#[test]
fn seccomp_refuses() {
    let Some(ground) = Ground::new() else { return };
    // Nothing but the filter forbids it: the same without one works.
    assert_ne!(ground.run(&[], &["unshare", "-U", "true"]).code, 0);
    assert_eq!(ground.run(&["--security-opt=seccomp=unconfined"], &["unshare", "-U", "true"]).code, 0);
}

#[test]
fn no_injection_into_the_callers_terminal() {
    let Some(ground) = Ground::new() else { return };
    let run = ground.runner(&[], &["sh", "-c", "{ true </dev/tty; } 2>/dev/null && echo open || echo closed"]);
    let words: Vec<_> = run.get_args().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let line = format!("{SAMPAN} {}", words.join(" "));
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("closed"), "{output:?}");
}

#[test]
fn store_is_closed_to_others() {
    let Some(ground) = Ground::new() else { return };
    let cidfile = ground.dir.join("cid");
    let flags = ["--cidfile", cidfile.to_str().unwrap()];
    let mut run = ground.runner(&flags, &["sh", "-c", "cp /bin/busybox /own; chmod 4755 /own; echo up; exec sleep 60"]);
    let mut child = run.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let id = std::fs::read_to_string(&cidfile).unwrap();
    let find = Command::new("find").arg(ground.dir.join("data")).args(["-name", "own"]).output().unwrap();
    let path = String::from_utf8(find.stdout).unwrap();
    assert!(path.contains(&id), "{path}");
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", path.trim(), "id"]);
    let other = ran(other.output().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(other.code != 0 && other.out.is_empty(), "{other:?}");
    // Reaps what the kill left.
    ground.sh(&[], "true").ok();
}

/// With the value that it has, should it get through.
#[test]
fn sysctl_of_the_host() {
    let Some(ground) = Ground::new() else { return };
    let now = std::fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    let flag = format!("--sysctl=vm.swappiness={}", now.trim());
    for privileged in ["--privileged=false", "--privileged"] {
        ground.run(&[privileged, &flag], &["true"]).fails(125, "cannot set vm.swappiness for the container");
    }
}
