//! `sampan rm`.

use crate::cli::{Globals, Remove};
use crate::ui::{Failure, Ui};
use engine::containers::Choice;

/// # Errors
/// [`Failure`] for the last that could not be removed; the others are.
pub fn run(arguments: &Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let which = arguments.which.which(arguments.ignore);
    let words = engine::containers::choose_to_remove(&paths, &which)?;
    let which = Choice { words, ..Choice::default() };
    super::lifecycle::each(&paths, &which, false, ui, |word| {
        // --force: docker says nothing of one that is not there.
        let removed = engine::containers::remove(&paths, word, arguments.force, arguments.volumes)?;
        Ok(removed.then(|| word.to_owned()))
    })
}
