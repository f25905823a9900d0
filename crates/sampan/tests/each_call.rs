//! Each command about containers that live, and each process that it leaves behind, is killed at each of its calls: the
//! next ordinary command finds a host without a trace of it, and nothing that was acknowledged is lost.
//!
//! By default some fifteen calls of each, spread over all; with `SAMPAN_EVERY_CALL=1` all of them.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::place::{Place, until};
use ground::tracer::{HELD, Shot, Victim, shoot};
use ground::{Ran, SAMPAN, ran};
use std::fs;
use std::process::Command;

const SAMPLE: usize = 15;

/// Says so when it is asked to end.
const POLITE: &str = "trap 'exit 7' TERM; while :; do /bin/busybox usleep 20000; done";

impl Place {
    fn call(&self, words: &[&str]) -> Ran {
        ran(self.sampan(words).output().unwrap())
    }

    /// `sampan VERB … ROOTFS sh -c SCRIPT`, by whose words its processes are found.
    fn words(&self, verb: &[&str], script: &str) -> Vec<String> {
        let (parent, rootfs) = (format!("--cgroup-parent=/{}", self.name), format!("{}:O", self.path("rootfs")));
        let script = format!(": {}; {script}", self.name);
        let more = ["--rootfs", &rootfs, "/bin/busybox", "sh", "-c", &script];
        let words = [&verb[..1], &[&*parent], &verb[1..], &more].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    fn make(&self, verb: &[&str], script: &str) -> Ran {
        let words = self.words(verb, script);
        self.call(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn held_back(&self, words: &[String]) -> Command {
        let (data, state) = (self.path("data"), self.path("state"));
        let own = [SAMPAN, "--root", &data, "--state", &state];
        let words: Vec<&str> = HELD.into_iter().chain(own).chain(words.iter().map(String::as_str)).collect();
        self.inside(&words)
    }

    fn record(&self, name: &str) -> Option<serde_json::Value> {
        let id = fs::read_link(self.dir.join("data/names").join(name)).ok()?;
        let running = self.dir.join("state/containers").join(&id).with_extension("json");
        let kept = self.dir.join("data/containers").join(&id).join("record.json");
        serde_json::from_slice(&fs::read(running).or_else(|_| fs::read(kept)).ok()?).ok()
    }

    fn monitor(&self, name: &str) -> i32 {
        self.record(name).unwrap()["monitor"].as_i64().unwrap() as i32
    }

    /// In docker's word; empty where there is none.
    fn state_of(&self, name: &str) -> String {
        let out = self.call(&["ps", "-a", "--filter", &format!("name=^{name}$"), "--format", "{{.State}}"]);
        assert!(out.code == 0 && out.err.is_empty(), "{out:?}");
        out.out.trim().to_owned()
    }
}

/// One command, and who of it is killed.
struct Case<'a> {
    place: &'a Place,
    what: &'a str,
    /// What is there before it.
    ready: &'a dyn Fn(),
    words: Vec<String>,
    victim: &'a dyn Fn() -> Victim,
    /// After the kill and one ordinary command.
    check: &'a dyn Fn(&Shot),
    /// Nothing is to be left after it.
    clear: &'a dyn Fn(),
}

impl Case<'_> {
    fn each_call(&self) {
        let Self { place, what, .. } = self;
        // The first of its kind makes directories that stay.
        let total = self.at(usize::MAX, None).survived.unwrap();
        let before = place.state();
        assert!(total > 0, "{what}: nothing was followed");
        let step = if std::env::var_os("SAMPAN_EVERY_CALL").is_some() { 1 } else { total.div_ceil(SAMPLE) };
        for number in (1..=total).step_by(step) {
            self.at(number, Some(&before));
        }
        eprintln!("{what}: {} calls, each {step}. one", total);
    }

    #[track_caller]
    fn at(&self, number: usize, before: Option<&[String]>) -> Shot {
        let Self { place, what, .. } = self;
        (self.ready)();
        let words = place.held_back(&self.words);
        let victim = (self.victim)();
        let command = match victim {
            Victim::Process(_) => place.sampan(&self.words.iter().map(String::as_str).collect::<Vec<_>>()),
            _ => words,
        };
        let shot = shoot(command, victim, number, &place.dir);
        let at = format!("{what}, killed at call {number} ({}): {shot:?}", shot.call.trim());
        if std::env::var_os("SAMPAN_TELL").is_some() {
            eprintln!("{at}");
        }
        let ps = place.call(&["ps", "-a"]);
        assert!(ps.code == 0 && ps.err.is_empty(), "{at}\n{ps:?}");
        (self.check)(&shot);
        (self.clear)();
        match before {
            Some(before) => place.is_as(before, &at),
            // The last to leave its network waits for others.
            None => until("the bridge and who removes it to go", || {
                place.processes().is_empty() && !place.state().iter().any(|line| line.contains("/state/networks"))
            }),
        }
        shot
    }
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Of a command about the container `a`, which is made before it; in the end all of it goes.
fn about(what: &str, victim: Option<Victim>, make: &[&[&str]], words: &[&str], check: &dyn Fn(&Place, &Shot)) {
    let Some(place) = ready() else { return };
    let ready = || {
        for verb in make {
            let made = if matches!(verb[0], "create" | "run") { place.make(verb, POLITE) } else { place.call(verb) };
            assert_eq!(made.code, 0, "{verb:?}: {made:?}");
        }
    };
    // Without one it is the monitor.
    let victim = || victim.unwrap_or_else(|| Victim::Process(place.monitor("a")));
    let (check, clear) = (|shot: &Shot| check(&place, shot), || remove(&place));
    Case { place: &place, what, ready: &ready, words: own(words), victim: &victim, check: &check, clear: &clear }
        .each_call();
}

fn remove(place: &Place) {
    let removed = place.call(&["rm", "-f", "-v", "a", "b"]);
    assert!(removed.code == 0 && removed.err.is_empty(), "{removed:?}");
}

fn ready() -> Option<Place> {
    let place = Place::new()?;
    assert_eq!(place.make(&["run", "--rm", "--network=none"], "true").code, 0);
    place.ps();
    Some(place)
}

/// One of these; and if the command said that it was done, this one.
#[track_caller]
fn is_one_of(place: &Place, shot: &Shot, states: &[&str], done: &[&str]) {
    let state = place.state_of("a");
    let right = if shot.out.is_empty() { states } else { done };
    assert!(right.contains(&&*state), "{state}: {shot:?}");
}

/// What the command has begun goes on without it, but not for ever in between.
fn settles(place: &Place, states: &[&str]) {
    until("it is one or the other", || states.contains(&&*place.state_of("a")));
}

const CONNECTED: [&str; 5] = ["-p", "8080:80", "-v", "/bin", "--memory=64m"];
const RUN: &[&str] = &["run", "-d", "--network=none", "--name=a"];

#[test]
fn create() {
    let Some(place) = ready() else { return };
    let words = place.words(&[&["create", "--name=a"], &CONNECTED[..]].concat(), "true");
    let (victim, clear) = (|| Victim::Command, || remove(&place));
    let check = |shot: &Shot| is_one_of(&place, shot, &["", "created"], &["created"]);
    Case { place: &place, what: "create", ready: &|| (), words, victim: &victim, check: &check, clear: &clear }
        .each_call();
}

fn run_detached(victim: Victim) {
    let Some(place) = ready() else { return };
    let words = place.words(&[&["run", "-d", "--name=a"], &CONNECTED[..]].concat(), POLITE);
    let check = |shot: &Shot| {
        settles(&place, &["", "running", "exited"]);
        is_one_of(&place, shot, &["", "running", "exited"], &["running", "exited"]);
    };
    let (what, clear) = (format!("run -d: {victim:?}"), || remove(&place));
    Case { place: &place, what: &what, ready: &|| (), words, victim: &|| victim, check: &check, clear: &clear }
        .each_call();
}

#[test]
fn run_detached_and_the_command_dies() {
    run_detached(Victim::Command);
}

#[test]
fn run_detached_and_its_starter_dies() {
    run_detached(Victim::Heir);
}

#[test]
fn start() {
    let create: &[&str] = &["create", "--name=a", "-p", "8080:80", "-v", "/bin"];
    for victim in [Victim::Command, Victim::Heir] {
        about(&format!("start: {victim:?}"), Some(victim), &[create], &["start", "a"], &|place, shot| {
            settles(place, &["created", "running", "exited"]);
            is_one_of(place, shot, &["created", "running", "exited"], &["running", "exited"]);
        });
    }
}

#[test]
fn stop() {
    let run: &[&str] = &["run", "-d", "--name=a", "-p", "8080:80", "-v", "/bin"];
    for victim in [Some(Victim::Command), None] {
        about(&format!("stop: {victim:?}"), victim, &[run], &["stop", "a"], &|place, shot| {
            if victim.is_none() {
                settles(place, &["exited"]);
            }
            is_one_of(place, shot, &["running", "exited"], &["exited"]);
        });
    }
}

#[test]
fn stop_of_one_that_goes_with_its_end() {
    let run: &[&str] = &["run", "-d", "--rm", "--name=a", "-p", "8080:80", "-v", "/bin"];
    about("stop of run --rm: its monitor", None, &[run], &["stop", "a"], &|place, _| settles(place, &[""]));
}

#[test]
fn restart() {
    for victim in [Some(Victim::Command), Some(Victim::Heir), None] {
        about(&format!("restart: {victim:?}"), victim, &[RUN], &["restart", "a"], &|place, shot| {
            settles(place, &["running", "exited"]);
            is_one_of(place, shot, &["running", "exited"], &["running", "exited"]);
        });
    }
}

#[test]
fn one_that_crashes_is_started_again_and_its_monitor_dies() {
    let crashes: &[&str] = &["run", "-d", "--network=none", "--name=a", "--restart=always"];
    about("its restart", None, &[crashes], &["kill", "-s", "KILL", "a"], &|place, _| {
        settles(place, &["running", "exited"]);
    });
}

#[test]
fn remove_one_that_has_ended() {
    about("rm", Some(Victim::Command), &[RUN, &["stop", "a"]], &["rm", "a"], &|place, shot| {
        is_one_of(place, shot, &["exited", ""], &[""]);
    });
}

#[test]
fn remove_one_that_runs() {
    for victim in [Some(Victim::Command), None] {
        about(&format!("rm -f: {victim:?}"), victim, &[RUN], &["rm", "-f", "a"], &|place, shot| {
            settles(place, &["running", "exited", ""]);
            is_one_of(place, shot, &["running", "exited", ""], &[""]);
        });
    }
}

#[test]
fn what_leaves_it_running() {
    let runs = |place: &Place, _: &Shot| assert_eq!(place.state_of("a"), "running");
    let words: [&[&str]; 4] = [
        &["exec", "a", "/bin/busybox", "true"],
        &["exec", "-d", "a", "/bin/busybox", "true"],
        &["update", "--memory=32m", "a"],
        &["logs", "a"],
    ];
    for words in words {
        about(words[0], Some(Victim::Command), &[RUN], words, &runs);
    }
}

#[test]
fn pause_and_unpause() {
    about("pause", Some(Victim::Command), &[RUN], &["pause", "a"], &|place, shot| {
        is_one_of(place, shot, &["running", "paused"], &["paused"]);
    });
    about("unpause", Some(Victim::Command), &[RUN, &["pause", "a"]], &["unpause", "a"], &|place, shot| {
        is_one_of(place, shot, &["running", "paused"], &["running"]);
    });
}

#[test]
fn commit() {
    let Some(place) = ready() else { return };
    let archive = place.path("rootfs.tar");
    assert!(Command::new("tar").args(["-C", &place.path("rootfs"), "-cf", &archive, "."]).status().unwrap().success());
    place.call(&["import", &archive, "base"]).ok();
    let (parent, script) = (format!("--cgroup-parent=/{}", place.name), format!(": {}; {POLITE}", place.name));
    let ready = || {
        let run = ["run", "-d", &parent, "--network=none", "--name=a", "base", "/bin/busybox", "sh", "-c", &script];
        place.call(&run).ok();
    };
    let check = |shot: &Shot| {
        assert_eq!(place.state_of("a"), "running", "{shot:?}");
        place.call(&["rmi", "-f", "image"]);
        place.call(&["image", "prune", "-f"]);
    };
    let (words, victim, clear) = (own(&["commit", "a", "image"]), || Victim::Command, || remove(&place));
    Case { place: &place, what: "commit", ready: &ready, words, victim: &victim, check: &check, clear: &clear }
        .each_call();
}

#[test]
fn rename() {
    about("rename", Some(Victim::Command), &[RUN], &["rename", "a", "b"], &|place, shot| {
        let names = [place.state_of("a"), place.state_of("b")];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(names == ["running", ""] || names == ["", "running"], "{names:?}: {shot:?}");
        assert!(shot.survived.is_none() || names[0].is_empty(), "{names:?}: {shot:?}");
        // Whatever was done of it can be done.
        let word = if names[0].is_empty() { "b" } else { "a" };
        place.call(&["rename", word, "c"]).ok();
        place.call(&["rename", "c", "a"]).ok();
    });
}

#[test]
fn networks_of_one_that_runs() {
    let create: &[&str] = &["network", "create", "--subnet=10.9.3.0/24", "one"];
    let two: &[&str] = &["network", "create", "--subnet=10.9.4.0/24", "two"];
    let run: &[&str] = &["run", "-d", "--name=a", "--network=one"];
    let (connect, disconnect): (&[&str], &[&str]) =
        (&["network", "connect", "two", "a"], &["network", "disconnect", "two", "a"]);
    let made = [create, two, run];
    for (made, words) in [(&made[..], connect), (&[create, two, run, connect], disconnect)] {
        about(words[1], Some(Victim::Command), made, words, &|place, _| {
            assert_eq!(place.state_of("a"), "running");
            // What was half done is undone by the other, and can be done again.
            place.call(disconnect);
            place.call(connect).ok();
            place.call(disconnect).ok();
            remove(place);
            place.call(&["network", "rm", "one", "two"]).ok();
        });
    }
}

#[test]
fn volumes_and_secrets() {
    let Some(place) = ready() else { return };
    let there = |words: &[&str]| -> bool { place.call(words).out.lines().any(|name| name == "thing") };
    for kind in ["volume", "secret"] {
        let list: &[&str] = &[kind, "ls", "--format", "{{.Name}}"];
        let file = if kind == "secret" { Some("/etc/hostname") } else { None };
        let create: Vec<&str> = [kind, "create", "thing"].into_iter().chain(file).collect();
        let check = |shot: &Shot| {
            assert!(shot.out.is_empty() || there(list), "{shot:?}");
            if !there(list) {
                place.call(&create).ok();
            }
        };
        let clear = || drop(place.call(&[kind, "rm", "thing"]).ok());
        let victim = || Victim::Command;
        let words = own(&create);
        Case { place: &place, what: kind, ready: &|| (), words, victim: &victim, check: &check, clear: &clear }
            .each_call();
        let ready = || drop(place.call(&create).ok());
        let check = |shot: &Shot| assert!(shot.out.is_empty() || !there(list), "{shot:?}");
        let clear = || {
            if there(list) {
                place.call(&[kind, "rm", "thing"]).ok();
            }
        };
        let words = own(&[kind, "rm", "thing"]);
        Case { place: &place, what: kind, ready: &ready, words, victim: &victim, check: &check, clear: &clear }
            .each_call();
    }
}
