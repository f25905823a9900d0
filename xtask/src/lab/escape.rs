//! `cargo xtask lab escape`: each kind of escape in SECURITY.md's table is tried against this machine's kernel.
//!
//! The cases are the tests that the table names. After them components of paths are swapped for a while, directories for links
//! to the host, while sampan works (`crates/sampan/tests/lab_escape.rs`). Invariant: a kind is `held` only when each of its
//! tests ran and passed.

use super::Flags;
use crate::command;
use crate::libtest::{Count, Reader};
use crate::tidy::claims;

/// # Errors
/// A kind of escape was not held, or the tests cannot be run.
pub fn run(flags: &Flags) -> Result<(), String> {
    let text = std::fs::read_to_string(command::root().join(claims::CLAIMS));
    let text = text.map_err(|error| format!("cannot read {}: {error}", claims::CLAIMS))?;
    let kinds: Vec<_> = claims::kinds(&text).filter(|kind| !kind.tests.is_empty()).collect();
    let names: Vec<&str> = kinds.iter().flat_map(|kind| kind.tests.iter().copied()).collect();
    let mut count = Count::default();
    // Some of them are races.
    for _ in 0..flags.number("rounds", 1) {
        count.add(tests(&names)?);
    }
    let (mut held, mut skipped) = (0, 0);
    let mut broken = Vec::new();
    for kind in &kinds {
        let failed: Vec<_> = kind.tests.iter().filter(|test| count.failed.iter().any(|name| name == *test)).collect();
        let not_run: Vec<_> =
            count.skipped.iter().filter(|line| kind.tests.iter().any(|test| is_of(line, test))).collect();
        let seen = if kind.seen.is_empty() { String::new() } else { format!(" ({})", kind.seen) };
        if !failed.is_empty() {
            println!("BROKEN   {}{seen}: {failed:?}", kind.what);
            broken.push(kind.what);
        } else if not_run.is_empty() {
            held += 1;
            println!("held     {}{seen}: {}", kind.what, kind.tests.join(", "));
        } else {
            skipped += 1;
            println!("skipped  {}{seen}: {not_run:?}", kind.what);
        }
    }
    println!("{} kinds of escape: {held} held, {} broken, {skipped} skipped", kinds.len(), broken.len());
    let swapped = swap(flags.number("seconds", 60));
    if !broken.is_empty() {
        return Err(format!("broken: {}", broken.join("; ")));
    }
    swapped
}

fn swap(seconds: u64) -> Result<(), String> {
    let words = ["test", "--quiet", "--package", "sampan", "--test", "lab_escape", "--", "--nocapture"];
    command::succeed(command::cargo(&words).env("SAMPAN_LAB_SECONDS", seconds.to_string()))
}

/// `line` of the count is `name: why`.
fn is_of(line: &str, test: &str) -> bool {
    line.strip_prefix(test).is_some_and(|rest| rest.starts_with(':'))
}

fn tests(names: &[&str]) -> Result<Count, String> {
    let mut cargo = command::cargo(&["test", "--quiet", "--no-fail-fast", "--package", "sampan"]);
    for path in claims::TESTS {
        let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        cargo.args(["--test", name]);
    }
    cargo.args(["--", "--format=pretty", "--show-output", "--exact"]).args(names);
    let out = cargo.output().map_err(|error| format!("cannot run cargo test: {error}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line);
    }
    let count = reader.finish();
    let ran = count.passed + count.failed.len() + count.skipped.len();
    if ran < names.len() {
        return Err(format!(
            "only {ran} of {} tests ran:\n{text}{}",
            names.len(),
            String::from_utf8_lossy(&out.stderr)
        ));
    }
    if !count.failed.is_empty() {
        println!("{text}");
    }
    Ok(count)
}
