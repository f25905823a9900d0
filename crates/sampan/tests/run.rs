//! `sampan run`, end to end: what the command is told, what it gets, and how it ends.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, until};
use std::process::Stdio;

#[test]
fn exit_codes() {
    let Some(ground) = Ground::new() else { return };
    assert_eq!(ground.sh(&[], "exit 42").code, 42);
    assert_eq!(ground.sh(&[], "kill -9 $$; exit 1").code, 1, "pid 1 cannot kill itself");
    assert_eq!(ground.sh(&["--init"], "kill -9 $$").code, 137);
    ground.run(&[], &["absent"]).fails(127, "absent");
    ground.run(&[], &["/bin/absent"]).fails(127, "absent");
    ground.run(&["--no-such-flag"], &["true"]).fails(125, "--no-such-flag");
    let missing = ground::ran(ground.command(&["run", "--rm", "--pull=never", "no-such-image"]).output().unwrap());
    missing.fails(125, "no-such-image");
}

#[test]
fn commands_that_cannot_be_executed() {
    let Some(ground) = Ground::new() else { return };
    ground.run(&[], &["/etc"]).fails(126, "/etc");
    std::fs::write(ground.rootfs().join("tmp/plain"), "#!/bin/sh\n").unwrap();
    ground.run(&[], &["/tmp/plain"]).fails(126, "/tmp/plain");
    ground.file("tmp/lost", "#!/bin/no-such-interpreter\n");
    ground.run(&[], &["/tmp/lost"]).fails(127, "no-such-interpreter");
    ground.file("tmp/dos", "#!/bin/sh\r\ntrue\r\n");
    ground.run(&[], &["/tmp/dos"]).fails(127, "line");
    // e_machine (elf(5)) of a machine that this is not.
    let mut elf = std::fs::read(ground.rootfs().join("bin/busybox")).unwrap();
    elf.truncate(4096);
    elf[18..20].copy_from_slice(&22u16.to_le_bytes());
    ground.file("tmp/foreign", elf);
    ground.run(&[], &["/tmp/foreign"]).fails(126, "/tmp/foreign");
}

#[test]
fn environment_and_directory() {
    let Some(ground) = Ground::new() else { return };
    let script = "echo $A-$B; pwd; hostname";
    let flags = ["-e", "A=1", "-e", "B=x y", "-w", "/made/here", "--hostname", "ship"];
    assert_eq!(ground.sh(&flags, script).ok(), "1-x y\n/made/here\nship");
    assert_eq!(ground.run(&["--entrypoint", "/bin/echo"], &["from", "entrypoint"]).ok(), "from entrypoint");
}

#[test]
fn users_and_groups_are_the_images() {
    let Some(ground) = Ground::new() else { return };
    let script = "id -u; id -g; id -G; echo $HOME";
    assert_eq!(ground.sh(&["-u", "app"], script).ok(), "1000\n1001\n1001 10\n/home/app");
    assert_eq!(ground.sh(&["-u", "1000:29"], script).ok().lines().take(2).collect::<Vec<_>>(), ["1000", "29"]);
    let groups = ground.sh(&["-u", "app", "--group-add", "audio", "--group-add", "77"], "id -G").ok();
    assert_eq!(groups, "1001 10 29 77");
    ground.sh(&["-u", "nobody-here"], "true").fails(125, "nobody-here");
}

#[test]
fn root_is_read_only_on_request() {
    let Some(ground) = Ground::new() else { return };
    let script = "touch /new 2>&1; touch /scratch/new && stat -f -c %T /scratch";
    let out = ground.sh(&["--read-only", "--tmpfs", "/scratch:size=1m"], script).ok();
    assert!(out.contains("Read-only") && out.ends_with("tmpfs"), "{out}");
}

#[test]
fn what_is_kept_is_synced_to_the_disk_and_what_is_removed_is_not() {
    let Some(ground) = Ground::new() else { return };
    let script = "grep -c ' / overlay .*volatile' /proc/mounts; true";
    assert_eq!(ground.sh(&[], script).ok(), "1");
    let rootfs = format!("{}:O", ground.rootfs().display());
    let kept = ["run", "--network=none", "--rootfs", &rootfs, "sh", "-c", script];
    assert_eq!(ground::ran(ground.command(&kept).output().unwrap()).ok(), "0");
}

#[test]
fn volumes() {
    let Some(ground) = Ground::new() else { return };
    let volume = ground.dir.join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("file"), "of the host\n").unwrap();
    let at = volume.display();
    let (rw, ro) = (format!("{at}:/rw"), format!("{at}:/ro:ro"));
    let (file, long) = (format!("{at}/file:/one/file"), format!("type=bind,src={at},dst=/long,ro"));
    let script = "cat /rw/file /one/file; touch /rw/new; touch /ro/no || touch /long/no || echo refused";
    let ran = ground.sh(&["-v", &rw, "-v", &ro, "-v", &file, "--mount", &long], script);
    assert_eq!(ran.ok(), "of the host\nof the host\nrefused");
    assert!(volume.join("new").exists() && !volume.join("no").exists());
}

#[test]
fn rlimits_and_sysctls() {
    let Some(ground) = Ground::new() else { return };
    let flags = ["--ulimit", "nofile=123:456", "--sysctl", "net.ipv4.ip_default_ttl=77"];
    let script = "ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_default_ttl";
    assert_eq!(ground.sh(&flags, script).ok(), "123\n456\n77");
}

#[test]
fn init_reaps_and_passes_signals() {
    let Some(ground) = Ground::new() else { return };
    // The orphan's parent ends first, so that pid 1 inherits it; a zombie would stay in /proc.
    let script = "(sleep 0.05 & echo $! > /tmp/orphan); p=$(cat /tmp/orphan); \
                  i=0; while [ -d /proc/$p ]; do usleep 5000; i=$((i+1)); [ $i -lt 1000 ] || exit 1; done; echo reaped";
    assert_eq!(ground.sh(&["--init"], script).ok(), "reaped");
    for flags in [&["--init"][..], &[]] {
        assert_eq!(signalled(&ground, flags, "trap 'exit 7' TERM; echo up; while :; do usleep 5000; done", 1), 7);
    }
}

#[test]
fn a_second_sigterm_kills() {
    let Some(ground) = Ground::new() else { return };
    assert_eq!(signalled(&ground, &[], "trap '' TERM; echo up; while :; do usleep 5000; done", 2), 137);
}

/// The exit code after so many SIGTERMs, sent once the script has said something.
fn signalled(ground: &Ground, flags: &[&str], script: &str, times: usize) -> i32 {
    use std::io::{BufRead as _, BufReader};
    let mut run = ground.runner(flags, &["sh", "-c", script]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let pid = child.id().to_string();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let term = || assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    term();
    if times > 1 {
        stderr.read_line(&mut String::new()).unwrap();
        // What follows within a tenth of a second counts as the same wish (runtime::supervise::stop).
        until("a second SIGTERM kills", || {
            term();
            child.try_wait().unwrap().is_some()
        });
    }
    child.wait().unwrap().code().unwrap()
}

#[test]
fn standard_streams() {
    let Some(ground) = Ground::new() else { return };
    let megabyte: Vec<u8> = (0..1 << 20).map(|number: u32| (number % 251) as u8).collect();
    assert_eq!(ground.feed(&["-i"], &["cat"], &megabyte).stdout, megabyte);
    assert_eq!(ground.feed(&[], &["wc", "-c"], b"not for it").stdout, b"0\n");
    let ran = ground.sh(&[], "echo out; echo err >&2");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn terminal() {
    let Some(ground) = Ground::new() else { return };
    assert_eq!(ground.sh(&["-t"], "test -t 0 && test -t 1 && tty").ok(), "/dev/pts/0");
    ground.sh(&["-i", "-t"], "true").fails(125, "not a TTY");
    let run = ground.runner(&["-i", "-t"], &["stty", "size"]);
    let words: Vec<_> =
        [run.get_program()].into_iter().chain(run.get_args()).map(|word| word.to_str().unwrap()).collect();
    let line = format!("stty rows 33 cols 99; {}", words.join(" "));
    let output = std::process::Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        eprintln!("skipped: needs script(1)");
        return;
    };
    // script(1) passes the end of its own input on as a ^@, echoed before or after.
    assert!(String::from_utf8_lossy(&output.stdout).contains("33 99\r\n"), "{output:?}");
}

#[test]
fn namespaces_of_the_host_and_of_paths() {
    let Some(ground) = Ground::new() else { return };
    let own = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let inside = |flags: &[&str], name: &str| ground.run(flags, &["readlink", &format!("/proc/self/ns/{name}")]).ok();
    for (flag, name) in
        [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup"), ("--network", "net")]
    {
        assert_eq!(inside(&[&format!("{flag}=host")], name), own(name), "{flag}");
        let private = if flag == "--network" { "none" } else { "private" };
        assert_ne!(inside(&[&format!("{flag}={private}")], name), own(name), "{flag}");
    }
    assert_eq!(inside(&["--ipc=ns:/proc/self/ns/ipc"], "ipc"), own("ipc"));
}

/// On v2 the whole tree, as what looks after others' cgroups wants it.
#[test]
fn cgroups_of_the_host() {
    let Some(ground) = Ground::new() else { return };
    let v1 = std::fs::read_to_string("/proc/self/cgroup").unwrap().contains(":memory:");
    let own = if v1 { "memory" } else { "$(grep ^0:: /proc/self/cgroup | cut -d: -f3)" };
    let script = format!("at=/sys/fs/cgroup/{own}/cgroup.procs; grep -x $$ $at; (: >>$at) 2>/dev/null; echo $?");
    assert_eq!(ground.sh(&["--cgroupns=host"], &script).ok(), "1\n1");
    assert_eq!(ground.sh(&["--cgroupns=host", "--privileged"], &script).ok(), "1\n0");
}

#[test]
fn namespaces_of_another_container() {
    let Some(ground) = Ground::new() else { return };
    let pidfile = ground.dir.join("pid");
    let flags = ["--name=first", "--pidfile", pidfile.to_str().unwrap(), "--hostname=first"];
    let mut first = ground.runner(&flags, &["sleep", "60"]).spawn().unwrap();
    until("the first container runs", || std::fs::read_to_string(&pidfile).is_ok_and(|text| text.ends_with('\n')));
    let pid = std::fs::read_to_string(&pidfile).unwrap().trim().to_owned();
    for (flag, name) in [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net")] {
        let theirs = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string();
        let inside = ground.run(&[&format!("{flag}=container:first")], &["readlink", &format!("/proc/self/ns/{name}")]);
        assert_eq!(inside.ok(), theirs, "{flag}");
    }
    ground.run(&["--name=first"], &["true"]).fails(125, "first");
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    assert_eq!(first.wait().unwrap().code(), Some(137));
}

#[test]
fn one_root_for_many() {
    let Some(ground) = Ground::new() else { return };
    let children: Vec<_> = (0..4)
        .map(|number| {
            let script = format!("echo {number} >> /mine; cat /mine");
            ground.runner(&[], &["sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        assert_eq!(child.wait_with_output().unwrap().stdout, format!("{number}\n").into_bytes());
    }
    assert!(!ground.rootfs().join("mine").exists());
}

#[test]
fn capabilities() {
    let Some(ground) = Ground::new() else { return };
    let set = |flags: &[&str]| {
        let status = ground.run(flags, &["grep", "CapEff", "/proc/self/status"]).ok();
        u64::from_str_radix(status.split_whitespace().last().unwrap(), 16).unwrap()
    };
    // The fourteen of docker (capabilities(7) has the numbers).
    assert_eq!(set(&[]), 0xa80c_25fb & 0xa804_25fb);
    assert_eq!(set(&["--cap-drop=ALL"]), 0);
    assert_eq!(set(&["--cap-drop=ALL", "--cap-add=NET_ADMIN"]), 1 << 12);
    assert_eq!(set(&["-u", "app"]), 0);
    assert!(set(&["--privileged"]) & (1 << 21) != 0);
    let nnp = ground.run(&["--security-opt=no-new-privileges"], &["grep", "NoNewPrivs", "/proc/self/status"]).ok();
    assert_eq!(nnp, "NoNewPrivs:\t1");
}

#[test]
fn seccomp() {
    let Some(ground) = Ground::new() else { return };
    let mode = |flags: &[&str]| ground.run(flags, &["grep", "Seccomp:", "/proc/self/status"]).ok();
    assert_eq!(mode(&[]), "Seccomp:\t2");
    assert_eq!(mode(&["--security-opt=seccomp=unconfined"]), "Seccomp:\t0");
    let refused = ground.run(&[], &["unshare", "-U", "true"]);
    assert!(refused.code != 0 && refused.err.contains("not permitted"), "{refused:?}");
    assert_eq!(ground.run(&["--security-opt=seccomp=unconfined"], &["unshare", "-U", "true"]).code, 0);
    let profile = ground.dir.join("profile.json");
    let text =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    std::fs::write(&profile, text).unwrap();
    let own = ground.run(&[&format!("--security-opt=seccomp={}", profile.display())], &["mkdir", "/new"]);
    assert!(own.code == 1 && own.err.contains("not permitted"), "{own:?}");
}
