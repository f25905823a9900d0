//! `sampan container prune`, `image prune`, `network prune`, `volume prune`, and `system prune`, which is all of them.

use crate::cli::{ContainerPrune, Globals, ImagePrune, SystemPrune, VolumePrune, network};
use crate::ui::{self, Failure, Ui};
use engine::volumes::object;
use spec::unit::decimal;

const NETWORKS: &str = "all custom networks not used by at least one container";
const CONTAINERS: &str = "all stopped containers";

fn images_text(all: bool) -> &'static str {
    if all { "all images without at least one container associated to them" } else { "all dangling images" }
}

/// # Errors
/// [`Failure`] when something cannot be removed, or nobody can be asked. So do all below.
pub fn containers(arguments: &ContainerPrune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    if !arguments.force && !super::agreed("containers", CONTAINERS)? {
        return Ok(());
    }
    let (ids, freed) = engine::control::prune(&paths, &arguments.filter)?;
    ui::print(&format!("{}{}", gone("Containers", ids), reclaimed(freed)))
}

pub fn images(arguments: &ImagePrune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    if !arguments.force && !super::agreed("images", images_text(arguments.all))? {
        return Ok(());
    }
    let pruned = engine::images::prune(&paths, arguments.all, &arguments.filter)?;
    let freed = pruned.freed;
    ui::print(&format!("{}{}", gone("Images", image_lines(pruned)), reclaimed(freed)))
}

pub fn volumes(arguments: &VolumePrune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let kind = if arguments.all { "all local" } else { "anonymous local" };
    if !arguments.force && !super::agreed("volumes", &format!("{kind} volumes not used by at least one container"))? {
        return Ok(());
    }
    let pruned = object::prune(&paths, &arguments.filter, arguments.all)?;
    ui::print(&format!("{}{}", gone("Volumes", pruned.names), reclaimed(pruned.freed)))
}

pub fn networks(arguments: &network::Prune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    if !arguments.force && !super::agreed("networks", NETWORKS)? {
        return Ok(());
    }
    ui::print(&gone("Networks", engine::networks::prune(&paths, &arguments.filter)?))
}

/// Containers first: what only they use is free then.
pub fn system(arguments: &SystemPrune, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let volumes = arguments.volumes.then_some("all anonymous volumes not used by at least one container");
    let what: Vec<_> = [CONTAINERS, NETWORKS].into_iter().chain(volumes).chain([images_text(arguments.all)]).collect();
    if !arguments.force && !super::agreed("the system", &what.join(", "))? {
        return Ok(());
    }
    let (ids, mut freed) = engine::control::prune(&paths, &[])?;
    ui::print(&gone("Containers", ids))?;
    ui::print(&gone("Networks", engine::networks::prune(&paths, &[])?))?;
    if arguments.volumes {
        let pruned = object::prune(&paths, &[], false)?;
        freed += pruned.freed;
        ui::print(&gone("Volumes", pruned.names))?;
    }
    let pruned = engine::images::prune(&paths, arguments.all, &[])?;
    freed += pruned.freed;
    ui::print(&format!("{}{}", gone("Images", image_lines(pruned)), reclaimed(freed)))
}

fn image_lines(pruned: engine::images::Pruned) -> Vec<String> {
    let lines = pruned.images.into_iter().flat_map(|removed| {
        let names = removed.names.into_iter().map(|name| format!("untagged: {name}"));
        names.chain(removed.id.map(|id| format!("deleted: {id}")))
    });
    lines.collect()
}

/// Of nothing, nothing is said.
fn gone(objects: &str, names: Vec<String>) -> String {
    if names.is_empty() {
        return String::new();
    }
    let lines: String = names.into_iter().map(|name| name + "\n").collect();
    format!("Deleted {objects}:\n{lines}\n")
}

fn reclaimed(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", decimal(bytes, 4))
}
