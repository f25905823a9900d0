//! Images from a registry of this machine: cold into a store that has nothing of them, warm into one that has all.
//!
//! The registry has what it sends in memory, and the stores are on a disk of the bench's own. Each pull is timed twice: when
//! the command is done, and when all of it is on the disk, since not everyone syncs. Must not: count a pull that left
//! nothing behind.

mod puller;
mod registry;

use super::{make, present, table};
use crate::command;
use puller::{Cost, Puller};
use registry::Registry;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// What is pulled: a name, and in how many layers it comes.
const IMAGES: [(&str, u64); 2] = [("many", 24), ("one", 1)];

/// For the first try of each.
const SMALL: (&str, u64) = ("small", 2);

const MEGABYTES: u64 = 8;

/// # Errors
/// No image, registry or disk could be made, or who pulled at first did not go on.
pub fn run(folder: &Path, runs: usize, size: u64) -> Result<(), String> {
    let images = folder.join("images");
    make_images(&images, size)?;
    let registry = match Registry::start(folder) {
        Ok(registry) => registry,
        Err(why) => {
            println!("skipped: {why}");
            return Ok(());
        }
    };
    for (name, _) in IMAGES.iter().chain([&SMALL]) {
        registry.publish(name, &images.join(name))?;
    }
    let disk = disk(folder, size)?;
    println!("\n{}; {runs} pulls of each, taking turns; images of {size} MB", table::machine());
    stages(&images.join("one/sha256"), &disk)?;
    let pullers = present(puller::all(folder, &disk), tried);
    for (name, layers) in IMAGES {
        println!(
            "\n{layers} layer{}, {} MB packed",
            if layers == 1 { "" } else { "s" },
            packed(&images.join(name))? >> 20
        );
        compare(&pullers, name, runs)?;
    }
    Ok(())
}

fn tried(puller: &Puller) -> Result<Duration, String> {
    let cost = puller.pull(SMALL.0)?;
    let kept = puller.kept()?;
    if kept < MEGABYTES << 20 {
        return Err(format!("{}: only {kept} bytes are there after a pull", puller.name));
    }
    puller.forget(SMALL.0).map(|()| cost.wall)
}

fn compare(pullers: &[Puller], image: &str, runs: usize) -> Result<(), String> {
    let mut costs = vec![(Vec::new(), Vec::new()); pullers.len()];
    for round in 0..runs {
        for turn in 0..pullers.len() {
            let at = (turn + round) % pullers.len();
            let cold = pullers[at].pull(image)?;
            let warm = pullers[at].again(image)?;
            pullers[at].forget(image)?;
            costs[at].0.push(cold);
            costs[at].1.push(warm);
        }
    }
    println!(
        "{:<16} {:>8} {:>8} {:>9} {:>8} {:>9} {:>8} {:>8}",
        "", "median s", "min s", "on disk s", "cpu s", "peak MiB", "warm s", "x sampan"
    );
    let own = costs.first().map(|(cold, _)| least(cold, |cost| cost.wall).as_secs_f64());
    for (puller, (cold, warm)) in pullers.iter().zip(&costs) {
        let seconds = |pick: fn(&Cost) -> Duration| least(cold, pick).as_secs_f64();
        let walls: Vec<Duration> = cold.iter().map(|cost| cost.wall).collect();
        let peak = cold.iter().map(|cost| cost.peak).max().unwrap_or_default();
        println!(
            "{:<16} {:>8.2} {:>8.2} {:>9.2} {:>8.2} {:>9} {:>8.3} {:>8.2}",
            puller.name,
            table::median(&walls).as_secs_f64(),
            seconds(|cost| cost.wall),
            seconds(|cost| cost.disk),
            seconds(|cost| cost.cpu),
            peak >> 10,
            least(warm, |cost| cost.wall).as_secs_f64(),
            seconds(|cost| cost.wall) / own.unwrap_or(1.0),
        );
    }
    Ok(())
}

fn least(costs: &[Cost], pick: impl Fn(&Cost) -> Duration) -> Duration {
    costs.iter().map(pick).min().unwrap_or_default()
}

fn program() -> Result<PathBuf, String> {
    command::built("release", "examples/stages")
}

/// All of them at once.
fn make_images(images: &Path, size: u64) -> Result<(), String> {
    let start = |(seed, (name, layers)): (usize, (&str, u64))| -> Result<Child, String> {
        let folder = images.join(name);
        make(&folder)?;
        let megabytes = if name == SMALL.0 { MEGABYTES } else { size };
        let words = [megabytes, layers, seed as u64].map(|number| number.to_string());
        let spawned = Command::new(program()?).arg("make").arg(folder).args(words).spawn();
        spawned.map_err(|error| format!("cannot make the image {name}: {error}"))
    };
    let started: Vec<Child> = IMAGES.into_iter().chain([SMALL]).enumerate().map(start).collect::<Result<_, _>>()?;
    for mut child in started {
        match child.wait() {
            Ok(status) if status.success() => {}
            done => return Err(format!("cannot make an image: {done:?}")),
        }
    }
    Ok(())
}

fn sizes(folder: &Path) -> Result<Vec<(u64, PathBuf)>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let size = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.metadata()?.len(), entry.path()))
    };
    fs::read_dir(folder).map_err(failed)?.map(size).collect::<Result<_, _>>().map_err(failed)
}

fn packed(image: &Path) -> Result<u64, String> {
    Ok(sizes(&image.join("sha256"))?.iter().map(|(size, _)| size).sum())
}

/// What a pull is made of, each alone: no pull is faster than the slowest of them.
fn stages(blobs: &Path, disk: &Path) -> Result<(), String> {
    let (_, layer) = sizes(blobs)?.into_iter().max().ok_or("the image has no layer")?;
    let scratch = disk.join("stages");
    make(&scratch)?;
    println!("\nthe stages of the one layer, alone\n{:>8} {:>8}", "s", "cpu s");
    let text = command::output(Command::new(program()?).arg("time").arg(layer).arg(scratch))?;
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().unwrap_or_default();
        println!("{:>8} {:>8}   {}", next(), next(), next());
    }
    Ok(())
}

/// An ext4 with a journal in a file, as empty as that of a new machine. Without a journal ext4 looks at each inode that was
/// deleted in the last minutes before it takes one, and each contestant would pay for those before it.
fn disk(folder: &Path, size: u64) -> Result<PathBuf, String> {
    let (file, at) = (folder.join("disk.img"), folder.join("disk"));
    make(&at)?;
    let room = format!("{}M", size * 20 + 2000);
    let made = command::output(Command::new("truncate").args(["-s", &room]).arg(&file))
        .and_then(|_| {
            command::output(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&file))
        })
        .and_then(|_| command::output(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(&file)))
        .and_then(|device| {
            let mounted = command::output(Command::new("mount").arg(device.trim()).arg(&at));
            // It goes when the mount does.
            command::output(Command::new("losetup").args(["--detach", device.trim()])).and(mounted)
        });
    if let Err(why) = made {
        println!("skipped: a disk of the bench's own: {why}");
    }
    Ok(at)
}
