//! Which containers a verb is about.

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
