//! `sampan image bootstrap`, `rm`, `prune`, `tag` and `untag`.

use crate::cli::{Globals, ImageBootstrap, ImagePrune, ImageRemove, Tag, Untag};
use crate::ui::{self, Failure, Ui};
use spec::unit::decimal;

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
    for name in &arguments.images {
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

/// # Errors
/// [`Failure`] when something cannot be removed, or nobody can be asked.
pub fn prune(arguments: &ImagePrune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let all = "all images without at least one container associated to them";
    let what = if arguments.all { all } else { "all dangling images" };
    if !arguments.force && !super::agreed("images", what)? {
        return Ok(());
    }
    let pruned = engine::images::prune(&paths, arguments.all)?;
    let lines = pruned.images.iter().flat_map(|removed| {
        let names = removed.names.iter().map(|name| format!("untagged: {name}\n"));
        names.chain(removed.id.iter().map(|id| format!("deleted: {id}\n")))
    });
    let head = (!pruned.images.is_empty()).then(|| "Deleted Images:\n".to_owned());
    let foot = format!("Total reclaimed space: {}\n", decimal(pruned.freed, 4));
    ui::print(&head.into_iter().chain(lines).chain([foot]).collect::<String>())
}
