//! The project's own jobs: `cargo xtask JOB`, nothing to install.
//!
//! Invariant: a job that prints `ok` has run to its end; what could not be run is named and counted.

mod bench;
mod check;
mod command;
mod conformance;
mod dist;
mod lab;
mod leftovers;
mod libtest;
mod needs;
mod suite;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask JOB

  check    format, clippy, tidy, and the unit tests of plan and spec (under a minute)
  tidy     the house rules that no compiler checks
  test     everything that this machine can run; as root it installs what is missing
  bench    sampan beside its peers and beside the floor, as root; --runs N (40)
           bench oci: the OCI runtime alone; bench exec: one more process in a container
           bench life: start, stop, rm, commit, load; bench net: a container's network
           bench density [NUMBERS]: so many containers at once
           bench pull: images from a registry; --size MB (1000), --runs N (3)
  dist     the release: a static binary, a tarball and its sha256 in target/dist
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["check"] => check::run(),
        ["tidy"] => tidy::run(),
        // Its last line is the count, so nothing is said after it.
        ["test"] => match suite::run() {
            Ok(false) => return ExitCode::FAILURE,
            done => done.map(drop),
        },
        ["bench", "density", counts @ ..] => bench::density(counts),
        ["bench", options @ ..] => bench::run(options),
        ["lab", words @ ..] => lab::run(words),
        ["dist"] => dist::run(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}{}", lab::USAGE);
            Ok(())
        }
        _ => {
            eprint!("{USAGE}{}", lab::USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}
