//! `cargo xtask lab firewall`: which ports are reached from where, on hosts with each kind of firewall.
//!
//! The hosts are network namespaces that the test `lab_firewall` makes, so the machine's own rules are never touched.
//! Invariant: a cell is what was seen; one that is not as promised has a `!`, and the lab fails.

use crate::command;
use std::process::Stdio;

/// # Errors
/// A port is reached that must not be, or is not reached; or the test cannot run here.
pub fn run() -> Result<(), String> {
    println!("From each place to a port of the host that the firewall lets in (Allowed) and that it does not");
    println!("(Published), to one at its loopback, and to a container's own address; tcp and udp, IPv4 and IPv6.");
    let mut cargo = command::cargo(&["test", "--quiet", "--package", "sampan", "--test", "lab_firewall"]);
    cargo.args(["--", "--nocapture", "--test-threads=1"]).stderr(Stdio::inherit());
    let out = cargo.output().map_err(|error| format!("cannot run cargo test: {error}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    print!("{text}");
    if text.contains("skipped: ") {
        return Err("not all of it can run here".to_owned());
    }
    if out.status.success() { Ok(()) } else { Err("not as promised".to_owned()) }
}
