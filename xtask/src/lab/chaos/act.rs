//! What can be done to a container in a state, in sampan's words, and what must be so afterwards.

use super::model::{COMMITTED, Container, Model, State};
use super::room::Room;
use super::stage::BASE;
use crate::lab::dice::Dice;
use State::{Created, Exited, None as Gone, Paused, Running};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    Writes(String),
    /// The token is in its output.
    Reads,
    Commits,
    Renames,
    Connects(bool),
    /// All of the worker's that do not run.
    Prunes,
    /// Of the worker's own pids: `pid` or `monitor` in the record.
    Dies(&'static str),
}

#[derive(Debug, Clone)]
pub struct Act {
    pub words: Vec<String>,
    pub after: State,
    /// What it may be besides, when it was broken off.
    pub between: Vec<State>,
    pub effect: Effect,
    /// It goes on without the one that asked.
    pub lingers: bool,
    /// It goes through the steps of a plan.
    pub starts: bool,
}

impl Act {
    fn new(words: &[&str], after: State) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { words, after, between: Vec::new(), effect: Effect::Nothing, lingers: false, starts: false }
    }

    fn or(mut self, between: &[State]) -> Self {
        self.between.extend(between);
        self
    }

    fn with(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    fn lingers(mut self) -> Self {
        self.lingers = true;
        self
    }

    fn starts(mut self) -> Self {
        self.starts = true;
        self
    }
}

/// One of those that fit.
pub fn draw(room: &Room, model: &mut Model, at: usize, label: &str, token: &str, dice: &mut Dice) -> Act {
    match model.containers[at].state {
        Gone => make(room, model, at, label, dice),
        Created => of_created(&model.containers[at], label, dice),
        Running => of_running(model, at, token, dice),
        Paused => of_paused(&model.containers[at], dice),
        Exited => of_exited(model, at, label, token, dice),
    }
}

fn make(room: &Room, model: &mut Model, at: usize, label: &str, dice: &mut Dice) -> Act {
    let create = dice.percent(25);
    let verb: &[&str] = if create { &["create"] } else { &["run", "-d"] };
    let (network, volume) = (dice.below(2) as usize, dice.below(2) as usize);
    let mut flags: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
    let container = &mut model.containers[at];
    container.now = 0;
    container.tokens = vec![None];
    (container.bridged, container.connected, container.network, container.volume) = (true, false, None, None);
    flags.push(format!("--name={}", container.name()));
    flags.push(format!("--cgroup-parent=/{}", room.cgroup));
    flags.push(format!("--label={label}"));
    match dice.below(8) {
        0 | 1 => {
            flags.push("--network=none".to_owned());
            container.bridged = false;
        }
        2 => {
            flags.push("--network=host".to_owned());
            container.bridged = false;
        }
        3 | 4 if model.networks[network].is_there => {
            flags.push(format!("--network={}", model.networks[network].name));
            container.network = Some(network);
        }
        5 => flags.push("-p=80".to_owned()),
        _ => {}
    }
    if dice.percent(30) && model.volumes[volume].is_there {
        flags.extend(["-v".to_owned(), format!("{}:/v", model.volumes[volume].name)]);
        container.volume = Some(volume);
    }
    const MORE: [&[&str]; 8] = [
        &["-v", "/bin"],
        &["-m", "64m", "--pids-limit=50"],
        &["--tmpfs", "/tmp"],
        &["--init"],
        &["--user=7:8"],
        &["-t"],
        &["--health-cmd=true", "--health-interval=1s"],
        &["--read-only=false"],
    ];
    if dice.percent(60) {
        flags.extend(dice.pick(&MORE).iter().map(|word| (*word).to_owned()));
    }
    flags.extend([BASE, "sleep", "100000"].map(str::to_owned));
    let act = Act::new(&[], if create { Created } else { Running });
    let act = if create { act } else { act.starts() };
    Act { words: flags, ..act }
}

fn of_created(container: &Container, label: &str, dice: &mut Dice) -> Act {
    let name = container.name();
    match dice.below(7) {
        0..3 => Act::new(&["start", name], Running).starts(),
        3 => Act::new(&["rm", "-v", name], Gone),
        4 => rename(container),
        5 => prune(label),
        _ => Act::new(&["inspect", name], Created),
    }
}

fn of_running(model: &Model, at: usize, token: &str, dice: &mut Dice) -> Act {
    let container = &model.containers[at];
    let name = container.name();
    let network = &model.networks[dice.below(2) as usize];
    let write = format!("echo {token} >/{token}; busybox mv /{token} /token");
    match dice.below(25) {
        0..4 => {
            Act::new(&["exec", "--user=0", name, "sh", "-c", &write], Running).with(Effect::Writes(token.to_owned()))
        }
        4 => Act::new(&["exec", name, "cat", "/token"], Running).with(Effect::Reads),
        5 => Act::new(&["cp", &format!("{name}:/token"), "-"], Running).with(Effect::Reads),
        6 | 7 => Act::new(&["stop", "--time=0", name], Exited).or(&[Running]).lingers(),
        8 => Act::new(&["kill", name], Exited).or(&[Running]).lingers(),
        9 => Act::new(&["restart", "--time=0", name], Running).or(&[Exited]).lingers().starts(),
        // On v1 the kernel may still be at it.
        10 => Act::new(&["pause", name], Paused).lingers(),
        11 | 12 => Act::new(&["rm", "-f", "-v", name], Gone).or(&[Exited, Running]).lingers(),
        13 => rename(container),
        14 => commit(model, at),
        15 => Act::new(&["logs", name], Running),
        16 => Act::new(&["top", name], Running),
        17 => Act::new(&["inspect", name], Running),
        18 => Act::new(&["stats", "--no-stream", name], Running),
        19 => Act::new(&["update", "-m", "80m", name], Running),
        20 if container.bridged && network.is_there && container.network.is_none() && !container.connected => {
            Act::new(&["network", "connect", &network.name, name], Running).with(Effect::Connects(true))
        }
        20 => Act::new(&["diff", name], Running),
        21 | 22 => Act::new(&["kill -9 of the monitor of", name], Exited).with(Effect::Dies("monitor")),
        23 => Act::new(&["kill -9 of the container", name], Exited).with(Effect::Dies("pid")),
        _ => Act::new(&["port", name], Running),
    }
}

fn of_paused(container: &Container, dice: &mut Dice) -> Act {
    let name = container.name();
    match dice.below(5) {
        0..3 => Act::new(&["unpause", name], Running),
        3 => Act::new(&["rm", "-f", "-v", name], Gone).or(&[Exited, Running]).lingers(),
        _ => Act::new(&["kill -9 of the monitor of", name], Exited).with(Effect::Dies("monitor")),
    }
}

fn of_exited(model: &Model, at: usize, label: &str, token: &str, dice: &mut Dice) -> Act {
    let container = &model.containers[at];
    let name = container.name();
    match dice.below(14) {
        0..4 => Act::new(&["start", name], Running).starts(),
        4 | 5 => Act::new(&["rm", "-v", name], Gone),
        6 => Act::new(&["restart", "--time=0", name], Running).starts(),
        7 => rename(container),
        8 => commit(model, at),
        9 => prune(label),
        10 => Act::new(&["cp", &format!("{name}:/token"), "-"], Exited).with(Effect::Reads),
        11 => Act::new(&["diff", name], Exited),
        12 => Act::new(&["cp", &format!("files/{token}"), &format!("{name}:/token")], Exited)
            .with(Effect::Writes(token.to_owned())),
        _ => Act::new(&["logs", name], Exited),
    }
}

fn rename(container: &Container) -> Act {
    Act::new(&["rename", container.name(), &container.names[1 - container.now]], container.state).with(Effect::Renames)
}

fn commit(model: &Model, at: usize) -> Act {
    let container = &model.containers[at];
    Act::new(&["commit", container.name(), &model.images[COMMITTED].name], container.state).with(Effect::Commits)
}

fn prune(label: &str) -> Act {
    Act::new(&["container", "prune", "-f", &format!("--filter=label={label}")], Gone).with(Effect::Prunes)
}
