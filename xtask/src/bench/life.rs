//! What a user does with a container and an image beside running it: start, stop, rm, commit, load.

use super::row::{LIMITS, podman_words, text};
use super::table::{self, Line};
use super::{present, take_turns};
use crate::command;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The megabytes of the image that is loaded.
const SIZE: u64 = 200;
const IMAGE: &str = "localhost/bench:one";
const MADE: &str = "localhost/bench:made";
const NAME: &str = "bench-life";

struct Engine {
    name: &'static str,
    program: Vec<String>,
}

/// What is timed, between what comes before and after it.
struct Act {
    title: &'static str,
    before: &'static [&'static [&'static str]],
    timed: &'static [&'static str],
    after: &'static [&'static [&'static str]],
}

const RUN: &[&str] =
    &["run", "-d", LIMITS[0], LIMITS[1], "--network=none", "--name", NAME, IMAGE, "/bin/busybox", "sleep", "100000"];
/// Not `rm --force`, which asks politely with podman, and waits.
const STOP: &[&str] = &["stop", "-t", "0", NAME];
const REMOVE: &[&str] = &["rm", NAME];
const ACTS: [Act; 5] = [
    Act { title: "run -d (no network)", before: &[], timed: RUN, after: &[STOP, REMOVE] },
    Act { title: "stop -t 0", before: &[RUN], timed: STOP, after: &[REMOVE] },
    Act { title: "rm", before: &[RUN, STOP], timed: REMOVE, after: &[] },
    Act {
        title: "commit of a 10 MB change",
        before: &[RUN, &["exec", NAME, "/bin/busybox", "dd", "if=/dev/urandom", "of=/data", "bs=1M", "count=10"]],
        timed: &["commit", "-q", NAME, MADE],
        after: &[&["rmi", MADE], STOP, REMOVE],
    },
    Act { title: "load", before: &[&["rmi", IMAGE]], timed: &["load", "-q", "-i"], after: &[] },
];

/// # Errors
/// Sampan's failed.
pub fn run(folder: &Path, runs: usize) -> Result<(), String> {
    let archive = archive(folder)?;
    let sampan = Ok(Engine { name: "sampan", program: vec![text(&command::binary("release")?)] });
    let podman = podman_words(folder).map(|program| Engine { name: "podman", program });
    let load = |engine: &Engine| engine.time(&["load", "-q", "-i", &text(&archive)]);
    let engines = present(vec![sampan, podman], load);
    println!("\n{}; {runs} runs of each, taking turns", table::machine());
    for act in ACTS {
        let loads = act.timed.last() == Some(&"-i");
        let runs = if loads { runs.min(5) } else { runs };
        let times = take_turns(engines.len(), runs, |at| {
            let engine = &engines[at];
            act.before.iter().try_for_each(|words| engine.time(words).map(drop))?;
            let time = if loads { load(engine) } else { engine.time(act.timed) }?;
            act.after.iter().try_for_each(|words| engine.time(words).map(drop))?;
            Ok(time)
        });
        if loads {
            println!("\nload of an archive of {SIZE} MB, from the page cache");
        } else {
            println!("\n{}", act.title);
        }
        let line = |(engine, times): (&Engine, _)| Line { name: engine.name, makes: "", times };
        table::print(&engines.iter().zip(&times).map(line).collect::<Vec<Line>>(), ["floor", "podman"])?;
    }
    Ok(())
}

/// An image of busybox and bytes that cannot be compressed, as `docker save` writes it.
fn archive(folder: &Path) -> Result<PathBuf, String> {
    let (rootfs, file) = (folder.join("rootfs"), folder.join("image.tar"));
    let sampan = Engine { name: "sampan", program: vec![text(&command::binary("release")?)] };
    let layers = format!("{}:O", text(&rootfs));
    let size = format!("count={SIZE}");
    let fill = ["busybox", "dd", "if=/dev/urandom", "of=/big", "bs=1M", &size];
    sampan.time(&[&["run", "--network=none", "--name", NAME, "--rootfs", &layers], &fill[..]].concat())?;
    let whole = folder.join("whole.tar");
    sampan.time(&["export", "-o", &text(&whole), NAME])?;
    sampan.time(REMOVE)?;
    sampan.time(&["import", &text(&whole), IMAGE])?;
    sampan.time(&["save", "-o", &text(&file), IMAGE])?;
    sampan.time(&["rmi", IMAGE])?;
    std::fs::remove_file(&whole).map_err(|error| format!("cannot remove {}: {error}", whole.display()))?;
    Ok(file)
}

impl Engine {
    fn time(&self, words: &[&str]) -> Result<Duration, String> {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let out = command.output();
        let taken = start.elapsed();
        match out {
            Ok(out) if out.status.success() => Ok(taken),
            Ok(out) => {
                Err(format!("{} {words:?}: {}: {}", self.name, out.status, String::from_utf8_lossy(&out.stderr).trim()))
            }
            Err(error) => Err(format!("{} {words:?}: {error}", self.name)),
        }
    }
}
