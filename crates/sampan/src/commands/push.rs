//! `sampan push`.

use crate::cli::{Globals, Outgoing, Push};
use crate::ui::{self, Bars, Failure, To};

/// # Errors
/// [`Failure`] when the registry or the store fails.
pub fn run(arguments: &Push, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut bars = bars(&arguments.outgoing);
    let mut tell = |progress| bars.show(&progress);
    let (access, task) = (arguments.access.access(), arguments.task()?);
    let digests = if arguments.all_tags {
        engine::images::push_all(&paths, &access, &arguments.name, task, &mut tell)?
    } else {
        vec![engine::images::push(&paths, &access, &arguments.name, arguments.to.as_deref(), task, &mut tell)?]
    };
    leave(&arguments.outgoing, &digests)
}

pub fn bars(outgoing: &Outgoing) -> Bars {
    Bars::new(if outgoing.quiet { To::Nowhere } else { To::Output })
}

/// The digests where they are wanted.
///
/// # Errors
/// [`Failure`] when the file cannot be written.
pub fn leave(outgoing: &Outgoing, digests: &[String]) -> Result<(), Failure> {
    if let Some(path) = &outgoing.digestfile {
        let what = || format!("cannot write {}", path.display());
        // As podman does: without a newline.
        std::fs::write(path, digests.join("\n")).map_err(|error| Failure::new(what()).cause(error.to_string()))?;
    }
    if outgoing.quiet {
        ui::print(&digests.iter().map(|digest| format!("{digest}\n")).collect::<String>())
    } else {
        Ok(())
    }
}
