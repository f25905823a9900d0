//! `sampan exec`.

use crate::cli::Globals;
use crate::ui::{Failure, Ui};
use engine::exec::Exec;
use engine::run::Notice;

/// # Errors
/// [`Failure`], with docker's exit code.
pub fn run(asked: &Exec, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    let paths = super::paths(globals)?;
    let mut tell = |notice: Notice| {
        if let Notice::Warning(text) = notice {
            ui.warn(&text);
        }
    };
    engine::exec::exec(asked, &paths, &mut tell).map_err(|error| match error {
        engine::Error::Runtime(error) => Failure::of_plan("cannot execute in the container", error),
        error => error.into(),
    })
}
