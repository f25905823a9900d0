//! `cargo xtask dist`: the release tarball, the same bytes from the same commit and compiler.

use crate::command;
use std::fs;
use std::path::Path;
use std::process::Command;

/// # Errors
/// The build, the check that the binary is static, or one of tar and sha256sum failed.
pub fn run() -> Result<(), String> {
    command::succeed(&mut command::cargo(&["build", "--release", "--locked", "--package", "sampan"]))?;
    let binary = command::binary("release")?;
    require_static(&binary)?;
    let name = format!("sampan-{}-{}", env!("CARGO_PKG_VERSION"), command::triple()?);
    let dist = command::root().join("target/dist");
    let folder = dist.join(&name);
    let failed = |error| format!("cannot write {}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::copy(&binary, folder.join("sampan")).map_err(failed)?;
    for text in ["LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md"] {
        let from = command::root().join(text);
        if from.exists() {
            fs::copy(from, folder.join(text)).map_err(failed)?;
        }
    }
    let tarball = format!("{name}.tar.gz");
    let time = command::output(Command::new("git").current_dir(command::root()).args(["log", "-1", "--format=%ct"]))?;
    let mut tar = Command::new("tar");
    tar.current_dir(&dist).args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=go=rX,u+rw", &format!("--mtime=@{}", time.trim()), "-czf", &tarball, &name]);
    command::succeed(&mut tar)?;
    let sum = command::output(Command::new("sha256sum").current_dir(&dist).arg(&tarball))?;
    let file = dist.join(format!("{tarball}.sha256"));
    fs::write(&file, &sum).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    print!("{}\n{sum}", dist.join(&tarball).display());
    Ok(())
}

/// A dynamic program names its loader in a program header of type INTERP (elf(5)).
fn require_static(binary: &Path) -> Result<(), String> {
    let bytes = fs::read(binary).map_err(|error| format!("cannot read {}: {error}", binary.display()))?;
    let number = |at: usize, size: usize| {
        let bytes = bytes.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let interpreter = || {
        let (table, size, entries) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..entries)
            .map(|entry| number(table + entry * size, 4))
            .try_fold(false, |found, kind| Some(found || kind? == 3))
    };
    match interpreter() {
        Some(false) => Ok(()),
        Some(true) => Err(format!("{} is not static: it names a loader", binary.display())),
        None => Err(format!("{} is not a 64-bit little-endian ELF file", binary.display())),
    }
}
