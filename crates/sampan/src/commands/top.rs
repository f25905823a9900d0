//! `sampan top`.

use crate::cli::{Globals, Top};
use crate::ui::{self, Failure, table};

/// # Errors
/// [`Failure`] when the container does not run, or the words mean nothing.
pub fn run(arguments: &Top, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let found = engine::top::top(&paths, &arguments.container, &arguments.words)?;
    let titles: Vec<&str> = found.titles.iter().map(String::as_str).collect();
    ui::print(&table(Some(&titles), &found.processes))
}
