//! Where the lab works: namespaces of processes, mounts and links of its own, a store, a state directory and a cgroup.
//!
//! Invariant: every process that is seen here is the lab's, so any may be killed. The first one is a shell, which reaps
//! the orphans; all end with it.

use crate::command;
use crate::leftovers::{Scope, Snapshot};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No operation takes so long, however loaded the machine is.
const HANG: Duration = Duration::from_secs(120);

/// How an operation may be broken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Lives,
    /// `kill -9` after so long.
    Killed(Duration),
    /// `SAMPAN_FAULT`: at a step of a start.
    Fault(String),
    /// `kill -9` at the so-manieth call of its that changes something on the disk or of the kernel's.
    AtCall(u64),
}

/// What strace counts for [`Fate::AtCall`].
const CALLS: &str = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,symlink,symlinkat,openat,\
                     write,fsync,flock,mount,umount2,move_mount,ftruncate,kill,pidfd_send_signal,sendto,sendmsg,clone,clone3,vfork";

#[derive(Debug)]
pub struct Ran {
    /// None: it was killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub struct Room {
    pub base: PathBuf,
    pub cgroup: String,
    pub scope: Scope,
    sampan: PathBuf,
    strace: bool,
    started: Instant,
    log: Mutex<File>,
    number: AtomicU64,
    pub killed: AtomicU64,
    pub operations: AtomicU64,
}

impl Room {
    /// # Errors
    /// The folders or mounts cannot be made.
    pub fn new(base: PathBuf) -> Result<Self, String> {
        let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for part in ["data", "state", "rootfs/bin", "files"] {
            let folder = base.join(part);
            fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        }
        command::succeed(
            Command::new("mount").args(["-t", "tmpfs", "-o", "mode=700", "state"]).arg(base.join("state")),
        )?;
        command::succeed(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let log = File::create(base.join("operations")).map_err(|error| format!("cannot write the log: {error}"))?;
        let folders = vec![base.join("data"), base.join("state"), base.join("files")];
        let strace = command::find("strace").is_some();
        if !strace {
            println!("skipped: kills at each call: no strace on this machine");
        }
        Ok(Self {
            scope: Scope::Room { folders, cgroup: name.clone() },
            cgroup: name,
            sampan: command::binary("debug")?,
            strace,
            started: Instant::now(),
            log: Mutex::new(log),
            number: AtomicU64::new(0),
            killed: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            base,
        })
    }

    pub fn path(&self, name: &str) -> String {
        self.base.join(name).to_string_lossy().into_owned()
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.scope)
    }

    pub fn note(&self, line: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(log, "{:9.3} {line}", self.started.elapsed().as_secs_f64());
    }

    fn command(&self, words: &[String], fate: &Fate) -> Command {
        let mut command = match fate {
            Fate::AtCall(number) if self.strace => {
                let mut strace = Command::new("strace");
                strace.args(["-qqq", "-o", "/dev/null", "-e", &format!("trace={CALLS}"), "-e"]);
                strace.arg(format!("inject={CALLS}:signal=KILL:when={number}")).arg("--").arg(&self.sampan);
                strace
            }
            _ => Command::new(&self.sampan),
        };
        if let Fate::Fault(text) = fate {
            command.env("SAMPAN_FAULT", text);
        }
        command.arg("--root").arg(self.base.join("data")).arg("--state").arg(self.base.join("state")).args(words);
        command
    }

    /// A command that nothing breaks off.
    ///
    /// # Errors
    /// It hung, or said what no program should.
    pub fn call(&self, who: &str, words: &[&str]) -> Result<Ran, String> {
        self.run(who, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &Fate::Lives)
    }

    /// A command that nobody waits for, yet.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(&self, who: &str, words: &[&str]) -> Result<Child, String> {
        self.note(&format!("{who} begins: {}", words.join(" ")));
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut command = self.command(&words, &Fate::Lives);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| format!("cannot start sampan: {error}"))
    }

    /// A command that must succeed.
    ///
    /// # Errors
    /// As [`Self::call`], or it did not succeed.
    pub fn succeeds(&self, who: &str, words: &[&str]) -> Result<String, String> {
        let ran = self.call(who, words)?;
        if ran.code == Some(0) { Ok(ran.out) } else { Err(format!("{words:?}: {ran:?}")) }
    }

    /// # Errors
    /// It hung, or said what no program should.
    pub fn run(&self, who: &str, words: &[String], fate: &Fate) -> Result<Ran, String> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let files = ["out", "err"].map(|kind| self.base.join(format!("{kind}-{number}")));
        self.note(&format!("{who} #{number} {fate:?}: {}", words.join(" ")));
        let ran = self.finish(words, fate, &files);
        for file in &files {
            let _ = fs::remove_file(file);
        }
        let ran = ran?;
        self.note(&format!("{who} #{number} ended: {:?} {} {}", ran.code, brief(&ran.out), brief(&ran.err)));
        if ran.code.is_none() {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
        if ["panicked", "overflow", "unreachable"].iter().any(|word| ran.err.contains(word)) {
            return Err(format!("#{number} {words:?} panicked: {ran:?}"));
        }
        Ok(ran)
    }

    fn finish(&self, words: &[String], fate: &Fate, files: &[PathBuf; 2]) -> Result<Ran, String> {
        // To files: what a killed one had started may hold a pipe.
        let [out, err] = files.each_ref().map(File::create);
        let failed = |error| format!("cannot write to {}: {error}", self.base.display());
        let mut command = self.command(words, fate);
        command.stdin(Stdio::null()).stdout(out.map_err(failed)?).stderr(err.map_err(failed)?);
        let mut child = command.spawn().map_err(|error| format!("cannot start sampan: {error}"))?;
        let status = self.wait(&mut child, fate, words)?;
        let read = |file: &PathBuf| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        let [out, err] = files.each_ref().map(read);
        // The one that starts a container is another process where a monitor is to watch it.
        let broken = matches!(fate, Fate::Fault(_)) && err.contains("was killed");
        let ran = Ran { code: if broken { None } else { status.code() }, out, err };
        match status.signal() {
            Some(signal) if signal != 9 || *fate == Fate::Lives => {
                Err(format!("{words:?} died of signal {signal}: {ran:?}"))
            }
            _ => Ok(ran),
        }
    }

    fn wait(&self, child: &mut Child, fate: &Fate, words: &[String]) -> Result<std::process::ExitStatus, String> {
        let start = Instant::now();
        let limit = if let Fate::Killed(after) = fate { *after } else { HANG };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_micros(300)),
                Ok(None) => {
                    let stuck = if limit == HANG { stuck() } else { String::new() };
                    let _ = child.kill();
                    let status = child.wait().map_err(|error| format!("cannot wait: {error}"))?;
                    if limit == HANG {
                        return Err(format!("{words:?} hangs:\n{stuck}"));
                    }
                    return Ok(status);
                }
                Err(error) => return Err(format!("cannot wait: {error}")),
            }
        }
    }

    /// Until the last process is gone that has the word among its arguments: what a killed command had begun.
    pub fn settle(&self, word: &str) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let left = processes().into_iter().find(|(_, words)| words.iter().any(|own| own.contains(word)));
            let Some((pid, words)) = left else { return Ok(()) };
            if start.elapsed() > HANG {
                return Err(format!("{pid} does not end: {words:?}\n{}", stuck()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// `kill -9` of everything but the lab, its shell and `spared`, at once.
    pub fn kill_all(&self, spared: &[u32]) {
        self.note("kill -9 of everything");
        others(spared).for_each(kill);
    }

    pub fn is_quiet(&self, spared: &[u32]) -> bool {
        others(spared).next().is_none()
    }

    pub fn keep(&self, name: &str, text: &str) {
        let _ = fs::write(self.base.join(name), text);
    }

    pub fn tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(self.base.join("operations")).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

fn brief(text: &str) -> String {
    text.trim().chars().take(400).map(|letter| if letter == '\n' { '|' } else { letter }).collect()
}

pub fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Neither the lab, nor its shell, nor one of those.
fn others(spared: &[u32]) -> impl Iterator<Item = u32> {
    let known = [1, std::process::id()];
    processes().into_iter().map(|(pid, _)| pid).filter(move |pid| !known.contains(pid) && !spared.contains(pid))
}

/// Pid and arguments of all that are no zombies.
fn processes() -> Vec<(u32, Vec<String>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    let words = |pid: u32| {
        let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> =
            text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        (!text.is_empty()).then_some((pid, words))
    };
    pids.filter_map(words).collect()
}

/// Where each process is, for who looks for why one does not go on.
fn stuck() -> String {
    let line = |(pid, words): (u32, Vec<String>)| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        format!("{pid} {words:?}: {}{}\n", read("wchan"), read("stack").lines().next().unwrap_or_default())
    };
    processes().into_iter().map(line).collect()
}

/// The cgroups are the host's: none is to stay.
pub fn remove_cgroups(name: &str) {
    let mut find = Command::new("find");
    find.args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &format!("*/{name}*"), "-exec", "rmdir", "{}", ";"]);
    let _ = find.stderr(Stdio::null()).status();
}
