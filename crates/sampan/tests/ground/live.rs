//! A container that runs while a test looks at it.
//!
//! Invariant: it ends with the value.

use super::{Ground, Ran, ran, until};
use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

pub struct Live {
    pub ground: Ground,
    run: std::cell::RefCell<Child>,
}

impl Live {
    /// Called `c`, without a network unless the flags have one.
    pub fn new(flags: &[&str]) -> Option<Self> {
        Some(Self::on(Ground::new()?, flags))
    }

    pub fn on(ground: Ground, flags: &[&str]) -> Self {
        Self::start(ground, &["run", "--rm"], flags)
    }

    /// Without `--rm`.
    pub fn kept(flags: &[&str]) -> Option<Self> {
        Some(Self::keeping(Ground::new()?, flags))
    }

    pub fn keeping(ground: Ground, flags: &[&str]) -> Self {
        Self::start(ground, &["run"], flags)
    }

    fn start(ground: Ground, run: &[&str], flags: &[&str]) -> Self {
        let pidfile = ground.dir.join("pid");
        let _ = fs::remove_file(&pidfile);
        let own = ["--name=c", "--pidfile", pidfile.to_str().unwrap()];
        let network: &[&str] =
            if flags.iter().any(|flag| flag.starts_with("--network")) { &[] } else { &["--network=none"] };
        let rootfs = format!("{}:O", ground.rootfs().display());
        let words = [run, &own[..], network, flags, &["--rootfs", &rootfs, "sleep", "1000"]].concat();
        let run = ground.command(&words).stdout(Stdio::null()).spawn().unwrap();
        until("the container runs", || fs::read_to_string(&pidfile).is_ok_and(|text| text.ends_with('\n')));
        Self { ground, run: run.into() }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        self.ground.command(words)
    }

    pub fn sampan(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }

    pub fn feed(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().unwrap()
        })
    }

    /// Of its first process.
    pub fn pid(&self) -> i32 {
        fs::read_to_string(self.ground.dir.join("pid")).unwrap().trim().parse().unwrap()
    }

    pub fn id(&self) -> String {
        let target = fs::read_link(self.ground.dir.join("data/names/c")).unwrap();
        target.to_string_lossy().into_owned()
    }

    /// All that are in its pid namespace.
    pub fn processes(&self) -> Vec<String> {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(&self.pid().to_string());
        let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        all.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && namespace(pid) == own).collect()
    }

    /// It ends, and its sampan has undone it.
    pub fn end(&self) {
        let mut run = self.run.borrow_mut();
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = run.wait();
    }

    /// The ground, for another one.
    pub fn leave(self) -> Ground {
        self.end();
        let this = std::mem::ManuallyDrop::new(self);
        Ground { dir: this.ground.dir.clone() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut run = self.run.borrow_mut();
        if let Ok(None) = run.try_wait() {
            let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = run.wait();
        }
        // Who takes the network's bridge away finds it by this directory (docs/adr/0006-bridge-removal.md), which goes
        // with the rest of the ground.
        let networks = self.ground.dir.join("state/networks");
        if !std::thread::panicking() {
            until("the bridge to go", || !networks.exists());
        }
    }
}
