//! The end of a round: one ordinary command, the host compared with before, what was acknowledged looked for; then all of
//! it is removed, and the store compared, too.

use super::model::State;
use super::room::{Fate, Room};
use super::stage::{self, BASE, Stage};
use super::worker::{self, Worker};
use crate::lab::dice::Dice;
use crate::leftovers::{SETTLE, Snapshot};
use std::process::Child;
use std::time::{Duration, Instant};

const WHO: &str = "end";

/// Begins the names of what was being made while all was killed: it may be there or not.
const FLYING: &str = "flying-";

/// # Errors
/// What is left, lost or broken.
pub fn of_round(
    room: &Room,
    stage: &mut Stage,
    team: &[Worker],
    crash: bool,
    before: &Snapshot,
    dice: &mut Dice,
) -> Result<(), String> {
    let mut models: Vec<_> = team.iter().map(|worker| (worker.model.clone(), worker.wild)).collect();
    if crash {
        let flying = begin(room, dice)?;
        std::thread::sleep(Duration::from_micros(dice.below(120_000)));
        kill_all(room, stage)?;
        for mut child in flying {
            child.wait().map_err(|error| format!("cannot wait: {error}"))?;
        }
    }
    let said = room.call(WHO, &["ps"])?;
    if said.code != Some(0) || !said.err.is_empty() {
        return Err(format!("the one ordinary command: {said:?}"));
    }
    if crash {
        // What lasts is below the data directory, and looked at next.
        let mut left = before.differences_of(&room.scope, Duration::ZERO);
        let start = Instant::now();
        let lasts = |line: &String| line.contains("/data/");
        while !left.iter().all(lasts) && start.elapsed() < SETTLE {
            std::thread::sleep(Duration::from_millis(100));
            left = before.differences_of(&room.scope, Duration::ZERO);
        }
        left.retain(|line| !lasts(line));
        if !left.is_empty() {
            return Err(format!("after kill -9 of everything and one `ps`:\n{}", left.join("\n")));
        }
    }
    let checked = room.succeeds(WHO, &["system", "check"])?;
    if !checked.contains(": 0 bad") {
        return Err(format!("system check: {checked}"));
    }
    for (model, wild) in &mut models {
        if !*wild {
            acknowledged(room, model, crash)?;
            remove(room, model)?;
        }
    }
    remove_unknown(room, models.iter().any(|(_, wild)| *wild))?;
    stage.only_base(room)?;
    let left = before.differences_of(&room.scope, SETTLE);
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("all was removed, and there is a difference:\n{}", left.join("\n")))
    }
}

/// Some that all are killed in the midst of.
fn begin(room: &Room, dice: &mut Dice) -> Result<Vec<Child>, String> {
    let parent = format!("--cgroup-parent=/{}", room.cgroup);
    let (archive, pulled) = (stage::archive(room, 0), stage::pulled(0));
    let names: Vec<String> = (0..4).map(|at| format!("--name={FLYING}{at}")).collect();
    let (volume, network) = (format!("{FLYING}v:/v"), format!("{FLYING}n"));
    let sleep = [BASE, "sleep", "1000"];
    let all: [Vec<&str>; 9] = [
        [&["run", "-d", &parent, &names[0], "-p=80", "-v", &volume], &sleep[..]].concat(),
        [&["run", "-d", &parent, &names[1], "--network=none", "-v", "/bin", "-m=64m"], &sleep[..]].concat(),
        [&["run", "-d", "--rm", &parent, &names[2]], &sleep[..]].concat(),
        [&["create", &parent, &names[3]], &sleep[..]].concat(),
        ["run", "--rm", &parent, BASE, "true"].to_vec(),
        ["load", "--quiet", "-i", &archive].to_vec(),
        ["pull", "--quiet", "--tls-verify=false", &pulled].to_vec(),
        ["network", "create", &network].to_vec(),
        ["system", "check", "--repair"].to_vec(),
    ];
    let some = all.iter().filter(|_| dice.percent(60));
    some.map(|words| room.begin(WHO, words)).collect()
}

fn kill_all(room: &Room, stage: &Stage) -> Result<(), String> {
    let start = Instant::now();
    // What one of them starts while it dies is met by the next time.
    while start.elapsed() < Duration::from_secs(30) {
        room.kill_all(&stage.pids());
        std::thread::sleep(Duration::from_millis(20));
        if room.is_quiet(&stage.pids()) {
            return Ok(());
        }
    }
    Err("what was killed does not end".to_owned())
}

fn acknowledged(room: &Room, model: &mut super::model::Model, crash: bool) -> Result<(), String> {
    let listed = room.succeeds(WHO, &["ps", "--all", "--no-trunc", "--format=json"])?;
    for container in &mut model.containers {
        let expected = match container.state {
            State::Running | State::Paused if crash => State::Exited,
            state => state,
        };
        let name = container.name().to_owned();
        let state = container.look(&listed)?;
        if state != expected || container.name() != name && state != State::None {
            return Err(format!("{name} is {state:?} ({}), and was to be {expected:?}", container.name()));
        }
        if matches!(state, State::Exited | State::Running) {
            let ran = room.call(WHO, &["cp", &format!("{name}:/token"), "-"])?;
            worker::check(&mut container.tokens, &ran).map_err(|what| format!("{name}: {what}"))?;
        }
        container.state = state;
    }
    let parent = format!("--cgroup-parent=/{}", room.cgroup);
    for volume in model.volumes.iter_mut().filter(|volume| volume.is_there) {
        room.succeeds(WHO, &["volume", "inspect", &volume.name])?;
        let mount = format!("{}:/v", volume.name);
        let cat = ["run", "--rm", &parent, "--network=none", "-v", &mount, BASE, "cat", "/v/token"];
        worker::check(&mut volume.tokens, &room.call(WHO, &cat)?).map_err(|what| format!("{}: {what}", volume.name))?;
    }
    for network in model.networks.iter().filter(|network| network.is_there) {
        room.succeeds(WHO, &["network", "inspect", &network.name])?;
    }
    for (at, image) in model.images.iter_mut().enumerate().filter(|(_, image)| image.is_there) {
        let cat = ["run", "--rm", &parent, "--network=none", "--user=0", &image.name, "sh", "-c", "cat /token"];
        let ran = room.call(WHO, &cat)?;
        if at == super::model::COMMITTED {
            worker::check(&mut image.tokens, &ran).map_err(|what| format!("{}: {what}", image.name))?;
        } else if ran.code != Some(1) {
            return Err(format!("{}: {ran:?}", image.name));
        }
    }
    Ok(())
}

/// What is there can be removed by the command that is for it.
fn remove(room: &Room, model: &super::model::Model) -> Result<(), String> {
    for container in model.containers.iter().filter(|one| one.state != State::None) {
        room.succeeds(WHO, &["rm", "-f", "-v", container.name()])?;
    }
    for (kind, things) in [("volume", &model.volumes), ("network", &model.networks), ("image", &model.images)] {
        for thing in things.iter().filter(|thing| thing.is_there) {
            room.succeeds(WHO, &[kind, "rm", &thing.name])?;
        }
    }
    Ok(())
}

/// What is there of which no worker knows: after a wild round anything, else nothing.
fn remove_unknown(room: &Room, wild: bool) -> Result<(), String> {
    // Those that nobody named stay where a container was pruned.
    room.succeeds(WHO, &["volume", "prune", "--force"])?;
    for (list, remove) in [
        (&["ps", "--all", "--format={{.Names}}"][..], &["rm", "-f", "-v"][..]),
        (&["volume", "ls", "--quiet"], &["volume", "rm"]),
        (&["secret", "ls", "--quiet"], &["secret", "rm"]),
        (&["network", "ls", "--filter=type=custom", "--format={{.Name}}"], &["network", "rm"]),
    ] {
        for name in room.succeeds(WHO, list)?.lines() {
            if !wild && !name.starts_with(FLYING) {
                return Err(format!("{name} is there, of which nobody knows ({list:?})"));
            }
            room.run(
                WHO,
                &[remove, &[name]].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(),
                &Fate::Lives,
            )
            .and_then(|ran| if ran.code == Some(0) { Ok(()) } else { Err(format!("{remove:?} {name}: {ran:?}")) })?;
        }
    }
    Ok(())
}
