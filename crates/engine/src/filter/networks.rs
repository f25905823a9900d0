//! Networks.

use super::{Label, Name, key_and_value, shown, unknown};
use crate::networks::Record;
use crate::time::moment;
use spec::unit::{Invalid, boolean};
use std::str::FromStr;

const KEYS: &str = "dangling, driver, id, label, label!, name, scope, type, until";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Nobody uses it.
    Dangling(bool),
    Driver(String),
    /// How its id starts.
    Id(String),
    Label(Label),
    NoLabel(Label),
    Name(Name),
    /// One of this machine; there are no others.
    Local(bool),
    /// Always there.
    BuiltIn(bool),
    /// Made before this second since the epoch.
    Until(u64),
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = key_and_value(text, KEYS)?;
        Ok(match key {
            "dangling" => Self::Dangling(boolean(value)?),
            "driver" => Self::Driver(value.to_owned()),
            "id" => Self::Id(value.to_owned()),
            "label" => Self::Label(Label::parse(value)?),
            "label!" => Self::NoLabel(Label::parse(value)?),
            "name" => Self::Name(value.parse()?),
            "scope" => Self::Local(value == "local"),
            "type" => match value {
                "builtin" => Self::BuiltIn(true),
                "custom" => Self::BuiltIn(false),
                _ => return Err(Invalid::new(format!("{value:?} is no type of a network")).hint("builtin or custom")),
            },
            "until" => Self::Until(moment(value)?.seconds()),
            _ => return Err(unknown(key, KEYS)),
        })
    }
}

/// What is left of the list.
#[must_use]
pub fn select(filters: &[Network], records: Vec<Record>, used: impl Fn(&Record) -> bool) -> Vec<Record> {
    let fits = |record: &Record, at: usize| match &filters[at] {
        Network::Dangling(dangling) => (!record.is_built_in() && !used(record)) == *dangling,
        Network::Driver(driver) => record.driver.name() == driver,
        Network::Id(start) => record.id.starts_with(start.as_str()),
        Network::Label(label) => label.fits(&record.labels),
        Network::NoLabel(label) => !label.fits(&record.labels),
        Network::Name(name) => name.fits(&record.name),
        Network::Local(local) => *local,
        Network::BuiltIn(built_in) => record.is_built_in() == *built_in,
        Network::Until(second) => record.created < *second,
    };
    let all_of = |filter: &Network| matches!(filter, Network::Label(_) | Network::NoLabel(_));
    records.into_iter().filter(|record| shown(filters, |at| fits(record, at), all_of)).collect()
}
