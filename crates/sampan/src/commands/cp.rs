//! `sampan cp`.

use super::archive::no_text;
use crate::cli::Globals;
use crate::ui::{Failure, Ui};
use engine::copy::{Copy, End};
use std::io::{self, IsTerminal};

/// # Errors
/// [`Failure`] when there is nothing to copy, or it cannot be put there.
pub fn run(asked: &Copy, quiet: bool, to: &str, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    if asked.to == End::Stream && io::stdout().is_terminal() {
        return Err(no_text("cannot copy to a terminal", "redirect the output"));
    }
    if asked.from == End::Stream && io::stdin().is_terminal() {
        return Err(no_text("cannot copy from a terminal", "redirect the input"));
    }
    let copied = engine::copy::copy(asked, &paths)?;
    for device in &copied.skipped {
        ui.warn(&format!("left out: {device} is a device; --archive makes it here, too"));
    }
    if !quiet && io::stderr().is_terminal() {
        ui.info(&format!("Successfully copied {} to {to}", spec::unit::decimal(copied.bytes, 3)));
    }
    Ok(())
}
