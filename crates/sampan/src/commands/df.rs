//! `sampan system df`.

use crate::cli::{DiskUsage, Format, Globals};
use crate::ui::{self, Failure, table};
use engine::images::Used;
use serde_json::json;
use spec::unit::decimal;

/// # Errors
/// [`Failure`] when the store cannot be read.
pub fn run(arguments: &DiskUsage, globals: &Globals) -> Result<(), Failure> {
    let used = engine::images::usage(&super::paths(globals)?)?;
    ui::print(&match arguments.format {
        Format::Table => table(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], &used.each_ref().map(cells)),
        Format::Json => used.iter().map(line).collect(),
    })
}

fn cells(used: &Used) -> [String; 5] {
    let part = (used.reclaimable * 100).checked_div(used.size).map_or_else(String::new, |part| format!(" ({part}%)"));
    [
        used.kind.to_owned(),
        used.total.to_string(),
        used.active.to_string(),
        decimal(used.size, 4),
        format!("{}{part}", decimal(used.reclaimable, 4)),
    ]
}

fn line(used: &Used) -> String {
    let [kind, total, active, size, reclaimable] = cells(used);
    let object =
        json!({ "Type": kind, "TotalCount": total, "Active": active, "Size": size, "Reclaimable": reclaimable });
    format!("{object}\n")
}
