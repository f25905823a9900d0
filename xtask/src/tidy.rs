//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Invariant: reads the tree and builds the binary; changes nothing.

mod binary;
pub mod claims;
mod edges;
mod source;

use crate::command;
use std::process::Command;

/// One broken rule: where, and what.
type Finding = String;

/// # Errors
/// How many rules are broken; each has been printed. Or a tool that it needs is missing.
pub fn run() -> Result<(), String> {
    let files = source::files()?;
    let mut findings = edges::check()?;
    findings.extend(files.iter().flat_map(source::check));
    findings.extend(source::lock(&files));
    findings.extend(claims::check(&files));
    findings.extend(binary::check()?);
    for finding in &findings {
        println!("tidy: {finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len())) }
}

/// The paths that git tracks or would: what is ignored is nobody's.
fn tracked() -> Result<Vec<String>, String> {
    let mut git = Command::new("git");
    git.current_dir(command::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let text = command::output(&mut git)?;
    Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}
