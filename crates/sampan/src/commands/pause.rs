//! `sampan pause` and `unpause`.

use crate::cli::{Globals, Selected};
use crate::ui::{self, Failure, Ui};
use engine::Paths;
use engine::containers::{self, Listed, Which};

/// # Errors
/// [`Failure`] for the last that could not be paused; the others are.
pub fn pause(of: &Selected, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    each(of, &paths, &|| engine::pause::all(&paths, false), &|listed| engine::pause::pause(&paths, listed), ui)
}

/// # Errors
/// As [`pause`].
pub fn unpause(of: &Selected, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    each(of, &paths, &|| engine::pause::all(&paths, true), &|listed| engine::pause::unpause(&paths, listed), ui)
}

/// Prints what was done it to, in the words of the call.
fn each(
    of: &Selected,
    paths: &Paths,
    all: &dyn Fn() -> Vec<Listed>,
    act: &dyn Fn(&Listed) -> engine::Result<()>,
    ui: &Ui,
) -> Result<(), Failure> {
    let one = |which: &Which| -> Result<(), Failure> {
        let listed = containers::which(paths, which)?;
        act(&listed)?;
        ui::print(&format!("{}\n", if let Which::Named(word) = which { word } else { &listed.record.id }))
    };
    match of {
        Some(named) => super::all(named.iter().map(one), ui),
        None => super::all(all().into_iter().map(|listed| one(&Which::Named(listed.record.id))), ui),
    }
}
