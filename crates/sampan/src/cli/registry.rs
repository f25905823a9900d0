//! The verbs that talk to registries, and the flags that say how these are reached.

use super::Verb;
use super::list::Format;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::remote::{self, Credentials};
use engine::request::Platform;
use spec::unit::{Duration, Invalid, boolean};
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Registry")]
pub struct Access {
    /// Whether registries must have TLS with a certificate that is known; not needed on this machine itself
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub tls_verify: Option<bool>,
    /// Where logins are kept
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub authfile: Option<PathBuf>,
    /// Who to be there, once
    #[arg(long, value_name = "USER:PASSWORD", value_parser = credentials)]
    pub creds: Option<Credentials>,
    /// Authorities (*.crt) and a client's certificate (*.cert, *.key) for the registry
    #[arg(long, value_name = "DIR", value_parser = path)]
    pub cert_dir: Option<PathBuf>,
    /// How often to try again what a registry does not answer
    #[arg(long, value_name = "NUMBER")]
    pub retry: Option<u32>,
    /// After this time each, and not after ever longer ones
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<Duration>,
}

impl Access {
    #[must_use]
    pub fn access(&self) -> remote::Access {
        remote::Access {
            tls_verify: self.tls_verify,
            authfile: self.authfile.clone(),
            credentials: self.creds.clone(),
            cert_dir: self.cert_dir.clone(),
            retry: remote::Retry { times: self.retry, delay: self.retry_delay.map(|delay| delay.0) },
        }
    }
}

fn path(text: &str) -> Result<PathBuf, Invalid> {
    std::path::absolute(text).map_err(|_| Invalid::new("not a path").hint("write a path"))
}

fn credentials(text: &str) -> Result<Credentials, Invalid> {
    match text.split_once(':') {
        Some((user, _)) if !user.is_empty() => Ok(Credentials::parse(text)),
        _ => Err(Invalid::new("not a user and a password").hint("write USER:PASSWORD")),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Pull {
    /// Fetch all tags of the repository
    #[arg(long, short)]
    pub all_tags: bool,
    /// Which of an image's platforms
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Print the image's name only
    #[arg(long, short)]
    pub quiet: bool,
    /// Taken and not needed: contents are verified by their digests
    #[arg(long, default_value = "true")]
    pub disable_content_trust: bool,
    #[command(flatten)]
    pub access: Access,
    /// By name, with a tag or a digest
    #[arg(value_name = "IMAGE")]
    pub name: String,
}

impl Leaf for Pull {
    const NAMES: &[&str] = &["pull", "image pull"];
    const ABOUT: &str = "Fetch an image from a registry";
    const USAGE: &str = "sampan pull [OPTIONS] IMAGE[:TAG|@DIGEST]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Pull(self))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Login {
    /// Who to be there
    #[arg(long, short, value_name = "USER")]
    pub username: Option<String>,
    /// The password, for all to see who list processes
    #[arg(long, short, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Read the password from the standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Print who is logged in
    #[arg(long)]
    pub get_login: bool,
    #[command(flatten)]
    pub access: Access,
    /// The registry's host; docker.io if there is none
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}

named!(Login, ["login"], "Keep who to be at a registry", "sampan login [OPTIONS] [REGISTRY]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Logout {
    /// Of all registries
    #[arg(long, short)]
    pub all: bool,
    /// Where logins are kept
    #[arg(long, value_name = "FILE", value_parser = path)]
    pub authfile: Option<PathBuf>,
    /// The registry's host; docker.io if there is none
    #[arg(value_name = "REGISTRY")]
    pub registry: Option<String>,
}

named!(Logout, ["logout"], "Forget who to be at a registry", "sampan logout [OPTIONS] [REGISTRY]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Tag {
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub source: String,
    /// The new name
    #[arg(value_name = "NAME")]
    pub target: String,
}

named!(Tag, ["tag", "image tag"], "Give an image one more name", "sampan tag IMAGE NAME[:TAG]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Untag {
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub source: String,
    /// The names to take away; all, if none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

named!(Untag, ["untag", "image untag"], "Take names of an image away", "sampan untag IMAGE [NAME...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Tags {
    #[command(flatten)]
    pub access: Access,
    /// The repository
    #[arg(value_name = "NAME")]
    pub name: String,
}

named!(Tags, ["tags", "image tags"], "List the tags of a repository at its registry", "sampan tags [OPTIONS] NAME");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Search {
    /// Show only those of which this is true: is-official, is-automated or stars
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = sought)]
    pub filter: Vec<Sought>,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER", default_value = "25")]
    pub limit: usize,
    /// Print whole descriptions
    #[arg(long)]
    pub no_trunc: bool,
    #[command(flatten)]
    pub access: Access,
    /// What to look for, at docker.io or at the registry whose host stands before it
    #[arg(value_name = "[HOST/]TERM")]
    pub term: String,
}

/// A condition of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    Official(bool),
    Automated(bool),
    /// At least.
    Stars(u64),
}

fn sought(text: &str) -> Result<Sought, Invalid> {
    let bad = || Invalid::new("not a filter").hint("is-official=true, is-automated=false or stars=3");
    let (key, value) = text.split_once('=').ok_or_else(bad)?;
    match key {
        "is-official" => boolean(value).map(Sought::Official),
        "is-automated" => boolean(value).map(Sought::Automated),
        "stars" => value.parse().map(Sought::Stars).map_err(|_| bad()),
        _ => Err(bad()),
    }
}

impl Leaf for Search {
    const NAMES: &[&str] = &["search"];
    const ABOUT: &str = "Search a registry for repositories";
    const USAGE: &str = "sampan search [OPTIONS] [HOST/]TERM";

    fn verb(self) -> Result<Verb, Failure> {
        if !(1..=100).contains(&self.limit) {
            return Err(Failure::new(format!("cannot show {} repositories", self.limit)).hint("1 to 100"));
        }
        Ok(Verb::Search(self))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Referrers {
    /// Only those of this type
    #[arg(long, value_name = "TYPE")]
    pub artifact_type: Option<String>,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    #[command(flatten)]
    pub access: Access,
    /// By name, with a tag or a digest
    #[arg(value_name = "IMAGE")]
    pub name: String,
}

named!(
    Referrers,
    ["image referrers"],
    "List what belongs to an image at its registry: signatures and the like",
    "sampan image referrers [OPTIONS] IMAGE"
);
