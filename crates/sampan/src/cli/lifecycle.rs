//! The verbs of a container's life: create, start, stop, kill, wait, restart, rename.

use super::Verb;
use super::list::container;
use super::run;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::containers;
use engine::request::process::{self, Patience, Signal};
use spec::ContainerId;

/// Which containers a verb is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Which {
    /// All containers
    #[arg(long, short)]
    pub all: bool,
    /// The container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "CONTAINER", value_parser = container)]
    pub containers: Vec<ContainerId>,
}

impl Which {
    #[must_use]
    pub fn which(&self, ignore: bool) -> containers::Choice {
        let words = self.containers.iter().map(ToString::to_string).collect();
        containers::Choice { words, all: self.all, latest: self.latest, ignore }
    }
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    pub run: run::Args,
}

impl Leaf for Create {
    const NAMES: &[&str] = &["create", "container create"];
    const ABOUT: &str = "Make a container, to be started later";
    const USAGE: &str = "sampan create [OPTIONS] IMAGE [COMMAND] [ARG...]\n       \
                         sampan create [OPTIONS] --rootfs DIR COMMAND [ARG...]";
    const SHORT_HELP: bool = false;

    fn verb(self) -> Result<Verb, Failure> {
        self.run.request().map(|request| Verb::Create(Box::new(request)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Start {
    #[command(flatten)]
    pub which: Which,
}
named!(Start, ["start", "container start"], "Start containers", "sampan start [OPTIONS] CONTAINER [CONTAINER...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Stop {
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub ignore: bool,
    /// Instead of the container's own
    #[arg(long, short, value_name = "SIGNAL", value_parser = process::signal)]
    pub signal: Option<Signal>,
    /// Seconds until it is killed, or -1 [default: the container's, or 10]
    #[arg(long, short, alias = "timeout", value_name = "SECONDS")]
    pub time: Option<Patience>,
    #[command(flatten)]
    pub which: Which,
}
named!(Stop, ["stop", "container stop"], "Stop containers", "sampan stop [OPTIONS] CONTAINER [CONTAINER...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Restart {
    /// Instead of the container's own
    #[arg(long, short, value_name = "SIGNAL", value_parser = process::signal)]
    pub signal: Option<Signal>,
    /// Seconds until it is killed, or -1 [default: the container's, or 10]
    #[arg(long, short, alias = "timeout", value_name = "SECONDS")]
    pub time: Option<Patience>,
    /// Of all, only those that run
    #[arg(long)]
    pub running: bool,
    #[command(flatten)]
    pub which: Which,
}
named!(
    Restart,
    ["restart", "container restart"],
    "Stop containers and start them",
    "sampan restart [OPTIONS] CONTAINER [CONTAINER...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Kill {
    /// By name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL", value_parser = process::signal)]
    pub signal: Signal,
    #[command(flatten)]
    pub which: Which,
}
named!(
    Kill,
    ["kill", "container kill"],
    "Send a signal to containers",
    "sampan kill [OPTIONS] CONTAINER [CONTAINER...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Wait {
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub ignore: bool,
    #[command(flatten)]
    pub which: Which,
}
named!(
    Wait,
    ["wait", "container wait"],
    "Wait until containers have ended, and print their exit codes",
    "sampan wait [OPTIONS] CONTAINER [CONTAINER...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rename {
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    pub container: ContainerId,
    /// The new name
    #[arg(value_name = "NAME", value_parser = container)]
    pub name: ContainerId,
}
named!(Rename, ["rename", "container rename"], "Give a container another name", "sampan rename CONTAINER NAME");
