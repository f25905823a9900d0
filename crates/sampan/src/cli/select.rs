//! Which containers a verb is about.

use super::list::container;
use super::run::request::value;
use crate::ui::Failure;
use engine::containers::Which;
use spec::ContainerId;

/// One, by name or as the latest.
///
/// # Errors
/// Both, or neither.
pub fn one(named: Option<ContainerId>, latest: bool) -> Result<Which, Failure> {
    match (named, latest) {
        (Some(name), false) => Ok(Which::Named(name.to_string())),
        (None, true) => Ok(Which::Latest),
        (Some(name), true) => Err(Failure::new(format!("cannot take both --latest and {name}"))),
        (None, false) => Err(Failure::new("missing CONTAINER").hint("name one, or use --latest")),
    }
}

/// As [`one`], of a word.
///
/// # Errors
/// As [`one`]; it is no name.
pub fn word(named: Option<String>, latest: bool) -> Result<Which, Failure> {
    let named = named.map(|word| value("CONTAINER", &word, container)).transpose()?;
    one(named, latest)
}

/// At least one.
///
/// # Errors
/// None, or names with `--latest`.
pub fn several(named: Vec<ContainerId>, latest: bool) -> Result<Vec<Which>, Failure> {
    let mut named = named.into_iter();
    let first = one(named.next(), latest)?;
    Ok(std::iter::once(first).chain(named.map(|name| Which::Named(name.to_string()))).collect())
}
