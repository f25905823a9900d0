//! `sampan volume …`.

use super::archive::{no_text, open, to_file};
use super::list::List;
use crate::cli::{
    Globals, VolumeCreate, VolumeExists, VolumeExport, VolumeImport, VolumeInspect, VolumeList, VolumeRemove,
};
use crate::template::{Field, METHOD};
use crate::ui::{self, Failure, Ui};
use engine::request::mount::Driver;
use engine::volumes::object::{self, Volume};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// # Errors
/// [`Failure`] when it cannot be made, or one of its name is another.
pub fn create(arguments: &VolumeCreate, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let name = arguments.name.as_deref();
    if let (true, Some(name)) = (arguments.ignore, name)
        && object::exists(&paths, name)
    {
        return ui::print(&format!("{name}\n"));
    }
    let driver = Driver { options: arguments.opt.clone(), labels: arguments.label.clone() };
    ui::print(&format!("{}\n", object::create(&paths, name, &driver)?))
}

const FIELDS: [Field; 11] = [
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
    (METHOD, ""),
];

const COLUMNS: [&str; 2] = ["Driver", "Name"];

/// docker's keys, all values texts but that of [`METHOD`]; what it asks no daemon for is `N/A` there, too.
fn row(volume: &Volume) -> Value {
    let record = &volume.record;
    let labels: Vec<String> = record.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "Name": record.name,
        "Driver": "local",
        "Scope": "local",
        "Mountpoint": volume.mountpoint,
        "Labels": labels.join(","),
        "Links": "N/A",
        "Size": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
        METHOD: record.labels,
    })
}

/// # Errors
/// [`Failure`] for a template that does not fit.
pub fn list(arguments: &VolumeList, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let rows: Vec<Value> = object::list(&paths, &arguments.filter).iter().map(row).collect();
    let quiet = arguments.quiet.then_some("Name");
    let heading = !arguments.noheading;
    ui::print(&List { fields: &FIELDS, columns: &COLUMNS, rows: &rows, quiet, heading }.text(&arguments.format)?)
}

/// # Errors
/// [`Failure`] for the first volume that is not there.
pub fn inspect(arguments: &VolumeInspect, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let volumes = if arguments.all {
        object::list(&paths, &[])
    } else {
        arguments.volumes.iter().map(|word| object::inspect(&paths, word)).collect::<Result<_, _>>()?
    };
    let documents: Vec<Value> = volumes.iter().map(document).collect();
    ui::print(&super::list::documents(arguments.format.as_ref(), documents)?)
}

/// docker's keys, then podman's.
pub(super) fn document(volume: &Volume) -> Value {
    let record = &volume.record;
    json!({
        "CreatedAt": engine::time::rfc3339(record.created),
        "Driver": "local",
        "Labels": (!record.labels.is_empty()).then_some(&record.labels),
        "Mountpoint": volume.mountpoint,
        "Name": record.name,
        "Options": (!record.options.is_empty()).then_some(&record.options),
        "Scope": "local",
        "Anonymous": record.anonymous,
        "MountCount": volume.mounted,
    })
}

/// # Errors
/// [`Failure`] for the last that could not be removed; the others are.
pub fn remove(arguments: &VolumeRemove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let names = if arguments.all {
        let unused = object::list(&paths, &[]).into_iter().filter(|volume| volume.users.is_empty());
        unused.map(|volume| volume.record.name).collect()
    } else {
        arguments.volumes.clone()
    };
    let remove = |name: &String| -> Result<(), Failure> {
        // --force: nothing is said of one that is not there.
        if object::remove(&paths, name, arguments.force)? {
            ui::print(&format!("{name}\n"))?;
        }
        Ok(())
    };
    super::all(names.iter().map(remove), ui)
}

/// The exit code.
///
/// # Errors
/// [`Failure`] when there is no place for volumes.
pub fn exists(arguments: &VolumeExists, globals: &Globals) -> Result<u8, Failure> {
    Ok(u8::from(!object::exists(&super::paths(globals)?, &arguments.volume)))
}

/// # Errors
/// [`Failure`] when there is no such volume, or the output cannot be written: then there is none.
pub fn export(arguments: &VolumeExport, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let mut write = |output: &mut dyn Write| Ok(object::export(&paths, &arguments.volume, output)?);
    match &arguments.output {
        Some(output) => to_file(output, &mut write),
        None if io::stdout().is_terminal() => {
            Err(no_text("cannot export to a terminal", "add --output FILE, or redirect the output"))
        }
        None => write(&mut io::stdout().lock()),
    }
}

/// # Errors
/// [`Failure`] when there is no such volume, or the input is no tar.
pub fn import(arguments: &VolumeImport, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let fill = |from: &mut dyn io::Read| object::import(&paths, &arguments.volume, from);
    let skipped = if arguments.file == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(no_text("cannot import from a terminal", "name a file, or redirect the input"));
        }
        fill(&mut io::stdin().lock())?
    } else {
        fill(&mut open(&arguments.file)?)?
    };
    if !skipped.is_empty() {
        ui.warn(&format!("left out, as only root may make devices: {}", skipped.join(", ")));
    }
    Ok(())
}
