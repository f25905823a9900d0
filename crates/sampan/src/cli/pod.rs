//! The verbs of pods.

use super::Verb;
use super::list::{Format, container};
use super::logs::{Count, tail};
use super::run::flags;
use super::run::request as read;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::containers::Choice;
use engine::filter;
use engine::pods::{self, Shares};
use engine::request::process::{self, Patience, Signal};
use engine::request::{Restart, Run};
use engine::time::{Moment, moment};
use spec::ContainerId;
use spec::unit::{Invalid, Size};
use std::path::PathBuf;

/// One call about pods.
#[derive(Debug, Clone)]
pub enum Call {
    Create(Box<Made>),
    List(List),
    Inspect(Inspect),
    Exists(Exists),
    Start(Start),
    Stop(Stop),
    Restart(RestartPods),
    Kill(Kill),
    Pause(Pause),
    Unpause(Unpause),
    Remove(Remove),
    Prune(Prune),
    Logs(Logs),
    Top(Top),
    Stats(Stats),
}

/// Which pods a verb is about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Which {
    /// All pods
    #[arg(long, short)]
    pub all: bool,
    /// The pod that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "POD", value_parser = container)]
    pub pods: Vec<ContainerId>,
}

impl Which {
    #[must_use]
    pub fn choice(&self, ignore: bool) -> Choice {
        let words = self.pods.iter().map(ToString::to_string).collect();
        Choice { words, all: self.all, latest: self.latest, ignore }
    }
}

#[derive(Debug, Args)]
pub struct Create {
    /// A name to call it by
    #[arg(long, short, value_name = "NAME", value_parser = container, conflicts_with = "word")]
    name: Option<ContainerId>,
    /// A process of the pod's own holds what it shares; on unless =false
    #[arg(long, default_value = "true")]
    infra: bool,
    /// The name of its container
    #[arg(long, value_name = "NAME", value_parser = container)]
    infra_name: Option<ContainerId>,
    /// Namespaces that its containers share: cgroup, ipc, net, pid, uts or none [default: ipc,net,uts]
    #[arg(long, value_name = "NAMESPACE,...")]
    share: Option<Shares>,
    /// Set a label
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = process::label)]
    label: Vec<(String, String)>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// When its containers are started again, where they do not say so themselves
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: Restart,
    /// What becomes of it when its last container has ended: continue
    #[arg(long, value_name = "POLICY", default_value = "continue", value_parser = exit_policy)]
    exit_policy: String,
    /// Write its id to a file
    #[arg(long, value_name = "FILE")]
    pod_id_file: Option<PathBuf>,
    /// Remove a pod of this name first
    #[arg(long)]
    replace: bool,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<Size>,
    /// Set a kernel parameter of its namespaces
    #[arg(long, value_name = "NAME=VALUE", value_parser = process::sysctl)]
    sysctl: Vec<(String, String)>,
    #[command(flatten)]
    network: flags::Network,
    #[command(flatten)]
    namespaces: flags::Namespaces,
    #[arg(value_name = "NAME", value_parser = container)]
    word: Option<ContainerId>,
}

/// What is to be made, and where its id goes.
#[derive(Debug, Clone)]
pub struct Made {
    pub create: pods::Create,
    pub id_file: Option<PathBuf>,
}

impl Leaf for Create {
    const NAMES: &[&str] = &["pod create"];
    const ABOUT: &str = "Make a pod";
    const USAGE: &str = "sampan pod create [OPTIONS] [NAME]";
    /// As in `run`, `-h` is the host name.
    const SHORT_HELP: bool = false;

    fn verb(self) -> Result<Verb, Failure> {
        let labels = read::labels(&self.label_file, self.label)?.into_iter().collect();
        let network = read::network_of(self.network)?;
        let namespaces = read::namespaces_of(self.namespaces);
        let infra = if self.infra {
            let shares = self.share.map_or_else(|| pods::Share::DEFAULT.into(), |shares| shares.0);
            let mut request = Run { network, namespaces, ..Run::default() };
            request.files.shm_size = self.shm_size;
            request.security.sysctls = self.sysctl;
            Some(pods::Infra { name: self.infra_name, shares, request })
        } else {
            alone(&self.share.unwrap_or_default(), &network, self.infra_name.as_ref())?;
            None
        };
        let create = pods::Create {
            name: self.name.or(self.word),
            labels,
            infra,
            restart: self.restart,
            replace: self.replace,
            command: std::env::args().collect(),
        };
        Ok(Verb::Pod(Box::new(Call::Create(Box::new(Made { create, id_file: self.pod_id_file })))))
    }
}

/// Without a process that holds them there are no namespaces.
fn alone(shares: &Shares, network: &engine::request::Network, name: Option<&ContainerId>) -> Result<(), Failure> {
    let why = if !shares.0.is_empty() {
        "namespaces to share need a process that holds them"
    } else if name.is_some() || *network != engine::request::Network::default() {
        "a name, a network and ports are the infra container's"
    } else {
        return Ok(());
    };
    Err(Failure::new("cannot make a pod without an infra container").cause(why).hint("leave --infra=false out"))
}

fn exit_policy(text: &str) -> Result<String, Invalid> {
    match text {
        "continue" => Ok(text.to_owned()),
        "stop" => Err(Invalid::new("a pod of this version goes on when its last container has ended")
            .hint("sampan pod stop ends it")),
        _ => Err(Invalid::new("unknown exit policy").hint("continue")),
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct List {
    /// Show only those of which this is true: ctr-ids, ctr-names, ctr-number, ctr-status, id, label, name, status or until
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Pod>,
    /// Show the ids of their containers
    #[arg(long)]
    pub ctr_ids: bool,
    /// Show the names of their containers
    #[arg(long)]
    pub ctr_names: bool,
    /// Show the states of their containers
    #[arg(long)]
    pub ctr_status: bool,
    /// Only the one that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Print no header
    #[arg(long, short = 'n')]
    pub noheading: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}
named!(List of Pod, ["pod ps", "pod ls", "pod list"], "List pods", "sampan pod ps [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Inspect {
    /// json, or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The pod that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present = "latest", value_name = "POD", value_parser = container)]
    pub pods: Vec<ContainerId>,
}
named!(Inspect of Pod, ["pod inspect"], "Show all of pods", "sampan pod inspect [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Exists {
    /// By name or id
    #[arg(value_name = "POD")]
    pub pod: String,
}
named!(Exists of Pod, ["pod exists"], "Say by the exit code whether there is such a pod", "sampan pod exists POD");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Start {
    #[command(flatten)]
    pub which: Which,
}
named!(Start of Pod, ["pod start"], "Start all containers of pods", "sampan pod start [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Stop {
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub ignore: bool,
    /// Seconds until they are killed, or -1 [default: the containers', or 10]
    #[arg(long, short, alias = "timeout", value_name = "SECONDS")]
    pub time: Option<Patience>,
    #[command(flatten)]
    pub which: Which,
}
named!(Stop of Pod, ["pod stop"], "Stop all containers of pods", "sampan pod stop [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RestartPods {
    #[command(flatten)]
    pub which: Which,
}

impl Leaf for RestartPods {
    const NAMES: &[&str] = &["pod restart"];
    const ABOUT: &str = "Stop all containers of pods and start them";
    const USAGE: &str = "sampan pod restart [OPTIONS] POD [POD...]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Pod(Box::new(Call::Restart(self))))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Kill {
    /// By name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL", value_parser = process::signal)]
    pub signal: Signal,
    #[command(flatten)]
    pub which: Which,
}
named!(Kill of Pod, ["pod kill"], "Send a signal to all containers of pods", "sampan pod kill [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pause {
    #[command(flatten)]
    pub which: Which,
}
named!(Pause of Pod, ["pod pause"], "Pause all containers of pods", "sampan pod pause [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Unpause {
    #[command(flatten)]
    pub which: Which,
}
named!(Unpause of Pod, ["pod unpause"], "Let paused pods go on", "sampan pod unpause [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Remove {
    /// Stop the containers that run first, and do not complain about a pod that is not there
    #[arg(long, short)]
    pub force: bool,
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub ignore: bool,
    /// Seconds until they are killed, or -1 [default: the containers', or 10]
    #[arg(long, short, alias = "timeout", value_name = "SECONDS")]
    pub time: Option<Patience>,
    #[command(flatten)]
    pub which: Which,
}
named!(Remove of Pod, ["pod rm", "pod remove"], "Remove pods and their containers", "sampan pod rm [OPTIONS] POD [POD...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Prune {
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
}
named!(Prune of Pod, ["pod prune"], "Remove the pods whose containers have ended", "sampan pod prune [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Logs {
    /// Only of this container
    #[arg(long, short, value_name = "CONTAINER", value_parser = container)]
    pub container: Option<ContainerId>,
    /// Print more as it comes, until the containers have ended
    #[arg(long, short)]
    pub follow: bool,
    /// Print so many lines of the end, or all
    #[arg(long, value_name = "NUMBER", default_value = "all", value_parser = tail)]
    pub tail: Count,
    /// Print nothing from before this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// Print nothing from after this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Moment>,
    /// Print the time of each line
    #[arg(long, short)]
    pub timestamps: bool,
    /// Print names and not ids before the lines
    #[arg(long, short)]
    pub names: bool,
    /// With a colour for each container
    #[arg(long)]
    pub color: bool,
    /// Of the pod that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present = "latest", value_name = "POD", value_parser = container)]
    pub pod: Option<ContainerId>,
}
named!(Logs of Pod, ["pod logs"], "Print what the containers of a pod printed", "sampan pod logs [OPTIONS] POD");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Top {
    /// Of the pod that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// The pod, unless --latest is given; then columns, or options of ps
    #[arg(trailing_var_arg = true, value_name = "POD [COLUMN...|PS OPTIONS]", required_unless_present = "latest")]
    pub words: Vec<String>,
}
named!(
    Top of Pod,
    ["pod top"],
    "List the processes of the containers of a pod",
    "sampan pod top [OPTIONS] POD [COLUMN...|PS OPTIONS]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Stats {
    /// Of all pods
    #[arg(long, short)]
    pub all: bool,
    /// Of the pod that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// Print once
    #[arg(long)]
    pub no_stream: bool,
    /// Do not clear the screen each time
    #[arg(long)]
    pub no_reset: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// By name, id or the start of an id; all if none is named
    #[arg(value_name = "POD", value_parser = container)]
    pub pods: Vec<ContainerId>,
}
named!(Stats of Pod, ["pod stats"], "Show what the containers of pods use", "sampan pod stats [OPTIONS] [POD...]");
