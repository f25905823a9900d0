//! `cargo xtask check`: what must hold before a commit, in under a minute once built.

use crate::{command, tidy};

/// # Errors
/// The names of the gates that failed.
pub fn run() -> Result<(), String> {
    let failed = gates();
    let units = command::succeed(&mut command::cargo(&["test", "--quiet", "-p", "plan", "-p", "spec", "--lib"]));
    conclude(failed.into_iter().chain(units.err().map(|_| "unit tests")).collect())
}

type Gate = fn() -> Result<(), String>;

/// Format, clippy, dependencies and tidy; the names of those that failed. All of them run: one finding does not hide
/// the next.
pub fn gates() -> Vec<&'static str> {
    let gates: [(&str, Gate); 4] = [
        ("format", || command::succeed(&mut command::cargo(&["fmt", "--all", "--check"]))),
        ("clippy", || {
            let words = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
            command::succeed(&mut command::cargo(&words))
        }),
        ("dependencies", dependencies),
        ("tidy", tidy::run),
    ];
    let mut failed = Vec::new();
    for (name, gate) in gates {
        match gate() {
            Ok(()) => println!("{name}: ok"),
            Err(text) => {
                println!("{name}: FAILED: {text}");
                failed.push(name);
            }
        }
    }
    failed
}

/// Licences, bans and sources of every crate in the tree (deny.toml). Advisories need the network and are left to the
/// release.
fn dependencies() -> Result<(), String> {
    if command::find("cargo-deny").is_none() {
        println!("skipped: dependencies: cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    command::succeed(&mut command::cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))
}

fn conclude(failed: Vec<&str>) -> Result<(), String> {
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}
