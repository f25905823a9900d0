//! The messages side by side, as markdown: for a person who compares.

use super::{Case, Ended, Engine};
use crate::command;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

pub struct Report {
    text: String,
    engines: Vec<Engine>,
    group: String,
}

impl Report {
    pub fn new(engines: &[Engine]) -> Self {
        let mut text = "# What is said when it fails\n\nMade by `cargo xtask lab errors`.\n".to_owned();
        if engines.len() == 1 {
            text += "Without podman and docker: neither is in PATH, or nobody asked.\n";
        }
        Self { text, engines: engines.to_vec(), group: String::new() }
    }

    pub fn add(&mut self, group: &str, case: &Case, ended: &[Ended]) {
        if self.group != group {
            self.group = group.to_owned();
            self.line(format_args!("\n## {group}"));
        }
        self.line(format_args!("\n### {}\n\n```", case.name));
        for (engine, ended) in self.engines.clone().iter().zip(ended) {
            match ended {
                Ended::Said(said) => {
                    self.line(format_args!("{} ({})", engine.word(), said.code));
                    said.text.lines().for_each(|line| self.line(format_args!("    {line}")));
                }
                Ended::Skipped(why) => self.line(format_args!("{}: skipped: {why}", engine.word())),
                Ended::Broken(why) => self.line(format_args!("{}: not run: {why}", engine.word())),
            }
        }
        self.line(format_args!("```"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(self) -> Result<PathBuf, String> {
        let path = command::root().join("target/lab/errors.md");
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| fs::write(&path, self.text))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }
}
