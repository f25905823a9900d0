//! Two commands at once about one container: each does what it says or says why not, in whatever order they come; and
//! nothing is left.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test and its set-up may")]

mod ground;

use ground::{Ground, Ran, ran};
use std::process::{Child, Stdio};
use std::time::Duration;

const ROUNDS: u64 = 8;

fn begin(ground: &Ground, words: &[&str]) -> Child {
    ground.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Both, the second a little later each time, of a container that is made so; then it is as one of these.
fn race(make: &[&[&str]], first: &[&str], second: &[&str], states: &[&str]) {
    let Some(ground) = Ground::new() else { return };
    for round in 0..ROUNDS {
        for words in make {
            let made = if words[0] == "run" || words[0] == "create" {
                ground.make(words, &["sleep", "1000"])
            } else {
                ground.call(words)
            };
            made.ok();
        }
        let one = begin(&ground, first);
        std::thread::sleep(Duration::from_millis(round * 2));
        let other = begin(&ground, second);
        let both = [one, other].map(|child| ran(child.wait_with_output().unwrap()));
        let what = format!("{first:?} and {second:?} in round {round}: {both:?}");
        // Whoever did not do it says why.
        assert!(both.iter().all(told), "{what}");
        assert!(both.iter().any(|ran| ran.code == 0), "{what}");
        let found: Vec<String> =
            ["a", "b"].map(|name| ground.state(name)).into_iter().filter(|it| !it.is_empty()).collect();
        let state = found.first().map_or("", String::as_str);
        assert!(found.len() < 2 && states.contains(&state), "{found:?} after {what}");
        ground.call(&["rm", "-f", "a", "b"]).ok();
        ground.is_empty();
    }
}

/// What runs in a container may have been killed with it.
fn told(ran: &Ran) -> bool {
    matches!(ran.code, 0 | 137) || ran.code > 0 && ran.err.starts_with("error: ")
}

const RUN: &[&str] = &["run", "-d", "--name=a"];
const CREATE: &[&str] = &["create", "--name=a"];

#[test]
fn starts_and_stops() {
    race(&[CREATE], &["start", "a"], &["start", "a"], &["running"]);
    race(&[RUN], &["stop", "-t0", "a"], &["stop", "-t0", "a"], &["exited"]);
    race(&[RUN], &["restart", "-t0", "a"], &["stop", "-t0", "a"], &["running", "exited"]);
    race(&[RUN], &["restart", "-t0", "a"], &["restart", "-t0", "a"], &["running"]);
}

#[test]
fn removals() {
    race(&[RUN], &["stop", "-t0", "a"], &["rm", "a"], &["exited", ""]);
    race(&[RUN], &["stop", "-t0", "a"], &["rm", "-f", "a"], &[""]);
    race(&[CREATE], &["rm", "a"], &["rm", "a"], &[""]);
    race(&[RUN], &["rm", "-f", "a"], &["rm", "-f", "a"], &[""]);
    race(&[CREATE], &["start", "a"], &["rm", "-f", "a"], &[""]);
    race(&[RUN], &["restart", "-t0", "a"], &["rm", "-f", "a"], &[""]);
}

#[test]
fn names() {
    race(&[RUN], &["rename", "a", "b"], &["rm", "-f", "a"], &["running", ""]);
    race(&[CREATE], &["rename", "a", "b"], &["rm", "a"], &["created", ""]);
    race(&[RUN], &["rename", "a", "b"], &["stop", "-t0", "a"], &["running", "exited"]);
    race(&[CREATE], &["rename", "a", "b"], &["rename", "a", "b"], &["created"]);
    race(&[RUN], &["kill", "a"], &["rename", "a", "b"], &["exited", "running"]);
}

#[test]
fn what_is_done_in_one_that_ends() {
    race(&[RUN], &["exec", "a", "true"], &["stop", "-t0", "a"], &["exited"]);
    race(&[RUN], &["exec", "a", "sleep", "100"], &["stop", "-t0", "a"], &["exited"]);
    race(&[RUN], &["pause", "a"], &["stop", "-t0", "a"], &["exited"]);
    race(&[RUN], &["update", "--pids-limit=50", "a"], &["stop", "-t0", "a"], &["exited"]);
    race(&[RUN], &["logs", "-f", "a"], &["rm", "-f", "a"], &[""]);
}
