//! One verb a file: call the engine, print. No policy here.

mod completion;
mod images;
mod ps;
mod run;
mod version;

use crate::cli::{Call, Verb};
use crate::ui::{self, Failure, Ui};
use std::process::ExitCode;

/// # Errors
/// [`Failure`], with the exit code where it is not 125.
pub fn dispatch(call: Call, ui: &Ui) -> Result<ExitCode, Failure> {
    let Call { globals, verb } = call;
    match verb {
        Verb::Run(request) => return run::run(*request, &globals, ui),
        Verb::Help(text) => ui::print(&text),
        Verb::Version(arguments) => version::print(arguments),
        Verb::Completion(shell) => completion::print(shell),
        // The engine's part of these verbs is not there yet.
        verb => Err(Failure::new(format!("cannot do this yet: {verb:?}")).code(1)),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// # Errors
/// [`Failure`] when there is no place for them.
fn paths(globals: &crate::cli::Globals) -> Result<engine::Paths, Failure> {
    let variable = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from);
    Ok(engine::Paths::new(globals.root.clone(), globals.state.clone(), variable)?)
}
