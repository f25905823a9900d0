//! `sampan rm`.

use crate::cli::{Globals, Remove};
use crate::ui::{self, Failure, Ui};

/// # Errors
/// [`Failure`] for the last that could not be removed; the others are.
pub fn run(arguments: &Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let remove = |container: &spec::ContainerId| -> Result<(), Failure> {
        // --force: docker says nothing of one that is not there.
        if engine::containers::remove(&paths, container.as_str(), arguments.force)? {
            ui::print(&format!("{container}\n"))?;
        }
        Ok(())
    };
    super::all(arguments.containers.iter().map(remove), ui)
}
