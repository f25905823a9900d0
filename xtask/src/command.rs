//! Running other programs, and where the checkout is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace root.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A cargo command in the workspace root: the cargo that runs this job, so that a pinned toolchain stays pinned.
pub fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()).args(words);
    command
}

/// # Errors
/// Says which command could not be started or how it ended.
pub fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot run {}: {error}", words(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", words(command))) }
}

/// What the command wrote to its standard output.
///
/// # Errors
/// Says which command could not be started, or how it ended and what it wrote to standard error.
pub fn output(command: &mut Command) -> Result<String, String> {
    let out = command.stdin(Stdio::null()).output();
    let out = out.map_err(|error| format!("cannot run {}: {error}", words(command)))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(format!("{}: {}: {}", words(command), out.status, said.trim()))
}

/// The first `program` in PATH or in the places where an ordinary user's PATH does not look.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether this process has the rights of root, from `/proc/self/status` (no NSS, no unsafe).
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}

/// The host triple, which is also the folder of the build under `target/`.
///
/// # Errors
/// rustc cannot be run.
pub fn triple() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let text = output(Command::new(rustc).current_dir(root()).args(["--print", "host-tuple"]))?;
    Ok(text.trim().to_owned())
}

/// Where cargo puts the binary `sampan` of the profile folder (`debug`, `release`).
///
/// # Errors
/// As [`triple`].
pub fn binary(profile: &str) -> Result<PathBuf, String> {
    built(profile, "sampan")
}

/// What cargo has put at `path` of a profile's folder.
///
/// # Errors
/// As [`triple`].
pub fn built(profile: &str, path: &str) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(triple()?).join(profile).join(path))
}

fn words(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        text.push(' ');
        text.push_str(&word.to_string_lossy());
    }
    text
}
