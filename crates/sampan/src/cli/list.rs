//! The verbs with few flags.

use super::lifecycle::Which;
use super::tree::{Leaf, named};
use super::{Shell, Verb};
use crate::template::Template;
use crate::ui::Failure;
use clap::Args;
use engine::filter;
use spec::ContainerId;
use spec::unit::Invalid;
use std::str::FromStr;

/// How results are printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    Template(Template),
}

impl FromStr for Format {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ if text.starts_with("table ") || text.contains("{{") => text.parse().map(Self::Template),
            _ => Err(Invalid::new("unknown format").hint("one of table, json, or a template such as {{.ID}}")),
        }
    }
}

/// docker's exit code for a format that cannot be read, where it is not a list that is printed.
const BAD_FORMAT: u8 = 64;

/// For verbs that are no lists.
///
/// # Errors
/// It is no format.
pub fn format(text: Option<&str>) -> Result<Option<Format>, Failure> {
    let invalid = |text: &str, error| Failure::invalid(format!("invalid value {text:?} for --format"), error);
    let read = |text: &str| text.parse().map_err(|error| invalid(text, error).code(BAD_FORMAT));
    text.map(read).transpose()
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Ps {
    /// Show containers that have exited too
    #[arg(long, short)]
    pub all: bool,
    /// Show only those of which this is true: ancestor, before, exited, expose, id, label, name, network, publish, since,
    /// status or volume
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Container>,
    /// Show so many, the newest first, running or not
    #[arg(long, short = 'n', value_name = "NUMBER")]
    pub last: Option<usize>,
    /// The same as --last 1
    #[arg(long, short)]
    pub latest: bool,
    /// Print how much of the disk each takes
    #[arg(long, short)]
    pub size: bool,
    /// Show which pods they are in
    #[arg(long, short)]
    pub pod: bool,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print whole ids and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Print no header
    #[arg(long)]
    pub noheading: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

impl Leaf for Ps {
    const NAMES: &[&str] = &["ps", "container ls", "container list", "container ps"];
    const ABOUT: &str = "List containers";
    const USAGE: &str = "sampan ps [OPTIONS]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Ps(self))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Remove {
    /// Kill a running container first, and do not complain about one that is not there
    #[arg(long, short)]
    pub force: bool,
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub ignore: bool,
    /// Remove its volumes that nobody named, too
    #[arg(long, short)]
    pub volumes: bool,
    #[command(flatten)]
    pub which: Which,
}

/// A name, an id or the start of one.
pub fn container(text: &str) -> Result<ContainerId, Invalid> {
    let invalid = |error: spec::id::InvalidId| {
        Invalid::new(error.to_string()).hint("a letter or digit, then letters, digits, _, . and -; 128 at most")
    };
    ContainerId::parse(text).map_err(invalid)
}

impl Leaf for Remove {
    const NAMES: &[&str] = &["rm", "container rm", "container remove"];
    const ABOUT: &str = "Remove containers";
    const USAGE: &str = "sampan rm [OPTIONS] CONTAINER [CONTAINER...]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Remove(self))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ImageList {
    /// Taken and not needed: there are no images in between, and those without a name are always shown
    #[arg(long, short)]
    pub all: bool,
    /// Show only those of which this is true: before, dangling, label, reference, since or until
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Image>,
    /// Print digests of manifests too
    #[arg(long)]
    pub digests: bool,
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
    /// Show only those of this name, in which * and ? stand for others
    #[arg(value_name = "NAME")]
    pub name: Option<filter::Pattern>,
}

impl Leaf for ImageList {
    const NAMES: &[&str] = &["images", "image ls", "image list"];
    const ABOUT: &str = "List images";
    const USAGE: &str = "sampan images [OPTIONS] [NAME[:TAG]]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::ImageList(self))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageRemove {
    /// Remove all images
    #[arg(long, short)]
    pub all: bool,
    /// Remove the image even if a container uses it, and do not complain about one that is not there
    #[arg(long, short)]
    pub force: bool,
    /// By name or id
    #[arg(required_unless_present = "all", value_name = "IMAGE")]
    pub images: Vec<String>,
}

impl Leaf for ImageRemove {
    const NAMES: &[&str] = &["rmi", "image rm", "image remove"];
    const ABOUT: &str = "Remove images";
    const USAGE: &str = "sampan rmi [OPTIONS] IMAGE [IMAGE...]";

    fn verb(self) -> Result<Verb, Failure> {
        if self.all && !self.images.is_empty() {
            return Err(Failure::new("cannot remove images").cause("--all is all of them, and some are named"));
        }
        Ok(Verb::ImageRemove(self))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageBootstrap {
    /// What to make
    #[arg(value_name = "NAME")]
    pub name: String,
}

impl Leaf for ImageBootstrap {
    const NAMES: &[&str] = &["image bootstrap"];
    const ABOUT: &str = "Make an image from this machine's own files";
    const USAGE: &str = "sampan image bootstrap NAME";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::ImageBootstrap(self))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Info {
    /// table, json, or a template as docker takes
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Doctor {
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

named!(Doctor, ["doctor"], "Find what will fail on this host before it fails", "sampan doctor [OPTIONS]");

impl Leaf for Info {
    const NAMES: &[&str] = &["info", "system info"];
    const ABOUT: &str = "Show what this machine offers";
    const USAGE: &str = "sampan info [OPTIONS]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Info(self))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Version {
    /// table, json, or a template as docker takes
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

impl Leaf for Version {
    const NAMES: &[&str] = &["version"];
    const ABOUT: &str = "Show the version";
    const USAGE: &str = "sampan version [OPTIONS]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Version(self))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Completion {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_name = "SHELL", value_parser = shell)]
    pub shell: Shell,
}

fn shell(text: &str) -> Result<Shell, Invalid> {
    text.parse().map_err(|_| Invalid::new("unknown shell").hint("one of bash, elvish, fish, powershell, zsh"))
}

impl Leaf for Completion {
    const NAMES: &[&str] = &["completion"];
    const ABOUT: &str = "Print a completion script for a shell";
    const USAGE: &str = "sampan completion SHELL";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Completion(self.shell))
    }
}
