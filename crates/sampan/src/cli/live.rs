//! The verbs about containers that run.

use super::list::{Format, container};
use super::tree::{Leaf, named};
use super::{Verb, select};
use crate::ui::Failure;
use clap::Args;
use engine::containers::Which;
use spec::ContainerId;
use spec::unit::Invalid;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Selection {
    /// All of them
    #[arg(long, short)]
    all: bool,
    /// The one that was made last
    #[arg(long, short)]
    latest: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    containers: Vec<ContainerId>,
}

/// All, where none is named.
pub type Selected = Option<Vec<Which>>;

impl Selection {
    /// # Errors
    /// Containers beside `--all`, or none at all.
    pub fn selected(self) -> Result<Selected, Failure> {
        if !self.all {
            return select::several(self.containers, self.latest).map(Some);
        }
        if self.latest || !self.containers.is_empty() {
            return Err(Failure::new("cannot take both --all and a container"));
        }
        Ok(None)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pause {
    #[command(flatten)]
    selection: Selection,
}

impl Leaf for Pause {
    const NAMES: &[&str] = &["pause", "container pause"];
    const ABOUT: &str = "Hold the processes of containers still";
    const USAGE: &str = "sampan pause [OPTIONS] CONTAINER [CONTAINER...]";

    fn verb(self) -> Result<Verb, Failure> {
        self.selection.selected().map(Verb::Pause)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Unpause {
    #[command(flatten)]
    selection: Selection,
}

impl Leaf for Unpause {
    const NAMES: &[&str] = &["unpause", "container unpause"];
    const ABOUT: &str = "Let the processes of paused containers go on";
    const USAGE: &str = "sampan unpause [OPTIONS] CONTAINER [CONTAINER...]";

    fn verb(self) -> Result<Verb, Failure> {
        self.selection.selected().map(Verb::Unpause)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TopArgs {
    /// Of the one that was made last
    #[arg(long, short)]
    latest: bool,
    /// The container, unless --latest is given; then columns (args, capeff, comm, elapsed, group, hpid, huser, nice, pcpu, pid,
    /// ppid, rss, state, stime, time, tty, user, vsz and others of podman's), or what ps(1) takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CONTAINER [COLUMN...|PS OPTIONS]")]
    words: Vec<String>,
}

/// `words`: of ps, or podman's descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    pub container: Which,
    pub words: Vec<String>,
}

impl Leaf for TopArgs {
    const NAMES: &[&str] = &["top", "container top"];
    const ABOUT: &str = "List the processes of a container";
    const USAGE: &str = "sampan top [OPTIONS] CONTAINER [COLUMN...|PS OPTIONS]";

    fn verb(self) -> Result<Verb, Failure> {
        let mut words = self.words;
        let named = (!self.latest && !words.is_empty()).then(|| words.remove(0));
        Ok(Verb::Top(Top { container: select::word(named, self.latest)?, words }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Port {
    /// Of all containers that run
    #[arg(long, short)]
    pub all: bool,
    /// Of the one that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// The container, unless --all or --latest is given; then one of its ports
    #[arg(value_name = "CONTAINER [PORT[/PROTOCOL]]", num_args = 0..=2)]
    pub words: Vec<String>,
}

named!(
    Port,
    ["port", "container port"],
    "Show which ports of the host are a container's",
    "sampan port [OPTIONS] CONTAINER [PORT[/PROTOCOL]]"
);

impl Port {
    /// # Errors
    /// Words that do not go together.
    pub fn of(&self) -> Result<(Which, Option<&str>), Failure> {
        let mut words = self.words.iter();
        let named = if self.latest { None } else { words.next().cloned() };
        let port = words.next().map(String::as_str);
        if words.next().is_some() {
            return Err(Failure::new("more than one port"));
        }
        Ok((select::word(named, self.latest)?, port))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct StatsArgs {
    /// Of those that do not run, too
    #[arg(long, short)]
    all: bool,
    /// Of the one that was made last
    #[arg(long, short)]
    latest: bool,
    /// Print once
    #[arg(long)]
    no_stream: bool,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Do not clear the screen each time
    #[arg(long)]
    no_reset: bool,
    /// Seconds between two looks
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// By name, id or the start of an id; all that run if none is named
    #[arg(value_name = "CONTAINER", value_parser = container)]
    containers: Vec<ContainerId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    pub containers: Selected,
    pub all: bool,
    pub no_stream: bool,
    pub no_trunc: bool,
    pub no_reset: bool,
    pub interval: Duration,
    pub format: Format,
}

impl Leaf for StatsArgs {
    const NAMES: &[&str] = &["stats", "container stats"];
    const ABOUT: &str = "Show what containers use, again and again";
    const USAGE: &str = "sampan stats [OPTIONS] [CONTAINER...]";

    fn verb(self) -> Result<Verb, Failure> {
        let Self { all, latest, no_stream, no_trunc, no_reset, interval, format, containers } = self;
        let none = containers.is_empty() && !latest;
        let containers = if none { None } else { Some(select::several(containers, latest)?) };
        Ok(Verb::Stats(Stats { containers, all, no_stream, no_trunc, no_reset, interval, format }))
    }
}

fn interval(text: &str) -> Result<Duration, Invalid> {
    let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| Invalid::new(format!("{text:?} is not from 1 to 86400")))
}
