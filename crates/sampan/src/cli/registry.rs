//! The verbs that talk to registries, and the flags that say how these are reached.

use super::Verb;
use super::tree::Leaf;
use crate::ui::Failure;
use clap::Args;
use engine::remote::{self, Credentials};
use engine::request::Platform;
use spec::unit::{Invalid, boolean};
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
}

impl Access {
    #[must_use]
    pub fn access(&self) -> remote::Access {
        remote::Access {
            tls_verify: self.tls_verify,
            authfile: self.authfile.clone(),
            credentials: self.creds.clone(),
            cert_dir: self.cert_dir.clone(),
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
