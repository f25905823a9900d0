//! `cargo xtask check`: what must hold before a commit, in under a minute once built.

use crate::libtest::Count;
use crate::{command, tidy};

/// # Errors
/// The names of the gates that failed.
pub fn run() -> Result<(), String> {
    let mut count = gates();
    gate(&mut count, "unit tests", || {
        command::succeed(&mut command::cargo(&["test", "--quiet", "-p", "plan", "-p", "spec", "--lib"]))
    });
    if count.failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", count.failed.join(", "))) }
}

/// Format, clippy, tidy and dependencies. All of them run: one finding does not hide the next.
pub fn gates() -> Count {
    let mut count = Count::default();
    gate(&mut count, "format", || command::succeed(&mut command::cargo(&["fmt", "--all", "--check"])));
    gate(&mut count, "clippy", || {
        let words = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        command::succeed(&mut command::cargo(&words))
    });
    gate(&mut count, "tidy", tidy::run);
    if command::find("cargo-deny").is_some() {
        gate(&mut count, "dependencies", dependencies);
    } else {
        println!("dependencies: skipped");
        count.skipped.push("dependencies: cargo-deny is not installed (cargo install cargo-deny)".to_owned());
    }
    count
}

/// Runs one gate and counts it like a test.
pub fn gate(count: &mut Count, name: &str, run: impl FnOnce() -> Result<(), String>) {
    match run() {
        Ok(()) => {
            println!("{name}: ok");
            count.passed += 1;
        }
        Err(text) => {
            println!("{name}: FAILED: {text}");
            count.failed.push(name.to_owned());
        }
    }
}

/// Licences, bans and sources of every crate in the tree (deny.toml). Advisories need the network and are left to the
/// release.
fn dependencies() -> Result<(), String> {
    command::succeed(&mut command::cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))
}
