//! The escapes that SECURITY.md names, tried from inside.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

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
    // A copy, for what the container does to it if it can.
    let own = ground.dir.join("sampan");
    std::fs::copy(SAMPAN, &own).unwrap();
    let before = std::fs::metadata(&own).unwrap();
    let script = "[ \"$(tr '\\0' ' ' </proc/1/cmdline)\" = 'sampan-init 2 ' ] || exit 9
                  cat /proc/1/environ
                  chmod 4777 /proc/1/exe; chown 1:1 /proc/1/exe; touch /proc/1/exe; (echo broken >/proc/1/exe)
                  (exec 7</proc/1/exe; chmod 4777 /proc/self/fd/7; echo broken >/proc/self/fd/7); true";
    // With the right to look into every process of its own it finds nothing of the host's, either. Never with the host's
    // pids: there this is done to the host's first process.
    for flags in [&["--init"][..], &["--init", "--cap-add=SYS_PTRACE"]] {
        let run = ground.runner(flags, &["sh", "-c", script]);
        let seen = ran(Command::new(&own).args(run.get_args()).env("SECRET", "the caller's").output().unwrap());
        assert_eq!(seen.ok(), "", "{flags:?}");
        let after = std::fs::metadata(&own).unwrap();
        assert_eq!(
            (after.mode(), after.uid(), after.ctime()),
            (before.mode(), before.uid(), before.ctime()),
            "{flags:?}"
        );
    }
    assert!(std::fs::read(&own).unwrap() == std::fs::read(SAMPAN).unwrap());
}

#[test]
fn proc_self_exe_as_entrypoint() {
    let Some(ground) = Ground::new() else { return };
    // So that all looks well before the start: the look does not see the container's own /proc.
    std::fs::create_dir_all(ground.rootfs().join("proc/self")).unwrap();
    ground.file("proc/self/exe", "#!/bin/sh\n");
    ground.file("tmp/script", "#!/proc/self/exe\n");
    ground.file("tmp/again", "#! \t/tmp/script version\n");
    symlink("/proc/self/exe", ground.rootfs().join("tmp/link")).unwrap();
    symlink("link", ground.rootfs().join("tmp/link2")).unwrap();
    let own = format!("{SAMPAN}:/own:ro");
    let flags = ["-v", &own, "-w", "/tmp", "-e", "PATH=/bin:/tmp"];
    for command in ["/proc/self/exe", "./script", "again", "/tmp/link", "link2", "/own"] {
        let ran = ground.run(&flags, &[command, "version"]);
        ran.fails(125, "CVE-2019-5736");
        assert!(ran.out.is_empty(), "{command}: {ran:?}");
    }
    ground.file("tmp/good", "#!/bin/sh\necho \"$0\"\n");
    assert_eq!(ground.run(&flags, &["good"]).ok(), "/tmp/good");
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
fn no_descriptor_leaks_to_what_sampan_calls() {
    let Some(ground) = Ground::new() else { return };
    if !Path::new("/dev/net/tun").exists() {
        eprintln!("skipped: needs /dev/net/tun");
        return;
    }
    let (bin, seen) = (ground.dir.join("bin"), ground.dir.join("seen"));
    std::fs::create_dir(&bin).unwrap();
    let pasta = format!("#!/bin/bash\nfor fd in /proc/$$/fd/*; do readlink $fd; done >{}\nexit 1\n", seen.display());
    std::fs::write(bin.join("pasta"), pasta).unwrap();
    std::fs::set_permissions(bin.join("pasta"), PermissionsExt::from_mode(0o755)).unwrap();
    after(&ground, &format!("PATH={}:$PATH", bin.display()), &["--network=pasta"], &["true"]).fails(125, "pasta");
    // Of sampan's: its sockets, pidfds, cgroups, namespaces, journal, layers. What the caller has open is the caller's.
    let seen = std::fs::read_to_string(seen).unwrap();
    let of_sampan = |line: &&str| {
        let kinds = ["socket:", "anon_inode:", "pidfd", "net:", "mnt:", "pid:", "user:", "/sys/", "/proc/"];
        kinds.iter().any(|kind| line.contains(kind))
            || ["data", "state", "rootfs"].iter().any(|dir| Path::new(line).starts_with(ground.dir.join(dir)))
    };
    assert!(!seen.is_empty());
    assert_eq!(seen.lines().filter(of_sampan).collect::<Vec<_>>(), <[&str; 0]>::default());
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
    // Where /dev is not all sampan's own.
    ground.run(&["--device=/dev/zero:/dev/null"], &["true"]).fails(125, "ENODEV");
    let volume = ground.dir.join("dev");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("null"), "shown\n").unwrap();
    ground.run(&["-v", &format!("{}:/dev", volume.display())], &["true"]).fails(125, "ENODEV");
    assert_eq!(std::fs::read_dir(volume).unwrap().count(), 1, "nothing is made in a volume");
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
    // A volume there is for the privileged only; a setting is not written into it.
    let volume = format!("{}:/proc/sys", ground.rootfs().join("proc/sys").display());
    ground.run(&["--privileged", "-v", &volume, flags[0], flags[1]], &["true"]).fails(125, "EXDEV");
    let file = std::fs::read_to_string(ground.rootfs().join("proc/sys/net/ipv4/ip_default_ttl")).unwrap();
    assert_eq!(file, "the image's\n");
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
    let mut run =
        ground.runner(&flags, &["sh", "-c", "cp /bin/busybox /; chmod 4755 /busybox; echo up; exec sleep 60"]);
    let mut child = run.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let id = std::fs::read_to_string(&cidfile).unwrap();
    let find = Command::new("find").arg(ground.dir.join("data")).args(["-name", "busybox"]).output().unwrap();
    let path = String::from_utf8(find.stdout).unwrap();
    assert!(path.contains(&id), "{path}");
    let mut other = Command::new("setpriv");
    // By a shell: setpriv(1) itself keeps root's capabilities until it has executed something.
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "exec \"$0\" echo run", path.trim()]);
    let other = ran(other.output().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(other.code != 0 && other.out.is_empty(), "{other:?}");
    // Reaps what the kill left.
    ground.sh(&[], "true").ok();
}

#[test]
fn apparmor_is_in_force_or_refused() {
    let Some(ground) = Ground::new() else { return };
    let look = |profile: &str, flags: &[&str]| {
        let option = format!("--security-opt=apparmor={profile}");
        ground.sh(&[&[option.as_str()], flags].concat(), "cat /proc/self/attr/apparmor/current; cat /tmp/secret")
    };
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text == "Y\n");
    if !enabled {
        look("docker-default", &[]).fails(125, "AppArmor is not enabled on this host");
        assert_eq!(ground.sh(&["--security-opt=apparmor=unconfined"], "echo as it is").ok(), "as it is");
        eprintln!("skipped: what AppArmor does, it is not enabled here");
        return;
    }
    look("sampan-is-not-loaded", &[]).fails(125, "no such profile is loaded");
    ground.file("tmp/secret", "secret\n");
    let profile = format!("sampan-test-{}", std::process::id());
    let text = format!("profile {profile} flags=(attach_disconnected) {{ file, capability, deny /tmp/secret r, }}");
    let file = ground.dir.join("profile");
    std::fs::write(&file, text).unwrap();
    let parser = |flag: &str| Command::new("apparmor_parser").arg(flag).arg(&file).status().unwrap().success();
    assert!(parser("-r"));
    let confined = [&[][..], &["--init"], &["--security-opt=no-new-privileges"], &["-u", "app"]]
        .map(|flags| (flags, look(&profile, flags)));
    assert!(parser("-R"));
    for (flags, ran) in confined {
        assert_eq!(ran.out, format!("{profile} (enforce)\n"), "{flags:?}: {ran:?}");
        ran.fails(1, "Permission denied");
    }
}

#[test]
fn labels_have_no_effect_and_that_is_said() {
    let Some(ground) = Ground::new() else { return };
    let label = ground.sh(&["--security-opt=label=type:svirt_t"], "echo up");
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return label.fails(125, "sets no SELinux labels");
    }
    assert!(label.err.contains("SELinux is off"), "{label:?}");
    assert_eq!(label.ok(), "up");
    assert_eq!(ground.sh(&["--security-opt=label=disable"], "true").err, "");
}

/// A directory of the host beside the root file system, with a file in it; what a container may not change.
struct Outside {
    path: std::path::PathBuf,
    before: String,
}

impl Outside {
    fn new(ground: &Ground) -> Self {
        let path = ground.dir.join("outside");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), "outside\n").unwrap();
        let before = Self::look(&path);
        Self { path, before }
    }

    /// Everything but the time of the last access; mounts would show another device.
    fn look(path: &Path) -> String {
        let find =
            Command::new("find").arg(path).args(["-printf", "%p %y %m %U %G %D %i %s %T@ %C@\n"]).output().unwrap();
        String::from_utf8(find.stdout).unwrap()
    }

    #[track_caller]
    fn is_untouched(&self, what: &str) {
        assert_eq!(Self::look(&self.path), self.before, "{what}");
    }

    /// The ways to it from inside, were links followed on the host.
    fn links(&self) -> [std::path::PathBuf; 2] {
        let dots = format!("../../../../../../../../../..{}", self.path.display());
        [self.path.clone(), dots.into()]
    }
}

#[test]
fn hostile_links_of_the_image() {
    let Some(ground) = Ground::new() else { return };
    let outside = Outside::new(&ground);
    let root = ground.rootfs();
    std::fs::remove_dir_all(root.join("tmp")).unwrap();
    let [absolute, dots] = outside.links();
    for (to, how) in [(&absolute, ":O"), (&absolute, ""), (&dots, "")] {
        let file = to.join("file");
        // Each by itself: where one is refused, the others are not reached.
        for (at, to, works) in [
            ("etc/hosts", &file, true),
            ("etc/resolv.conf", &to.join("not/there"), true),
            ("etc/hostname", &to.join("new"), true),
            ("etc", to, false),
            ("dev", to, false),
            ("dev/pts", to, true),
            ("dev/shm", to, true),
            ("dev/null", &file, true),
            ("dev/console", &file, true),
            ("sys/fs/cgroup", to, true),
            ("tmp", to, false),
            ("w", to, false),
        ] {
            let link = root.join(at);
            let spare = ground.dir.join("spare");
            let had = std::fs::rename(&link, &spare).is_ok();
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(to, &link).unwrap();
            let mut run = ground.command(&["run", "--rm", "--network=none", "-t", "-w", "/w/made/here"]);
            run.args(["--tmpfs=/tmp/fs", "--hostname=h", "--rootfs", &format!("{}{how}", root.display())]);
            let ran = ran(run.args(["sh", "-c", "echo inside >/etc/hosts"]).output().unwrap());
            outside.is_untouched(&format!("{at} -> {to:?}: {ran:?}"));
            assert!(ran.code == 0 || !works && ran.code == 125, "{at} -> {to:?}: {ran:?}");
            std::fs::remove_file(&link).unwrap();
            if had {
                std::fs::rename(&spare, &link).unwrap();
            }
        }
    }
}

#[test]
fn links_raced_into_a_shared_volume() {
    let Some(ground) = Ground::new() else { return };
    let outside = Outside::new(&ground);
    let volume = ground.dir.join("volume");
    std::fs::create_dir_all(volume.join("a")).unwrap();
    let [absolute, dots] = outside.links();
    symlink(absolute, volume.join("absolute")).unwrap();
    symlink(dots, volume.join("dots")).unwrap();
    let shared = format!("{}:/volume", volume.display());
    let inner = format!("{}:/volume/a/made/b", ground.dir.join("rootfs/bin").display());
    let flags =
        ["-v", &shared, "-v", &inner, "--tmpfs=/volume/a/t", "--device=/dev/full:/volume/a/d/full", "-w/volume/a/w"];
    let got_through = |ran: &Ran| ran.code == 0 || ran.err.contains("ENOENT");
    let done = AtomicBool::new(false);
    let results: Vec<Ran> = std::thread::scope(|scope| {
        // As a process of another container would, as fast as it can.
        scope.spawn(|| {
            let exchange = |with: &str| {
                use rustix::fs::{CWD, RenameFlags};
                rustix::fs::renameat_with(CWD, volume.join("a"), CWD, volume.join(with), RenameFlags::EXCHANGE)
                    .unwrap();
            };
            while !done.load(Ordering::Relaxed) {
                ["absolute", "absolute", "dots", "dots"].into_iter().for_each(exchange);
            }
        });
        let mut results: Vec<Ran> = Vec::new();
        // A few dozen steps have to meet the directory; how often they do is the scheduler's.
        while results.len() < 20 || results.len() < 400 && !results.iter().any(got_through) {
            results.push(ground.run(&flags, &["true"]));
        }
        done.store(true, Ordering::Relaxed);
        results
    });
    outside.is_untouched("raced");
    // Not all were refused for some other reason.
    assert!(results.iter().any(got_through), "{results:?}");
}

#[test]
fn users_are_looked_up_inside() {
    let Some(ground) = Ground::new() else { return };
    let outside = Outside::new(&ground);
    std::fs::write(outside.path.join("passwd"), "outsider:x:0:0::/:/bin/sh\n").unwrap();
    let passwd = ground.rootfs().join("etc/passwd");
    for to in outside.links() {
        std::fs::remove_file(&passwd).unwrap();
        symlink(to.join("passwd"), &passwd).unwrap();
        ground.run(&["-u", "outsider"], &["true"]).fails(125, "outsider");
    }
    // Neither is waited for, nor read to its end.
    for make in ["mkfifo", "mknod"] {
        std::fs::remove_file(&passwd).unwrap();
        let device: &[&str] = if make == "mknod" { &["c", "1", "5"] } else { &[] };
        assert!(Command::new(make).arg(&passwd).args(device).status().unwrap().success());
        ground.run(&["-u", "outsider"], &["true"]).fails(125, "outsider");
    }
}

#[test]
fn a_reused_pid_is_let_live() {
    let Some(ground) = Ground::new() else { return };
    let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", victim.id())).unwrap();
    let start: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    let journals = ground.dir.join("state/containers");
    std::fs::create_dir_all(&journals).unwrap();
    let reap = |start: u64| {
        let journal = journals.join("0000.journal");
        std::fs::write(&journal, format!("sampan-journal 1\nkill {} {start}\n", victim.id())).unwrap();
        assert_eq!(ran(ground.command(&["ps", "-q"]).output().unwrap()).ok(), "");
        assert!(!journal.exists());
    };
    reap(start - 1);
    let lived = std::fs::read_to_string(format!("/proc/{}/stat", victim.id())).unwrap().contains(") S ");
    // So that the test can tell: with its own start time it is killed.
    reap(start);
    victim.wait().unwrap();
    assert!(lived);
}

#[test]
fn a_record_names_nothing_but_its_own_container() {
    let Some(ground) = Ground::new() else { return };
    let outside = Outside::new(&ground);
    let container = ground.dir.join("data/containers").join("a".repeat(64));
    std::fs::create_dir_all(&container).unwrap();
    for id in ["../../outside".to_owned(), outside.path.display().to_string(), "b".repeat(64)] {
        let record = format!("{{\"id\":\"{id}\",\"name\":\"box\",\"pid\":1}}");
        std::fs::write(container.join("record.json"), record).unwrap();
        let ran = ran(ground.command(&["rm", "box"]).output().unwrap());
        outside.is_untouched(&format!("{id}: {ran:?}"));
        ran.fails(1, "no container has this name");
    }
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
