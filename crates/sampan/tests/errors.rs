//! Bad input: what, why and the fix are said, with docker's exit code, and nothing is left of the try.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, SAMPAN, ran};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// The three parts of a message, each by a piece of it. An empty one may be missing.
#[track_caller]
fn says(ran: &Ran, code: i32, [what, why, hint]: [&str; 3]) {
    assert_eq!(ran.code, code, "{ran:?}");
    // Warnings may come before it.
    let (_, message) = ran.err.split_once("error: ").unwrap_or_else(|| panic!("no error: {ran:?}"));
    let mut lines = message.lines();
    assert!(lines.next().unwrap().contains(what), "{what:?} is not what failed: {ran:?}");
    let is_why = |line: &str| line.starts_with("  ") && line.contains(why);
    assert!(why.is_empty() || message.lines().any(is_why), "{why:?} is no reason: {ran:?}");
    let is_hint = |line: &str| line.starts_with("hint: ") && line.contains(hint);
    assert!(hint.is_empty() || lines.any(is_hint), "{hint:?} is no hint: {ran:?}");
    assert!(!message.contains("os error"), "{ran:?}");
}

/// No container, name, journal, lease or mount below the directories.
#[track_caller]
fn untouched(ground: &Ground) {
    for place in ["data/containers", "data/names", "state/containers", "state/networks"] {
        let entries = fs::read_dir(ground.dir.join(place)).into_iter().flatten().flatten();
        let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        assert!(names.is_empty(), "{place}: {names:?}");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(ground.dir.to_str().unwrap()), "{mounts}");
}

fn sampan(ground: &Ground, words: &[&str]) -> Ran {
    ran(ground.command(words).output().unwrap())
}

/// A script in namespaces of its own, with sampan and the ground's directories as $SAMPAN, $DIR and $RUN.
fn apart(ground: &Ground, unshare: &[&str], script: &str) -> Ran {
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-ec", script]).stdin(Stdio::null());
    let (dir, rootfs) = (ground.dir.display(), ground.rootfs());
    let sampan = format!("{SAMPAN} --root {dir}/data --state {dir}/state");
    let run = format!("{sampan} run --rm --network=none --rootfs {}:O", rootfs.display());
    ran(command.env("SAMPAN", sampan).env("DIR", &ground.dir).env("RUN", run).output().unwrap())
}

#[test]
fn words_that_are_no_request() {
    let Some(ground) = Ground::new() else { return };
    let long = "a".repeat(65);
    for (flag, message) in [
        ("--no-such-flag", ["unknown flag --no-such-flag", "", "sampan run --help"]),
        ("--memory=12x", ["invalid value \"12x\" for --memory", "unknown unit", "100m"]),
        ("--hostname=no host", ["\"no host\" for --hostname", "not a host name", "letters"]),
        (&format!("--hostname={long}"), ["for --hostname", "not a host name", "up to 64"]),
        ("--name=a/b", ["\"a/b\" for --name", "only [a-zA-Z0-9]", "a letter or digit"]),
        ("--name=", ["\"\" for --name", "only [a-zA-Z0-9]", "a letter or digit"]),
        ("--ulimit=nope=1", ["for --ulimit", "unknown limit \"nope\"", "nofile"]),
        ("--ulimit=nofile=5:3", ["for --ulimit", "the soft limit is above", "SOFT[:HARD]"]),
        ("--tmpfs=/t:nosuch", ["for --tmpfs", "unknown tmpfs option", "size="]),
        ("--cap-add=NOPE", ["\"NOPE\" for --cap-add", "unknown capability", "capabilities(7)"]),
        ("--workdir=here", ["\"here\" for --workdir", "not an absolute path", "/here"]),
        ("--env-file=/no/such", ["cannot read /no/such", "ENOENT (no such file or directory)", ""]),
    ] {
        says(&ground.run(&[flag], &["true"]), 125, message);
    }
    let envs = ground.dir.join("envs");
    fs::write(&envs, "FINE=1\nNOT FINE=2\n").unwrap();
    let flag = format!("--env-file={}", envs.display());
    says(&ground.run(&[&flag], &["true"]), 125, ["cannot use ", "line 2: \"NOT FINE\" has a space", "NAME=VALUE"]);
    says(&sampan(&ground, &["run"]), 125, ["", "", ""]);
    says(&sampan(&ground, &["no-such-verb"]), 1, ["no-such-verb", "", ""]);
    assert!(!ground.dir.join("data").exists() && !ground.dir.join("state").exists());
}

#[test]
fn what_there_is_not() {
    let Some(ground) = Ground::new() else { return };
    symlink("round", ground.rootfs().join("round")).unwrap();
    for (flag, message) in [
        ("--user=nobody-here", ["unable to find user nobody-here", "no matching entries in passwd", "/etc/passwd"]),
        ("--user=0:nogroup-here", ["unable to find group", "no matching entries in group", "/etc/group"]),
        ("--workdir=/bin/busybox", ["cannot start in /bin/busybox", "it is no directory", "--workdir"]),
        ("--workdir=/round", ["cannot start in /round", "too many levels of symbolic links", "--workdir"]),
        ("--workdir=/bin/busybox/x", ["where it starts", "ENOTDIR", "name a directory with --workdir"]),
        ("--workdir=/proc/self/fd/3", ["where it starts", "ELOOP", "name its real path"]),
        ("--cpuset-cpus=4095", ["CPUs 4095", "this host can give it only", "choose from 0"]),
        ("--memory=1m", ["cannot limit memory to 1m", "a container needs at least 6m", "ask for 6m or more"]),
        ("--ipc=ns:/etc/passwd", ["cannot share the ipc namespace", "it is no namespace", "/proc/PID/ns/ipc"]),
        ("--ipc=ns:/proc/self/ns/uts", ["the ipc namespace", "another kind of namespace (CLONE_NEWUTS)", "/ns/ipc"]),
        ("--network=nowhere", ["nowhere", "", ""]),
        ("--network=ns:/no/such", ["the net namespace /no/such", "ENOENT", ""]),
        ("--network=container:absent", ["cannot find container absent", "no container has this name", "sampan ps"]),
        ("--sysctl=no.such=1", ["cannot set no.such", "it would be the whole host's", "sysctl -w"]),
        ("--sysctl=vm.swappiness=7", ["cannot set vm.swappiness", "it would be the whole host's", "sysctl -w"]),
        ("--sysctl=net.no_such=1", ["a kernel setting", "ENOENT", "sysctl -a shows"]),
        ("--sysctl=net.ipv4.ip_default_ttl=x", ["a kernel setting", "write: EINVAL", "does not take that value"]),
        ("--security-opt=seccomp=/etc/passwd", ["cannot read the seccomp profile", "line 1", "JSON"]),
        ("--security-opt=seccomp=/no/such", ["the seccomp profile /no/such", "ENOENT", ""]),
        ("--device=/etc/passwd", ["cannot give the container /etc/passwd", "it is no device", "--volume"]),
        ("--device=/dev/no-such", ["cannot give the container /dev/no-such", "ENOENT", ""]),
    ] {
        says(&ground.run(&[flag], &["true"]), 125, message);
        untouched(&ground);
    }
    let shared = ground.run(&["--network=host", "--sysctl=net.ipv4.ip_default_ttl=9"], &["true"]);
    says(&shared, 125, ["net.ipv4.ip_default_ttl", "no net namespace of its own", "leave it out"]);

    let run = |words: &[&str]| sampan(&ground, &[&["run", "--rm", "--network=none", "--pull=never"], words].concat());
    says(&run(&["absent", "true"]), 125, ["cannot find image absent", "not in the store", "sampan images"]);
    says(&run(&["busybox", "true"]), 125, ["image busybox", "not in the store", "sampan image bootstrap busybox"]);
    says(&run(&["UPPER", "true"]), 125, ["cannot use image \"UPPER\"", "", ""]);
    says(&run(&["--rootfs", "/no/such", "true"]), 125, ["cannot use /no/such as a root", "ENOENT", ""]);
    says(&run(&["--rootfs", "/etc/passwd", "true"]), 125, ["as a root file system", "not a directory", ""]);
    says(&run(&["--rootfs", "/no\nsuch", "true"]), 125, ["cannot use /no\\nsuch as a root", "ENOENT", ""]);
    says(&sampan(&ground, &["rm", "absent"]), 1, ["cannot find container absent", "no container", "sampan ps -a"]);
    says(&sampan(&ground, &["rmi", "absent"]), 1, ["cannot find image absent", "not in the store", "sampan images"]);
    untouched(&ground);
}

#[test]
fn commands_that_cannot_be_executed() {
    let Some(ground) = Ground::new() else { return };
    let file = |name: &str, bytes: &[u8]| ground.file(&format!("bin/{name}"), bytes);
    fs::write(ground.rootfs().join("bin/plain"), "#!/bin/sh\n").unwrap();
    file("lost", b"#!/no/such\n");
    file("dos", b"#!/bin/sh\r\ntrue\r\n");
    file("text", b"true\n");
    file("empty", b"");
    let busybox = fs::read(ground.rootfs().join("bin/busybox")).unwrap();
    let native = u16::from_le_bytes([busybox[18], busybox[19]]);
    // Alpha (elf.h).
    file("foreign", &elf(0x9026, None));
    file("loaderless", &elf(native, Some("/lib/no-ld.so")));
    for (command, code, message) in [
        ("absent", 127, ["cannot execute absent", "executable file not found in $PATH", "check the spelling"]),
        ("/bin/absent", 127, ["cannot execute /bin/absent", "no such file or directory", "check the spelling"]),
        ("/bin", 126, ["cannot execute /bin", "is a directory", "name a program in it"]),
        ("/bin/plain", 126, ["cannot execute /bin/plain", "permission denied", "chmod +x /bin/plain"]),
        (
            "lost",
            127,
            ["/bin/lost", "its interpreter /no/such is not in the root", "put the interpreter into the image"],
        ),
        ("dos", 127, ["/bin/dos", "first line ends in CR LF", "sed -i"]),
        ("text", 126, ["/bin/text", "exec format error: neither", "#!/bin/sh"]),
        ("empty", 126, ["/bin/empty", "the file is empty", "#!/bin/sh"]),
        ("foreign", 126, ["/bin/foreign", "it is for", "use an image for"]),
        ("loaderless", 127, ["/bin/loaderless", "its dynamic loader /lib/no-ld.so is not in", "link it statically"]),
    ] {
        says(&ground.run(&[], &[command]), code, message);
        says(&ground.run(&["--entrypoint", command], &["x"]), code, message);
    }
    assert!(!ground.dir.join("data/containers").read_dir().unwrap().any(|_| true));

    // Only the kernel's own look at these finds them out.
    let script = "mount --bind $DIR/rootfs/bin $DIR/rootfs/bin; mount -o remount,bind,noexec $DIR/rootfs/bin; \
                  $SAMPAN run --rm --network=none -v $DIR/rootfs/bin:/opt:ro --rootfs $DIR/rootfs:O /opt/busybox true";
    says(&apart(&ground, &["--mount"], script), 126, ["cannot execute /opt/busybox", "EACCES", "without noexec"]);
    let envs = ground.dir.join("envs");
    fs::write(&envs, format!("BIG={}\n", "x".repeat(200_000))).unwrap();
    let big = ground.run(&[&format!("--env-file={}", envs.display())], &["true"]);
    says(&big, 126, ["cannot execute true", "E2BIG", "128 KiB"]);
    untouched(&ground);
}

/// A program of 64 bits, little endian, with nothing in it but its headers (elf(5)).
fn elf(machine: u16, interpreter: Option<&str>) -> Vec<u8> {
    let mut file = vec![0u8; 64];
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    file[16..18].copy_from_slice(&2u16.to_le_bytes());
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[20] = 1;
    file[52..54].copy_from_slice(&64u16.to_le_bytes());
    if let Some(interpreter) = interpreter {
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..56].copy_from_slice(&56u16.to_le_bytes());
        file[56..58].copy_from_slice(&1u16.to_le_bytes());
        let mut header = [0u8; 56];
        header[0] = 3;
        header[8..16].copy_from_slice(&120u64.to_le_bytes());
        let size = interpreter.len() as u64 + 1;
        header[32..40].copy_from_slice(&size.to_le_bytes());
        header[40..48].copy_from_slice(&size.to_le_bytes());
        file.extend_from_slice(&header);
        file.extend_from_slice(interpreter.as_bytes());
    }
    file.extend_from_slice(&[0; 64]);
    file
}

#[test]
fn names_and_ports_in_use() {
    let Some(ground) = Ground::new() else { return };
    let rootfs = ground.rootfs();
    let kept = ["run", "--network=none", "--name=one", "--rootfs", rootfs.to_str().unwrap(), "true"];
    sampan(&ground, &kept).ok();
    let before = fs::read_dir(ground.dir.join("data/containers")).unwrap().count();
    says(&sampan(&ground, &kept), 125, ["the container name one", "already in use by container", "sampan rm one"]);
    assert_eq!(fs::read_dir(ground.dir.join("data/containers")).unwrap().count(), before);
    sampan(&ground, &["rm", "one"]).ok();

    // A listener of the host's; its sampan and its bridge are in a network of the test's own.
    let script = "ip link set lo up; busybox nc -l -p 18080 & \
                  while ! grep -qi ':46A0 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done; \
                  $SAMPAN run --rm -p 18080:80 --rootfs $DIR/rootfs:O true";
    let taken = apart(&ground, &["--net", "--pid", "--fork", "--mount-proc", "--kill-child"], script);
    says(&taken, 125, ["18080", "", ""]);
    untouched(&ground);
}

/// An ordinary user, who owns nothing but a copy of the program.
#[test]
fn what_an_ordinary_user_may_not() {
    let Some(ground) = Ground::new() else { return };
    let id = 690_000 + std::process::id() % 10_000;
    fs::copy(SAMPAN, ground.dir.join("sampan")).unwrap();
    for directory in ["own", "closed"] {
        fs::create_dir(ground.dir.join(directory)).unwrap();
    }
    let mut own = Command::new("chown");
    own.args(["-R", &format!("{id}:{id}")]).args(["own", "rootfs"].map(|name| ground.dir.join(name)));
    assert!(own.status().unwrap().success());
    let path = |name: &str| ground.dir.join(name).to_str().unwrap().to_owned();
    let user = |root: &str, state: &str, flags: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups"]);
        command.arg(path("sampan")).args(["--root", &path(root), "--state", &path(state), "run", "--rm"]);
        command.args(flags).args(["--rootfs", &format!("{}:O", path("rootfs")), "true"]);
        ran(command.stdin(Stdio::null()).current_dir("/").output().unwrap())
    };
    let none = ["--network=none"];
    says(&user("closed/data", "own/state", &none), 125, ["cannot make the directory", "EACCES", "--root"]);
    says(&user("own/data", "closed/state", &none), 125, ["cannot make the directory", "EACCES", "--state"]);
    says(&user("own/data", "closed", &none), 125, ["cannot use the state directory", "belongs to user 0", "--state"]);
    let limits: [(&[&str], [&str; 3]); 3] = [
        (&["--network=none", "--memory=64m"], ["cannot limit memory", "", ""]),
        (&["--network=none", "--ulimit=nofile=9999999"], ["RLIMIT_NOFILE", "CAP_SYS_RESOURCE", "or less"]),
        (&["--network=none", "--user=7"], ["cannot run as user 7", "subordinate ids", "/etc/subuid"]),
    ];
    let low = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if low.trim() == "1024" {
        // Without pasta no port can be published at all.
        says(&user("own/data", "own/state", &["-p", "80:80"]), 125, ["cannot publish", "", "p"]);
    }
    for (flags, message) in limits {
        says(&user("own/data", "own/state", flags), 125, message);
    }
    for place in ["own/data/containers", "own/data/names", "own/state/containers"] {
        assert_eq!(fs::read_dir(ground.dir.join(place)).unwrap().count(), 0, "{place}");
    }
}

/// Each in a mount namespace of its own, where the directories are on a disk that is full, or read-only.
#[test]
fn disks_that_take_no_more() {
    let Some(ground) = Ground::new() else { return };
    let on = |options: &str, script: &str| {
        let mount = format!("mkdir -p $DIR/data $DIR/state; mount -t tmpfs -o {options} none $DIR/data; {script}");
        apart(&ground, &["--mount"], &mount)
    };
    let bootstrap = on("size=256k", "code=0; $SAMPAN image bootstrap busybox || code=$?; ls $DIR/data/tmp; exit $code");
    says(&bootstrap, 1, ["cannot ", "no space left on device", "df -h, df -i"]);
    assert_eq!(bootstrap.out, "", "what was begun is left");
    let inodes = on("nr_inodes=64", "$SAMPAN image bootstrap busybox");
    says(&inodes, 1, ["cannot ", "no space left on device", "df -i"]);

    // The image is there, and then the disk is full.
    const FILL: &str = "$SAMPAN image bootstrap busybox >/dev/null; cat /dev/zero >$DIR/data/zero 2>/dev/null || true; \
        code=0; $SAMPAN run --rm --network=none busybox true || code=$?; ls $DIR/data/containers $DIR/data/names; exit $code";
    let full = on("size=8m", FILL);
    says(&full, 125, ["cannot start the container: step", "ENOSPC", "df -h"]);
    let inodes = FILL.replace("cat /dev/zero >$DIR/data/zero", "while touch $DIR/data/$((n=n+1)); do :; done");
    let no_inodes = on("nr_inodes=1k", &inodes);
    says(&no_inodes, 125, ["cannot ", "ENOSPC", "df -i"]);
    for ran in [full, no_inodes] {
        assert!(ran.out.lines().all(|line| line.is_empty() || line.ends_with(':')), "left: {}", ran.out);
    }

    // The container itself meets it: its own failure, its own exit code, and all is undone.
    let writes = "code=0; $RUN sh -c 'cat /dev/zero >/zero' || code=$?; ls $DIR/data/containers; exit $code";
    let own = on("size=1m", writes);
    assert_eq!((own.code, own.out.as_str()), (1, ""), "{own:?}");
    let blamed: Vec<&str> = own.err.lines().filter(|line| line.contains("cannot ")).collect();
    assert!(own.err.contains("No space left on device"), "{own:?}");
    assert!(blamed.iter().all(|line| line.starts_with("warning: cannot write the log of events")), "{own:?}");

    let state = "mkdir -p $DIR/state; mount -t tmpfs -o size=4k,nr_inodes=5,mode=700 none $DIR/state; ";
    says(&apart(&ground, &["--mount"], &format!("{state}$RUN true")), 125, ["cannot ", "ENOSPC", "df -h"]);
    let read_only = on("ro", "$RUN true");
    says(&read_only, 125, ["cannot make the directory", "EROFS (read-only file system)", "--root"]);
    let later = on(
        "size=8m",
        "$SAMPAN image bootstrap busybox >/dev/null; mount -o remount,ro $DIR/data; \
                               $SAMPAN run --rm --network=none busybox true",
    );
    says(&later, 125, ["cannot ", "EROFS", "mount it writable"]);
    untouched(&ground);
}

#[test]
fn what_the_kernel_does_not_grant() {
    let Some(ground) = Ground::new() else { return };
    // An ordinary user in a user namespace that may have no more of one kind.
    let nested = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"];
    let script = "echo 0 >/proc/sys/user/max_uts_namespaces; mount -t tmpfs none /sys/fs/cgroup; \
                  exec unshare --user --map-user=1000 --map-group=1000 $RUN true";
    let limited = apart(&ground, &nested, script);
    says(&limited, 125, ["a process in new namespaces", "ENOSPC", "user.max_uts_namespaces"]);

    let profile = ground.dir.join("profile");
    let kill = |call: &str| {
        let text =
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["CALL"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#;
        fs::write(&profile, text.replace("CALL", call)).unwrap();
        ground.run(&[&format!("--security-opt=seccomp={}", profile.display())], &["true"])
    };
    says(&kill("setresuid"), 125, ["the user", "killed by SIGSYS", "the seccomp profile kills a call"]);
    untouched(&ground);
}

/// The first process dies on its own at a step, and the message knows at which.
#[test]
fn a_death_without_a_word() {
    let Some(ground) = Ground::new() else { return };
    let mut run = ground.runner(&[], &["true"]);
    let died = ran(run.env("SAMPAN_FAULT", "die:40").output().unwrap());
    says(&died, 125, ["step 40/", "ended with 137, without a word", ""]);
    untouched(&ground);
}

/// Names that need quoting everywhere are no bad input.
#[test]
fn paths_with_newlines_work() {
    let Some(ground) = Ground::new() else { return };
    let odd = ground.dir.join("a\nb: c");
    fs::create_dir(&odd).unwrap();
    fs::rename(ground.rootfs(), odd.join("rootfs")).unwrap();
    let mut run = Command::new(SAMPAN);
    run.arg("--root").arg(odd.join("data")).arg("--state").arg(odd.join("state"));
    run.args(["run", "--rm", "--network=none", "--rootfs"]).arg(odd.join("rootfs")).args(["echo", "hi"]);
    assert_eq!(ran(run.stdin(Stdio::null()).output().unwrap()).ok(), "hi");
    assert_eq!(fs::read_dir(odd.join("data/containers")).unwrap().count(), 0);
    assert!(Path::new(&odd).exists());
}

#[test]
fn timings_name_every_step() {
    let Some(ground) = Ground::new() else { return };
    let run = ground.run(&["--timings"], &["true"]);
    run.fails(0, "where the time goes");
    let row = |line: &str| {
        let (took, rest) = line.trim_start().split_once(' ')?;
        let words = rest.trim_start();
        let number = words.split(' ').next()?.parse::<usize>().ok();
        Some((took.parse::<f64>().ok()?, number, words.to_owned()))
    };
    let rows: Vec<_> = run.err.lines().filter_map(row).collect();
    let mut numbers: Vec<usize> = rows.iter().filter_map(|(_, number, _)| *number).collect();
    numbers.sort_unstable();
    assert!(numbers.len() > 40 && numbers.iter().copied().eq(1..=numbers.len()), "{numbers:?}");
    let steps = rows.iter().filter(|(_, number, words)| number.is_some() && !words.contains("meanwhile: "));
    let sum: f64 = steps.map(|(took, ..)| took).sum();
    let (total, ..) = rows.iter().find(|(.., words)| words.starts_with("all steps")).unwrap();
    assert!((sum - total).abs() < 0.001 * numbers.len() as f64, "{sum} is not {total}");
    assert!(rows.iter().any(|(took, _, words)| words.contains("change the root for good") && *took > 0.0));
    for asked in ["--restart=always", "--health-cmd=true", "--log-driver=json-file", "--detach"] {
        ground.run(&["--timings", asked], &["true"]).fails(125, "a container that is timed has none");
    }
}
