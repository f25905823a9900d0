//! Lists of images: `manifest`, with docker's and podman's flags.

use super::Verb;
use super::push::Outgoing;
use super::registry::Access;
use super::tree::Leaf;
use crate::ui::Failure;
use clap::Args;
use engine::remote::{self, Said};
use spec::unit::Invalid;

/// One of its verbs.
#[derive(Debug)]
pub enum Manifest {
    Create(ManifestCreate),
    Add(ManifestAdd),
    Annotate(ManifestAnnotate),
    Inspect(ManifestInspect),
    Push(ManifestPush),
    Remove(ManifestRemove),
    Delete(ManifestDelete),
    Exists(ManifestExists),
}

macro_rules! of_manifest {
    ($verb:ident, $arguments:ident, $name:literal, $about:literal, $usage:literal) => {
        impl Leaf for $arguments {
            const NAMES: &[&str] = &[$name];
            const ABOUT: &str = $about;
            const USAGE: &str = $usage;

            fn verb(self) -> Result<Verb, Failure> {
                self.check()?;
                Ok(Verb::Manifest(Box::new(Manifest::$verb(self))))
            }
        }
    };
}

/// For what goes together in any way.
macro_rules! unchecked {
    ($($arguments:ident),*) => {
        $(impl $arguments {
            fn check(&self) -> Result<(), Failure> {
                Ok(())
            }
        })*
    };
}

/// How a registry is reached, and docker's word for one without TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Reach {
    /// The same as --tls-verify=false
    #[arg(long)]
    pub insecure: bool,
    #[command(flatten)]
    pub access: Access,
}

impl Reach {
    #[must_use]
    pub fn access(&self) -> remote::Access {
        let access = self.access.access();
        let tls_verify = if self.insecure { Some(false) } else { access.tls_verify };
        remote::Access { tls_verify, ..access }
    }
}

/// `KEY=VALUE`.
pub type Pair = (String, String);

fn annotation(text: &str) -> Result<Pair, Invalid> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Invalid::new("not an annotation").hint("write KEY=VALUE")),
    }
}

/// What a list says of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct About {
    /// For this architecture, as Go calls it: amd64
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
    /// For this system
    #[arg(long, value_name = "OS")]
    pub os: Option<String>,
    /// For this variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// For this version of the system
    #[arg(long, value_name = "VERSION")]
    pub os_version: Option<String>,
    /// What of the system is needed
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub os_features: Vec<String>,
    /// Keep this beside it
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    pub annotation: Vec<Pair>,
}

impl About {
    #[must_use]
    pub fn said(&self) -> Said {
        Said {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            annotations: self.annotation.iter().cloned().collect(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestCreate {
    /// Of indexes take all that they lead to
    #[arg(long)]
    pub all: bool,
    /// Add to a list that is there
    #[arg(long, short)]
    pub amend: bool,
    /// Keep this in the list
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    pub annotation: Vec<Pair>,
    #[command(flatten)]
    pub reach: Reach,
    /// The list's name
    #[arg(value_name = "LIST")]
    pub list: String,
    /// By name, with podman's transports or without
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
}

of_manifest!(
    Create,
    ManifestCreate,
    "manifest create",
    "Make a list of images for several platforms",
    "sampan manifest create [OPTIONS] LIST [IMAGE...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestAdd {
    /// Of indexes take all that they lead to
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub about: About,
    #[command(flatten)]
    pub reach: Reach,
    /// The list's name
    #[arg(value_name = "LIST")]
    pub list: String,
    /// By name, with podman's transports or without
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

of_manifest!(
    Add,
    ManifestAdd,
    "manifest add",
    "Add images to a list",
    "sampan manifest add [OPTIONS] LIST IMAGE [IMAGE...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestAnnotate {
    /// Keep the annotations in the list itself
    #[arg(long)]
    pub index: bool,
    #[command(flatten)]
    pub about: About,
    /// The list's name
    #[arg(value_name = "LIST")]
    pub list: String,
    /// By digest, or by the name that it was added by
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

of_manifest!(
    Annotate,
    ManifestAnnotate,
    "manifest annotate",
    "Say something else of an image in a list",
    "sampan manifest annotate [OPTIONS] LIST IMAGE"
);

impl ManifestAnnotate {
    fn check(&self) -> Result<(), Failure> {
        let what = || Failure::new(format!("cannot annotate {}", self.list));
        if self.index && (self.about.said() != Said { annotations: self.about.said().annotations, ..Said::default() }) {
            return Err(what().cause("only images are for a platform").hint("leave out --index"));
        }
        if self.image.is_none() && !self.index {
            return Err(what().cause("no image is named").hint("--index annotates the list itself"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestInspect {
    /// As docker: each manifest with its descriptor and its bytes, of an index all that it leads to
    #[arg(long, short)]
    pub verbose: bool,
    #[command(flatten)]
    pub reach: Reach,
    /// A list, or an image at its registry by name, with a tag or a digest
    #[arg(value_name = "IMAGE")]
    pub name: String,
    /// An image of the list
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

of_manifest!(
    Inspect,
    ManifestInspect,
    "manifest inspect",
    "Print a list, or an image's manifest or index as its registry has it",
    "sampan manifest inspect [OPTIONS] [LIST] IMAGE"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestPush {
    /// Send the images, too, which is always done
    #[arg(long, default_value = "true")]
    pub all: bool,
    /// Remove the list here when it is there
    #[arg(long, short, visible_alias = "rm")]
    pub purge: bool,
    #[command(flatten)]
    pub outgoing: Outgoing,
    #[command(flatten)]
    pub reach: Reach,
    /// The list's name
    #[arg(value_name = "LIST")]
    pub list: String,
    /// Under another name
    #[arg(value_name = "DESTINATION")]
    pub to: Option<String>,
}

of_manifest!(
    Push,
    ManifestPush,
    "manifest push",
    "Send a list with its images to a registry",
    "sampan manifest push [OPTIONS] LIST [DESTINATION]"
);

impl ManifestPush {
    fn check(&self) -> Result<(), Failure> {
        self.outgoing.wish()?;
        if !self.all {
            return Err(Failure::new(format!("cannot push {} alone", self.list))
                .cause("a registry takes a list only with what it leads to"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestRemove {
    /// The list's name
    #[arg(value_name = "LIST")]
    pub list: String,
    /// By digest, or by the name that it was added by
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

of_manifest!(
    Remove,
    ManifestRemove,
    "manifest remove",
    "Take an image out of a list",
    "sampan manifest remove LIST IMAGE"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestDelete {
    /// By name
    #[arg(required = true, value_name = "LIST")]
    pub lists: Vec<String>,
}

of_manifest!(Delete, ManifestDelete, "manifest rm", "Remove lists", "sampan manifest rm LIST [LIST...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ManifestExists {
    /// The list's name
    #[arg(value_name = "LIST")]
    pub list: String,
}

of_manifest!(
    Exists,
    ManifestExists,
    "manifest exists",
    "Whether there is a list of that name: the exit code is 0 or 1",
    "sampan manifest exists LIST"
);

unchecked!(ManifestCreate, ManifestAdd, ManifestInspect, ManifestRemove, ManifestDelete, ManifestExists);
