//! A place for tests that look at all of the host that a container could leave something on.
//!
//! Invariant: all of it happens in a network namespace, directories and a cgroup parent of the test's own, so that it
//! sees nothing of its neighbours.

use super::SAMPAN;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub struct Place {
    pub name: String,
    pub dir: PathBuf,
    /// Keeps the network namespace.
    holder: Child,
}

impl Place {
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
        if !root || !Path::new("/bin/busybox").exists() {
            eprintln!("skipped: needs {}", if root { "a static busybox" } else { "root" });
            return None;
        }
        let name = format!("unwind-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir_all(dir.join("rootfs/bin")).unwrap();
        fs::create_dir_all(dir.join("volume")).unwrap();
        fs::copy("/bin/busybox", dir.join("rootfs/bin/busybox")).unwrap();
        let holder = Command::new("unshare").args(["--net", "sleep", "1000000"]).spawn().unwrap();
        let place = Self { name, dir, holder };
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", place.holder.id());
        until("a network namespace", || fs::read_link(&theirs).is_ok_and(|link| link != own));
        assert!(place.inside(&["ip", "link", "set", "lo", "up"]).status().unwrap().success());
        Some(place)
    }

    pub fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).args(words).stdin(Stdio::null());
        command
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    pub fn sampan(&self, words: &[&str]) -> Command {
        self.sampan_at(&self.path("data"), &self.path("state"), words)
    }

    pub fn sampan_at(&self, data: &str, state: &str, words: &[&str]) -> Command {
        let mut command = self.inside(&[SAMPAN, "--root", data, "--state", state]);
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `sampan run FLAGS` of a shell over the directory; its text names this ground, so that its processes are found.
    pub fn shell(&self, flags: &[&str], script: &str) -> Command {
        let (parent, rootfs) = (format!("--cgroup-parent=/{}", self.name), format!("{}:O", self.path("rootfs")));
        let script = format!(": {}; {script}", self.name);
        let words = [&["run", &parent], flags, &["--rootfs", &rootfs, "/bin/busybox", "sh", "-c", &script]].concat();
        self.sampan(&words)
    }

    /// A container that runs until it is killed.
    pub fn endless(&self, flags: &[&str]) -> Child {
        let pidfile = self.path(&format!("pid-{}", self.number()));
        // Not by exec: the shell's arguments name this ground.
        let child = self.shell(&[flags, &["--pidfile", &pidfile]].concat(), "/bin/busybox sleep 100000; true").spawn();
        let child = child.unwrap();
        until("a container", || fs::read_to_string(&pidfile).is_ok_and(|text| text.ends_with('\n')));
        fs::remove_file(pidfile).unwrap();
        child
    }

    pub fn number(&self) -> u32 {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        NUMBER.fetch_add(1, Ordering::Relaxed)
    }

    /// The one ordinary command after which all must be well.
    pub fn ps(&self) {
        let output = self.sampan(&["ps"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    /// Everything that a container could leave, a line each. Not the cgroup parent that was asked for: it stays when it
    /// was there before.
    pub fn state(&self) -> Vec<String> {
        const LOOK: &str = "ip -o link | sed 's/^[0-9]*: //; s/ .*//'; ip -o address | cut -d' ' -f2-7; \
            nft list ruleset; grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/*/forwarding \
            /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/accept_ra; \
            find $0/data $0/state $0/volume ! -name nft-dup -printf '%p %M %l\n' | sort; \
            find /sys/fs/cgroup -name \"$1\" -exec find {} -mindepth 1 -type d ';' 2>/dev/null; grep -F \"$1\" /proc/mounts; true";
        let mut look = self.inside(&["sh", "-c", LOOK]);
        let output = look.arg(&self.dir).arg(&self.name).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.extend(self.processes());
        lines
    }

    pub fn processes(&self) -> Vec<String> {
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.file_name().as_encoded_bytes()[0] < b':');
        let named = |pid: fs::DirEntry| {
            let command = String::from_utf8_lossy(&fs::read(pid.path().join("cmdline")).ok()?).replace('\0', " ");
            command.contains(&self.name).then(|| format!("{} {command}", pid.file_name().display()))
        };
        pids.filter_map(named).collect()
    }

    /// The kernel takes a moment for links of a dead namespace, and sampan one for a bridge that nobody uses.
    #[track_caller]
    pub fn is_as(&self, before: &[String], what: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let now = self.state();
            if now == before {
                return;
            }
            if Instant::now() > deadline {
                let more: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
                let less: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
                panic!("after {what}:\nthere is more: {more:#?}\nthere is less: {less:#?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn journals(&self) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(self.dir.join("state/containers")).into_iter().flatten().flatten();
        let journals =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "journal"));
        journals.filter_map(|path| Some((path.clone(), fs::read_to_string(path).ok()?))).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a test that failed.
        for line in self.processes() {
            let _ = Command::new("kill").args(["-9", line.split(' ').next().unwrap_or_default()]).status();
        }
        let _ = self.sampan(&["ps"]).output();
        kill(&mut self.holder);
        let remove = ["-depth", "-path", &format!("*/{}*", self.name), "-type", "d", "-exec", "rmdir", "{}", ";"];
        let _ = Command::new("find").arg("/sys/fs/cgroup").args(remove).stderr(Stdio::null()).status();
        let _ = Command::new("umount").arg(self.dir.join("disk")).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
