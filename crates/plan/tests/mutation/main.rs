//! Descriptions of containers that nobody meant: the corpus of `fuzz/`, changed at random, the same way each time.
//!
//! `ROUNDS` is how many changes each target gets (2000), `SEED` where they begin. A failure prints what it was for.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

#[path = "../../../../fuzz/random.rs"]
mod random;
mod target;

use random::{Random, number};
use serde_json::{Value, json};
use std::panic::catch_unwind;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What is at an edge of something.
fn edges() -> Vec<Value> {
    let mut edges = vec![json!(null), json!(true), json!([]), json!({}), json!(["a", "a"]), json!(0.5), json!(-0.0)];
    edges.extend([0, 1, -1, i64::MAX, i64::MIN, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 53].map(Value::from));
    edges.push(u64::MAX.into());
    let texts =
        ["", "/", ".", "..", "/../..", "a\0b", "a=b", "=", "%", "-", "0-", "0-4294967295", "4294967295-1", "ä", "*"];
    edges.extend(texts.map(Value::from));
    edges.push("x/".repeat(3000).into());
    edges
}

/// All values in it, itself first.
fn nodes(value: &Value) -> Vec<&Value> {
    let below: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().flat_map(nodes).collect(),
        Value::Array(values) => values.iter().flat_map(nodes).collect(),
        _ => Vec::new(),
    };
    std::iter::once(value).chain(below).collect()
}

fn size(value: &Value) -> usize {
    nodes(value).len()
}

/// The node `at`, counted as [`nodes`] does, with its place taken by `with`, or without it.
fn replace(value: &mut Value, at: &mut usize, with: &mut Option<Value>) -> bool {
    if *at == 0 {
        if let Some(other) = with.take() {
            *value = other;
        }
        return true;
    }
    *at -= 1;
    match value {
        Value::Object(fields) => fields.values_mut().any(|value| replace(value, at, with)),
        Value::Array(values) => values.iter_mut().any(|value| replace(value, at, with)),
        _ => false,
    }
}

fn change(value: &mut Value, random: &mut Random, pool: &[Value], edges: &[Value]) {
    let at = random.below(size(value));
    let found = nodes(value)[at].clone();
    let new = match (random.below(4), found) {
        (0, Value::Array(mut values)) if !values.is_empty() => {
            let one = values[random.below(values.len())].clone();
            values.insert(0, one);
            values.into()
        }
        (0, Value::Object(mut fields)) if !fields.is_empty() => {
            let key = fields.keys().nth(random.below(fields.len())).unwrap().clone();
            fields.remove(&key);
            fields.into()
        }
        (0, Value::Number(number)) if number.is_i64() => {
            number.as_i64().unwrap().wrapping_add(random.below(3) as i64 - 1).into()
        }
        (0 | 1, Value::String(text)) => {
            let mut letters: Vec<char> = text.chars().collect();
            let place = random.below(letters.len() + 1);
            letters.insert(place, *random.pick(&['/', '.', '\0', ' ', '-', ',', ':', '9', '\n', '=']));
            String::from_iter(letters).into()
        }
        (1, _) => {
            let other = random.pick(pool);
            (*random.pick(&nodes(other))).clone()
        }
        _ => random.pick(edges).clone(),
    };
    replace(value, &mut { at }, &mut Some(new));
}

#[track_caller]
fn check(run: fn(&[u8]) -> bool, data: &[u8]) -> bool {
    catch_unwind(|| run(data)).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(data)))
}

/// Changes that are all refused would try nothing but the parser.
#[track_caller]
fn report(accepted: u64, rounds: u64) {
    println!("{accepted} of {rounds} accepted");
    assert!(rounds < 200 || accepted > rounds / 20);
}

fn documents(name: &str, run: fn(&[u8]) -> bool) {
    let seeds: Vec<Value> = corpus(name).iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
    seeds.iter().for_each(|seed| assert!(check(run, seed.to_string().as_bytes()), "{seed}"));
    let edges = edges();
    let mut random = Random(number("SEED", 0x5a3b_a11e));
    let rounds = number("ROUNDS", 2000);
    let mut accepted = 0;
    for _ in 0..rounds {
        let mut value = random.pick(&seeds).clone();
        for _ in 0..=random.below(4) {
            change(&mut value, &mut random, &seeds, &edges);
        }
        accepted += u64::from(check(run, value.to_string().as_bytes()));
    }
    report(accepted, rounds);
}

fn lines(name: &str, run: fn(&[u8]) -> bool) {
    let seeds = corpus(name);
    seeds.iter().for_each(|seed| assert!(check(run, seed), "{seed:?}"));
    let rounds = number("ROUNDS", 2000) * 10;
    let mut accepted = 0;
    let mut random = Random(number("SEED", 0x5a3b_a11e));
    for _ in 0..rounds {
        let mut bytes = random.pick(&seeds).clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 if !bytes.is_empty() => drop(bytes.remove(at)),
                1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
                2 => bytes.insert(at, *random.pick(b"/.%: \0-09Ag")),
                _ => {
                    let other = random.pick(&seeds);
                    bytes.extend(&other[random.below(other.len())..]);
                }
            }
        }
        accepted += u64::from(check(run, &bytes));
    }
    report(accepted, rounds);
}

#[test]
fn config() {
    documents("config", target::config);
}

#[test]
fn process() {
    documents("process", target::process);
}

#[test]
fn resources() {
    documents("resources", target::resources);
}

#[test]
fn cgroups_path() {
    lines("cgroups_path", target::cgroups_path);
}

#[test]
fn journal() {
    lines("journal", target::journal);
}
