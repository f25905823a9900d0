//! The verbs of a container's life: create, start, stop, kill, wait, restart, rename.

use super::Verb;
use super::list::container;
use super::run;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::attach::Wish;
use engine::containers;
use engine::control;
use engine::filter;
use engine::request::process::{self, Patience, Signal};
use spec::ContainerId;
use spec::unit::{Duration, Invalid};

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

/// How a terminal is joined with a container's.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Terms {
    /// Keys that detach [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    pub detach_keys: Option<Keys>,
    /// Forward signals; on unless =false
    #[arg(long, default_value = "true")]
    pub sig_proxy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(pub Vec<u8>);

fn keys(text: &str) -> Result<Keys, Invalid> {
    process::detach_keys(text).map(Keys)
}

impl Terms {
    #[must_use]
    pub fn wish(&self, input: bool) -> Wish {
        let detach_keys = self.detach_keys.as_ref().map(|keys| keys.0.clone());
        Wish { input, detach_keys, forward_signals: self.sig_proxy }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Attach {
    /// Do not connect standard input
    #[arg(long)]
    pub no_stdin: bool,
    #[command(flatten)]
    pub terms: Terms,
    /// The container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present = "latest", value_name = "CONTAINER", value_parser = container)]
    pub container: Option<ContainerId>,
}
named!(
    Attach,
    ["attach", "container attach"],
    "Join the terminal with a running container's",
    "sampan attach [OPTIONS] CONTAINER"
);

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
    /// Show its output, forward signals, and end as it does
    #[arg(long, short)]
    pub attach: bool,
    /// The same, and connect standard input
    #[arg(long, short)]
    pub interactive: bool,
    #[command(flatten)]
    pub terms: Terms,
    /// All containers
    #[arg(long)]
    pub all: bool,
    /// The container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "CONTAINER", value_parser = container)]
    pub containers: Vec<ContainerId>,
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
    /// Wait for one of these instead: a state such as running or exited, healthy or unhealthy
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    pub condition: Vec<control::Condition>,
    /// Between two looks at a condition [default: 250ms]
    #[arg(long, short, value_name = "DURATION")]
    pub interval: Option<Duration>,
    /// Do not complain about one that is not there
    #[arg(long)]
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
pub struct ContainerPrune {
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
    /// Remove only those of which this is true: label and others of ps
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Container>,
}
named!(
    ContainerPrune,
    ["container prune"],
    "Remove the containers that do not run",
    "sampan container prune [OPTIONS]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HealthCheck {
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    pub container: ContainerId,
}
named!(HealthCheck, ["healthcheck run"], "Ask a container once whether it is well", "sampan healthcheck run CONTAINER");

/// For verbs without arguments.
macro_rules! plain {
    ($($verb:ident $names:expr, $about:literal, $usage:literal;)*) => {
        $(
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
            pub struct $verb {}
            named!($verb, $names, $about, $usage);
        )*
    };
}
plain! {
    StartAll ["system start-all"], "Start the containers whose restart policy says so", "sampan system start-all";
    StopAll ["system stop-all"], "Stop all containers, which come back with start-all", "sampan system stop-all";
    Enable ["system enable"], "Have systemd start them with the machine", "sampan system enable";
    Disable ["system disable"], "Take that back", "sampan system disable";
}

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
