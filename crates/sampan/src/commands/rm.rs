//! `sampan rm`.

use crate::cli::{Globals, Remove};
use crate::ui::{self, Failure, Ui};

/// # Errors
/// [`Failure`] for the last that could not be removed; the others are.
pub fn run(arguments: &Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let mut last = Ok(());
    for container in &arguments.containers {
        let missing = engine::containers::find(&paths, container.as_str()).is_err();
        if missing && arguments.force {
            continue;
        }
        match engine::containers::remove(&paths, container.as_str(), arguments.force) {
            Ok(name) => ui::print(&format!("{name}\n"))?,
            Err(error) => {
                if let Err(earlier) = std::mem::replace(&mut last, Err(error.into())) {
                    ui.failed(&earlier);
                }
            }
        }
    }
    last
}
