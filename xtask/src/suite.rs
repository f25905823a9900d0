//! `cargo xtask test`: everything that this machine can run, with a count of what it could not, and why.
//!
//! Invariant: the last line is `N passed, N failed, N skipped`; each gate (format, clippy …) counts as one.

use crate::lab::{self, power};
use crate::leftovers::{SETTLE, Snapshot};
use crate::libtest::{Count, Reader};
use crate::{check, command, conformance, needs};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};

/// Whether nothing failed.
///
/// # Errors
/// cargo cannot be run.
pub fn run() -> Result<bool, String> {
    needs::provide(&needs::TESTS);
    conformance::provide();
    if !command::is_root() {
        println!("not root: what needs root is skipped");
    }
    let before = Snapshot::take();
    let mut count = check::gates();
    check::gate(&mut count, "release build", || {
        command::succeed(&mut command::cargo(&["build", "--release", "--package", "sampan"]))
    });
    count.add(tests()?);
    chaos(&mut count);
    count.add(lab::errors::short()?);
    count.add(lab::limits::short()?);
    power_cuts(&mut count);
    let left = before.differences(SETTLE);
    check::gate(&mut count, "the host is as it was", || {
        if left.is_empty() { Ok(()) } else { Err(format!("{} differences", left.len())) }
    });
    report(&count, &left);
    Ok(count.failed.is_empty())
}

/// The short form of the lab; the seed is one that finds nothing, until something is broken.
fn chaos(count: &mut Count) {
    if !command::is_root() || command::find("busybox").is_none() {
        count.skipped.push("lab chaos: needs root and busybox".to_owned());
        return;
    }
    let words = ["chaos", "--operations", "360", "--workers", "3", "--seed", "1"];
    check::gate(count, "lab chaos", || lab::run(&words));
}

/// The short form of the lab.
fn power_cuts(count: &mut Count) {
    match power::ready().and_then(|()| power::kernel()) {
        Ok(()) => check::gate(count, "lab power", || lab::run(&["power", "--cuts", "8", "--seconds", "60"])),
        Err(why) => {
            println!("lab power: skipped");
            count.skipped.push(format!("lab power: {why}"));
        }
    }
}

/// All tests of the workspace, with the harness's own lines passed on as they come.
fn tests() -> Result<Count, String> {
    let mut cargo = command::cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    let child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot run cargo test: {error}"))?;
    let mut reader = Reader::default();
    let held = child.stdout.take().is_some_and(|stdout| !follow(stdout, &mut child, &mut reader));
    let status = child.wait().map_err(|error| format!("cannot wait for cargo test: {error}"))?;
    let mut count = reader.finish();
    if held {
        count.failed.push("a process that a test left behind holds the tests' output".to_owned());
    }
    if !status.success() && count.failed.is_empty() {
        // What did not compile has no line of its own.
        count.failed.push(format!("cargo test: {status}"));
    }
    Ok(count)
}

/// Reads to the end of the output. False when cargo has ended and the output has not: someone else holds it, and
/// would hold up the suite for as long as it lives.
fn follow(stdout: ChildStdout, child: &mut Child, reader: &mut Reader) -> bool {
    let (send, lines) = mpsc::channel();
    // Ends with the output, or with this program.
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).split(b'\n').map_while(Result::ok);
        lines.try_for_each(|line| send.send(line))
    });
    loop {
        match lines.recv_timeout(SETTLE) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                if reader.line(line.trim_end_matches('\r')) {
                    println!("{line}");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) if matches!(child.try_wait(), Ok(None)) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

fn report(count: &Count, left: &[String]) {
    println!();
    for line in left {
        println!("left behind: {line}");
    }
    for line in &count.skipped {
        println!("skipped: {line}");
    }
    for line in &count.failed {
        println!("failed: {line}");
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed.len(), count.skipped.len());
}
