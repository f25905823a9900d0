//! Events.

use super::{Label, key_and_value, shown, unknown};
use crate::events::{Event as Happened, Kind};
use spec::unit::Invalid;
use std::str::FromStr;

const KEYS: &str = "container, event, image, label, network, pod, type, volume";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// By name, or how its id starts.
    Container(String),
    /// What happened.
    Action(String),
    Image(String),
    Label(Label),
    Network(String),
    Pod(String),
    Type(String),
    Volume(String),
}

impl FromStr for Event {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = key_and_value(text, KEYS)?;
        let word = value.to_owned();
        Ok(match key {
            "container" => Self::Container(word),
            "event" => Self::Action(word),
            "image" => Self::Image(word),
            "label" => Self::Label(Label::parse(value)?),
            "network" => Self::Network(word),
            "pod" => Self::Pod(word),
            "type" => Self::Type(word),
            "volume" => Self::Volume(word),
            _ => return Err(unknown(key, KEYS)),
        })
    }
}

/// Whether one is shown.
pub fn shows(filters: &[Event], event: &Happened) -> bool {
    shown(filters, |at| fits(&filters[at], event), |filter| matches!(filter, Event::Label(_)))
}

fn fits(filter: &Event, event: &Happened) -> bool {
    let attribute = |key: &str| event.attributes.get(key).map_or("", String::as_str);
    let is = |kind: Kind, word: &str| {
        event.kind == kind && !word.is_empty() && (event.id.starts_with(word) || attribute("name") == word)
    };
    match filter {
        // What happens to networks and volumes names the container that it happens for.
        Event::Container(word) => {
            is(Kind::Container, word)
                || event.kind != Kind::Container && attribute("container").starts_with(word.as_str())
        }
        // health_status: healthy
        Event::Action(action) => {
            event.action == *action || event.action.split_once(':').is_some_and(|(before, _)| before == action)
        }
        Event::Image(word) => {
            let name = if event.kind == Kind::Image { attribute("name") } else { attribute("image") };
            is(Kind::Image, word) || name == word || name.rsplit_once(':').is_some_and(|(name, _)| name == word)
        }
        Event::Label(label) => label.fits(&event.attributes),
        Event::Network(word) => is(Kind::Network, word),
        Event::Pod(word) => is(Kind::Pod, word),
        Event::Type(kind) => event.kind.name() == kind,
        Event::Volume(word) => is(Kind::Volume, word),
    }
}
