//! What all lists have: a table, JSON, a template; and what all `inspect` have: documents, or a template.

use crate::cli::Format;
use crate::template::{Field, METHOD, no_table};
use crate::ui::{Failure, table};
use serde_json::Value;

/// Rows are objects with docker's keys, texts in all of them.
pub struct List<'a> {
    /// What rows have.
    pub fields: &'a [Field],
    /// Those of the table.
    pub columns: &'a [&'a str],
    pub rows: &'a [Value],
    /// The one column that is printed if as few words as possible are asked for.
    pub quiet: Option<&'a str>,
    pub heading: bool,
}

impl List<'_> {
    /// # Errors
    /// What the template does not find.
    pub fn text(&self, format: &Format) -> Result<String, Failure> {
        Ok(match (format, self.quiet) {
            (Format::Table, Some(column)) => self.rows.iter().map(|row| cell(row, column) + "\n").collect(),
            (Format::Table, None) => {
                let cells = |row| self.columns.iter().map(|column| cell(row, column)).collect();
                let head: Vec<&str> = self.columns.iter().map(|column| self.head(column)).collect();
                table(self.heading.then_some(&head), &self.rows.iter().map(cells).collect::<Vec<_>>())
            }
            (Format::Json, _) => self.rows.iter().map(line).collect(),
            (Format::Template(template), _) => return template.rows(self.fields, self.rows, self.heading),
        })
    }

    fn head(&self, column: &str) -> &str {
        self.fields.iter().find(|(name, _)| *name == column).map_or("", |(_, head)| head)
    }
}

/// What `inspect` prints of several: their documents, or a line of the template for each.
///
/// # Errors
/// A table was asked for, or the template does not fit.
pub fn documents(format: Option<&Format>, of: Vec<Value>) -> Result<String, Failure> {
    Ok(match format {
        None => format!("{:#}\n", Value::Array(of)),
        Some(Format::Json) => format!("{}\n", Value::Array(of)),
        Some(Format::Template(template)) => template.values(&of)?,
        Some(Format::Table) => return Err(no_table()),
    })
}

fn cell(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}

fn line(row: &Value) -> String {
    let mut row = row.clone();
    if let Value::Object(fields) = &mut row {
        fields.remove(METHOD);
    }
    format!("{row}\n")
}
