//! `sampan system check`.

use crate::cli::{Check, Globals};
use crate::ui::{self, Failure, Ui};

/// # Errors
/// [`Failure`] when something is bad and stays so, or the store cannot be read.
pub fn run(arguments: &Check, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let access = arguments.access.access();
    let checked = engine::images::check(&paths, &access, arguments.repair, &mut |_| {})?;
    for finding in &checked.findings {
        let mended = if finding.mended { " (mended)" } else { "" };
        ui::print(&format!("{}: {}{mended}\n", ui::clean(&finding.image), ui::clean(&finding.what)))?;
    }
    let bad = checked.findings.iter().filter(|finding| !finding.mended).count();
    ui::print(&format!("{} images, {} layers: {bad} bad\n", checked.images, checked.layers))?;
    if bad == 0 {
        return Ok(());
    }
    let failure = Failure::new("the store is not whole").cause(format!("{bad} findings"));
    Err(if arguments.repair { failure } else { failure.hint("sampan system check --repair fetches again what is bad") })
}
