//! The verb that starts one more process in a container.

use super::run::flags::Terminal;
use super::run::request::{environment, terminal_of, value, workdir};
use super::tree::Leaf;
use super::{Verb, select};
use crate::ui::{FAILED, Failure};
use clap::Args;
use engine::request::process::User;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Exec {
    /// Go on without waiting for it
    #[arg(long, short)]
    pub detach: bool,
    #[command(flatten)]
    pub terminal: Terminal,
    /// Set a variable, or pass on the caller's
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// User and group, by name or number, as the container knows them
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub user: Option<User>,
    /// Directory to start in
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Give it all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// In the container that was made last
    #[arg(long, short)]
    pub latest: bool,
    /// The container, unless --latest is given; then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARG...]", hide = true)]
    pub words: Vec<String>,
}

impl Leaf for Exec {
    const NAMES: &[&str] = &["exec", "container exec"];
    const ABOUT: &str = "Run a command in a container that runs";
    const USAGE: &str = "sampan exec [OPTIONS] CONTAINER COMMAND [ARG...]";
    const CODE: u8 = FAILED;

    fn verb(self) -> Result<Verb, Failure> {
        let mut words = self.words;
        let named = (!self.latest && !words.is_empty()).then(|| words.remove(0));
        if words.is_empty() {
            return Err(Failure::new("no command to run").hint("name one after the container"));
        }
        Ok(Verb::Exec(Box::new(engine::exec::Exec {
            container: select::word(named, self.latest)?,
            command: words,
            env: environment(&self.env_file, &self.env)?,
            workdir: self.workdir.map(|text| value("--workdir", &text, workdir)).transpose()?,
            user: self.user,
            privileged: self.privileged,
            terminal: terminal_of(self.terminal)?,
            detach: self.detach,
        })))
    }
}
