//! `sampan info`.

use crate::cli::{Format, Globals, Info};
use crate::ui::{self, Failure, Ui};
use serde_json::Value;

/// # Errors
/// [`Failure`] when the host cannot be observed.
pub fn run(arguments: &Info, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let lines = engine::info::info(&super::clean_paths(globals, ui)?)?;
    let object = || {
        let field = |(name, value): &(&str, String)| (name.replace(' ', ""), Value::from(value.as_str()));
        Value::Object(lines.iter().map(field).collect())
    };
    ui::print(&match &arguments.format {
        Format::Table => lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect(),
        Format::Json => format!("{}\n", object()),
        Format::Template(template) => template.values(&[object()])?,
    })
}
