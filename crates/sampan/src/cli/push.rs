//! `push`, and what all that is sent has in common.

use super::Verb;
use super::registry::Access;
use super::tree::Leaf;
use crate::ui::Failure;
use clap::Args;
use engine::remote::{self, Documents, Packing, Wish};
use engine::request::Platform;
use spec::unit::Invalid;
use std::path::PathBuf;

/// How what is sent is to look, and what is left behind of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Outgoing {
    /// Compress layers so if they are not: gzip or zstd
    #[arg(long, value_name = "FORMAT", value_parser = compression)]
    pub compression_format: Option<Compression>,
    /// How hard: 1 to 9 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "NUMBER")]
    pub compression_level: Option<u32>,
    /// Taken and not needed: where --compression-format is given, all layers have that
    #[arg(long, default_value = "true")]
    pub force_compression: bool,
    /// Write the digest to this file, too
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    /// Whose documents: oci or v2s2 (docker's); those that it has if it is not said
    #[arg(long, short, value_name = "FORMAT", value_parser = documents)]
    pub format: Option<Documents>,
    /// Print nothing but the digest
    #[arg(long, short)]
    pub quiet: bool,
    /// Taken and not needed: no signature is sent
    #[arg(long)]
    pub remove_signatures: bool,
    /// Refused: nothing is signed here
    #[arg(long, value_name = "KEY", hide = true)]
    pub sign_by: Option<String>,
    /// Refused
    #[arg(long, value_name = "FILE", hide = true)]
    pub sign_by_sigstore: Option<String>,
    /// Refused
    #[arg(long, value_name = "FILE", hide = true)]
    pub sign_by_sigstore_private_key: Option<String>,
    /// Refused
    #[arg(long, value_name = "FILE", hide = true)]
    pub sign_passphrase_file: Option<String>,
    /// Refused
    #[arg(long, value_name = "KEY", hide = true)]
    pub encryption_key: Vec<String>,
    /// Refused
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub encrypt_layer: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
}

fn compression(text: &str) -> Result<Compression, Invalid> {
    match text {
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "zstd:chunked" => Err(Invalid::new("layers with a table of their files are not made here").hint("zstd")),
        _ => Err(Invalid::new("unknown compression").hint("gzip or zstd")),
    }
}

fn documents(text: &str) -> Result<Documents, Invalid> {
    match text {
        "oci" => Ok(Documents::Oci),
        "v2s2" => Ok(Documents::Docker),
        "v2s1" => Err(Invalid::new("registries take docker's first schema no more").hint("oci or v2s2")),
        _ => Err(Invalid::new("unknown format").hint("oci or v2s2")),
    }
}

impl Outgoing {
    /// # Errors
    /// [`Failure`] for what is not done here, or does not go together.
    pub fn wish(&self) -> Result<Wish, Failure> {
        let given =
            [&self.sign_by, &self.sign_by_sigstore, &self.sign_by_sigstore_private_key, &self.sign_passphrase_file];
        if given.iter().any(|flag| flag.is_some()) {
            return Err(Failure::new("cannot sign what is pushed")
                .cause("sampan makes no signatures")
                .hint("push, then sign the digest that --digestfile writes with a tool such as cosign"));
        }
        if !self.encryption_key.is_empty() || !self.encrypt_layer.is_empty() {
            return Err(Failure::new("cannot encrypt layers").cause("sampan encrypts nothing"));
        }
        let level = self.compression_level;
        let least = |most: u32| match level {
            Some(level) if !(1..=most).contains(&level) => {
                Err(Failure::new(format!("cannot compress with level {level}")).cause(format!("it has 1 to {most}")))
            }
            level => Ok(level),
        };
        let packing = match self.compression_format {
            None if level.is_some() => {
                return Err(
                    Failure::new("cannot compress with a level alone").hint("add --compression-format gzip or zstd")
                );
            }
            None => None,
            Some(Compression::Gzip) => Some(Packing::Gzip(least(9)?)),
            Some(Compression::Zstd) => Some(Packing::Zstd(least(22)?.and_then(|level| i32::try_from(level).ok()))),
        };
        Ok(Wish { documents: self.format, packing })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Push {
    /// Send all tags of the repository that are here
    #[arg(long, short)]
    pub all_tags: bool,
    /// Taken and not needed: contents are verified by their digests
    #[arg(long, default_value = "true")]
    pub disable_content_trust: bool,
    /// Send the image of this platform alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    #[command(flatten)]
    pub outgoing: Outgoing,
    #[command(flatten)]
    pub access: Access,
    /// By name or id
    #[arg(value_name = "IMAGE")]
    pub name: String,
    /// Under another name
    #[arg(value_name = "DESTINATION")]
    pub to: Option<String>,
}

impl Push {
    /// # Errors
    /// As [`Outgoing::wish`].
    pub fn task(&self) -> Result<remote::Push, Failure> {
        let platform = self.platform.as_ref().map(Platform::of_image);
        Ok(remote::Push { platform, wish: self.outgoing.wish()?, ..remote::Push::default() })
    }
}

impl Leaf for Push {
    const NAMES: &[&str] = &["push", "image push"];
    const ABOUT: &str = "Send an image to a registry";
    const USAGE: &str = "sampan push [OPTIONS] IMAGE [DESTINATION]";

    fn verb(self) -> Result<Verb, Failure> {
        self.outgoing.wish()?;
        if self.all_tags && self.to.is_some() {
            return Err(
                Failure::new("cannot push all tags to one name").hint("leave out the destination, or --all-tags")
            );
        }
        Ok(Verb::Push(Box::new(self)))
    }
}
