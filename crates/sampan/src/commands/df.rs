//! `sampan system df`.

use super::list::List;
use crate::cli::{DiskUsage, Globals};
use crate::template::Field;
use crate::ui::{self, Failure};
use engine::images::Used;
use serde_json::{Value, json};
use spec::unit::decimal;

/// # Errors
/// [`Failure`] when the store cannot be read.
pub fn run(arguments: &DiskUsage, globals: &Globals) -> Result<(), Failure> {
    let used = engine::images::usage(&super::paths(globals)?)?;
    let rows = used.each_ref().map(row);
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
