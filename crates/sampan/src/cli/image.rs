//! The verbs that show what an image is made of, and that make images without a registry.

use super::Verb;
use super::list::Format;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;

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
