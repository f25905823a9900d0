//! The verbs for images in files, and for the room that they take.

use super::Verb;
use super::list::Format;
use super::registry::Access;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use spec::unit::Invalid;
use std::path::PathBuf;
use std::str::FromStr;

/// The form of what is saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// An OCI layout with docker's list beside its index: docker-archive and oci-archive at once.
    #[default]
    Archive,
    /// The same as a directory.
    Directory,
}

impl FromStr for Form {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "docker-archive" | "oci-archive" => Ok(Self::Archive),
            "oci-dir" => Ok(Self::Directory),
            _ => Err(Invalid::new("unknown format").hint("one of docker-archive, oci-archive, oci-dir")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Save {
    /// Write here instead of to the standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// docker-archive, oci-archive (both the same file) or oci-dir
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    pub format: Form,
    /// Print nothing
    #[arg(long, short)]
    pub quiet: bool,
    /// By name or id
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

named!(Save, ["save", "image save"], "Write images to a file", "sampan save [OPTIONS] IMAGE [IMAGE...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Load {
    /// Read this file or directory instead of the standard input
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print nothing
    #[arg(long, short)]
    pub quiet: bool,
    /// The name of an image that has none
    #[arg(long, short, value_name = "NAME")]
    pub tag: Option<String>,
}

named!(Load, ["load", "image load"], "Read images from a file", "sampan load [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImagePrune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(long, short)]
    pub all: bool,
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
    /// Remove only those of which this is true: label, label!, until
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<engine::filter::Image>,
}

named!(ImagePrune, ["image prune"], "Remove images without a name", "sampan image prune [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SystemPrune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(long, short)]
    pub all: bool,
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
    /// Anonymous volumes that no container uses, too
    #[arg(long)]
    pub volumes: bool,
}

named!(
    SystemPrune,
    ["system prune"],
    "Remove containers that do not run, and the networks and images that nobody needs then",
    "sampan system prune [OPTIONS]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DiskUsage {
    /// Show each image and container
    #[arg(long, short)]
    pub verbose: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

named!(DiskUsage, ["system df"], "Show what images and containers take of the disk", "sampan system df [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// Fetch again what is bad
    #[arg(long, short)]
    pub repair: bool,
    #[command(flatten)]
    pub access: Access,
}

named!(Check, ["system check"], "Prove that the store holds what it says", "sampan system check [OPTIONS]");
