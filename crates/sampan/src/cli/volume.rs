//! The verbs for volumes.

use super::Verb;
use super::list::Format;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::filter;
use engine::request::mount;
use engine::request::process::label;
use spec::unit::Invalid;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct VolumeCreate {
    /// local, the only one
    #[arg(long, short, value_name = "DRIVER", default_value = "local", value_parser = driver)]
    pub driver: String,
    /// No error if there is one of this name
    #[arg(long)]
    pub ignore: bool,
    /// Set a label
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// type=, device= and o= as mount(8) has them, or size=
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = label)]
    pub opt: Vec<(String, String)>,
    /// Its name; one of its own if it is not said
    #[arg(value_name = "NAME", value_parser = mount::name)]
    pub name: Option<String>,
}

named!(VolumeCreate, ["volume create"], "Make a volume", "sampan volume create [OPTIONS] [NAME]");

fn driver(text: &str) -> Result<String, Invalid> {
    mount::local(text).map(|()| text.to_owned())
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct VolumeList {
    /// Show only those of which this is true: anonymous, dangling, driver, label, label!, name, opt, scope, since, until
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Volume>,
    /// Print names only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print no header
    #[arg(long, short)]
    pub noheading: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

named!(VolumeList, ["volume ls", "volume list"], "List volumes", "sampan volume ls [OPTIONS]");

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct VolumeInspect {
    /// All of them
    #[arg(long, short)]
    pub all: bool,
    /// json, or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// By name, or the start of one
    #[arg(required_unless_present = "all", value_name = "VOLUME")]
    pub volumes: Vec<String>,
}

named!(
    VolumeInspect,
    ["volume inspect"],
    "Show all that is known of volumes",
    "sampan volume inspect [OPTIONS] VOLUME [VOLUME...]"
);

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct VolumeRemove {
    /// Remove all that no container uses
    #[arg(long, short)]
    pub all: bool,
    /// Remove the containers that use it first, and do not complain about one that is not there
    #[arg(long, short)]
    pub force: bool,
    /// By name, or the start of one
    #[arg(required_unless_present = "all", value_name = "VOLUME")]
    pub volumes: Vec<String>,
}

named!(
    VolumeRemove,
    ["volume rm", "volume remove"],
    "Remove volumes, with what is in them",
    "sampan volume rm [OPTIONS] VOLUME [VOLUME...]"
);

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct VolumePrune {
    /// Not only those that nobody named
    #[arg(long, short)]
    pub all: bool,
    /// Remove only those of which this is true, as in ls
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Volume>,
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
}

named!(VolumePrune, ["volume prune"], "Remove volumes that no container uses", "sampan volume prune [OPTIONS]");

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct VolumeExists {
    /// The whole name
    #[arg(value_name = "VOLUME")]
    pub volume: String,
}

named!(
    VolumeExists,
    ["volume exists"],
    "End with 0 if there is this volume, else with 1",
    "sampan volume exists VOLUME"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct VolumeExport {
    /// Write here instead of to the standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// By name, or the start of one
    #[arg(value_name = "VOLUME")]
    pub volume: String,
}

named!(
    VolumeExport,
    ["volume export"],
    "Write all files of a volume to a tar",
    "sampan volume export [OPTIONS] VOLUME"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct VolumeImport {
    /// By name, or the start of one
    #[arg(value_name = "VOLUME")]
    pub volume: String,
    /// A tar, plain or packed with gzip or zstd; - is the standard input
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub file: PathBuf,
}

named!(VolumeImport, ["volume import"], "Put the files of a tar into a volume", "sampan volume import VOLUME [FILE|-]");
