//! `sampan system start-all`, `stop-all`, `enable` and `disable`.

use super::run::Teller;
use crate::cli::Globals;
use crate::ui::{self, Failure, Ui};
use engine::startup::{self, Each};

/// # Errors
/// [`Failure`] for the last that could not be started; the others are.
pub fn start_all(globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let mut teller = Teller::new(true, ui);
    told(startup::start_all(&paths, &mut |notice| teller.tell(notice)), ui)
}

/// # Errors
/// [`Failure`] for the last that could not be stopped; the others are.
pub fn stop_all(globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    told(startup::stop_all(&super::clean_paths(globals, ui)?), ui)
}

fn told(all: Vec<Each>, ui: &Ui) -> Result<(), Failure> {
    let told = |(name, done): Each| match done {
        Ok(()) => ui::print(&format!("{name}\n")),
        Err(error) => Err(error.into()),
    };
    super::all(all.into_iter().map(told), ui)
}

/// # Errors
/// [`Failure`] where there is no systemd.
pub fn enable(globals: &Globals) -> Result<(), Failure> {
    let path = startup::enable(&super::paths(globals)?)?;
    ui::print(&format!("{}\n", path.display()))
}

/// # Errors
/// As [`enable`].
pub fn disable() -> Result<(), Failure> {
    ui::print(&format!("{}\n", startup::disable()?.display()))
}
