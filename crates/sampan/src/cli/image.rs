//! The verbs that show what an image is made of, and that make images without a registry.

use super::Verb;
use super::list::{Format, container};
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::request::{Changes, Platform};
use spec::ContainerId;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct History {
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print whole ids and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Print sizes and times for people; without it bytes and dates
    #[arg(long, short = 'H', default_value = "true")]
    pub human: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

named!(History, ["history", "image history"], "Show how an image was made", "sampan history [OPTIONS] IMAGE");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageTree {
    /// Show the images that stand on this one, instead
    #[arg(long)]
    pub whatrequires: bool,
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

named!(ImageTree, ["image tree"], "Show the layers of an image as a tree", "sampan image tree [OPTIONS] IMAGE");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Commit {
    /// Who made it
    #[arg(long, short, value_name = "AUTHOR", default_value = "", hide_default_value = true)]
    pub author: String,
    /// A line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    pub change: Vec<Changes>,
    /// What to say of it
    #[arg(long, short, value_name = "MESSAGE", default_value = "", hide_default_value = true)]
    pub message: String,
    /// Hold its processes still meanwhile; on unless =false
    #[arg(long, short, default_value = "true")]
    pub pause: bool,
    /// Taken and not needed: only the id is printed
    #[arg(long, short)]
    pub quiet: bool,
    /// Write the id to this file, too
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    pub container: ContainerId,
    /// The image's; it may go without
    #[arg(value_name = "NAME[:TAG]")]
    pub name: Option<String>,
}

named!(
    Commit,
    ["commit", "container commit"],
    "Make an image of what a container has changed",
    "sampan commit [OPTIONS] CONTAINER [NAME[:TAG]]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Export {
    /// Write here instead of to the standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Of the container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    pub container: Option<ContainerId>,
}

named!(
    Export,
    ["export", "container export"],
    "Write all files of a container to a tar",
    "sampan export [OPTIONS] CONTAINER"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Import {
    /// A line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    pub change: Vec<Changes>,
    /// What to say of it
    #[arg(long, short, value_name = "MESSAGE", default_value = "", hide_default_value = true)]
    pub message: String,
    /// What the files in it are for; this machine's if it is not said
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Taken and not needed: only the id is printed
    #[arg(long, short)]
    pub quiet: bool,
    /// A tar, plain or packed with gzip or zstd; - is the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The image's; it may go without
    #[arg(value_name = "NAME[:TAG]")]
    pub name: Option<String>,
}

named!(
    Import,
    ["import", "image import"],
    "Make an image of the files in a tar",
    "sampan import [OPTIONS] FILE|- [NAME[:TAG]]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Diff {
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// A container by name, id or the start of an id; or an image
    #[arg(value_name = "CONTAINER|IMAGE")]
    pub of: String,
}

named!(
    Diff,
    ["diff"],
    "List what a container has changed, or an image's last layer",
    "sampan diff [OPTIONS] CONTAINER|IMAGE"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ContainerDiff {
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Of the container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    pub container: Option<ContainerId>,
}

named!(
    ContainerDiff,
    ["container diff"],
    "List what a container has changed",
    "sampan container diff [OPTIONS] CONTAINER"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageDiff {
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// What to compare it with; the layers below its last one if it is not said
    #[arg(value_name = "OTHER")]
    pub other: Option<String>,
}

named!(
    ImageDiff,
    ["image diff"],
    "List what an image changes in another one, or its last layer in those below",
    "sampan image diff [OPTIONS] IMAGE [OTHER]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageMount {
    /// Mount all images
    #[arg(long, short)]
    pub all: bool,
    /// json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// By name or id; what is mounted is listed, if there is none
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
}

named!(
    ImageMount,
    ["image mount"],
    "Mount images on this machine, to be looked into, and print where",
    "sampan image mount [OPTIONS] [IMAGE...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageUnmount {
    /// Unmount all that are mounted
    #[arg(long, short)]
    pub all: bool,
    /// At once, however often it was mounted
    #[arg(long, short)]
    pub force: bool,
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
}

named!(
    ImageUnmount,
    ["image unmount", "image umount"],
    "Unmount images that were mounted on this machine",
    "sampan image unmount [OPTIONS] [IMAGE...]"
);
