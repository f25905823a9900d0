//! podman, with `sampan oci` as its runtime.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::room::{ROWER, Room, find};
use ground::{Ran, until};

/// podman with stores, state and configuration of its own.
struct Podman(Room, Caller);

/// Who calls it.
#[derive(Clone, Copy, PartialEq)]
enum Caller {
    Root,
    Rower,
}

impl Podman {
    fn new(name: &str) -> Option<Self> {
        Self::of(name, Caller::Root)
    }

    fn ordinary(name: &str) -> Option<Self> {
        if find("newuidmap").is_none() {
            eprintln!("skipped: no newuidmap on this machine");
            return None;
        }
        Self::of(name, Caller::Rower)
    }

    fn of(name: &str, caller: Caller) -> Option<Self> {
        let mut room = Room::new(name, &["podman", "conmon", "tar", "script"])?;
        room.file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#, None);
        room.file("containers.conf", "", Some("CONTAINERS_CONF"));
        let (root, runroot) = (room.at("home/root"), room.at("home/runroot"));
        let stores = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {root:?}\nrunroot = {runroot:?}\n");
        room.file("storage.conf", &stores, Some("CONTAINERS_STORAGE_CONF"));
        let podman = Self(room, caller);
        let (policy, tar) = (podman.0.at("policy.json"), podman.0.at("rootfs.tar"));
        podman.run(&["import", "--signature-policy", &policy, "-q", &tar, "image"]).ok();
        Some(podman)
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let (tmp, runtime) = (self.0.at("home/tmp"), self.0.runtime());
        let caller: &[&str] = match self.1 {
            Caller::Root => &[],
            Caller::Rower => &ROWER,
        };
        let own = ["podman", "--tmpdir", &tmp, "--runtime", &runtime, "--cgroup-manager", "cgroupfs"];
        let own = caller.iter().chain(&own).chain(&["--events-backend", "file", "--log-level", "error"]);
        own.chain(words).map(|word| (*word).to_owned()).collect()
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.0.run(&self.words(words))
    }

    /// A container of the room's cgroup, without a network, from the image.
    fn container(&self, flags: &[&str], command: &[&str]) -> Ran {
        let parent = format!("/{}", self.0.id);
        self.run(&[&["run", "--network", "none", "--cgroup-parent", &parent], flags, &["image"], command].concat())
    }

    fn sh(&self, flags: &[&str], script: &str) -> Ran {
        self.container(flags, &["sh", "-c", script])
    }

    fn is(&self, name: &str, status: &str) {
        assert_eq!(self.run(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name]).ok(), status);
    }

    #[track_caller]
    fn nothing_left(&self) {
        assert_eq!(self.run(&["ps", "-aq"]).ok(), "");
        self.0.nothing_left(&["/run/sampan-oci"], &["conmon"]);
        assert_eq!(self.0.cgroups("libpod-"), [""; 0]);
    }
}

#[test]
fn a_container_lives() {
    let Some(podman) = Podman::new("podman-life") else { return };
    podman.container(&["--rm"], &["nosuch"]).fails(127, "cannot execute nosuch: executable file not found in $PATH");
    podman.container(&["--rm"], &["/etc"]).fails(126, "cannot execute /etc: execve: EACCES (permission denied)");
    podman.sh(&["--rm"], "exit 7").fails(7, "");
    let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    podman.sh(&["-d", "--name", "one"], script).ok();
    let exec = |words: &[&str]| podman.run(&[&["exec"], words].concat());
    exec(&["one", "sh", "-c", "exit 9"]).fails(9, "");
    exec(&["one", "nosuch"]).fails(127, "executable file not found in $PATH");
    assert_eq!(
        exec(&["-u", "app", "-w", "/tmp", "-e", "A=b", "one", "sh", "-c", "id -u; pwd; echo $A"]).ok(),
        "1000\n/tmp\nb"
    );
    exec(&["-d", "one", "sh", "-c", "echo >/tmp/detached"]).ok();
    until("the detached one has run", || exec(&["one", "test", "-e", "/tmp/detached"]).code == 0);
    let on_terminal = podman.0.on_terminal(&podman.words(&["exec", "-t", "one", "sh", "-c", "tty; stty size"]));
    assert!(on_terminal.starts_with("/dev/pts/0\r\n"), "{on_terminal:?}");
    assert!(podman.run(&["top", "one", "pid", "comm"]).ok().contains("sh"));
    podman.run(&["pause", "one"]).ok();
    podman.is("one", "paused 0");
    assert_ne!(exec(&["one", "true"]).code, 0);
    podman.run(&["unpause", "one"]).ok();
    podman.run(&["kill", "-s", "WINCH", "one"]).ok();
    podman.run(&["stop", "-t", "30", "one"]).ok();
    podman.is("one", "exited 3");
    assert_eq!(podman.run(&["logs", "one"]).ok(), "up\nbye");
    podman.run(&["start", "one"]).ok();
    podman.run(&["kill", "one"]).ok();
    assert_eq!(podman.run(&["wait", "one"]).ok(), "137");
    podman.run(&["start", "one"]).ok();
    podman.run(&["rm", "-f", "-t", "0", "one"]).ok();
    podman.nothing_left();
}

#[test]
fn what_is_asked_for_is_in_force() {
    let Some(podman) = Podman::new("podman-asked") else { return };
    let cgroup = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes cpu.max cpu*/cpu.cfs_quota_us pids.max \
        pids/pids.max 2>/dev/null | sort -u";
    let limits = ["--rm", "--memory", "50m", "--cpus", "0.5", "--pids-limit", "33"];
    let read = podman.sh(&limits, cgroup).ok();
    assert!(["52428800", "50000", "33"].iter().all(|limit| read.contains(limit)), "{read}");
    let flags = [
        "--rm",
        "--read-only",
        "--cap-drop",
        "all",
        "--cap-add",
        "chown",
        "--security-opt",
        "no-new-privileges",
        "--tmpfs",
        "/some:size=1m",
        "--device",
        "/dev/zero:/dev/nought",
        "--ulimit",
        "nofile=99:99",
        "--ulimit",
        "nproc=500:500",
        "--hostname",
        "rowing",
        "--sysctl",
        "net.ipv4.ip_default_ttl=77",
        "--user",
        "app",
        "--group-add",
        "audio",
        "--env",
        "A=b",
        "--shm-size",
        "1m",
        "--oom-score-adj",
        "123",
        "--init",
        "--tty",
    ];
    let script = "grep -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status; hostname; ulimit -n; id -G; echo $A; \
        cat /proc/sys/net/ipv4/ip_default_ttl /proc/self/oom_score_adj; ls -l /dev/nought | cut -c1; head -c1 /dev/nought | wc -c; \
        touch /new; df /some /dev/shm | tail -2 | awk '{ print $2 }'; tty";
    let init = find("catatonit").is_some();
    let flags: Vec<&str> = flags.into_iter().filter(|flag| init || *flag != "--init").collect();
    let out = podman.sh(&flags, script).ok();
    let expected = "CapBnd:\t0000000000000001\r\nNoNewPrivs:\t1\r\nSeccomp:\t2\r\nrowing\r\n99\r\n1001 29 10\r\nb\r\n77\r\n123\r\nc\r\n1\r\n\
        touch: /new: Read-only file system\r\n1024\r\n1024\r\n/dev/pts/0";
    let sorted = |text: &str| text.replace("1001 10 29", "1001 29 10").replace("10 29 1001", "1001 29 10");
    assert_eq!(sorted(&out), expected);
    // Where the processes are, the kernel's own word: the container's are in its cgroup, and a limit bites.
    podman.sh(&["--rm", "-m", "10m"], "x=$(yes | head -c 60000000)").fails(137, "");
    podman.nothing_left();
}

#[test]
fn limits_change_while_it_runs() {
    let Some(podman) = Podman::new("podman-update") else { return };
    podman.container(&["-d", "--name", "one", "-m", "50m"], &["sleep", "1000"]).ok();
    let update = podman.run(&["update", "--memory", "100m", "--memory-swap", "200m", "--cpus", "0.7", "one"]);
    if update.err.contains("update is not supported") || update.err.contains("unrecognized command") {
        eprintln!("skipped: this podman has no update");
        return;
    }
    update.ok();
    let script = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes cpu.max cpu*/cpu.cfs_quota_us 2>/dev/null | sort -u";
    let read = podman.run(&["exec", "one", "sh", "-c", script]).ok();
    assert!(["104857600", "70000"].iter().all(|limit| read.contains(limit)), "{read}");
    podman.run(&["rm", "-f", "-t", "0", "one"]).ok();
    podman.nothing_left();
}

#[test]
fn containers_share_namespaces() {
    let Some(podman) = Podman::new("podman-shared") else { return };
    let parent = format!("/{}", podman.0.id);
    let pod = [
        "pod",
        "create",
        "--name",
        "pod",
        "--network",
        "none",
        "--share",
        "net,ipc,uts,pid",
        "--hostname",
        "deck",
        "--infra-image",
        "image",
        "--infra-command",
        "/pause",
        "--cgroup-parent",
        &parent,
    ];
    podman.run(&pod).ok();
    podman.run(&["run", "-d", "--pod", "pod", "--name", "first", "image", "sh", "-c", "exec sleep 1001"]).ok();
    let out = podman.run(&["run", "--rm", "--pod", "pod", "image", "sh", "-c", "hostname; ps -o args"]).ok();
    // The pod's first process is not this container's: its /proc shows all of them.
    assert!(out.starts_with("deck\n") && out.contains("sleep 1000") && out.contains("sleep 1001"), "{out}");
    assert!(podman.run(&["exec", "first", "ps", "-o", "args"]).ok().contains("sleep 1000"));
    for verb in ["pause", "unpause"] {
        podman.run(&["pod", verb, "pod"]).ok();
    }
    podman.run(&["pod", "stop", "-t", "0", "pod"]).ok();
    podman.run(&["pod", "start", "pod"]).ok();
    podman.run(&["exec", "first", "true"]).ok();
    podman.run(&["pod", "rm", "-f", "-t", "0", "pod"]).ok();
    let host = podman.sh(&["--rm", "--pid", "host", "--ipc", "host", "--uts", "host"], "ls -d /proc/1; hostname").ok();
    assert_eq!(host, format!("/proc/1\n{}", podman.0.run(&["hostname"]).ok()));
    let maps = ["--rm", "--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000"];
    let out = podman.sh(&maps, "cat /proc/self/uid_map; touch /x; stat -c %u /x /etc").ok();
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "5000", "0", "0"]);
    podman.nothing_left();
}

#[test]
fn podman_looks_after_them() {
    let Some(podman) = Podman::new("podman-care") else { return };
    let health = ["-d", "--name", "one", "--health-cmd", "test -e /tmp/ok", "--health-interval", "disable"];
    podman.sh(&health, "touch /tmp/ok; sleep 1000").ok();
    until("it is healthy", || podman.run(&["healthcheck", "run", "one"]).code == 0);
    podman.run(&["exec", "one", "rm", "/tmp/ok"]).ok();
    assert_eq!(podman.run(&["healthcheck", "run", "one"]).code, 1);
    podman.run(&["rm", "-f", "-t", "0", "one"]).ok();
    podman.sh(&["-d", "--name", "two", "--restart", "on-failure:2"], "echo run; exit 1").ok();
    until("it ran three times", || podman.run(&["logs", "two"]).ok() == "run\nrun\nrun");
    podman.run(&["rm", "-f", "-t", "0", "two"]).ok();
    let seen = podman.sh(&["--rm", "--systemd=always"], "mount | grep -c -e ' /run ' -e ' /run/lock '").ok();
    assert_eq!(seen, "2");
    assert_eq!(
        podman.sh(&["--rm", "--privileged"], "grep Seccomp: /proc/self/status; mknod /tmp/n c 1 3 && echo made").ok(),
        "Seccomp:\t0\nmade"
    );
    podman.nothing_left();
}

/// Root of a user namespace of podman's calls the runtime then.
#[test]
fn an_ordinary_user_has_containers() {
    let Some(podman) = Podman::ordinary("podman-rower") else { return };
    let run = |flags: &[&str], script: &str| {
        podman.run(&[&["run", "--network", "none"], flags, &["image", "sh", "-c", script]].concat())
    };
    let out = run(&["--rm"], "id -u; cat /proc/self/uid_map; exit 7");
    out.fails(7, "");
    let words: Vec<&str> = out.out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "4321", "1", "1", "500000", "65536"]);
    assert_eq!(run(&["--rm", "--userns", "keep-id"], "id -u").ok(), "4321");
    podman
        .run(&["run", "--rm", "--network", "none", "image", "nosuch"])
        .fails(127, "executable file not found in $PATH");
    run(&["-d", "--name", "one"], "trap 'exit 3' TERM; while :; do sleep 0.1; done").ok();
    assert_eq!(podman.run(&["exec", "-u", "app", "one", "id", "-u"]).ok(), "1000");
    assert_eq!(podman.0.on_terminal(&podman.words(&["exec", "-t", "one", "tty"])), "/dev/pts/0");
    podman.run(&["stop", "-t", "30", "one"]).ok();
    podman.is("one", "exited 3");
    podman.run(&["start", "one"]).ok();
    podman.run(&["rm", "-f", "-t", "0", "one"]).ok();
    assert_eq!(podman.run(&["ps", "-aq"]).ok(), "");
    podman.0.nothing_left(&["/run/rower/sampan-oci"], &["conmon"]);
}

#[test]
fn an_ordinary_user_has_a_network() {
    let Some(podman) = Podman::ordinary("podman-pasta") else { return };
    let ran = podman.run(&["run", "--rm", "--network", "pasta", "image", "ip", "-o", "link"]);
    if find("pasta").is_none() || ["unsupported", "network not found"].iter().any(|why| ran.err.contains(why)) {
        eprintln!("skipped: this podman has no pasta");
        return;
    }
    assert!(ran.ok().contains("UP,LOWER_UP> mtu 65520"));
    podman.0.nothing_left(&["/run/rower/sampan-oci"], &["conmon", "pasta"]);
}
