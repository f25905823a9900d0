//! What a user does with a container and an image beside running it: start, stop, rm, commit, load.

use super::row::{LIMITS, podman_words, text};
use super::table::{self, Line};
use super::{present, take_turns};
use crate::command;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

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
const ACTS: [Act; 4] = [
    Act { title: "run -d (no network)", before: &[], timed: RUN, after: &[STOP, REMOVE] },
    Act { title: "stop -t 0", before: &[RUN], timed: STOP, after: &[REMOVE] },
    Act { title: "rm", before: &[RUN, STOP], timed: REMOVE, after: &[] },
    Act {
        title: "commit of a 10 MB change",
        before: &[RUN, &["exec", NAME, "/bin/busybox", "dd", "if=/dev/urandom", "of=/data", "bs=1M", "count=10"]],
        timed: &["commit", "-q", NAME, MADE],
        after: &[&["rmi", MADE], STOP, REMOVE],
    },
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
    for Act { title, before, timed, after } in ACTS {
        let all = |engine: &Engine, acts: &[&[&str]]| acts.iter().try_for_each(|words| engine.time(words).map(drop));
        compare(title, &engines, runs, |engine| {
            all(engine, before)?;
            let time = engine.time(timed)?;
            all(engine, after).map(|()| time)
        })?;
    }
    compare(&format!("load of an archive of {SIZE} MB, from the page cache"), &engines, runs.min(5), |engine| {
        engine.time(&["rmi", IMAGE])?;
        load(engine)
    })
}

fn compare(
    title: &str,
    engines: &[Engine],
    runs: usize,
    time: impl Fn(&Engine) -> Result<Duration, String>,
) -> Result<(), String> {
    let times = take_turns(engines.len(), runs, |at| time(&engines[at]));
    let line = |(engine, times): (&Engine, _)| Line { name: engine.name, makes: "", times };
    println!("\n{title}");
    table::print(&engines.iter().zip(&times).map(line).collect::<Vec<Line>>(), ["floor", "podman"])
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
        super::time(Command::new(&self.program[0]).args(&self.program[1..]).args(words))
    }
}
