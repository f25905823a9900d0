//! `cargo xtask lab chaos`: many operations at once on one store, broken off at any moment; then one ordinary command, and
//! the host is as before, and all that was acknowledged is there.
//!
//! A round has two forms. In a strict one each worker has containers, volumes, networks and images of its own, and knows
//! what they are: whatever sampan said was done must be so, and what is not broken off must succeed. In a wild one all
//! workers do anything to the same few. At the end of every other round everything is killed at once, some commands
//! in their midst.
//!
//! Invariant: the numbers drawn depend on the seed, the round, the worker and the number of the operation alone; so a
//! seed gives the same operations again as far as the kernel's timing allows.
//! Must not: see or touch what is not in its room.

mod act;
mod end;
mod model;
mod room;
mod stage;
mod worker;

use super::Flags;
use super::dice::Dice;
use crate::command;
use room::Room;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub const FLAGS: [&str; 6] = ["operations", "workers", "seed", "round", "seconds", "wild"];

/// Where the second stage is told of its room.
const ROOM: &str = "SAMPAN_LAB_ROOM";

/// Operations of a round, all workers together.
const ROUND: u64 = 120;

/// # Errors
/// Something was left, lost, or ended as it should not; or the lab cannot run here.
pub fn run(flags: &Flags) -> Result<(), String> {
    if let Some(base) = std::env::var_os(ROOM) {
        return inside(PathBuf::from(base), flags);
    }
    if !command::is_root() {
        return Err("cannot make the lab's namespaces: not root".to_owned());
    }
    command::succeed(&mut command::cargo(&["build", "--quiet", "--package", "sampan"]))?;
    let seed = flags.number("seed", u64::from(std::process::id()));
    let mut words = flags.words();
    if !words.iter().any(|word| word == "--seed") {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    let name = format!("sampan-chaos-{seed}-{}", std::process::id());
    let base = std::env::temp_dir().join(&name);
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut room = Command::new("unshare");
    room.args([
        "--net",
        "--mount",
        "--pid",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
    ]);
    // A shell that has something left to do stays, and reaps.
    room.args(["bash", "-c", "\"$0\" \"$@\"; exit $?"]).arg(own).args(["lab", "chaos"]).args(&words);
    room.env(ROOM, &base);
    let done = command::succeed(&mut room);
    room::remove_cgroups(&name);
    match &done {
        Ok(()) => {
            std::fs::remove_dir_all(&base).map_err(|error| format!("cannot remove {}: {error}", base.display()))?
        }
        Err(_) => println!("evidence: {}", base.display()),
    }
    done.map_err(|_| format!("chaos: not as it should be; again with: cargo xtask lab chaos {}", words.join(" ")))
}

fn inside(base: PathBuf, flags: &Flags) -> Result<(), String> {
    let (seed, workers) = (flags.number("seed", 1), flags.number("workers", 4).max(1));
    let operations = flags.number("operations", 2000);
    let seconds = flags.number("seconds", u64::MAX);
    let room = Room::new(base)?;
    let mut stage = stage::set(&room, workers)?;
    let before = room.snapshot();
    println!("seed {seed}, {workers} workers; the room is {}", room.base.display());
    let start = Instant::now();
    for round in flags.number("round", 0).. {
        let done = room.operations.load(Ordering::Relaxed);
        if done >= operations || start.elapsed().as_secs() >= seconds {
            break;
        }
        let wild = round % 3 == 2 || flags.number("wild", 0) > 0;
        let each = (ROUND / workers).max(1);
        let mut team = worker::team(&room, &stage, seed, round, workers, wild);
        let found = worker::work(&mut team, each);
        let crash = round % 2 == 0;
        let found =
            found.and_then(|()| end::of_round(&room, &mut stage, &team, crash, &before, &mut Dice::of(&[seed, round])));
        if let Err(what) = found {
            println!("FOUND in round {round} of seed {seed}:\n{what}\n");
            room.keep("found", &what);
            println!("the last operations (all are in {}):\n{}", room.path("operations"), room.tail(60));
            // The state is on a tmpfs of this namespace.
            let _ = Command::new("cp").args(["-a", &room.path("state"), &room.path("state-kept")]).status();
            return Err("stopped at the first finding".to_owned());
        }
        println!(
            "round {round}{}{}: {} operations, {} killed, {} s: nothing left, nothing lost",
            if wild { ", wild" } else { "" },
            if crash { ", all killed at its end" } else { "" },
            room.operations.load(Ordering::Relaxed),
            room.killed.load(Ordering::Relaxed),
            start.elapsed().as_secs(),
        );
    }
    stage.end(&room);
    println!(
        "{} operations, {} of them killed, in {} s; 0 differences",
        room.operations.load(Ordering::Relaxed),
        room.killed.load(Ordering::Relaxed),
        start.elapsed().as_secs()
    );
    Ok(())
}
