//! `cargo xtask lab errors`: failures as users meet them. Each is made for real, and sampan's message must name the cause
//! and the fix; what podman and docker say to the same is printed beside it.
//!
//! Invariant: a case runs in namespaces of its own, with a /run of its own; what it started ends with it. A case that
//! could not be made here is skipped with its reason, never passed.
//! Must not: know how sampan words anything beyond what a case's table says.

mod commands;
mod images;
mod life;
mod limits;
mod network;
mod report;
mod rootless;
mod security;
mod storage;
mod words;

use crate::command;
use crate::libtest::Count;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PRELUDE: &str = include_str!("errors/prelude.sh");
pub const IMAGE: &str = include_str!("errors/image.sh");

/// After this a case hangs, which is a failure of its own.
const PATIENCE: &str = "60";

pub struct Case {
    /// What the user meets, in a user's words.
    name: &'static str,
    code: i32,
    /// A piece of the message before its hint: what failed, or why.
    cause: &'static str,
    /// A piece of the hint; empty where the cause says already what to do.
    fix: &'static str,
    /// For the prelude's shell: what makes the failure, then `fails` with the user's command.
    script: &'static str,
}

const fn case(name: &'static str, code: i32, cause: &'static str, fix: &'static str, script: &'static str) -> Case {
    Case { name, code, cause, fix, script }
}

const GROUPS: [(&str, &[Case]); 9] = [
    ("commands", commands::CASES),
    ("words", words::CASES),
    ("limits", limits::CASES),
    ("security", security::CASES),
    ("storage", storage::CASES),
    ("images", images::CASES),
    ("network", network::CASES),
    ("life", life::CASES),
    ("rootless", rootless::CASES),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sampan,
    Podman,
    Docker,
}

impl Engine {
    fn word(self) -> &'static str {
        match self {
            Self::Sampan => "sampan",
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }

    /// What it takes to run the cases with it.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Sampan => &[],
            Self::Podman => &["podman"],
            Self::Docker => &["docker", "dockerd", "containerd"],
        }
    }
}

/// How a case ended.
pub enum Ended {
    Said(Said),
    Skipped(String),
    /// It could not be made, or hung.
    Broken(String),
}

pub struct Said {
    code: i32,
    text: String,
    /// `<` was there before and `>` is there now.
    left: String,
}

/// The lab's folder: the image and the stores; gone with the value.
struct Lab {
    folder: PathBuf,
    sampan: PathBuf,
    short: bool,
}

/// The long form: all groups, or those named; beside the peers that are in PATH, with a report.
///
/// # Errors
/// A message does not say what it should, or the lab cannot run here.
pub fn run(words: &[&str]) -> Result<(), String> {
    let alone = words.contains(&"--alone");
    let named: Vec<&str> = words.iter().filter(|word| !word.starts_with("--")).copied().collect();
    let sampan = match words.iter().find_map(|word| word.strip_prefix("--sampan=")) {
        Some(path) => PathBuf::from(path),
        None => {
            command::succeed(&mut command::cargo(&["build", "--release", "--quiet", "--package", "sampan"]))?;
            command::binary("release")?
        }
    };
    let lab = Lab::new(sampan, false)?;
    let mut engines = vec![Engine::Sampan];
    for peer in [Engine::Podman, Engine::Docker].into_iter().filter(|_| !alone) {
        match peer.programs().iter().find(|program| command::find(program).is_none()) {
            Some(missing) => println!("without {}: there is no {missing} in PATH", peer.word()),
            None => engines.push(peer),
        }
    }
    let mut count = Count::default();
    let mut report = report::Report::new(&engines);
    for (group, case) in cases(&named) {
        let ended: Vec<Ended> = engines.iter().map(|engine| lab.case(*engine, case)).collect();
        judge(&mut count, group, case, &ended[0]);
        report.add(group, case, &ended);
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed.len(), count.skipped.len());
    println!("the messages side by side: {}", report.write()?.display());
    if count.failed.is_empty() { Ok(()) } else { Err(format!("{} failed", count.failed.len())) }
}

/// The short form, for the suite: sampan alone, and nothing that takes long.
///
/// # Errors
/// The lab cannot run here.
pub fn short() -> Result<Count, String> {
    let mut count = Count::default();
    if !command::is_root() || command::find("busybox").is_none() {
        count.skipped.push("lab errors: needs root and a static busybox".to_owned());
        return Ok(count);
    }
    let lab = Lab::new(command::binary("release")?, true)?;
    for (group, case) in cases(&[]) {
        judge(&mut count, group, case, &lab.case(Engine::Sampan, case));
    }
    Ok(count)
}

/// Those of a group, or with such a name; all where nothing is named.
fn cases<'a>(named: &'a [&str]) -> impl Iterator<Item = (&'static str, &'static Case)> + 'a {
    let all = GROUPS.iter().flat_map(|(group, cases)| cases.iter().map(|case| (*group, case)));
    all.filter(move |(group, case)| {
        named.is_empty() || named.iter().any(|word| word == group || case.name.contains(word))
    })
}

fn judge(count: &mut Count, group: &str, case: &Case, ended: &Ended) {
    let name = format!("errors: {group}: {}", case.name);
    let wrong = match ended {
        Ended::Skipped(why) => {
            println!("{name}: skipped: {why}");
            return count.skipped.push(format!("{name}: {why}"));
        }
        Ended::Broken(why) => vec![format!("the case itself failed: {why}")],
        Ended::Said(said) => wrong(case, said),
    };
    if wrong.is_empty() {
        println!("{name}: ok");
        count.passed += 1;
        return;
    }
    println!("{name}: FAILED");
    for line in &wrong {
        println!("  {line}");
    }
    if let Ended::Said(said) = ended {
        said.text.lines().for_each(|line| println!("  | {line}"));
    }
    count.failed.push(name);
}

/// What a message owes its reader and does not give.
fn wrong(case: &Case, said: &Said) -> Vec<String> {
    let mut wrong = Vec::new();
    if said.code != case.code {
        wrong.push(format!("the exit code is {}, not {}", said.code, case.code));
    }
    let (hints, body): (Vec<&str>, Vec<&str>) = said.text.lines().partition(|line| line.starts_with("hint: "));
    // What has no cause of its own may be silent.
    if !case.cause.is_empty() && !body.iter().any(|line| line.contains(case.cause)) {
        wrong.push(format!("the cause is not named: {:?}", case.cause));
    }
    if !case.fix.is_empty() && !hints.iter().any(|line| line.contains(case.fix)) {
        wrong.push(format!("the fix is not named: {:?}", case.fix));
    }
    for unread in ["os error", "panicked", "Error {", "RUST_BACKTRACE"] {
        if said.text.contains(unread) {
            wrong.push(format!("no user reads {unread:?}"));
        }
    }
    if !said.left.is_empty() {
        wrong.push(format!("left behind: {}", said.left.trim_end().replace('\n', "; ")));
    }
    wrong
}

impl Lab {
    fn new(sampan: PathBuf, short: bool) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("sampan-lab-errors-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let lab = Self { folder, sampan, short };
        command::output(&mut lab.bash(Engine::Sampan, &lab.folder, IMAGE))?;
        Ok(lab)
    }

    fn bash(&self, engine: Engine, out: &Path, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script, "lab"]).stdin(Stdio::null());
        command.env("ENGINE", engine.word()).env("SAMPAN", &self.sampan).env("LAB", &self.folder).env("OUT", out);
        command.env("SHORT", if self.short { "1" } else { "" });
        command
    }

    fn case(&self, engine: Engine, case: &Case) -> Ended {
        let out = self.folder.join("case");
        let ended = fs::create_dir(&out).map_err(|error| format!("cannot make {}: {error}", out.display()));
        let ended = ended.and_then(|()| self.attempt(engine, case, &out));
        // What was mounted below it went with its namespace; a read-only or full disk, too.
        let _ = fs::remove_dir_all(&out);
        ended.unwrap_or_else(Ended::Broken)
    }

    fn attempt(&self, engine: Engine, case: &Case, out: &Path) -> Result<Ended, String> {
        // The image is imported once for each engine.
        let import = "engine image inspect lab >/dev/null 2>&1 || quietly engine import $LAB/rootfs.tar lab";
        let script = format!("{PRELUDE}\nbegin\n{import}\n{}\nend\n", case.script);
        let bash = self.bash(engine, out, &script);
        let mut command = Command::new("timeout");
        // unshare takes no notice of SIGTERM while its child runs.
        command.args([
            "--signal=KILL",
            PATIENCE,
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
        ]);
        command.arg("--mount-proc").arg(bash.get_program()).args(bash.get_args()).stdin(Stdio::null());
        command.envs(bash.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = command.output().map_err(|error| format!("cannot run unshare: {error}"))?;
        let read = |name: &str| String::from_utf8_lossy(&fs::read(out.join(name)).unwrap_or_default()).into_owned();
        if out.join("skipped").exists() {
            return Ok(Ended::Skipped(read("skipped").trim().to_owned()));
        }
        // A step may name hundreds of layers.
        let said = read("stderr") + &read("stdout");
        let text = said.lines().map(|line| line.chars().take(400).chain(['\n']).collect::<String>()).collect();
        match read("code").trim().parse() {
            Ok(code) => Ok(Ended::Said(Said { code, text, left: read("left") })),
            Err(_) => Err(format!("{}: {}", ran.status, String::from_utf8_lossy(&ran.stderr).trim())),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
