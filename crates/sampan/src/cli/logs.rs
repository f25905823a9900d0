//! The verbs that look back: what containers printed, and what happened.

use super::Verb;
use super::list::container;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::filter;
use engine::time::{Moment, moment};
use spec::ContainerId;
use spec::unit::Invalid;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Logs {
    /// Print more as it comes, until the container has ended
    #[arg(long, short)]
    pub follow: bool,
    /// Print so many lines of the end, or all
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "all", value_parser = tail)]
    pub tail: Count,
    /// Print nothing from before this: 2024-05-06T07:08:09Z, seconds since 1970, or 10m for so long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Print nothing from after this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// Print the time of each line
    #[arg(long, short)]
    pub timestamps: bool,
    /// Print the labels and variables that --log-opt named, and the tag
    #[arg(long)]
    pub details: bool,
    /// Print the container's name before each line
    #[arg(long)]
    pub names: bool,
    /// With a colour for each container
    #[arg(long)]
    pub color: bool,
    /// Of the container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container, required_unless_present = "latest", conflicts_with = "latest")]
    pub containers: Vec<ContainerId>,
}

/// How many lines; `None`: all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub Option<u64>);

/// As in docker, a negative number is all of them.
pub(super) fn tail(text: &str) -> Result<Count, Invalid> {
    match text.parse::<i64>() {
        Ok(number) => Ok(Count(u64::try_from(number).ok())),
        Err(_) if text == "all" => Ok(Count(None)),
        Err(_) => Err(Invalid::new("not a number of lines").hint("write a number, or all")),
    }
}

named!(
    Logs,
    ["logs", "container logs"],
    "Print what containers printed",
    "sampan logs [OPTIONS] CONTAINER [CONTAINER...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Events {
    /// Print only those of which this is true: container, event, image, label, network, type or volume
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Event>,
    /// Begin with those of this moment: 2024-05-06T07:08:09Z, seconds since 1970, or 10m for so long ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// End with those of this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// json, or a template as docker takes
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Go on with those that come
    #[arg(long, default_value = "true")]
    pub stream: bool,
    /// Taken and not needed: ids are whole
    #[arg(long)]
    pub no_trunc: bool,
}

named!(Events, ["events", "system events"], "Print what happens", "sampan events [OPTIONS]");
