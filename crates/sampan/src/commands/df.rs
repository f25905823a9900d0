//! `sampan system df`.

use super::list::List;
use super::{images, ps};
use crate::cli::{DiskUsage, Format, Globals};
use crate::template::Field;
use crate::ui::{self, Failure};
use engine::usage::{self, Container, Image, Used, Volume};
use serde_json::{Value, json};
use spec::unit::decimal;

/// # Errors
/// [`Failure`] when the store cannot be read.
pub fn run(arguments: &DiskUsage, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    if arguments.verbose {
        let (images, containers) = usage::each(&paths)?;
        return ui::print(&each(&arguments.format, &images, &containers, &usage::volumes(&paths))?);
    }
    let rows = usage::sum(&paths)?.each_ref().map(row);
    let columns = FIELDS.map(|(name, _)| name);
    let list = List { fields: &FIELDS, columns: &columns, rows: &rows, quiet: None, heading: true };
    ui::print(&list.text(&arguments.format)?)
}

const FIELDS: [Field; 5] =
    [("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")];

fn row(used: &Used) -> Value {
    let part = (used.reclaimable * 100).checked_div(used.size).map_or_else(String::new, |part| format!(" ({part}%)"));
    json!({
        "Type": used.kind,
        "TotalCount": used.total.to_string(),
        "Active": used.active.to_string(),
        "Size": decimal(used.size, 4),
        "Reclaimable": format!("{}{part}", decimal(used.reclaimable, 4)),
    })
}

const IMAGE: [Field; 8] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];

const CONTAINER: [Field; 7] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("Size", "SIZE"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Names", "NAMES"),
];

const VOLUME: [Field; 3] = [("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];

/// A table for each kind; or, as docker, all in one object.
fn each(format: &Format, images: &[Image], containers: &[Container], volumes: &[Volume]) -> Result<String, Failure> {
    let images: Vec<Value> = images.iter().map(image).collect();
    let containers: Vec<Value> = containers.iter().map(container).collect();
    let volumes: Vec<Value> = volumes.iter().map(volume).collect();
    let object = || json!({ "Images": images, "Containers": containers, "Volumes": volumes });
    match format {
        Format::Table => {
            let table = |fields: &[Field], rows: &[Value]| {
                let columns: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                List { fields, columns: &columns, rows, quiet: None, heading: true }.text(&Format::Table)
            };
            let kinds = [
                ("Images", table(&IMAGE, &images)?),
                ("Containers", table(&CONTAINER, &containers)?),
                ("Local Volumes", table(&VOLUME, &volumes)?),
            ];
            Ok(kinds.map(|(kind, table)| format!("{kind} space usage:\n\n{table}")).join("\n"))
        }
        Format::Json => Ok(format!("{}\n", object())),
        Format::Template(template) => template.values(&[object()]),
    }
}

fn image(of: &Image) -> Value {
    let mut row = images::row(of.image.clone()).object(false);
    row["Size"] = decimal(of.size, 4).into();
    row["VirtualSize"] = row["Size"].clone();
    row["SharedSize"] = decimal(of.shared, 4).into();
    row["UniqueSize"] = decimal(of.size - of.shared, 4).into();
    row["Containers"] = of.containers.to_string().into();
    row
}

fn container(of: &Container) -> Value {
    let mut row = ps::row(of.container.clone()).object(false);
    row["Size"] = decimal(of.size, 4).into();
    row
}

fn volume(of: &Volume) -> Value {
    json!({ "Name": of.name, "Links": of.links.to_string(), "Size": decimal(of.size, 4) })
}
