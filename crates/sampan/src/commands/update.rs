//! `sampan update`.

use crate::cli::Globals;
use crate::ui::{self, Failure, Ui};
use engine::containers::{Which, which};
use engine::update::{Update, update};

/// # Errors
/// [`Failure`] for the last that could not be updated; the others are.
pub fn run(asked: &Update, containers: &[Which], globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let one = |container: &Which| -> Result<(), Failure> {
        update(&paths, container, asked)?;
        let line = match container {
            Which::Named(word) => word.clone(),
            Which::Latest => which(&paths, container)?.record.id,
        };
        ui::print(&format!("{line}\n"))
    };
    super::all(containers.iter().map(one), ui)
}
