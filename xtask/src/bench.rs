//! `cargo xtask bench`: what a container costs, side by side, in one session; with `oci` an OCI runtime's part of it, with
//! `exec` one more process in it, with `pull` what it costs to get an image, with `ps` what a list of many containers costs,
//! with `life` what start, stop, rm, commit and load cost, with `net` how quick a container's network is.
//!
//! Two stages. The first builds, and starts the second in a network and a mount namespace of its own, with sampan's
//! folders covered by fresh ones: what the contestants leave in them dies with them, and the host's sampan is not seen.
//! Invariant: the rows take turns, run by run, so that a machine that slows down slows all of them down.
//! A contestant that fails is named in that table and out of it; the others go on.
//! Must not: count a run that failed.

mod bundle;
mod exec;
mod life;
mod net;
mod oci;
mod ps;
mod pull;
mod row;
mod table;

use crate::command;
use row::Row;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use table::Line;

/// The folders that sampan finds fresh in the second stage.
const COVERED: [&str; 2] = ["/var/lib/sampan", "/run/sampan"];

const WARM_UP: usize = 3;

/// Between two runs: the kernel takes a network namespace apart after the process is gone, and who comes next would
/// wait for it.
const PAUSE: Duration = Duration::from_millis(60);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Engines,
    Runtimes,
    Execs,
    Pulls,
    Lists,
    Lives,
    Networks,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Engines => "engines",
            Self::Runtimes => "oci",
            Self::Execs => "exec",
            Self::Pulls => "pull",
            Self::Lists => "ps",
            Self::Lives => "life",
            Self::Networks => "net",
        }
    }

    /// The programs of `bench` that it needs.
    fn floors(self) -> &'static [&'static str] {
        match self {
            Self::Engines => &["floor"],
            Self::Runtimes => &["bundle", "peak"],
            Self::Execs | Self::Lists | Self::Lives | Self::Networks => &[],
            Self::Pulls => &["peak"],
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Options {
    what: What,
    runs: usize,
    /// Megabytes of an image to pull.
    size: u64,
    /// The second stage.
    inside: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let (what, mut words) = match words {
            ["oci", words @ ..] => (What::Runtimes, words),
            ["exec", words @ ..] => (What::Execs, words),
            ["pull", words @ ..] => (What::Pulls, words),
            ["ps", words @ ..] => (What::Lists, words),
            ["life", words @ ..] => (What::Lives, words),
            ["net", words @ ..] => (What::Networks, words),
            ["engines", words @ ..] | words => (What::Engines, words),
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("not a number: {text}"));
        let mut options = Self { what, runs: if what == What::Pulls { 3 } else { 40 }, size: 1000, inside: false };
        loop {
            words = match words {
                [] => return Ok(options),
                ["--inside", rest @ ..] => {
                    options.inside = true;
                    rest
                }
                ["--runs", text, rest @ ..] => {
                    options.runs = number(text)? as usize;
                    rest
                }
                ["--size", text, rest @ ..] if what == What::Pulls => {
                    options.size = number(text)?.into();
                    rest
                }
                _ => {
                    return Err(
                        "usage: cargo xtask bench [oci | exec | ps | life | net] [--runs N] | bench pull [--size MB] [--runs N]"
                            .to_owned(),
                    );
                }
            };
        }
    }
}

/// Many containers at once: `bench/density` with the release build.
///
/// # Errors
/// It cannot be built, or fails.
pub fn density(counts: &[&str]) -> Result<(), String> {
    command::succeed(&mut command::cargo(&["build", "--release", "--quiet", "--package", "sampan"]))?;
    let mut bench = Command::new(command::root().join("bench/density"));
    bench.arg(command::binary("release")?);
    if !counts.is_empty() {
        bench.arg(counts.join(" "));
    }
    command::succeed(&mut bench)
}

/// # Errors
/// Not root, a build failed, or no contestant could be run.
pub fn run(words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    if options.inside {
        return inside(options);
    }
    if !command::is_root() {
        return Err("cannot make the bench's network and cgroups: not root".to_owned());
    }
    command::succeed(&mut command::cargo(&["build", "--release", "--quiet", "--package", "sampan"]))?;
    if options.what == What::Pulls {
        let words = ["build", "--release", "--quiet", "--package", "image", "--example", "stages"];
        command::succeed(&mut command::cargo(&words))?;
    }
    let folder = folder(options.what);
    remove(&folder)?;
    make(&folder)?;
    options.what.floors().iter().try_for_each(|name| build_floor(&folder, name))?;
    let missing: Vec<&str> = COVERED.into_iter().filter(|folder| !Path::new(folder).exists()).collect();
    for folder in &missing {
        make(Path::new(folder))?;
    }
    let done = stage_two(options);
    for folder in missing {
        fs::remove_dir(folder).map_err(|error| format!("cannot remove {folder}: {error}"))?;
    }
    done.and(remove(&folder))
}

fn stage_two(options: Options) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "--propagation", "private"]).arg(own);
    unshare.args(["bench", options.what.word(), "--inside", "--runs", &options.runs.to_string()]);
    if options.what == What::Pulls {
        unshare.args(["--size", &options.size.to_string()]);
    }
    command::succeed(&mut unshare)
}

/// Where engines keep their files. Not in the build tree: ext4 looks for free inodes near the directory, and finds them
/// late among the compiler's, at a tenth of a millisecond for each file that a contestant makes.
fn folder(what: What) -> PathBuf {
    PathBuf::from(format!("/var/lib/sampan-bench-{}", what.word()))
}

fn build_floor(folder: &Path, name: &str) -> Result<(), String> {
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-static", "-nostdlib", "-fno-builtin", "-fno-stack-protector", "-o"]).arg(folder.join(name));
    command::succeed(cc.arg(command::root().join("bench").join(name).with_extension("c")))
}

/// The second stage.
fn inside(options: Options) -> Result<(), String> {
    let folder = folder(options.what);
    cover(&folder)?;
    network()?;
    if options.what != What::Pulls {
        root_filesystem(&folder.join("rootfs"))?;
    }
    match options.what {
        What::Engines => engines(&folder, options.runs),
        What::Runtimes => oci::run(&folder, options.runs),
        What::Execs => exec::run(&folder, options.runs),
        What::Pulls => pull::run(&folder, options.runs, options.size),
        What::Lists => ps::run(options.runs),
        What::Lives => life::run(&folder, options.runs),
        What::Networks => net::run(&folder, options.runs),
    }
}

/// Those that work, each tried once.
fn present<T>(all: Vec<Result<T, String>>, attempt: impl Fn(&T) -> Result<Duration, String>) -> Vec<T> {
    let tried = all.into_iter().map(|made| made.and_then(|one| attempt(&one).map(|_| one)));
    tried.filter_map(|one| one.map_err(|why| println!("skipped: {why}")).ok()).collect()
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// One run, from before the fork to after the wait.
///
/// # Errors
/// It did not end with 0.
fn time(command: &mut Command) -> Result<Duration, String> {
    let start = Instant::now();
    let status = quiet(command).status();
    let taken = start.elapsed();
    match status {
        Ok(status) if status.success() => Ok(taken),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// The times of a contestant, or why it has none.
type Times = Result<Vec<Duration>, String>;

/// Each of so many in its turn, `runs` times after the warm-up, as long as it does not fail.
fn take_turns(count: usize, runs: usize, time: impl Fn(usize) -> Result<Duration, String>) -> Vec<Times> {
    let mut all: Vec<Times> = vec![Ok(Vec::with_capacity(runs)); count];
    for round in 0..WARM_UP + runs {
        for turn in 0..count {
            // Nobody always runs behind the same one.
            let at = (turn + round) % count;
            let Ok(times) = &mut all[at] else { continue };
            std::thread::sleep(PAUSE);
            match time(at) {
                Ok(taken) if round >= WARM_UP => times.push(taken),
                Ok(_) => {}
                Err(why) => all[at] = Err(why),
            }
        }
    }
    all
}

fn engines(folder: &Path, runs: usize) -> Result<(), String> {
    let rows = present(row::all(folder), Row::time);
    let times = take_turns(rows.len(), runs, |at| rows[at].time());
    println!("\n{}; {runs} runs of each, taking turns\n", table::machine());
    let line = |(row, times): (&Row, _)| Line { name: row.name, makes: row.makes, times };
    table::print(&rows.iter().zip(&times).map(line).collect::<Vec<Line>>(), ["floor", "crun"])?;
    timings();
    Ok(())
}

/// `/var/lib/sampan` becomes a folder on the same disk, `/run/sampan` and `folder/run` a tmpfs.
fn cover(folder: &Path) -> Result<(), String> {
    let [lib, run] = COVERED;
    for name in ["lib", "run", "scratch"] {
        make(&folder.join(name))?;
    }
    command::succeed(Command::new("mount").arg("--bind").arg(folder.join("lib")).arg(lib))?;
    command::succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", run]))?;
    command::succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"]).arg(folder.join("run")))?;
    // crun refuses a host whose version 2 tree offers controllers beside version 1: nobody gets it.
    let beside = Path::new("/sys/fs/cgroup/unified");
    if beside.join("cgroup.controllers").exists() {
        command::succeed(Command::new("umount").arg(beside))?;
    }
    Ok(())
}

/// A host with a way out, as far as an engine can see, and the floor's bridge.
fn network() -> Result<(), String> {
    const LINES: [&str; 8] = [
        "link set lo up",
        "link add uplink type veth peer name beyond",
        "address add 198.51.100.2/24 dev uplink",
        "link set beyond up",
        "link set uplink up",
        "route add default via 198.51.100.1",
        "link add floor0 up type bridge",
        "address add 172.31.255.1/24 dev floor0",
    ];
    LINES.iter().try_for_each(|line| command::succeed(Command::new("ip").args(line.split(' '))))
}

/// The same few files for everyone: this machine's static busybox.
fn root_filesystem(root: &Path) -> Result<(), String> {
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
        make(&root.join(name))?;
    }
    let busybox = command::find("busybox").ok_or("busybox is not installed (package busybox-static)")?;
    let failed = |error| format!("cannot write {}: {error}", root.display());
    fs::copy(busybox, root.join("bin/busybox")).map_err(failed)?;
    for name in ["sh", "true"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).map_err(failed)?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").map_err(failed)
}

/// Where sampan's own time goes.
fn timings() {
    let Ok(sampan) = command::binary("release") else { return };
    println!("\nsampan run --timings --rm busybox true");
    let mut run = Command::new(sampan);
    run.args(["run", "--timings", "--rm", "busybox", "true"]).stdin(Stdio::null());
    match run.output() {
        Ok(out) if out.status.success() => {
            print!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        }
        Ok(out) => println!("skipped: {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim()),
        Err(error) => println!("skipped: {error}"),
    }
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))
}

fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
