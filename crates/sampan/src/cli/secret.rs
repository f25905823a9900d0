//! The verbs of secrets.

use super::Verb;
use super::list::Format;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::request::process::label;
use engine::request::secret;
use spec::unit::Invalid;
use std::str::FromStr;

/// One call about secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Create(Create),
    List(List),
    Inspect(Inspect),
    Remove(Remove),
    Exists(Exists),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Create {
    /// file, the only one
    #[arg(long, short, value_name = "DRIVER", default_value = "file", value_parser = driver)]
    pub driver: String,
    /// FILE is the name of a variable of the environment
    #[arg(long)]
    pub env: bool,
    /// No error if there is one of this name
    #[arg(long)]
    pub ignore: bool,
    /// Set a label
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// In place of one of this name
    #[arg(long)]
    pub replace: bool,
    /// Its name
    #[arg(value_name = "NAME", value_parser = secret::name)]
    pub name: String,
    /// What is in it; - is the standard input
    #[arg(value_name = "FILE")]
    pub file: String,
}

named!(Create of Secret, ["secret create"], "Keep a secret", "sampan secret create [OPTIONS] NAME FILE|-");

fn driver(text: &str) -> Result<String, Invalid> {
    if text == "file" {
        return Ok(text.to_owned());
    }
    Err(Invalid::new(format!("there is no driver {text:?}")).hint("file is the only one"))
}

/// Which are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// A part of its name.
    Name(String),
    /// How its id starts.
    Id(String),
}

impl FromStr for Filter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('=') {
            Some(("name", value)) => Ok(Self::Name(value.to_owned())),
            Some(("id", value)) => Ok(Self::Id(value.to_owned())),
            _ => Err(Invalid::new("there is no such filter").hint("name= or id=")),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct List {
    /// Show only those of which this is true: name or id
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<Filter>,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print no header
    #[arg(long, short)]
    pub noheading: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

named!(List of Secret, ["secret ls", "secret list"], "List secrets", "sampan secret ls [OPTIONS]");

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Inspect {
    /// json, or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// By name, id or the start of an id
    #[arg(required = true, value_name = "SECRET")]
    pub secrets: Vec<String>,
}

named!(
    Inspect of Secret,
    ["secret inspect"],
    "Show what is known of secrets, but for what is in them",
    "sampan secret inspect [OPTIONS] SECRET [SECRET...]"
);

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Remove {
    /// All of them
    #[arg(long, short)]
    pub all: bool,
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub ignore: bool,
    /// By name, id or the start of an id
    #[arg(required_unless_present = "all", value_name = "SECRET")]
    pub secrets: Vec<String>,
}

named!(Remove of Secret, ["secret rm", "secret remove"], "Remove secrets", "sampan secret rm [OPTIONS] SECRET [SECRET...]");

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Exists {
    /// By name, id or the start of an id
    #[arg(value_name = "SECRET")]
    pub secret: String,
}

named!(Exists of Secret, ["secret exists"], "End with 0 if there is this secret, else with 1", "sampan secret exists SECRET");
