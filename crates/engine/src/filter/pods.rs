//! Pods: podman's filters.

use super::{Label, Name, key_and_value, shown, unknown};
use crate::pods::Found;
use crate::state::State;
use crate::time::moment;
use spec::unit::Invalid;
use std::str::FromStr;

const KEYS: &str = "ctr-ids, ctr-names, ctr-number, ctr-status, id, label, name, status, until";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pod {
    /// How the id of a container in it starts.
    ContainerId(String),
    ContainerName(Name),
    ContainerNumber(usize),
    ContainerStatus(State),
    /// How its id starts.
    Id(String),
    Label(Label),
    Name(Name),
    /// In podman's words, small or not.
    Status(String),
    /// Made before this second since the epoch.
    Until(u64),
}

impl FromStr for Pod {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = key_and_value(text, KEYS)?;
        Ok(match key {
            "ctr-ids" => Self::ContainerId(value.to_owned()),
            "ctr-names" => Self::ContainerName(value.parse()?),
            "ctr-number" => Self::ContainerNumber(
                value.parse().map_err(|_| Invalid::new(format!("{value:?} is no number of containers")))?,
            ),
            "ctr-status" => Self::ContainerStatus(value.parse()?),
            "id" => Self::Id(value.to_owned()),
            "label" => Self::Label(Label::parse(value)?),
            "name" => Self::Name(value.parse()?),
            "status" => Self::Status(status(value)?),
            "until" => Self::Until(moment(value)?.seconds()),
            _ => return Err(unknown(key, KEYS)),
        })
    }
}

fn status(word: &str) -> Result<String, Invalid> {
    const ALL: [&str; 6] = ["created", "degraded", "exited", "paused", "running", "stopped"];
    let word = word.to_ascii_lowercase();
    if ALL.contains(&word.as_str()) {
        return Ok(word);
    }
    Err(Invalid::new(format!("{word:?} is no state of a pod")).hint(format!("one of {}", ALL.join(", "))))
}

/// What is left of the list.
#[must_use]
pub fn select(filters: &[Pod], pods: Vec<Found>) -> Vec<Found> {
    let fits = |found: &Found, at: usize| {
        let mut members = found.members.iter();
        match &filters[at] {
            Pod::ContainerId(start) => members.any(|listed| listed.record.id.starts_with(start.as_str())),
            Pod::ContainerName(name) => members.any(|listed| name.fits(&listed.record.name)),
            Pod::ContainerNumber(number) => found.members.len() == *number,
            Pod::ContainerStatus(state) => members.any(|listed| State::of(listed) == *state),
            Pod::Id(start) => found.pod.id.starts_with(start.as_str()),
            Pod::Label(label) => label.fits(&found.pod.labels),
            Pod::Name(name) => name.fits(&found.pod.name),
            Pod::Status(status) => found.state().eq_ignore_ascii_case(status),
            Pod::Until(second) => found.pod.created.seconds() < *second,
        }
    };
    let all_of = |filter: &Pod| matches!(filter, Pod::Label(_));
    pods.into_iter().filter(|found| shown(filters, |at| fits(found, at), all_of)).collect()
}
