//! The verbs that tell all that is known about something.

use super::Verb;
use super::list::container;
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use spec::ContainerId;
use spec::unit::Invalid;
use std::str::FromStr;

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Container,
    Image,
    Network,
    Volume,
}

impl FromStr for Object {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "container" => Ok(Self::Container),
            "image" => Ok(Self::Image),
            "network" => Ok(Self::Network),
            "volume" => Ok(Self::Volume),
            _ => {
                Err(Invalid::new(format!("there is no type {text:?}")).hint("one of container, image, network, volume"))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Inspect {
    /// json (one line), or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Say how much of the disk a container takes
    #[arg(long, short)]
    pub size: bool,
    /// Look for this only: container, image, network or volume
    #[arg(long = "type", short, value_name = "TYPE")]
    pub kind: Option<Object>,
    /// The container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name or id
    #[arg(value_name = "NAME", required_unless_present = "latest", conflicts_with = "latest")]
    pub names: Vec<String>,
}

named!(
    Inspect,
    ["inspect"],
    "Print what is known about containers, images, networks and volumes",
    "sampan inspect [OPTIONS] NAME [NAME...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ContainerInspect {
    /// json (one line), or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Say how much of the disk it takes
    #[arg(long, short)]
    pub size: bool,
    /// The one that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container, required_unless_present = "latest", conflicts_with = "latest")]
    pub containers: Vec<ContainerId>,
}

named!(
    ContainerInspect,
    ["container inspect"],
    "Print what is known about containers",
    "sampan container inspect [OPTIONS] CONTAINER [CONTAINER...]"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImageInspect {
    /// json (one line), or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<String>,
    /// By name or id
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

named!(
    ImageInspect,
    ["image inspect"],
    "Print what is known about images",
    "sampan image inspect [OPTIONS] IMAGE [IMAGE...]"
);
