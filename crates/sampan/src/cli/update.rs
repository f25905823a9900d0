//! The verb that gives containers other limits.

use super::list::container;
use super::run::flags;
use super::run::request::limits_of;
use super::tree::Leaf;
use super::{Verb, select};
use crate::ui::Failure;
use clap::Args;
use engine::containers::Which;
use engine::request::Restart;
use engine::update::Update;
use spec::ContainerId;

#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    limits: flags::Limits,
    /// When to start it again: no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<Restart>,
    /// The one that was made last
    #[arg(long, short)]
    latest: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER", value_parser = container)]
    containers: Vec<ContainerId>,
}

impl Leaf for UpdateArgs {
    const NAMES: &[&str] = &["update", "container update"];
    const ABOUT: &str = "Give containers other limits";
    const USAGE: &str = "sampan update [OPTIONS] CONTAINER [CONTAINER...]";

    fn verb(self) -> Result<Verb, Failure> {
        let Self { limits, restart, latest, containers } = self;
        if limits.oom_score_adj.is_some() {
            return Err(Failure::new("--oom-score-adj cannot be changed"));
        }
        let containers: Vec<Which> = select::several(containers, latest)?;
        let asked = Update { limits: limits_of(limits, Vec::new()), restart };
        if asked == Update::default() {
            return Err(Failure::new("nothing to update").hint("name a limit, or --restart"));
        }
        Ok(Verb::Update(Box::new(asked), containers))
    }
}
