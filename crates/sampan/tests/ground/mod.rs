//! What an end-to-end test stands on: a root file system of busybox, and a store and state of its own.
//!
//! Invariant: all of it is below one temporary directory, which goes with the value.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod bundle;
pub mod live;
pub mod place;
pub mod room;
pub mod tracer;
pub mod world;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const SAMPAN: &str = env!("CARGO_BIN_EXE_sampan");
const BUSYBOX: &str = "/bin/busybox";

/// For the shell of a privileged container with a /work to execute in: a container in it, of the sampan at /sampan.
pub const NESTED: &str = "mkdir -p /work/rootfs/bin && cp /bin/busybox /work/rootfs/bin/ && cd /work || exit
    nested() { /sampan --root /work/data --state /work/state run --rm --network=none \"$@\"; }
    nested --rootfs /work/rootfs:O busybox sh -c 'busybox readlink /proc/self/ns/user; echo >/dev/null && echo x >/new'
    readlink /proc/self/ns/user; find /work/rootfs/new /work/data/containers/* /work/state/containers/* 2>/dev/null; true";

pub struct Ground {
    pub dir: PathBuf,
}

/// What a run left behind, as text.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// # Panics
    /// When it did not end with 0.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.trim_end().to_owned()
    }

    #[track_caller]
    pub fn fails(&self, code: i32, why: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(why), "{why:?} is not in {self:?}");
    }
}

impl Ground {
    /// None, with a line that says why, where the tests cannot run.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
        if !root || !Path::new(BUSYBOX).exists() {
            eprintln!("skipped: needs {}", if root { "a static busybox" } else { "root" });
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sampan-e2e-{}-{number}", std::process::id()));
        let ground = Self { dir };
        for part in ["bin", "etc", "tmp", "home/app"] {
            fs::create_dir_all(ground.rootfs().join(part)).unwrap();
        }
        fs::copy(BUSYBOX, ground.rootfs().join("bin/busybox")).unwrap();
        let applets = Command::new(BUSYBOX).arg("--list").output().unwrap();
        for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|name| *name != "busybox") {
            symlink("busybox", ground.rootfs().join("bin").join(applet)).unwrap();
        }
        ground.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n");
        ground.file("etc/group", "root:x:0:\napp:x:1001:\nwheel:x:10:app\naudio:x:29:\n");
        Some(ground)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// A file of the root file system, executable.
    pub fn file(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.rootfs().join(path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SAMPAN);
        command.arg("--root").arg(self.dir.join("data")).arg("--state").arg(self.dir.join("state")).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// `sampan run --rm` over the directory, without a network, so that nothing is shared with other tests.
    pub fn runner<S: AsRef<OsStr>>(&self, flags: &[&str], command: &[S]) -> Command {
        let mut run = self.command(&["run", "--rm"]);
        if !flags.iter().any(|flag| flag.starts_with("--network")) {
            run.arg("--network=none");
        }
        run.args(flags).arg("--rootfs").arg(format!("{}:O", self.rootfs().display())).args(command);
        run
    }

    /// `sampan VERB` over the directory, without a network: of a container that is kept.
    pub fn make(&self, verb: &[&str], command: &[&str]) -> Ran {
        let mut run = self.command(&verb[..1]);
        run.arg("--network=none").args(&verb[1..]).arg("--rootfs").arg(format!("{}:O", self.rootfs().display()));
        ran(run.args(command).output().unwrap())
    }

    pub fn call(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }

    /// What `ps --all` says of the containers.
    pub fn listed(&self) -> Vec<serde_json::Value> {
        let out = self.call(&["ps", "--all", "--no-trunc", "--format", "json"]).ok();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The state of a container, in docker's word; empty where there is none.
    pub fn state(&self, name: &str) -> String {
        let row = self.listed().into_iter().find(|row| row["Names"] == name);
        row.map_or(String::new(), |row| row["State"].as_str().unwrap().to_owned())
    }

    /// What is kept of a container: its record.
    pub fn record(&self, name: &str) -> serde_json::Value {
        let id = fs::read_link(self.dir.join("data/names").join(name)).unwrap();
        let running = self.dir.join("state/containers").join(&id).with_extension("json");
        let kept = self.dir.join("data/containers").join(&id).join("record.json");
        serde_json::from_slice(&fs::read(running).or_else(|_| fs::read(kept)).unwrap()).unwrap()
    }

    /// Nothing is left: no container, no name, no lease, no socket.
    #[track_caller]
    pub fn is_empty(&self) {
        for part in ["data/containers", "data/names", "state/containers"] {
            let left: Vec<_> = fs::read_dir(self.dir.join(part)).into_iter().flatten().flatten().collect();
            assert!(left.is_empty(), "{part}: {left:?}");
        }
    }

    pub fn run(&self, flags: &[&str], command: &[&str]) -> Ran {
        ran(self.runner(flags, command).output().unwrap())
    }

    /// [`NESTED`] ran, in the user namespace of the outer container, and left nothing.
    #[track_caller]
    pub fn is_nested(ran: Ran) {
        let out = ran.ok();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() == 2 && lines[0] == lines[1], "{out}");
    }

    /// A script for the shell inside.
    pub fn sh(&self, flags: &[&str], script: &str) -> Ran {
        self.run(flags, &["sh", "-c", script])
    }

    pub fn feed(&self, flags: &[&str], command: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .runner(flags, command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A container without -i never reads it.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().unwrap()
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A monitor would outlive the directory.
        let running = fs::read_dir(self.dir.join("state/containers")).is_ok_and(|mut files| files.next().is_some());
        if running {
            let _ = self.command(&["pod", "rm", "--force", "--all", "--time=0"]).output();
            let _ = self.command(&["rm", "--force", "--all"]).output();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
