//! `sampan image bootstrap`, `rm`, `prune`, `tag` and `untag`.

use crate::cli::{Globals, ImageBootstrap, ImageRemove, Tag, Untag};
use crate::ui::{self, Failure, Ui};

/// # Errors
/// [`Failure`] when it cannot be made.
pub fn bootstrap(arguments: &ImageBootstrap, globals: &Globals) -> Result<(), Failure> {
    let (name, binary) = engine::images::bootstrap(&super::paths(globals)?, &arguments.name)?;
    ui::print(&format!("{name} from {}\n", binary.display()))
}

/// # Errors
/// [`Failure`] for the last that could not be removed; the others are.
pub fn remove(arguments: &ImageRemove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let mut last = Ok(());
    let all = if arguments.all { engine::images::words(&paths)? } else { Vec::new() };
    for name in arguments.images.iter().chain(&all) {
        match engine::images::remove(&paths, name, arguments.force) {
            Ok(removed) => {
                let names = removed.names.iter().map(|name| format!("Untagged: {name}\n"));
                let image = removed.id.map(|id| format!("Deleted: {id}\n"));
                ui::print(&names.chain(image).collect::<String>())?;
            }
            Err(error) => {
                if let Err(earlier) = std::mem::replace(&mut last, Err(error.into())) {
                    ui.failed(&earlier);
                }
            }
        }
    }
    last
}

/// # Errors
/// [`Failure`] when there is no such image, or that is no name.
pub fn tag(arguments: &Tag, globals: &Globals) -> Result<(), Failure> {
    Ok(engine::images::tag(&super::paths(globals)?, &arguments.source, &arguments.target)?)
}

/// # Errors
/// [`Failure`] when it has no such name.
pub fn untag(arguments: &Untag, globals: &Globals) -> Result<(), Failure> {
    Ok(engine::images::untag(&super::paths(globals)?, &arguments.source, &arguments.names)?)
}
