//! One of those that do operations, one after the other, and what it holds to be so.

use super::act::{self, Act, Effect};
use super::model::{COMMITTED, LOADED, Model, PULLED, State, Thing, Tokens};
use super::room::{self, Fate, Ran, Room};
use super::stage::{self, BASE, Stage};
use crate::lab::dice::Dice;
use serde_json::Value;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub struct Worker<'a> {
    pub room: &'a Room,
    pub model: Model,
    /// It says whose things they are.
    pub label: String,
    pub wild: bool,
    who: String,
    number: u64,
    pulls: bool,
    seed: [u64; 3],
}

pub fn team<'a>(room: &'a Room, stage: &Stage, seed: u64, round: u64, workers: u64, wild: bool) -> Vec<Worker<'a>> {
    let worker = |number| {
        let owner = if wild { format!("r{round}-all") } else { format!("r{round}-w{number}") };
        let label = format!("worker={owner}");
        let model = Model::new(&owner, number);
        let who = format!("r{round}w{number}");
        Worker { room, model, label, wild, who, number, pulls: stage.has_registry(), seed: [seed, round, number] }
    };
    (0..workers).map(worker).collect()
}

/// All at once, until each has done so many.
///
/// # Errors
/// What the first of them found.
pub fn work(team: &mut [Worker], each: u64) -> Result<(), String> {
    let found: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = team.iter_mut().map(|worker| scope.spawn(move || worker.run(each))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(Err("a worker panicked".to_owned()))).collect()
    });
    let found: Vec<String> = found.into_iter().filter_map(Result::err).collect();
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

impl Worker<'_> {
    fn run(&mut self, each: u64) -> Result<(), String> {
        for at in 0..each {
            let [seed, round, number] = self.seed;
            let mut dice = Dice::of(&[seed, round, number, at]);
            self.room.operations.fetch_add(1, Ordering::Relaxed);
            self.step(at, &mut dice).map_err(|what| format!("{} at its operation {at}: {what}", self.who))?;
        }
        Ok(())
    }

    fn step(&mut self, at: u64, dice: &mut Dice) -> Result<(), String> {
        match dice.below(100) {
            0..66 => self.container(at, dice),
            66..75 => self.volume(at, dice),
            75..82 => self.network(dice),
            82..92 => self.image(dice),
            92..97 if self.wild && dice.percent(70) => self.anything(dice),
            92..97 => self.brief(at, dice),
            _ => self.look_around(dice),
        }
    }

    fn fate(&self, starts: bool, dice: &mut Dice) -> Fate {
        const KINDS: [&str; 4] = ["kill-before", "kill-after", "fail", "die"];
        let calls = dice.pick(&[20, 60, 200]);
        let (step, call) = (1 + dice.below(75), 1 + dice.below(calls));
        let within = dice.pick(&[20_000, 60_000, 250_000]);
        let after = Duration::from_micros(dice.below(within));
        let kind = dice.pick(&KINDS);
        match dice.below(100) {
            0..45 => Fate::Lives,
            45..65 if starts => Fate::Fault(format!("{kind}:{step}")),
            45..75 => Fate::Killed(after),
            _ => Fate::AtCall(call),
        }
    }

    fn call(&self, words: &[&str], fate: &Fate) -> Result<Ran, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.room.run(&self.who, &words, fate)
    }

    fn succeeds(&self, words: &[&str]) -> Result<String, String> {
        self.room.succeeds(&self.who, words)
    }

    /// Whether it was done; an error where it was not and nothing had broken it off.
    fn is_done(&self, ran: &Ran, fate: &Fate, words: &[String]) -> Result<bool, String> {
        match ran.code {
            Some(0) => Ok(true),
            _ if *fate != Fate::Lives || self.wild => Ok(false),
            _ => Err(format!("{words:?} failed: {ran:?}")),
        }
    }

    fn container(&mut self, at: u64, dice: &mut Dice) -> Result<(), String> {
        let slot = dice.below(self.model.containers.len() as u64) as usize;
        if self.wild {
            self.model.containers[slot].state = dice.pick(&State::ALL);
            self.model.containers[slot].now = dice.below(2) as usize;
        }
        let token = format!("{}-{at}-end", self.who);
        let before = self.model.containers[slot].state;
        let mut act = act::draw(self.room, &mut self.model, slot, &self.label, &token, dice);
        let fate = self.fate(act.starts, dice);
        if let Effect::Dies(whose) = act.effect {
            return self.kill(slot, whose);
        }
        if act.words[0] == "cp" && matches!(act.effect, Effect::Writes(_)) {
            let file = self.room.path(&act.words[1]);
            fs::write(&file, format!("{token}\n")).map_err(|error| format!("cannot write {file}: {error}"))?;
            act.words[1] = file;
        }
        let ran = self.room.run(&self.who, &act.words, &fate)?;
        if let (Effect::Writes(_), "cp") = (&act.effect, act.words[0].as_str()) {
            let _ = fs::remove_file(&act.words[1]);
        }
        if self.wild {
            return Ok(());
        }
        // What has no file cannot be read.
        if act.effect == Effect::Reads && fate == Fate::Lives {
            return self.read(slot, &ran);
        }
        if self.is_done(&ran, &fate, &act.words)? {
            self.done(slot, &act);
            // A kill is asked for, not waited for; so may be a start that dies at a step.
            if act.words[0] == "kill" {
                let code = self.succeeds(&["wait", &act.words[1]])?;
                if code.trim() != "137" {
                    return Err(format!("{:?}: killed, and it ended with {code}", act.words));
                }
            }
            if matches!(&fate, Fate::Fault(text) if text.starts_with("die")) {
                act.lingers = true;
                return self.resolve(slot, before, &act);
            }
            return Ok(());
        }
        self.resolve(slot, before, &act)
    }

    fn done(&mut self, slot: usize, act: &Act) {
        let container = &mut self.model.containers[slot];
        container.state = act.after;
        match &act.effect {
            Effect::Writes(token) => container.tokens = vec![Some(token.clone())],
            Effect::Renames => container.now = 1 - container.now,
            Effect::Connects(now) => container.connected = *now,
            Effect::Commits => {
                let tokens = container.tokens.clone();
                self.model.images[COMMITTED] =
                    Thing { is_there: true, tokens, name: self.model.images[COMMITTED].name.clone() };
            }
            Effect::Prunes => {
                let stopped = self.model.containers.iter_mut();
                let stopped = stopped.filter(|one| matches!(one.state, State::Created | State::Exited));
                stopped.for_each(|one| one.state = State::None);
            }
            Effect::Nothing | Effect::Reads | Effect::Dies(_) => {}
        }
    }

    fn read(&mut self, slot: usize, ran: &Ran) -> Result<(), String> {
        let container = &mut self.model.containers[slot];
        check(&mut container.tokens, ran).map_err(|what| format!("{}: {what}", container.names[container.now]))
    }

    /// After an operation was broken off, or its container: what is so now, which must be something that it could have come to.
    fn resolve(&mut self, slot: usize, before: State, act: &Act) -> Result<(), String> {
        let names = self.model.containers[slot].names.clone();
        for name in &names {
            self.room.settle(name)?;
        }
        let mut allowed = vec![before, act.after];
        allowed.extend(&act.between);
        if act.starts {
            allowed.push(State::Exited);
        }
        if act.effect == Effect::Prunes {
            return self.prune_broken_off();
        }
        let state = self.state(slot, &allowed, &act.words)?;
        let container = &mut self.model.containers[slot];
        container.state = state;
        match &act.effect {
            Effect::Writes(token) => container.tokens.extend([Some(token.clone()), Some(String::new())]),
            // Perhaps it is.
            Effect::Connects(_) => container.connected = true,
            Effect::Commits => {
                let tokens = container.tokens.clone();
                self.look_image(COMMITTED)?;
                self.model.images[COMMITTED].tokens.extend(tokens);
            }
            _ => {}
        }
        if act.lingers && state != State::None {
            // What was asked for may still be under way.
            let name = self.model.containers[slot].name().to_owned();
            let ran = self.call(&["stop", "--time=0", &name], &Fate::Lives)?;
            if ran.code == Some(0) {
                let state = self.state(slot, &[State::Exited, State::Created], &act.words)?;
                self.model.containers[slot].state = state;
            } else {
                self.model.containers[slot].state = self.state(slot, &[State::None], &act.words)?;
            }
        }
        Ok(())
    }

    fn prune_broken_off(&mut self) -> Result<(), String> {
        for slot in 0..self.model.containers.len() {
            let state = self.model.containers[slot].state;
            let allowed: &[State] =
                if matches!(state, State::Created | State::Exited) { &[state, State::None] } else { &[state] };
            self.model.containers[slot].state = self.state(slot, allowed, &["container prune".to_owned()])?;
        }
        Ok(())
    }

    /// One ordinary command says what it is: soon one of those.
    fn state(&mut self, slot: usize, allowed: &[State], words: &[String]) -> Result<State, String> {
        let start = Instant::now();
        loop {
            let listed = self.succeeds(&["ps", "--all", "--no-trunc", "--format=json"])?;
            let state = self.model.containers[slot].look(&listed)?;
            if allowed.contains(&state) {
                return Ok(state);
            }
            if start.elapsed() > Duration::from_secs(20) {
                let name = self.model.containers[slot].name();
                return Err(format!("after {words:?} {name} is {state:?}, not one of {allowed:?}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self, slot: usize, whose: &str) -> Result<(), String> {
        let name = self.model.containers[slot].name().to_owned();
        self.room.note(&format!("{} kill -9 of the {whose} of {name}", self.who));
        let Some(pid) = self.pid(&name, whose) else {
            return if self.wild { Ok(()) } else { Err(format!("{name} runs and has no record with a {whose}")) };
        };
        room::kill(pid);
        if self.wild {
            return Ok(());
        }
        self.model.containers[slot].state = self.state(slot, &[State::Exited], &[format!("kill -9 of the {whose}")])?;
        Ok(())
    }

    fn pid(&self, name: &str, whose: &str) -> Option<u32> {
        let id = fs::read_link(self.room.base.join("data/names").join(name)).ok()?;
        let record = self.room.base.join("state/containers").join(id).with_extension("json");
        let record: Value = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
        let pid = record[whose].as_u64().filter(|pid| *pid > 1)?;
        u32::try_from(pid).ok()
    }

    fn volume(&mut self, at: u64, dice: &mut Dice) -> Result<(), String> {
        let slot = dice.below(2) as usize;
        let Thing { name, is_there, .. } = self.model.volumes[slot].clone();
        let used = self.model.containers.iter().any(|one| one.state != State::None && one.volume == Some(slot));
        let token = format!("{}-{at}-end", self.who);
        let fate = self.fate(false, dice);
        let label = format!("--label={}", self.label);
        let filter = format!("--filter={}", self.label.replacen("worker", "label=worker", 1));
        let parent = format!("--cgroup-parent=/{}", self.room.cgroup);
        let volume = format!("{name}:/v");
        let write = format!("echo {token} >/v/{token}; busybox mv /v/{token} /v/token");
        let write = ["run", "--rm", &parent, "--network=none", "-v", &volume, BASE, "sh", "-c", &write];
        let kind = dice.below(6);
        let words: Vec<&str> = match kind {
            _ if !is_there => vec!["volume", "create", &label, &name],
            0 if !used => vec!["volume", "rm", &name],
            1 if !used => vec!["volume", "prune", "--all", "--force", &filter],
            2 => vec!["volume", "inspect", &name],
            _ => write.to_vec(),
        };
        let ran = self.call(&words, &fate)?;
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if self.wild {
            return Ok(());
        }
        let done = self.is_done(&ran, &fate, &words)?;
        if !done {
            self.room.settle(&token)?;
        }
        let listed = self.succeeds(&["volume", "ls", "--quiet"])?;
        let pruned = words[1] == "prune";
        for (at, other) in self.model.volumes.iter_mut().enumerate() {
            let now = listed.lines().any(|line| line == other.name);
            let used = self.model.containers.iter().any(|one| one.state != State::None && one.volume == Some(at));
            let gone = pruned && !used;
            let touched = at == slot || gone;
            let must = match (at == slot, words[1].as_str()) {
                _ if gone && done => Some(false),
                (true, "create") if done => Some(true),
                (true, "rm") if done => Some(false),
                _ if touched && (pruned || ["create", "rm"].contains(&words[1].as_str())) => None,
                _ => Some(other.is_there),
            };
            if must.is_some_and(|must| must != now) {
                return Err(format!("after {words:?} (done: {done}) the volume {} is there: {now}", other.name));
            }
            other.is_there = now;
            if !now {
                other.tokens = vec![None];
            }
        }
        if words[0] == "run" {
            let tokens = &mut self.model.volumes[slot].tokens;
            if done { *tokens = vec![Some(token)] } else { tokens.push(Some(token)) }
        }
        Ok(())
    }

    fn network(&mut self, dice: &mut Dice) -> Result<(), String> {
        let slot = dice.below(2) as usize;
        let Thing { name, is_there, .. } = self.model.networks[slot].clone();
        // Which one a container was connected to is not kept.
        let used =
            |one: &super::model::Container| one.state != State::None && (one.network == Some(slot) || one.connected);
        let used = self.model.containers.iter().any(used);
        let fate = self.fate(false, dice);
        let label = format!("--label={}", self.label);
        let words: Vec<&str> = match dice.below(4) {
            _ if !is_there => vec!["network", "create", &label, &name],
            0 | 1 if !used => vec!["network", "rm", &name],
            2 => vec!["network", "inspect", &name],
            _ => vec!["network", "ls"],
        };
        let ran = self.call(&words, &fate)?;
        if self.wild {
            return Ok(());
        }
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let done = self.is_done(&ran, &fate, &words)?;
        let now = self.succeeds(&["network", "ls", "--format={{.Name}}"])?.lines().any(|line| line == name);
        let must = match words[1].as_str() {
            "create" => done.then_some(true),
            "rm" => done.then_some(false),
            _ => Some(is_there),
        };
        if must.is_some_and(|must| must != now) {
            return Err(format!("after {words:?} (done: {done}) the network is there: {now}"));
        }
        self.model.networks[slot].is_there = now;
        Ok(())
    }

    fn image(&mut self, dice: &mut Dice) -> Result<(), String> {
        let slot = dice.below(3) as usize;
        let Thing { name, is_there, .. } = self.model.images[slot].clone();
        let fate = self.fate(false, dice);
        let archive = stage::archive(self.room, self.number);
        let parent = format!("--cgroup-parent=/{}", self.room.cgroup);
        let make = match slot {
            PULLED if self.pulls => vec!["pull", "--quiet", "--tls-verify=false", &name],
            LOADED => vec!["load", "--quiet", "-i", &archive],
            COMMITTED if is_there => vec!["images", "--quiet"],
            _ => return Ok(()),
        };
        let run = vec!["run", "--rm", &parent, "--network=none", &name, "true"];
        let words = match dice.below(8) {
            0..3 if is_there => vec!["rmi", &name],
            3 if is_there => run,
            4 => vec!["image", "prune", "--force"],
            _ => make,
        };
        let ran = self.call(&words, &fate)?;
        if self.wild {
            return Ok(());
        }
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let done = self.is_done(&ran, &fate, &words)?;
        let was = self.model.images[slot].is_there;
        self.look_image(slot)?;
        let now = self.model.images[slot].is_there;
        let must = match words[0].as_str() {
            "pull" | "load" => {
                if done || was {
                    Some(true)
                } else {
                    None
                }
            }
            "rmi" => done.then_some(false),
            _ => Some(was),
        };
        if must.is_some_and(|must| must != now) {
            return Err(format!("after {words:?} (done: {done}) {name} is there: {now}"));
        }
        Ok(())
    }

    fn look_image(&mut self, slot: usize) -> Result<(), String> {
        let listed = self.succeeds(&["images", "--format={{.Repository}}:{{.Tag}}"])?;
        let image = &mut self.model.images[slot];
        image.is_there = listed.lines().any(|line| line == image.name);
        Ok(())
    }

    /// A container that nobody keeps.
    fn brief(&mut self, at: u64, dice: &mut Dice) -> Result<(), String> {
        let token = format!("{}-{at}-end", self.who);
        let parent = format!("--cgroup-parent=/{}", self.room.cgroup);
        let fate = self.fate(true, dice);
        let say = format!("echo {token}");
        let flags: &[&str] = dice.pick(&[
            &["-p=80"][..],
            &["--network=none"],
            &["-m=64m", "-v", "/bin"],
            &["--user=7:8"],
            &["--init", "-t"],
            &["--health-cmd=true"],
        ]);
        let words = [&["run", "--rm", &parent], flags, &[BASE, "sh", "-c", &say]].concat();
        let ran = self.call(&words, &fate)?;
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if self.is_done(&ran, &fate, &words)? && ran.out.trim() != token && fate == Fate::Lives {
            return Err(format!("{words:?} said {ran:?}"));
        }
        Ok(())
    }

    /// Whatever others do meanwhile, these succeed.
    fn look_around(&mut self, dice: &mut Dice) -> Result<(), String> {
        let words: &[&str] = dice.pick(&[
            &["ps", "--all", "--size"][..],
            &["images", "--all"],
            &["system", "df"],
            &["system", "check"],
            &["events", "--since=1m", "--until=0s"],
            &["volume", "ls"],
            &["network", "ls"],
            &["info"],
        ]);
        if self.wild && dice.percent(60) {
            return self.anything(dice);
        }
        self.succeeds(words).map(drop)
    }
}

impl Worker<'_> {
    /// What no worker could keep account of.
    fn anything(&self, dice: &mut Dice) -> Result<(), String> {
        let pick = |dice: &mut Dice| dice.below(3) as usize;
        let container = self.model.containers[pick(dice)].names[dice.below(2) as usize].clone();
        let other = self.model.containers[pick(dice)].names[0].clone();
        let [one, two] = [0, 1].map(|at| self.model.networks[at].name.clone());
        let volume = self.model.volumes[dice.below(2) as usize].name.clone();
        let named = format!("--name={other}");
        let parent = format!("--cgroup-parent=/{}", self.room.cgroup);
        let (one_of, two_of, mount) = (format!("--network={one}"), format!("--network={two}"), format!("{volume}:/v"));
        let (saved, secret) = (self.room.path(&format!("saved-{}", self.number)), format!("secret-{}", self.number));
        let from = format!("--volumes-from={container}");
        let run = ["run", "-d", &parent, &named];
        let with = |flags: &[&'static str], command: &[&'static str]| [&run, flags, &[BASE], command].concat();
        let memory = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", &volume];
        let all: [Vec<&str>; 26] = [
            vec!["system", "prune", "--force"],
            vec!["container", "prune", "--force"],
            vec!["volume", "prune", "--all", "--force"],
            vec!["network", "prune", "--force"],
            vec!["image", "prune", "--all", "--force"],
            vec!["system", "check", "--repair"],
            vec!["stop", "--all", "--time=0"],
            vec!["rm", "--force", "--all"],
            vec!["tag", BASE, "localhost/tagged:1"],
            vec!["untag", "localhost/tagged:1"],
            vec!["save", "--quiet", "-o", &saved, BASE],
            vec!["network", "disconnect", &one, &container],
            vec!["network", "connect", &two, &container],
            vec!["exec", "-d", &container, "sleep", "1"],
            vec!["secret", "create", &secret, "/etc/hostname"],
            vec!["secret", "rm", &secret],
            memory.to_vec(),
            with(&["--rm"], &["sleep", "1"]),
            with(&["--restart=always"], &["sleep", "0.2"]),
            with(&["--restart=on-failure:3", "-p=80"], &["sh", "-c", "exit 3"]),
            with(
                &["--health-cmd=false", "--health-interval=1s", "--health-retries=1", "--health-on-failure=kill"],
                &["sleep", "99"],
            ),
            with(&["--replace"], &["sleep", "99"]),
            [&run[..], &[&one_of, &two_of, BASE, "sleep", "99"]].concat(),
            [&run[..], &["-v", &mount, "--init", BASE, "sleep", "99"]].concat(),
            [&run[..], &[&from, BASE, "sleep", "99"]].concat(),
            vec!["update", "--restart=always", &container],
        ];
        let words = &all[dice.below(all.len() as u64) as usize];
        let fate = self.fate(words[0] == "run", dice);
        self.call(words, &fate).map(drop)
    }
}

/// What was read must be what may be there.
pub fn check(tokens: &mut Tokens, ran: &Ran) -> Result<(), String> {
    let fits = |token: &Option<String>| match token {
        Some(token) => ran.code == Some(0) && ran.out.contains(token.as_str()),
        None => ran.code != Some(0) && (ran.err.contains("No such file") || ran.err.contains("/token")),
    };
    match tokens.iter().rev().find(|token| fits(token)) {
        Some(token) => {
            *tokens = vec![token.clone()];
            Ok(())
        }
        None => Err(format!("it should hold one of {tokens:?}, but: {ran:?}")),
    }
}
