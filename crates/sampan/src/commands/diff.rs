//! `sampan diff`, of containers and of images.

use crate::cli::{ContainerDiff, Diff, Format, Globals, ImageDiff};
use crate::template::Field;
use crate::ui::{self, Failure, Ui};
use engine::content::{self, Change, Kind};
use serde_json::{Value, json};

/// # Errors
/// [`Failure`] when there is neither such a container nor such an image.
pub fn either(arguments: &Diff, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let changes = content::of_either(&super::clean_paths(globals, ui)?, &arguments.of)?;
    ui::print(&text(&arguments.format, &changes)?)
}

/// # Errors
/// [`Failure`] when there is no such container.
pub fn container(arguments: &ContainerDiff, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let container = crate::cli::one(arguments.container.clone(), arguments.latest)?;
    let changes = content::of_container(&super::clean_paths(globals, ui)?, &container)?;
    ui::print(&text(&arguments.format, &changes)?)
}

/// # Errors
/// [`Failure`] when there is no such image.
pub fn image(arguments: &ImageDiff, globals: &Globals) -> Result<(), Failure> {
    let changes = content::of_image(&super::paths(globals)?, &arguments.image, arguments.other.as_deref())?;
    ui::print(&text(&arguments.format, &changes)?)
}

const FIELDS: [Field; 2] = [("Type", "CHANGE TYPE"), ("Path", "PATH")];

/// A line each, as docker; or one object, as podman.
fn text(format: &Format, changes: &[Change]) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(changes.iter().map(line).collect()),
        Format::Json => Ok(object(changes)),
        Format::Template(template) => {
            let row = |change: &Change| json!({ "Type": word(change.kind), "Path": path(change) });
            template.rows(&FIELDS, &changes.iter().map(row).collect::<Vec<_>>(), true)
        }
    }
}

fn line(change: &Change) -> String {
    // A name may hold what starts a line, or drives a terminal.
    let clean: String = path(change).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("{} {clean}\n", word(change.kind))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Added => "A",
        Kind::Changed => "C",
        Kind::Deleted => "D",
    }
}

fn path(change: &Change) -> String {
    change.path.to_string_lossy().into_owned()
}

fn object(changes: &[Change]) -> String {
    let of = |kind| changes.iter().filter(move |change| change.kind == kind).map(path).collect::<Vec<_>>();
    let mut object = serde_json::Map::new();
    for (key, kind) in [("changed", Kind::Changed), ("added", Kind::Added), ("deleted", Kind::Deleted)] {
        let paths = of(kind);
        if !paths.is_empty() {
            object.insert(key.to_owned(), json!(paths));
        }
    }
    format!("{}\n", Value::Object(object))
}
