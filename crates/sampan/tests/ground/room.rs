//! A room for another engine: namespaces of its own, in which nothing is to be seen of the machine's own engines.
//!
//! Invariant: what it starts ends with the value, and so do its mounts, links and cgroups.

use super::{Ground, Ran, SAMPAN, ran, until};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// /run is the room's; root's engines may look for a shared root. What its first process does for ever is to wait, so
/// that orphans are reaped. An account of the room's only, for an ordinary user with ids to give to containers.
const FIRST: &str = "set -e; mount --make-rshared /; mount -t tmpfs -o mode=755 run /run; mkdir -m 700 /run/rower
    account() { touch /etc/$1; { cat /etc/$1; echo $2; } >/run/$1; mount --bind /run/$1 /etc/$1; }
    account passwd rower:x:4321:4321::$0/home:/bin/sh; account group rower:x:4321:
    account subuid rower:500000:65536; account subgid rower:500000:65536
    mount -t tmpfs net /dev/net; mknod -m 666 /dev/net/tun c 10 200; chown 4321:4321 /run/rower $0/home; echo ready
    while :; do sleep 1000; done";

/// To be before the words of a command of that user's.
pub const ROWER: [&str; 7] =
    ["setpriv", "--reuid=rower", "--regid=rower", "--init-groups", "env", "XDG_RUNTIME_DIR=/run/rower", "USER=rower"];

/// Where a docker of the room's answers.
pub const DOCKER: &str = "unix:///run/docker.sock";

pub struct Room {
    pub ground: Ground,
    /// The name of the cgroup that all cgroups are below.
    pub id: String,
    holder: Child,
    /// The first process in there, as seen from here.
    first: u32,
    env: Vec<(String, PathBuf)>,
}

impl Room {
    /// None, with a line that says why, where the programs are not there.
    pub fn new(name: &str, programs: &[&str]) -> Option<Self> {
        let ground = Ground::new()?;
        if let Some(missing) = programs.iter().find(|program| find(program).is_none()) {
            eprintln!("skipped: no {missing} on this machine");
            return None;
        }
        for part in ["home", "sampan"] {
            fs::create_dir(ground.dir.join(part)).unwrap();
        }
        // A copy: an ordinary user of the room may not look into the build.
        fs::copy(SAMPAN, ground.dir.join("sampan/sampan-oci")).unwrap();
        let rootfs = ground.rootfs();
        for part in ["proc", "sys", "dev", "run", "root"] {
            fs::create_dir_all(rootfs.join(part)).unwrap();
        }
        ground.file("pause", "#!/bin/sh\nexec sleep 1000\n");
        let tar =
            Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(ground.dir.join("rootfs.tar")).arg(".").status();
        assert!(tar.unwrap().success());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", FIRST]).arg(&ground.dir).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
        let first = children.trim().parse().unwrap();
        let env = vec![("HOME".to_owned(), ground.dir.join("home"))];
        Some(Self { id: format!("e2e-{name}-{}", std::process::id()), ground, holder, first, env })
    }

    pub fn at(&self, path: &str) -> String {
        self.ground.dir.join(path).to_string_lossy().into_owned()
    }

    /// A file for an engine to read, and the variable by which it finds it.
    pub fn file(&mut self, name: &str, text: &str, variable: Option<&str>) {
        fs::write(self.at(name), text).unwrap();
        self.env.extend(variable.map(|variable| (variable.to_owned(), self.at(name).into())));
    }

    pub fn runtime(&self) -> String {
        self.at("sampan/sampan-oci")
    }

    /// In the room, by its root.
    pub fn command<S: AsRef<str>>(&self, words: &[S]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-n", "-p", "-i", "-u", "-t"]).arg(self.first.to_string());
        command.args(["env", "-u", "XDG_RUNTIME_DIR", "-u", "DOCKER_HOST"]);
        command.args(self.env.iter().map(|(name, value)| format!("{name}={}", value.display())));
        command.args(words.iter().map(AsRef::as_ref)).stdin(Stdio::null());
        command
    }

    pub fn run<S: AsRef<str>>(&self, words: &[S]) -> Ran {
        ran(self.command(words).output().unwrap())
    }

    /// With a terminal.
    pub fn on_terminal<S: AsRef<str>>(&self, words: &[S]) -> String {
        let quoted: Vec<String> =
            words.iter().map(|word| format!("'{}'", word.as_ref().replace('\'', r"'\''"))).collect();
        let ran = self.run(&["script", "-qec", &quoted.join(" "), "/dev/null"]);
        // What script sends at the end of its input, which the terminal echoes.
        ran.ok().replace("^@", "")
    }

    /// A daemon that ends with the room.
    pub fn daemon(&self, words: &[&str], log: &str) -> Child {
        let log = fs::File::create(self.at(log)).unwrap();
        self.command(words).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// A docker of the room's, without networks, that answers at /run/docker.sock.
    pub fn dockerd(&self, more: &[&str]) -> Child {
        let (config, data) = (self.at("daemon.json"), self.at("docker"));
        fs::write(&config, "{}").unwrap();
        let words = [
            "dockerd",
            "--config-file",
            &config,
            "--data-root",
            &data,
            "--exec-root",
            "/run/docker",
            "--pidfile",
            "/run/docker.pid",
            "--host",
            DOCKER,
            "--bridge",
            "none",
            "--iptables=false",
            "--storage-driver",
            "vfs",
        ];
        let daemon = self.daemon(&[&words, more].concat(), "dockerd.log");
        let start = Instant::now();
        while self.run(&["docker", "--host", DOCKER, "version"]).code != 0 {
            let log = || fs::read_to_string(self.at("dockerd.log")).unwrap();
            assert!(start.elapsed() < Duration::from_secs(60), "{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        daemon
    }

    /// The cgroups below the room's whose path has this part.
    pub fn cgroups(&self, part: &str) -> Vec<String> {
        let mine = |path: &String| path.split_once(&*self.id).is_some_and(|(_, below)| below.contains(part));
        all_cgroups().into_iter().filter(mine).collect()
    }

    /// Programs of these names in the room.
    pub fn processes(&self, names: &[&str]) -> String {
        let out = self.run(&["ps", "-eo", "stat,args"]).ok();
        let lives = |line: &&str| !line.starts_with('Z') && names.iter().any(|name| line.contains(name));
        out.lines().filter(lives).collect::<Vec<_>>().join("\n")
    }

    /// Of the runtime no container is left below one of these directories.
    #[track_caller]
    pub fn nothing_left(&self, roots: &[&str], names: &[&str]) {
        for root in roots {
            assert_eq!(self.run(&["sh", "-c", "ls $0 2>/dev/null; true", root]).ok(), "", "{root}");
        }
        until("its processes end", || self.processes(names).is_empty());
        assert_eq!(self.processes(&[&format!(" {}", self.runtime())]), "");
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // With the first process of a pid namespace all of it is killed (pid_namespaces(7)).
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for _ in 0..500 {
            let left = self.cgroups("");
            left.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
            if left.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Those above first.
fn all_cgroups() -> Vec<String> {
    let found = Command::new("find").args(["/sys/fs/cgroup", "-type", "d"]).output().unwrap();
    String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
}

pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let dirs = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin"]);
    dirs.map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}
