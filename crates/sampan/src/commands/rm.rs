//! `sampan rm`.

use crate::cli::{Globals, Remove};
use crate::ui::{self, Failure, Ui};

/// # Errors
/// [`Failure`] for the last that could not be removed; the others are.
pub fn run(arguments: &Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let mut last = Ok(());
    for container in &arguments.containers {
        match engine::containers::remove(&paths, container.as_str(), arguments.force) {
            Ok(true) => ui::print(&format!("{container}\n"))?,
            // --force: docker says nothing of one that is not there.
            Ok(false) => {}
            Err(error) => {
                if let Err(earlier) = std::mem::replace(&mut last, Err(error.into())) {
                    ui.failed(&earlier);
                }
            }
        }
    }
    last
}
