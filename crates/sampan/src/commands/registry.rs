//! `sampan tags`, `search` and `image referrers`: what a registry says.

use super::list::List;
use crate::cli::{Globals, Referrers, Search, Sought, Tags};
use crate::template::Field;
use crate::ui::{self, Failure};
use engine::remote::Found;
use serde_json::{Value, json};

/// # Errors
/// [`Failure`] when the registry fails.
pub fn tags(arguments: &Tags, globals: &Globals) -> Result<(), Failure> {
    let tags = engine::images::tags(&super::paths(globals)?, &arguments.access.access(), &arguments.name)?;
    lines(&tags)
}

const REPOSITORY: [Field; 5] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

/// # Errors
/// [`Failure`] when the registry fails, or does not tell.
pub fn search(arguments: &Search, globals: &Globals) -> Result<(), Failure> {
    let (paths, access) = (super::paths(globals)?, arguments.access.access());
    let mut found = engine::images::search(&paths, &access, &arguments.term, arguments.limit)?;
    found.retain(|found| {
        arguments.filter.iter().all(|filter| match filter {
            Sought::Official(wanted) => found.official == *wanted,
            Sought::Automated(wanted) => found.automated == *wanted,
            Sought::Stars(least) => found.stars >= *least,
        })
    });
    let row = |found: &Found| {
        let mark = |is: bool| if is { "[OK]" } else { "" };
        let line = found.description.replace(['\r', '\n'], " ");
        let description = if arguments.no_trunc { line } else { cut(&line, 45) };
        json!({
            "Name": found.name, "Description": description, "StarCount": found.stars.to_string(),
            "IsOfficial": mark(found.official), "IsAutomated": mark(found.automated),
        })
    };
    let rows: Vec<Value> = found.iter().map(row).collect();
    let columns = ["Name", "Description", "StarCount", "IsOfficial"];
    let list = List { fields: &REPOSITORY, columns: &columns, rows: &rows, quiet: None, heading: true };
    ui::print(&list.text(&arguments.format)?)
}

/// As docker: with dots for the rest.
fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
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
