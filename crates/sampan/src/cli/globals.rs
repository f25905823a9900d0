//! Flags before the verb.

use super::{Verb, list, tree, usage};
use crate::ui::{Failure, Level};
use clap::{Args, FromArgMatches};
use engine::snapshot::Driver;
use spec::unit::Invalid;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Globals {
    /// Keep images and containers in this directory
    #[arg(long, value_name = "DIR", value_parser = directory)]
    pub root: Option<PathBuf>,
    /// Keep the state of running containers in this directory, on a tmpfs
    #[arg(long, value_name = "DIR", value_parser = directory)]
    pub state: Option<PathBuf>,
    /// How much to say: error, warn, info or debug
    #[arg(long, short = 'l', value_name = "LEVEL", value_parser = level)]
    pub log_level: Option<Level>,
    /// The same as --log-level debug
    #[arg(long, short = 'D')]
    pub debug: bool,
    /// Who makes cgroups: cgroupfs
    #[arg(long, value_name = "NAME", value_parser = cgroup_manager)]
    pub cgroup_manager: Option<CgroupManager>,
    /// How a container's root is made of an image: overlay, or vfs, which copies
    #[arg(long, value_name = "NAME", value_parser = storage_driver)]
    pub storage_driver: Option<Driver>,
    /// It is called by podman's name, so by who reads podman's JSON.
    #[arg(skip)]
    pub podman: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupManager {
    /// Directories in the cgroup file system.
    Cgroupfs,
}

impl Globals {
    #[must_use]
    pub fn level(&self) -> Level {
        if self.debug { Level::Debug } else { self.log_level.unwrap_or(Level::Info) }
    }
}

pub enum Leading {
    /// The globals, and the words from the verb on.
    Globals(Box<Globals>, Vec<OsString>),
    /// `--version` and `--help` are verbs of their own.
    Verb(Box<Verb>),
}

/// All that stands before the verb.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    globals: Globals,
    /// Print the version
    #[arg(long, short = 'v')]
    version: bool,
}

#[derive(Debug, Args)]
struct Top {
    #[command(flatten)]
    flags: Flags,
    /// Print help
    #[arg(long, short = 'h')]
    help: bool,
    #[arg(trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// The flags that stand before the verb.
///
/// # Errors
/// [`Failure`] for unknown flags and wrong values.
pub fn leading(words: Vec<OsString>) -> Result<Leading, Failure> {
    let command = tree::leaf::<Top>("sampan", false);
    let failed = |error: clap::Error| usage::failure(&error, "sampan").code(1);
    let matches = command.try_get_matches_from(std::iter::once("sampan".into()).chain(words)).map_err(failed)?;
    let top = Top::from_arg_matches(&matches).map_err(failed)?;
    Ok(if top.flags.version {
        Leading::Verb(Box::new(Verb::Version(list::Version::default())))
    } else if top.help {
        Leading::Verb(Box::new(Verb::Help(tree::help())))
    } else {
        Leading::Globals(Box::new(top.flags.globals), top.words)
    })
}

fn directory(text: &str) -> Result<PathBuf, Invalid> {
    let failed = |_| Invalid::new("not a path").hint("write a directory");
    if text.is_empty() {
        Err(Invalid::new("not a path").hint("write a directory"))
    } else {
        std::path::absolute(text).map_err(failed)
    }
}

fn level(text: &str) -> Result<Level, Invalid> {
    match text {
        "error" | "fatal" | "panic" => Ok(Level::Error),
        "warn" | "warning" => Ok(Level::Warning),
        "info" => Ok(Level::Info),
        "debug" | "trace" => Ok(Level::Debug),
        _ => Err(Invalid::new("unknown level").hint("one of error, warn, info, debug")),
    }
}

/// # Errors
/// There is none of this name.
pub fn storage_driver(text: &str) -> Result<Driver, Invalid> {
    let other = match text {
        "fuse-overlayfs" | "btrfs" | "zfs" => "not supported by this version",
        _ => "unknown storage driver",
    };
    Driver::parse(text).ok_or_else(|| Invalid::new(other).hint("use overlay or vfs"))
}

fn cgroup_manager(text: &str) -> Result<CgroupManager, Invalid> {
    match text {
        "cgroupfs" => Ok(CgroupManager::Cgroupfs),
        "systemd" => Err(Invalid::new("not supported by this version").hint("use cgroupfs")),
        _ => Err(Invalid::new("unknown cgroup manager").hint("use cgroupfs")),
    }
}
