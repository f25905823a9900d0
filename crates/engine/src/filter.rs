//! Which images, containers and networks a list shows: `--filter KEY=VALUE` as docker has it.
//!
//! Invariant: of several values of one key one must fit, of labels all; of several keys all.

mod containers;
mod events;
mod images;
mod networks;
mod pattern;
mod pods;
mod volumes;

pub use crate::state::State;
pub(crate) use containers::{Ancestor, select as containers};
pub use containers::{Container, Name};
pub use events::Event;
pub(crate) use events::shows as events;
pub use images::Image;
pub(crate) use images::select as images;
pub use networks::Network;
pub(crate) use networks::select as networks;
pub use pattern::Pattern;
pub use pods::Pod;
pub(crate) use pods::select as pods;
pub use volumes::Volume;
pub(crate) use volumes::select as volumes;

use spec::image::Annotations;
use spec::unit::Invalid;
use std::mem::discriminant;

/// `label=KEY` or `label=KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    key: String,
    value: Option<String>,
}

impl Label {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value.to_owned())));
        if key.is_empty() {
            return Err(Invalid::new("no label").hint("write label=KEY or label=KEY=VALUE"));
        }
        Ok(Self { key: key.to_owned(), value })
    }

    fn fits(&self, labels: &Annotations) -> bool {
        labels.get(&self.key).is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

fn key_and_value<'a>(text: &'a str, keys: &str) -> Result<(&'a str, &'a str), Invalid> {
    text.split_once('=')
        .ok_or_else(|| Invalid::new("no value").hint(format!("write KEY=VALUE; a key is one of {keys}")))
}

fn unknown(key: &str, keys: &str) -> Invalid {
    Invalid::new(format!("there is no filter {key}")).hint(format!("one of {keys}"))
}

/// Whether a thing is shown that fits some of the filters. `all_of`: of those of its key it must fit all.
fn shown<F>(filters: &[F], fits: impl Fn(usize) -> bool, all_of: fn(&F) -> bool) -> bool {
    let same = |at: usize, other: usize| discriminant(&filters[at]) == discriminant(&filters[other]);
    (0..filters.len()).all(|at| match all_of(&filters[at]) {
        true => fits(at),
        false => (0..filters.len()).any(|other| same(at, other) && fits(other)),
    })
}

#[cfg(test)]
mod tests;
