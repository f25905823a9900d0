//! containerd's shim, which docker and Kubernetes have too, with `sampan oci` as its runtime.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::room::Room;
use ground::{Ran, until};
use std::process::Child;

const SHIM: &str = "containerd-shim-runc-v2";

/// A containerd of the room's; its containers have the ground's root file system, and no image.
struct Containerd {
    room: Room,
    daemon: Child,
}

impl Containerd {
    fn new(name: &str) -> Option<Self> {
        let mut room = Room::new(name, &["containerd", "ctr", SHIM, "script"])?;
        let config = format!(
            "version = 2\nroot = {:?}\nstate = \"/run/containerd/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"/run/containerd/socket\"\n",
            room.at("containerd")
        );
        room.file("config.toml", &config, None);
        let daemon = room.daemon(&["containerd", "--config", &room.at("config.toml")], "containerd.log");
        let containerd = Self { room, daemon };
        until("containerd answers", || containerd.ctr(&["version"]).code == 0);
        Some(containerd)
    }

    fn words(words: &[&str]) -> Vec<String> {
        ["ctr", "--address", "/run/containerd/socket"].iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    fn ctr(&self, words: &[&str]) -> Ran {
        self.room.run(&Self::words(words))
    }

    fn run_words(&self, id: &str, flags: &[&str], command: &[&str]) -> Vec<String> {
        let (runtime, rootfs) = (self.room.runtime(), self.room.at("rootfs"));
        let cgroup = format!("/{}/{id}", self.room.id);
        let own = ["run", "--runc-binary", &runtime, "--cgroup", &cgroup, "--env", "PATH=/bin"];
        Self::words(&[&own, flags, &["--rootfs", &rootfs, id], command].concat())
    }

    fn run(&self, id: &str, flags: &[&str], command: &[&str]) -> Ran {
        self.room.run(&self.run_words(id, flags, command))
    }

    fn exec(&self, flags: &[&str], command: &[&str]) -> Ran {
        self.ctr(&[&["task", "exec", "--exec-id", "again"], flags, &["one"], command].concat())
    }

    fn until_status(&self, status: &str) {
        until(status, || {
            self.ctr(&["task", "ls"]).out.lines().any(|line| line.starts_with("one ") && line.contains(status))
        });
    }

    #[track_caller]
    fn nothing_left(mut self) {
        assert_eq!(self.ctr(&["containers", "ls", "-q"]).ok(), "");
        self.room.nothing_left(&["/run/containerd/runc/default"], &[SHIM]);
        for id in ["one", "two"] {
            assert_eq!(self.room.cgroups(&format!("/{id}")), [""; 0]);
        }
        let mounts = self.room.run(&["grep", "-c", "runtime.v2.task", "/proc/self/mountinfo"]);
        assert_eq!(mounts.out, "0\n");
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_container_lives() {
    let Some(containerd) = Containerd::new("containerd-life") else { return };
    assert_eq!(containerd.run("two", &["--rm"], &["sh", "-c", "echo hi; exit 7"]).out, "hi\n");
    // The last error of the shim's log.json.
    containerd.run("two", &["--rm"], &["nosuch"]).fails(1, "cannot execute nosuch: executable file not found in $PATH");
    let script = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    containerd.run("one", &["--detach"], &["sh", "-c", script]).ok();
    containerd.until_status("RUNNING");
    containerd.exec(&[], &["sh", "-c", "exit 9"]).fails(9, "");
    containerd.exec(&[], &["nosuch"]).fails(1, "cannot execute nosuch: executable file not found in $PATH");
    assert_eq!(containerd.exec(&["--user", "1000", "--cwd", "/tmp"], &["sh", "-c", "id -u; pwd"]).ok(), "1000\n/tmp");
    let exec = ["task", "exec", "--tty", "--exec-id", "tty", "one", "sh", "-c", "tty; sleep 0.5"];
    let on_terminal = containerd.room.on_terminal(&Containerd::words(&exec));
    // Beside what ctr itself may say there of one that ends before it is told the size.
    assert!(on_terminal.contains("/dev/pts/0"), "{on_terminal:?}");
    containerd.exec(&["--detach"], &["sleep", "1000"]).ok();
    assert!(containerd.ctr(&["task", "ps", "one"]).ok().contains("again"));
    containerd.ctr(&["task", "pause", "one"]).ok();
    containerd.until_status("PAUSED");
    containerd.ctr(&["task", "resume", "one"]).ok();
    containerd.until_status("RUNNING");
    containerd.ctr(&["task", "metrics", "one"]).ok();
    containerd.ctr(&["task", "kill", "--signal", "TERM", "one"]).ok();
    containerd.until_status("STOPPED");
    assert!(containerd.ctr(&["task", "rm", "one"]).err.contains("exit code 3"));
    containerd.ctr(&["containers", "rm", "one"]).ok();
    containerd.nothing_left();
}

#[test]
fn what_is_asked_for_is_in_force() {
    let Some(containerd) = Containerd::new("containerd-asked") else { return };
    let flags = [
        "--tty",
        "--memory-limit",
        "52428800",
        "--cpus",
        "0.5",
        "--read-only",
        "--device",
        "/dev/zero",
        "--seccomp",
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "--mount",
        "type=tmpfs,dst=/home,options=size=1m",
        "--with-ns",
        "uts:/proc/1/ns/uts",
        "--mount",
        "type=bind,src=/etc,dst=/tmp,options=rbind:ro",
    ];
    let script = "grep -e CapEff -e NoNewPrivs -e Seccomp: /proc/self/status; pwd; echo $A; hostname; \
        ls /dev/zero; ls passwd; touch /new; df /home | tail -1 | awk '{ print $2 }'; tty";
    let words = containerd.run_words("two", &[&["--rm"], flags.as_slice()].concat(), &["sh", "-c", script]);
    let host = containerd.room.run(&["hostname"]).ok();
    let expected = format!(
        "CapEff:\t00000000a80425fb\r\nNoNewPrivs:\t1\r\nSeccomp:\t2\r\n/tmp\r\nb\r\n{host}\r\n/dev/zero\r\npasswd\r\n\
         touch: /new: Read-only file system\r\n1024\r\n/dev/pts/0"
    );
    assert_eq!(containerd.room.on_terminal(&words).replace("\r\r\n", "\r\n"), expected);
    // ctr shows the container nothing of its cgroup; from here it is to be seen.
    let limits = ["--detach", "--memory-limit", "52428800", "--cpus", "0.5"];
    containerd.run("one", &limits, &["sleep", "1000"]).ok();
    let read = |names: [&str; 2]| {
        let dirs = containerd.room.cgroups("/one");
        let found = dirs.iter().flat_map(|dir| names.map(|name| std::fs::read_to_string(format!("{dir}/{name}"))));
        found.flatten().next().unwrap_or_default()
    };
    assert_eq!(read(["memory.max", "memory.limit_in_bytes"]), "52428800\n");
    assert!(read(["cpu.max", "cpu.cfs_quota_us"]).starts_with("50000"));
    containerd.ctr(&["task", "rm", "--force", "one"]).ok();
    containerd.ctr(&["containers", "rm", "one"]).ok();
    // As Kubernetes ends a container that has the pid namespace of others: all of its processes, and no others.
    let shared = ["--detach", "--with-ns", "pid:/proc/1/ns/pid"];
    containerd.run("one", &shared, &["sh", "-c", "sleep 1111 & sleep 1112"]).ok();
    until("both run", || containerd.room.processes(&["sleep 1111", "sleep 1112"]).lines().count() >= 2);
    containerd.ctr(&["task", "kill", "--all", "--signal", "KILL", "one"]).ok();
    until("both are killed", || containerd.room.processes(&["sleep 1111", "sleep 1112"]).is_empty());
    containerd.until_status("STOPPED");
    containerd.ctr(&["task", "rm", "one"]);
    containerd.ctr(&["containers", "rm", "one"]).ok();
    containerd.nothing_left();
}
