//! docker, with `sampan oci` as a runtime of its daemon's.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::room::{DOCKER, Room};
use ground::{Ran, until};
use std::process::Child;

const SHIM: &str = "containerd-shim-runc-v2";

/// A docker of the room's, and of the room's cgroup; without networks, which are no business of a runtime's.
struct Docker {
    room: Room,
    daemon: Child,
}

impl Docker {
    fn new(name: &str) -> Option<Self> {
        let room = Room::new(name, &["dockerd", "docker", "containerd", SHIM, "tar", "script"])?;
        let (runtime, parent) = (format!("sampan={}", room.runtime()), format!("/{}", room.id));
        let more = ["--add-runtime", &runtime, "--default-runtime", "sampan", "--cgroup-parent", &parent];
        let daemon = room.dockerd(&more);
        let docker = Self { room, daemon };
        docker.run(&["import", &docker.room.at("rootfs.tar"), "image"]).ok();
        Some(docker)
    }

    fn words(words: &[&str]) -> Vec<String> {
        ["docker", "--host", DOCKER].iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.room.run(&Self::words(words))
    }

    fn container_words<'a>(flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
        [&["run", "--network", "none", "--env", "PATH=/bin"], flags, &["image"], command].concat()
    }

    fn container(&self, flags: &[&str], command: &[&str]) -> Ran {
        self.run(&Self::container_words(flags, command))
    }

    fn sh(&self, flags: &[&str], script: &str) -> Ran {
        self.container(flags, &["sh", "-c", script])
    }

    fn exec(&self, words: &[&str]) -> Ran {
        self.run(&[&["exec"], words].concat())
    }

    fn is(&self, name: &str, status: &str) {
        assert_eq!(self.run(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name]).ok(), status);
    }

    #[track_caller]
    fn nothing_left(mut self) {
        assert_eq!(self.run(&["ps", "-aq"]).ok(), "");
        self.room.nothing_left(&["/run/docker/runtime-sampan/moby", "/run/docker/runtime-runc/moby"], &[SHIM]);
        assert_eq!(self.room.cgroups("/"), [""; 0]);
        // As an administrator stops it, who finds its containers where he left them.
        self.room.run(&["sh", "-c", "kill $(cat /run/docker.pid)"]).ok();
        until("its daemons end", || self.room.processes(&["dockerd", "containerd"]).is_empty());
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_container_lives() {
    let Some(docker) = Docker::new("docker-life") else { return };
    docker.container(&["--rm"], &["nosuch"]).fails(127, "cannot execute nosuch: executable file not found in $PATH");
    docker
        .container(&["--rm"], &["/nosuch"])
        .fails(127, "cannot execute /nosuch: execve: ENOENT (no such file or directory)");
    docker.container(&["--rm"], &["/etc"]).fails(126, "cannot execute /etc: execve: EACCES (permission denied)");
    docker.sh(&["--rm"], "exit 7").fails(7, "");
    docker.sh(&["-d", "--name", "one"], "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done").ok();
    docker.exec(&["one", "sh", "-c", "exit 9"]).fails(9, "");
    let ran = docker.exec(&["one", "nosuch"]);
    assert!(matches!(ran.code, 126 | 127) && (ran.err.clone() + &ran.out).contains("not found in $PATH"), "{ran:?}");
    let words = ["-u", "app", "-w", "/tmp", "-e", "A=b", "one", "sh", "-c", "id -u; pwd; echo $A"];
    assert_eq!(docker.exec(&words).ok(), "1000\n/tmp\nb");
    docker.exec(&["-d", "one", "sh", "-c", "echo >/tmp/detached"]).ok();
    until("the detached one has run", || docker.exec(&["one", "test", "-e", "/tmp/detached"]).code == 0);
    assert_eq!(docker.room.on_terminal(&Docker::words(&["exec", "-t", "one", "tty"])), "/dev/pts/0");
    assert!(docker.run(&["top", "one"]).ok().contains("while"));
    assert!(docker.run(&["stats", "--no-stream", "--format", "{{.PIDs}}", "one"]).ok().parse::<u32>().unwrap() >= 1);
    docker.run(&["pause", "one"]).ok();
    docker.is("one", "paused 0");
    assert_ne!(docker.exec(&["one", "true"]).code, 0);
    docker.run(&["unpause", "one"]).ok();
    docker.run(&["cp", &docker.room.at("rootfs/etc/group"), "one:/tmp/copy"]).ok();
    assert!(docker.exec(&["one", "cat", "/tmp/copy"]).ok().contains("wheel"));
    docker.run(&["stop", "-t", "30", "one"]).ok();
    docker.is("one", "exited 3");
    assert_eq!(docker.run(&["logs", "one"]).ok(), "up\nbye");
    docker.run(&["start", "one"]).ok();
    docker.run(&["kill", "one"]).ok();
    assert_eq!(docker.run(&["wait", "one"]).ok(), "137");
    docker.run(&["start", "one"]).ok();
    docker.run(&["rm", "-f", "one"]).ok();
    docker.nothing_left();
}

#[test]
fn what_is_asked_for_is_in_force() {
    let Some(docker) = Docker::new("docker-asked") else { return };
    let cgroup = "cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes cpu.max cpu*/cpu.cfs_quota_us pids.max \
        pids/pids.max 2>/dev/null | sort -u";
    let limits = ["-d", "--name", "one", "--memory", "50m", "--cpus", "0.5", "--pids-limit", "33"];
    docker.container(&limits, &["sleep", "1000"]).ok();
    let read = docker.exec(&["one", "sh", "-c", cgroup]).ok();
    assert!(["52428800", "50000", "33"].iter().all(|limit| read.contains(limit)), "{read}");
    docker
        .run(&["update", "--memory", "100m", "--memory-swap", "200m", "--cpus", "0.7", "--pids-limit", "44", "one"])
        .ok();
    let read = docker.exec(&["one", "sh", "-c", cgroup]).ok();
    assert!(["104857600", "70000", "44"].iter().all(|limit| read.contains(limit)), "{read}");
    let joined = ["--rm", "--pid", "container:one", "--ipc", "host", "--uts", "host"];
    let out = docker.sh(&joined, "ps -o args; hostname").ok();
    assert!(out.contains("sleep 1000") && out.ends_with(&docker.room.run(&["hostname"]).ok()), "{out}");
    docker.run(&["rm", "-f", "one"]).ok();

    let source = format!("{}:/bound:ro", docker.room.at("rootfs/etc"));
    let flags = [
        "--name",
        "two",
        "--tty",
        "--init",
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
        "--hostname",
        "rowing",
        "--sysctl",
        "net.ipv4.ip_default_ttl=77",
        "--user",
        "app",
        "--env",
        "A=b",
        "--shm-size",
        "1m",
        "--oom-score-adj",
        "123",
        "--volume",
        &source,
    ];
    let script = "grep -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status; hostname; ulimit -n; id -u; echo $A; \
        cat /proc/sys/net/ipv4/ip_default_ttl /proc/self/oom_score_adj; ls -l /dev/nought | cut -c1; head -c1 /dev/nought | wc -c; \
        touch /new; ls /bound; df /some /dev/shm | tail -2 | awk '{ print $2 }'; tty";
    let init = ground::room::find("docker-init").is_some();
    let flags: Vec<&str> = flags.into_iter().filter(|flag| init || *flag != "--init").collect();
    let words = Docker::words(&Docker::container_words(&flags, &["sh", "-c", script]));
    docker.room.on_terminal(&words);
    let expected = "CapBnd:\t0000000000000001\r\nNoNewPrivs:\t1\r\nSeccomp:\t2\r\nrowing\r\n99\r\n1000\r\nb\r\n77\r\n123\r\nc\r\n1\r\n\
        touch: /new: Read-only file system\r\ngroup   passwd\r\n1024\r\n1024\r\n/dev/pts/0";
    // The log has the terminal's output byte by byte.
    assert_eq!(docker.run(&["logs", "two"]).ok(), expected);
    docker.run(&["rm", "two"]).ok();
    let seen =
        docker.sh(&["--rm", "--privileged"], "grep Seccomp: /proc/self/status; mknod /tmp/n c 1 3 && echo made").ok();
    assert_eq!(seen, "Seccomp:\t0\nmade");
    docker.sh(&["--rm", "-m", "10m"], "x=$(yes | head -c 60000000)").fails(137, "");
    docker.nothing_left();
}

#[test]
fn docker_looks_after_them() {
    let Some(docker) = Docker::new("docker-care") else { return };
    let health = [
        "-d",
        "--name",
        "one",
        "--health-cmd",
        "test -e /tmp/ok",
        "--health-interval",
        "300ms",
        "--health-retries",
        "1",
    ];
    docker.sh(&health, "touch /tmp/ok; sleep 1000").ok();
    let is = |status: &str| {
        until(status, || {
            docker.run(&["inspect", "--format", "{{.State.Health.Status}}", "one"]).out == format!("{status}\n")
        })
    };
    is("healthy");
    docker.exec(&["one", "rm", "/tmp/ok"]).ok();
    is("unhealthy");
    docker.run(&["rm", "-f", "one"]).ok();
    docker.sh(&["-d", "--name", "two", "--restart", "on-failure:2"], "echo run; exit 1").ok();
    until("it ran three times", || docker.run(&["logs", "two"]).ok() == "run\nrun\nrun");
    docker.run(&["rm", "-f", "two"]).ok();
    docker.nothing_left();
}
