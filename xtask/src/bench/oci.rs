//! An OCI runtime's part alone: every runtime with its commands on the same bundle.

use super::table::{self, Line};
use super::{bundle, present, quiet, row, take_turns, time};
use crate::command;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// As many as are started at once.
const CROWD: usize = 100;

const CROWDS: usize = 5;

struct Runtime {
    name: &'static str,
    kind: Kind,
    /// On a tmpfs.
    state: PathBuf,
}

enum Kind {
    /// `bench/bundle.c`, with its last arguments.
    Floor { program: PathBuf, hierarchies: Vec<String> },
    /// With the words before its flags.
    Runc(Vec<String>),
}

/// # Errors
/// Sampan, which worked at first, did not go on.
pub fn run(folder: &Path, runs: usize) -> Result<(), String> {
    let bundle = bundle::write(folder, "true", &["true"])?;
    let sleeper = bundle::write(folder, "sleep", &["busybox", "sleep", "100000"])?;
    let runtimes = present(all(folder), |runtime| runtime.run(folder));
    println!("\n{}; {runs} runs of each, taking turns", table::machine());
    compare("run", &runtimes, runs, |runtime| runtime.run(folder))?;
    compare("create, start, delete: the three together", &runtimes, runs, |runtime| runtime.steps(folder))?;
    let crowd = |runtime: &Runtime| runtime.crowd(folder);
    compare(&format!("{CROWD} times run, all at once ({CROWDS} rounds)"), &runtimes, CROWDS, crowd)?;
    peaks(folder, &bundle, &runtimes);
    execs(&sleeper, &runtimes, runs)
}

fn compare(
    title: &str,
    runtimes: &[Runtime],
    runs: usize,
    time: impl Fn(&Runtime) -> Result<Duration, String>,
) -> Result<(), String> {
    let times = take_turns(runtimes.len(), runs, |at| time(&runtimes[at]));
    let line = |(runtime, times)| Line { name: Runtime::name(runtime), makes: "", times };
    let lines: Vec<Line> = runtimes.iter().zip(&times).map(line).collect();
    println!("\n{title}");
    table::print(&lines, ["floor", "crun"])
}

/// The floor has no exec. Each has a name of its own: without a `cgroupsPath` the name is the cgroup's, and runc refuses
/// one that another runtime's container is in.
fn execs(sleeper: &Path, runtimes: &[Runtime], runs: usize) -> Result<(), String> {
    let able: Vec<Runtime> = runtimes.iter().filter_map(Runtime::again).collect();
    let start = |runtime: &Runtime| {
        time(&mut runtime.command(&["run", "--detach", "--bundle", &row::text(sleeper), &runtime.sleeper()]))
    };
    let delete = |runtime: &Runtime| time(&mut runtime.command(&["delete", "--force", &runtime.sleeper()])).map(drop);
    let started: BTreeMap<_, _> = able.iter().map(|it| (it.name, start(it))).collect();
    let exec = |it: &Runtime| {
        started[it.name].clone()?;
        time(&mut it.command(&["exec", &it.sleeper(), "true"]))
    };
    let compared = compare("exec true", &able, runs, exec);
    let deleted: Vec<_> = able.iter().map(delete).collect();
    compared.and(deleted.into_iter().collect())
}

/// The most that one of its processes had resident.
fn peaks(folder: &Path, bundle: &Path, runtimes: &[Runtime]) {
    println!("\npeak memory of run, KiB");
    for runtime in runtimes {
        match peak(folder, bundle, runtime) {
            Ok(text) => println!("{:<16} {text:>10}", runtime.name),
            Err(why) => println!("{:<16} failed: {why}", runtime.name),
        }
    }
}

fn peak(folder: &Path, bundle: &Path, runtime: &Runtime) -> Result<String, String> {
    let words = runtime.words(Verb::Run, "peak", folder, bundle);
    let file = folder.join("run/peak");
    let mut command = Command::new(folder.join("peak"));
    time(command.arg(&file).args(words))?;
    let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

#[derive(Clone, Copy)]
enum Verb {
    Run,
    Create,
    Start,
    Delete,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Create => "create",
            Self::Start => "start",
            Self::Delete => "delete",
        }
    }
}

fn all(folder: &Path) -> Vec<Result<Runtime, String>> {
    let state = |name: &str| {
        let state = folder.join("run").join(name);
        super::make(&state).map(|()| state)
    };
    let floor = state("floor").map(|state| Runtime {
        name: "floor",
        kind: Kind::Floor { program: folder.join("bundle"), hierarchies: hierarchies() },
        state,
    });
    let sampan = command::binary("release").and_then(|program| {
        let kind = Kind::Runc(vec![row::text(&program), "oci".to_owned()]);
        Ok(Runtime { name: "sampan oci", kind, state: state("sampan")? })
    });
    let peer = |name: &'static str| {
        let kind = Kind::Runc(vec![row::text(&row::find(name)?)]);
        Ok(Runtime { name, kind, state: state(name)? })
    };
    vec![floor, sampan, peer("crun"), peer("runc"), peer("youki")]
}

/// The version 2 tree where it is alone, else every version 1 hierarchy.
fn hierarchies() -> Vec<String> {
    let base = Path::new("/sys/fs/cgroup");
    if base.join("cgroup.controllers").exists() {
        return vec![row::text(base)];
    }
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| !path.is_symlink() && path.join("tasks").exists())
        .map(|path| row::text(&path))
        .collect();
    found.sort_unstable();
    found
}

impl Runtime {
    fn name(&self) -> &'static str {
        self.name
    }

    fn again(&self) -> Option<Self> {
        match &self.kind {
            Kind::Floor { .. } => None,
            Kind::Runc(words) => {
                Some(Self { name: self.name, kind: Kind::Runc(words.clone()), state: self.state.clone() })
            }
        }
    }

    fn words(&self, verb: Verb, id: &str, folder: &Path, bundle: &Path) -> Vec<String> {
        let (state, bundle) = (row::text(&self.state), row::text(bundle));
        match &self.kind {
            Kind::Floor { program, hierarchies } => {
                let rootfs = row::text(&folder.join("rootfs"));
                let words = [row::text(program), verb.word().to_owned(), id.to_owned(), state, rootfs];
                words.into_iter().chain(hierarchies.iter().cloned()).collect()
            }
            Kind::Runc(words) => {
                let pid = row::text(&self.pid_file(id));
                let flags: &[&str] = match verb {
                    Verb::Run => &["--bundle", &bundle],
                    Verb::Create => &["--bundle", &bundle, "--pid-file", &pid],
                    Verb::Start | Verb::Delete => &[],
                };
                let own = ["--root", &state, verb.word()].into_iter().chain(flags.iter().copied()).chain([id]);
                words.iter().cloned().chain(own.map(str::to_owned)).collect()
            }
        }
    }

    fn sleeper(&self) -> String {
        format!("sleeper-{}", self.name.replace(' ', "-"))
    }

    fn pid_file(&self, id: &str) -> PathBuf {
        self.state.join(format!("{id}.pid"))
    }

    /// Other commands than the floor's.
    fn command(&self, words: &[&str]) -> Command {
        let own = if let Kind::Runc(own) = &self.kind { own.as_slice() } else { &[] };
        let mut command = Command::new(own.first().map_or("false", String::as_str));
        command.args(own.iter().skip(1)).arg("--root").arg(&self.state).args(words);
        command
    }

    fn verb(&self, verb: Verb, id: &str, folder: &Path) -> Command {
        let words = self.words(verb, id, folder, &folder.join("bundles/true"));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    fn run(&self, folder: &Path) -> Result<Duration, String> {
        time(&mut self.verb(Verb::Run, "bench", folder))
    }

    /// What the container does meanwhile is not counted.
    fn steps(&self, folder: &Path) -> Result<Duration, String> {
        let id = "steps";
        let created = time(&mut self.verb(Verb::Create, id, folder))?;
        let file = self.pid_file(id);
        let pid = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let started = time(&mut self.verb(Verb::Start, id, folder))?;
        while lives(&pid) {
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(created + started + time(&mut self.verb(Verb::Delete, id, folder))?)
    }

    fn crowd(&self, folder: &Path) -> Result<Duration, String> {
        let start = Instant::now();
        let spawn = |number| quiet(&mut self.verb(Verb::Run, &format!("crowd{number}"), folder)).spawn();
        let children: Vec<std::io::Result<Child>> = (0..CROWD).map(spawn).collect();
        let ended: Vec<bool> = children
            .into_iter()
            .map(|child| child.and_then(|mut child| child.wait()).is_ok_and(|status| status.success()))
            .collect();
        let taken = start.elapsed();
        if ended.iter().all(|ended| *ended) { Ok(taken) } else { Err(format!("{}: a container failed", self.name)) }
    }
}

/// A zombie does not.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
