//! `sampan info`.

use crate::cli::{Format, Globals, Info};
use crate::ui::{self, Failure, Ui};
use serde_json::{Map, Value};

/// # Errors
/// [`Failure`] when the host cannot be observed.
pub fn run(arguments: &Info, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let lines = engine::info::info(&super::clean_paths(globals, ui)?)?;
    ui::print(&match arguments.format {
        Format::Table => lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect(),
        Format::Json => {
            let field = |(name, value): (&str, String)| (name.replace(' ', ""), Value::String(value));
            format!("{}\n", Value::Object(lines.into_iter().map(field).collect::<Map<_, _>>()))
        }
    })
}
