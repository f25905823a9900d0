//! The OCI's runtime-tools: a checkout and its validation programs, which tests of sampan run.
//!
//! Invariant: what is in `target/runtime-tools/bin` is complete. Where it cannot be had the tests say so.

use crate::{command, needs};
use std::fs;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "https://github.com/opencontainers/runtime-tools";
/// What Debian packages the library of; the last that Go 1.19 builds.
const COMMIT: &str = "0105384f68e16803891d0a17d9067b1def6a2778";

/// Gets and builds them, once.
pub fn provide() {
    let place = command::root().join("target/runtime-tools");
    if place.join("bin").exists() {
        return;
    }
    if let Err(text) = fetch(&place).and_then(|()| build(&place)) {
        println!("missing: runtime-tools: {text}");
    }
}

fn fetch(place: &Path) -> Result<(), String> {
    if place.join("validation").exists() {
        return Ok(());
    }
    let git = |words: &[&str]| command::output(Command::new("git").arg("-C").arg(place).args(words)).map(drop);
    fs::create_dir_all(place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    git(&["init", "--quiet"])?;
    let near = near().into_iter().any(|clone| git(&["fetch", "--quiet", "--depth=1", &clone, COMMIT]).is_ok());
    if !near {
        git(&["fetch", "--quiet", "--depth=1", SOURCE, COMMIT])?;
    }
    git(&["checkout", "--quiet", "FETCH_HEAD"])
}

/// Clones of it beside this checkout, or in a folder beside it: for machines that do not reach the source. (Debian's
/// golang-github-opencontainers-runtime-tools-dev has its libraries only, not the programs.)
fn near() -> Vec<String> {
    let folders = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let Some(parent) = command::root().parent() else { return Vec::new() };
    let places = std::iter::once(parent.to_owned()).chain(folders(parent));
    let clones = places.map(|place| place.join("runtime-tools")).filter(|clone| clone.is_dir());
    // By URL: git takes no shallow copy of a mere path.
    clones.map(|clone| format!("file://{}", clone.display())).collect()
}

fn build(place: &Path) -> Result<(), String> {
    needs::provide(&needs::GO);
    // Vendored, static: nothing else is fetched, and one of them runs in containers that have nothing.
    let go = |into: &Path, what: &str| {
        let mut go = Command::new("go");
        go.current_dir(place).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=vendor").env("GOTOOLCHAIN", "local");
        command::succeed(go.arg("build").arg("-o").arg(into).arg(what))
    };
    go(&place.join("runtimetest"), "./cmd/runtimetest")?;
    // Under another name until all of them are there.
    let (half, whole) = (place.join("bin.half"), place.join("bin"));
    fs::create_dir_all(&half).map_err(|error| format!("cannot make {}: {error}", half.display()))?;
    go(&half, "./validation/...")?;
    fs::rename(&half, &whole).map_err(|error| format!("cannot rename {}: {error}", half.display()))
}
