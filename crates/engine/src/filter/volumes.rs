//! Volumes.

use super::{Label, key_and_value, shown, unknown};
use crate::time::moment;
use crate::volumes::object::Volume as Listed;
use spec::unit::{Invalid, boolean};
use std::str::FromStr;

const KEYS: &str = "anonymous, dangling, driver, label, label!, name, opt, scope, since, until";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// No container uses it.
    Dangling(bool),
    Anonymous(bool),
    Driver(String),
    Scope(String),
    Label(Label),
    NotLabel(Label),
    /// A part of its name.
    Name(String),
    Option(Label),
    /// Made after this one was.
    Since(String),
    /// Made before this second since the epoch.
    Until(u64),
}

impl FromStr for Volume {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // `label!=KEY` has its equals sign behind the mark.
        let (key, value) = key_and_value(text, KEYS)?;
        Ok(match key {
            "dangling" => Self::Dangling(boolean(value)?),
            "anonymous" => Self::Anonymous(boolean(value)?),
            "driver" => Self::Driver(value.to_owned()),
            "scope" => Self::Scope(value.to_owned()),
            "label" => Self::Label(Label::parse(value)?),
            "label!" => Self::NotLabel(Label::parse(value)?),
            "name" => Self::Name(value.to_owned()),
            "opt" => Self::Option(Label::parse(value)?),
            "since" | "after" => Self::Since(value.to_owned()),
            "until" => Self::Until(moment(value)?.seconds()),
            _ => return Err(unknown(key, KEYS)),
        })
    }
}

/// What is left of the list.
pub fn select(filters: &[Volume], listed: Vec<Listed>) -> Vec<Listed> {
    let made = |name: &str| listed.iter().find(|volume| volume.record.name == name).map(|volume| volume.record.created);
    let moments: Vec<Option<u64>> = filters
        .iter()
        .map(|filter| match filter {
            Volume::Since(name) => made(name),
            Volume::Until(second) => Some(*second),
            _ => None,
        })
        .collect();
    let all_of = |filter: &Volume| matches!(filter, Volume::Label(_) | Volume::NotLabel(_) | Volume::Option(_));
    let keep = |volume: &Listed| shown(filters, |at| fits(&filters[at], moments[at], volume), all_of);
    listed.iter().filter(|volume| keep(volume)).cloned().collect()
}

fn fits(filter: &Volume, moment: Option<u64>, volume: &Listed) -> bool {
    let record = &volume.record;
    match filter {
        Volume::Dangling(dangling) => volume.users.is_empty() == *dangling,
        Volume::Anonymous(anonymous) => record.anonymous == *anonymous,
        // The one driver there is, and where it works.
        Volume::Driver(driver) => driver == "local",
        Volume::Scope(scope) => scope == "local",
        Volume::Label(label) => label.fits(&record.labels),
        Volume::NotLabel(label) => !label.fits(&record.labels),
        Volume::Name(part) => name_fits(part, &record.name),
        Volume::Option(option) => option.fits(&record.options),
        Volume::Since(_) => moment.is_some_and(|moment| record.created > moment),
        Volume::Until(_) => moment.is_some_and(|moment| record.created < moment),
    }
}

/// docker has regular expressions here, of which `^` and `$` are in use.
fn name_fits(part: &str, name: &str) -> bool {
    let (part, starts) = part.strip_prefix('^').map_or((part, false), |part| (part, true));
    let (part, ends) = part.strip_suffix('$').map_or((part, false), |part| (part, true));
    match (starts, ends) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}
