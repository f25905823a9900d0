use crate::cli::Globals;
use crate::ui::{Failure, Ui};
use engine::request::Run;
use std::process::ExitCode;

/// # Errors
/// [`Failure`] for a request that contradicts itself.
pub fn run(request: Run, globals: &Globals, ui: &Ui) -> Result<ExitCode, Failure> {
    for warning in request.check()? {
        ui.warn(&warning);
    }
    let _ = globals;
    Err(Failure::new("cannot run a container").cause("run does not reach the engine yet"))
}
