//! Go's templates over what a command knows: `--format '{{.ID}}'`, with docker's functions and its `table`.
//!
//! Invariant: pure. A command hands in serde values and the names of its fields; nothing else knows the language.

mod functions;
mod syntax;
mod value;

use crate::ui::{self, Failure};
use gotmpl::TemplateError;
use serde_json::Value as Json;
use spec::unit::Invalid;
use std::str::FromStr;
use syntax::{Ready, Tree};
pub use value::METHOD;
use value::{Foreign, of};

/// One that can be parsed and calls only functions that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    table: bool,
}

impl FromStr for Template {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (text, table) = text.strip_prefix("table ").map_or((text, false), |text| (text.trim_start(), true));
        Tree::parse(text)?;
        Ok(Self { text: text.to_owned(), table })
    }
}

/// A field of a list's rows, and what stands above its column.
pub type Field = (&'static str, &'static str);

impl Template {
    /// A line for each row; below the fields' headings if it is a `table` and `heading` is asked for.
    ///
    /// # Errors
    /// A field that rows have not, even if there is no row; what a function refuses.
    pub fn rows(&self, fields: &[Field], rows: &[Json], heading: bool) -> Result<String, Failure> {
        let tree = self.tree()?;
        let head = self.line(&tree, &tree.with(&functions::heading()), &value::heading(fields), fields);
        // What a row's value is made for may not fit a heading; only a field that is not there is wrong for all of them.
        let head = match head {
            Ok(head) => head,
            Err(Told::Field(failure)) => return Err(failure),
            Err(Told::Other(failure)) if self.table && heading => return Err(failure),
            Err(Told::Other(_)) => String::new(),
        };
        let ready = tree.with(&functions::docker());
        let lines = rows.iter().map(|row| self.line(&tree, &ready, &of("", row, foreign()), fields));
        let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(Told::failure)?;
        Ok(if self.table { ui::columns(head.lines().filter(|_| heading), &lines) } else { lines.concat() })
    }

    /// A line for each value.
    ///
    /// # Errors
    /// A `table`; as [`Template::rows`].
    pub fn values(&self, values: &[Json]) -> Result<String, Failure> {
        if self.table {
            return Err(no_table());
        }
        let tree = self.tree()?;
        let ready = tree.with(&functions::docker());
        let line = |value: &Json| self.line(&tree, &ready, &of("", value, foreign()), &[]);
        values.iter().map(line).collect::<Result<_, _>>().map_err(Told::failure)
    }

    fn what(&self) -> String {
        format!("cannot print {:?}", self.text)
    }

    fn tree(&self) -> Result<Tree, Failure> {
        Tree::parse(&self.text).map_err(|error| Failure::invalid(self.what(), error))
    }

    fn line(&self, tree: &Tree, ready: &Ready, data: &gotmpl::Value, fields: &[Field]) -> Result<String, Told> {
        let what = || self.what();
        ready.print(data).map(|line| line + "\n").map_err(|error| match error {
            TemplateError::MissingKey { key } => {
                let there = if fields.is_empty() { tree.beside(&key, data) } else { names(fields) };
                let hint = if there.is_empty() { "{{json .}} shows what there is".to_owned() } else { one_of(&there) };
                Told::Field(Failure::new(what()).cause(format!("there is no {key}")).hint(hint))
            }
            error => Told::Other(Failure::new(what()).cause(syntax::words(&error))),
        })
    }
}

/// For what is one thing and not a list.
pub fn no_table() -> Failure {
    Failure::new("cannot print a table").cause("this is no list").hint("json, or a template such as {{json .}}")
}

/// Why a line could not be printed: for any row, or for this one.
enum Told {
    Field(Failure),
    Other(Failure),
}

impl Told {
    fn failure(self) -> Failure {
        match self {
            Self::Field(failure) | Self::Other(failure) => failure,
        }
    }
}

fn names(fields: &[Field]) -> Vec<String> {
    fields.iter().map(|(name, _)| (*name).to_owned()).collect()
}

fn one_of(names: &[String]) -> String {
    format!("one of {}", names.join(", "))
}

/// A person's terminal obeys control characters, a program that reads wants them as they are.
fn foreign() -> Foreign {
    if ui::is_terminal() { Foreign::Escaped } else { Foreign::AsIs }
}

#[cfg(test)]
mod tests;
