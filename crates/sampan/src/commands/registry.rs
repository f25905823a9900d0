//! `sampan tags`, `search` and `image referrers`: what a registry says.

use super::list::List;
use crate::cli::{Globals, Referrers, Search, Tags};
use crate::template::Field;
use crate::ui::{self, Failure};
use serde_json::{Value, json};

/// # Errors
/// [`Failure`] when the registry fails.
pub fn tags(arguments: &Tags, globals: &Globals) -> Result<(), Failure> {
    let tags = engine::images::tags(&super::paths(globals)?, &arguments.access.access(), &arguments.name)?;
    lines(&tags)
}

/// # Errors
/// [`Failure`] when the registry fails, or does not tell.
pub fn search(arguments: &Search, globals: &Globals) -> Result<(), Failure> {
    let names = engine::images::search(&super::paths(globals)?, &arguments.access.access(), &arguments.term)?;
    let Some(format) = &arguments.format else { return lines(&names) };
    // A catalogue has nothing else.
    let rows: Vec<Value> = names.iter().map(|name| json!({ "Name": name })).collect();
    let list = List { fields: &[("Name", "NAME")], columns: &["Name"], rows: &rows, quiet: None, heading: true };
    ui::print(&list.text(format)?)
}

const REFERRER: [Field; 4] =
    [("Digest", "DIGEST"), ("ArtifactType", "ARTIFACT TYPE"), ("MediaType", "MEDIA TYPE"), ("Size", "SIZE")];

/// # Errors
/// [`Failure`] when the registry fails.
pub fn referrers(arguments: &Referrers, globals: &Globals) -> Result<(), Failure> {
    let (paths, access) = (super::paths(globals)?, arguments.access.access());
    let kind = arguments.artifact_type.as_deref();
    let found = engine::images::referrers(&paths, &access, &arguments.name, kind)?;
    let row = |entry: &spec::image::Descriptor| {
        json!({
            "Digest": entry.digest.to_string(), "ArtifactType": entry.artifact_type.as_deref().unwrap_or_default(),
            "MediaType": entry.media_type, "Size": spec::unit::decimal(entry.size, 3),
        })
    };
    let rows: Vec<Value> = found.iter().map(row).collect();
    let columns = ["Digest", "ArtifactType", "Size"];
    let list = List { fields: &REFERRER, columns: &columns, rows: &rows, quiet: None, heading: true };
    ui::print(&list.text(&arguments.format)?)
}

/// A registry's words, which must not drive the terminal.
fn lines(names: &[String]) -> Result<(), Failure> {
    ui::print(&names.iter().map(|name| format!("{}\n", ui::clean(name))).collect::<String>())
}
