//! `sampan exec`, end to end: what the process is told, what it gets, where it is, and how it ends.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::live::Live;
use ground::{Ground, Ran, until};
use std::fs;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

fn exec(live: &Live, flags: &[&str], command: &[&str]) -> Ran {
    live.sampan(&[&["exec"], flags, &["c"], command].concat())
}

fn sh(live: &Live, flags: &[&str], script: &str) -> Ran {
    exec(live, flags, &["sh", "-c", script])
}

#[test]
fn what_it_is_told_and_gets() {
    let Some(live) = Live::new(&["-e", "A=of the first", "--hostname=ship", "-w", "/tmp"]) else { return };
    assert_eq!(sh(&live, &[], "echo $A; pwd; hostname; id -u; echo $HOME").ok(), "of the first\n/tmp\nship\n0\n/root");
    let file = live.ground.dir.join("env");
    fs::write(&file, "A=of a file\nB=of a file\n").unwrap();
    let flags = ["--env-file", file.to_str().unwrap(), "-e", "B=of a flag", "-w", "/home/app", "-u", "app"];
    let script = "echo $A; echo $B; pwd; id -u; id -g; id -G; echo $HOME; cat /proc/1/comm";
    assert_eq!(
        sh(&live, &flags, script).ok(),
        "of a file\nof a flag\n/home/app\n1000\n1001\n1001 10\n/home/app\nsleep"
    );
    assert_eq!(sh(&live, &["-u", "7:audio"], "id -u; id -g; echo $HOME").ok(), "7\n29\n/");
    sh(&live, &["-u", "nobody-here"], "true").fails(125, "nobody-here");
    sh(&live, &["-w", "/not/there"], "true").fails(125, "/not/there");
    assert_eq!(live.sampan(&["exec", "--latest", "echo", "latest"]).ok(), "latest");
    let id = live.id();
    assert_eq!(live.sampan(&["container", "exec", &id[..5], "echo", "by id"]).ok(), "by id");
    live.sampan(&["exec", "other", "true"]).fails(125, "other");
    live.sampan(&["exec", "c"]).fails(125, "no command");
}

#[test]
fn exit_codes_and_streams() {
    let Some(live) = Live::new(&[]) else { return };
    assert_eq!(sh(&live, &[], "exit 42").code, 42);
    let told = fs::read_to_string(live.ground.dir.join("data/events/log")).unwrap();
    for word in ["\"exec_create: sh -c exit 42\"", "\"exec_start: ", "\"exec_die\"", "\"exitCode\":\"42\""] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert_eq!(sh(&live, &[], "kill -9 $$").code, 137);
    exec(&live, &[], &["absent"]).fails(127, "absent");
    exec(&live, &[], &["/etc/passwd"]).fails(126, "/etc/passwd");
    let ran = sh(&live, &[], "echo out; echo err >&2; cat");
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), ("out\n", "err\n", 0), "without -i no input");
    let megabyte: Vec<u8> = (0..1 << 20).map(|number: u32| (number % 251) as u8).collect();
    assert_eq!(live.feed(&["exec", "-i", "c", "cat"], &megabyte).stdout, megabyte);
    live.end();
    exec(&live, &[], &["true"]).fails(125, "cannot find container c");
}

#[test]
fn it_has_no_more_rights_than_the_first() {
    let Some(live) = Live::new(&["--security-opt=no-new-privileges", "--cap-drop=NET_RAW"]) else { return };
    let status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
    let first = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status";
    assert_eq!(sh(&live, &[], status).ok(), sh(&live, &[], first).ok());
    assert!(sh(&live, &[], "unshare -U true").err.contains("not permitted"));
    let capabilities = |flags: &[&str], set: &str| {
        let line = sh(&live, flags, &format!("grep {set} /proc/self/status")).ok();
        u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap()
    };
    assert_eq!(capabilities(&["-u", "app"], "CapEff"), 0);
    // CAP_SYS_ADMIN; nothing inheritable (CVE-2022-27652), and the filter stays.
    assert!(capabilities(&["--privileged"], "CapEff") & (1 << 21) != 0);
    assert_eq!(capabilities(&["--privileged"], "CapInh"), 0);
    assert_eq!(sh(&live, &["--privileged"], "grep Seccomp: /proc/self/status").ok(), "Seccomp:\t2");
}

#[test]
fn a_profile_of_the_users_own_is_its_too() {
    let Some(ground) = Ground::new() else { return };
    let profile = ground.dir.join("profile.json");
    let text =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    fs::write(&profile, text).unwrap();
    let live = Live::on(ground, &[&format!("--security-opt=seccomp={}", profile.display())]);
    let refused = exec(&live, &[], &["mkdir", "/new"]);
    assert!(refused.code == 1 && refused.err.contains("not permitted"), "{refused:?}");
    assert_eq!(exec(&live, &[], &["unshare", "-U", "true"]).code, 0);
}

#[test]
fn it_is_in_the_containers_cgroup_and_namespaces() {
    let Some(live) = Live::new(&["--memory=64m", "--pids-limit=20"]) else { return };
    let cgroup = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mut child = live.command(&["exec", "-i", "c", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let first = live.pid();
    let mut seen = String::new();
    until("it runs", || {
        let is_cat = |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "cat\n");
        seen = live.processes().into_iter().find(is_cat).unwrap_or_default();
        !seen.is_empty()
    });
    assert_eq!(cgroup(&seen), cgroup(&first.to_string()));
    for name in ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"] {
        let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(link(&seen), link(&first.to_string()), "{name}");
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    // What its cgroup allows no more: the limit is the container's.
    let many = sh(&live, &[], "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done 2>&1; echo done");
    assert!(many.out.contains("fork"), "{many:?}");
}

#[test]
fn no_file_of_the_callers_comes_along() {
    let Some(live) = Live::new(&[]) else { return };
    let secret = fs::File::open("/etc/passwd").unwrap();
    // An open directory of the host's, as runc left one (CVE-2024-21626).
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    let root = fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&root, rustix::io::FdFlags::empty()).unwrap();
    let out = sh(&live, &[], "ls -l /proc/self/fd").ok();
    // The three, and the directory that ls reads.
    assert_eq!(out.lines().filter(|line| !line.starts_with("total")).count(), 4, "{out}");
    for number in 3..20 {
        exec(&live, &["-w", &format!("/proc/self/fd/{number}")], &["true"]).fails(125, "/proc/self/fd");
    }
    assert!(secret.as_raw_fd() > 2 && root.as_raw_fd() > 2);
    // The binary of ours is no program of the container's (CVE-2019-5736).
    live.ground.file("bin/self", "#!/proc/self/exe\n");
    let live = Live::on(live.leave(), &[]);
    let ran = exec(&live, &[], &["/proc/self/exe"]);
    ran.fails(125, "CVE-2019-5736");
    let ran = exec(&live, &[], &["/bin/self"]);
    assert!(ran.code != 0 && !ran.out.contains("sampan"), "{ran:?}");
}

#[test]
fn signals_go_to_it_and_it_ends_with_its_caller() {
    let Some(live) = Live::new(&[]) else { return };
    let script = "trap 'exit 7' TERM; echo up >/tmp/up; while :; do usleep 5000; done";
    let mut child = live.command(&["exec", "c", "sh", "-c", script]).spawn().unwrap();
    until("it is up", || exec(&live, &[], &["test", "-e", "/tmp/up"]).code == 0);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let mut child = live.command(&["exec", "c", "sleep", "1234"]).spawn().unwrap();
    let there = || sh(&live, &[], "ps | grep -c 'root  *sleep 1234$'").out.trim() == "1";
    until("it runs", there);
    child.kill().unwrap();
    child.wait().unwrap();
    until("it ends", || !there());
}

#[test]
fn detached() {
    let Some(live) = Live::new(&[]) else { return };
    for flags in [&["-d"][..], &["-dt"], &["-d", "-i", "-t"]] {
        let script = "test -t 0; echo $? >/tmp/tty; i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; echo end >/tmp/end; sleep 77";
        // Who reads its output meets the end of it at once.
        assert_eq!(sh(&live, flags, script).ok(), "", "{flags:?}");
        until("it writes more than a terminal holds", || exec(&live, &[], &["test", "-e", "/tmp/end"]).code == 0);
        let tty = exec(&live, &[], &["cat", "/tmp/tty"]).ok();
        assert_eq!(tty, if flags.len() == 1 && flags[0] == "-d" { "1" } else { "0" }, "{flags:?}");
        assert_eq!(sh(&live, &[], "rm /tmp/end; ps | grep -c 'root  *sleep 77$'; killall sleep").out.trim(), "1");
    }
    exec(&live, &["-d"], &["absent"]).fails(127, "absent");
}

#[test]
fn terminal() {
    let Some(live) = Live::new(&[]) else { return };
    assert_eq!(
        sh(&live, &["-t"], "test -t 0 && test -t 1 && echo $TERM && tty").ok().replace('\r', ""),
        "xterm\n/dev/pts/0"
    );
    exec(&live, &["-i", "-t"], &["true"]).fails(125, "not a TTY");
    let run = live.command(&["exec", "-it", "c", "stty", "size"]);
    let words: Vec<_> =
        [run.get_program()].into_iter().chain(run.get_args()).map(|word| word.to_str().unwrap()).collect();
    let line = format!("stty rows 33 cols 99; {}", words.join(" "));
    let Ok(output) = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output() else {
        eprintln!("skipped: needs script(1)");
        return;
    };
    assert!(String::from_utf8_lossy(&output.stdout).contains("33 99\r\n"), "{output:?}");
}

#[test]
fn keys_that_leave_it_running() {
    let Some(live) = Live::new(&[]) else { return };
    let run = ["exec", "-it", "--detach-keys=ctrl-x", "c", "sh", "-c", "'echo >/tmp/ready; sleep 66'"];
    let run = live.command(&run);
    let words: Vec<_> =
        [run.get_program()].into_iter().chain(run.get_args()).map(|word| word.to_str().unwrap()).collect();
    let line = words.join(" ");
    let mut script = Command::new("script");
    let spawned = script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: needs script(1)");
        return;
    };
    until("it is ready", || exec(&live, &[], &["test", "-e", "/tmp/ready"]).code == 0);
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\x18").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(sh(&live, &[], "ps | grep -c 'root  *sleep 66$'").out.trim(), "1");
}

#[test]
fn in_namespaces_of_the_hosts_and_in_users_of_its_own() {
    for flags in [
        &["--pid=host"][..],
        &["--network=host", "--ipc=host", "--uts=host"],
        &["--uidmap=0:200000:65536", "--gidmap=0:200000:65536"],
    ] {
        let Some(live) = Live::new(flags) else { return };
        assert_eq!(
            sh(&live, &["-u", "app"], "id -u; id -G; cat /etc/group | head -1").ok(),
            "1000\n1001 10\nroot:x:0:",
            "{flags:?}"
        );
        assert_eq!(sh(&live, &[], "id -u; touch /new && stat -c %u /new").ok(), "0\n0", "{flags:?}");
    }
}
