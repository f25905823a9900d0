//! Rules on the text of the tree.

use super::{Finding, tracked};
use crate::command;
use std::path::Path;

/// A text file of the tree, its path relative to the root.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Names that say nothing about what is inside.
const NAMELESS: [&str; 8] = ["manager", "helper", "helpers", "util", "utils", "common", "misc", "stuff"];

/// What `plan` and `spec` must not see: the world outside of their arguments.
const WORLD: [&str; 6] = ["fs", "env", "net", "process", "time", "thread"];

/// Plain values that live in those modules of std.
const VALUES: [&str; 8] =
    ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError", "Duration"];

/// # Errors
/// git cannot list the tree.
pub fn files() -> Result<Vec<File>, String> {
    let read = |path: String| {
        let bytes = std::fs::read(command::root().join(&path)).ok()?;
        Some(File { path, text: String::from_utf8(bytes).ok()? })
    };
    Ok(tracked()?.into_iter().filter_map(read).collect())
}

pub fn check(file: &File) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut find = |line: usize, what: &str| findings.push(format!("{}:{line}: {what}", file.path));
    if Path::new(&file.path).iter().any(|part| nameless(&part.to_string_lossy())) {
        find(1, "a name that says nothing: call it after what it holds");
    }
    let root = command::root().to_string_lossy();
    let is_rust = file.path.ends_with(".rs");
    let pure = ["crates/plan/src/", "crates/spec/src/"].iter().any(|room| file.path.starts_with(room));
    let unsafe_room = file.path.starts_with("crates/sys/");
    if is_rust && file.path.starts_with("crates/") && file.path.contains("/src/") && !file.text.starts_with("//!") {
        find(1, "a module opens with what it is for (//!)");
    }
    for (number, line) in file.text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        if root.len() > 1 && line.contains(root.as_ref()) {
            find(number, "names the folder of this checkout");
        }
        if !is_rust {
            continue;
        }
        let code = line.split("//").next().unwrap_or_default();
        if !unsafe_room && ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|form| has(code, form))
        {
            find(number, "unsafe outside of crates/sys");
        }
    }
    if is_rust && pure {
        for (number, module) in world(&file.text) {
            find(number, &format!("std::{module} in a pure crate"));
        }
    }
    findings
}

/// Every crate comes from crates.io, under that name: no mirror and no machine in the lock file.
pub fn lock(files: &[File]) -> Vec<Finding> {
    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let lock = files.iter().filter(|file| file.path == "Cargo.lock");
    let sources = lock.flat_map(|file| file.text.lines()).filter_map(|line| line.strip_prefix("source = "));
    let foreign = sources.filter(|source| source.trim_matches('"') != REGISTRY);
    foreign.map(|source| format!("Cargo.lock: a source other than crates.io: {source}")).collect()
}

fn nameless(part: &str) -> bool {
    NAMELESS.contains(&part.split('.').next().unwrap_or_default())
}

fn has(code: &str, form: &str) -> bool {
    // The strings of this very file hold the forms too: those are followed by a quote.
    code.match_indices(form).any(|(at, _)| !code[at + form.len()..].starts_with('"'))
}

/// Uses of [`WORLD`] with their line, up to the tests at a file's end. `use std::{…}` is looked into; a path that ends
/// in one of [`VALUES`] is fine.
fn world(text: &str) -> Vec<(usize, &'static str)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let line = line.split("//").next().unwrap_or_default();
        for (at, _) in line.match_indices("std::") {
            let rest = &line[at + 5..];
            let parts = rest.strip_prefix('{').map_or_else(|| vec![rest], |group| group.split(',').collect());
            let banned = WORLD.iter().filter(|module| parts.iter().any(|part| sees(part.trim(), module)));
            found.extend(banned.map(|module| (number, *module)));
        }
    }
    found
}

/// Whether the path `part` (behind `std::`) goes into `module` for more than plain values.
fn sees(part: &str, module: &str) -> bool {
    let Some(rest) = part.strip_prefix(module) else {
        return false;
    };
    if rest.starts_with(|next: char| next.is_alphanumeric() || next == '_') {
        return false;
    }
    let names = rest.trim_start_matches("::").split(|next: char| !(next.is_alphanumeric() || next == '_'));
    let mut names = names.filter(|name| !name.is_empty()).peekable();
    // `std::net::{A, B}`: each name must be a value. `std::net::A::from(x)`: the first decides.
    if rest.starts_with("::{") {
        return names.any(|name| !VALUES.contains(&name));
    }
    names.peek().is_none_or(|name| !VALUES.contains(name))
}

#[cfg(test)]
mod tests {
    use super::{nameless, world};

    #[test]
    fn sees_the_world_and_not_the_values() {
        for line in [
            "use std::fs;",
            "use std::{fmt, env};",
            "std::time::Instant::now()",
            "use std::net::{Ipv4Addr, TcpStream};",
        ] {
            assert_eq!(world(line).len(), 1, "{line}");
        }
        for line in [
            "use std::fmt;",
            "use std::net::{Ipv4Addr, Ipv6Addr};",
            "std::net::IpAddr::V4(a)",
            "// std::fs",
            "use std::time::Duration;",
        ] {
            assert_eq!(world(line), [], "{line}");
        }
        assert_eq!(world("fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }"), []);
    }

    #[test]
    fn a_name_is_the_whole_stem() {
        assert!(nameless("util.rs") && nameless("common"));
        assert!(!nameless("utility_room.rs"));
    }
}
