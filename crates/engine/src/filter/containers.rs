//! Containers.

use super::{Label, key_and_value, shown, unknown};
use crate::containers::{Listed, Record};
use crate::error::Result;
use crate::request::network::Expose;
use crate::state::State;
use spec::unit::Invalid;
use std::path::PathBuf;
use std::str::FromStr;

const KEYS: &str = "ancestor, before, exited, expose, id, label, name, network, pod, publish, since, status, volume";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// How its id starts.
    Id(String),
    Name(Name),
    Status(State),
    /// Made from this image, or from one that stands on it.
    Ancestor(String),
    Label(Label),
    /// Ended with this code.
    Exited(u8),
    /// It has this volume, or something at this path.
    Volume(String),
    /// It is in this network, or will be at its next start.
    Network(String),
    /// It is in this pod, by name or how its id starts.
    Pod(String),
    /// Made before this one was.
    Before(String),
    Since(String),
    /// On one of these ports of the host.
    Publish(Expose),
    /// One of these ports is the container's.
    Expose(Expose),
}

impl FromStr for Container {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = key_and_value(text, KEYS)?;
        Ok(match key {
            "id" if !value.is_empty() => Self::Id(value.to_owned()),
            "id" => return Err(Invalid::new("no id").hint("write how it starts")),
            "name" => Self::Name(value.parse()?),
            "status" => Self::Status(value.parse()?),
            "ancestor" => Self::Ancestor(value.to_owned()),
            "label" => Self::Label(Label::parse(value)?),
            "volume" => Self::Volume(value.to_owned()),
            "network" => Self::Network(value.to_owned()),
            "pod" => Self::Pod(value.to_owned()),
            "exited" => Self::Exited(value.parse().map_err(|_| {
                Invalid::new(format!("{value:?} is no exit code")).hint("write a number from 0 to 255")
            })?),
            "before" => Self::Before(value.to_owned()),
            "since" => Self::Since(value.to_owned()),
            "publish" => Self::Publish(value.parse()?),
            "expose" => Self::Expose(value.parse()?),
            _ => return Err(unknown(key, KEYS)),
        })
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).ok_or_else(|| {
            Invalid::new(format!("{text:?} is no state of a container")).hint(format!("one of {}", Self::words()))
        })
    }
}

/// A part of a name. docker has regular expressions here, of which `^` and `$` are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    part: String,
    starts: bool,
    ends: bool,
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (part, starts) = text.strip_prefix('^').map_or((text, false), |part| (part, true));
        // In docker a name has a slash before it.
        let part = part.strip_prefix('/').unwrap_or(part);
        let (part, ends) = part.strip_suffix('$').map_or((part, false), |part| (part, true));
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if part.is_empty() || !part.chars().all(known) {
            return Err(Invalid::new("no part of a name")
                .hint("letters, digits, _, . and -, after ^ where it starts and before $ where it ends"));
        }
        Ok(Self { part: part.to_owned(), starts, ends })
    }
}

impl Name {
    pub(super) fn fits(&self, name: &str) -> bool {
        match (self.starts, self.ends) {
            (true, true) => name == self.part,
            (true, false) => name.starts_with(&self.part),
            (false, true) => name.ends_with(&self.part),
            (false, false) => name.contains(&self.part),
        }
    }
}

/// What an `ancestor` is: names, and the layer that it ends with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ancestor {
    pub names: Vec<String>,
    pub top: Option<PathBuf>,
}

impl Ancestor {
    fn fits(&self, container: &Listed) -> bool {
        match &self.top {
            Some(top) => container.record.layers.contains(top),
            None => self.names.contains(&container.record.image),
        }
    }
}

/// Whether one of what `ps` shows of a container's ports (`0.0.0.0:8080->80/tcp`) is one of these: the host's or its own.
fn publishes(record: &Record, ports: &Expose, hosts: bool) -> bool {
    let is_one = |text: &str| {
        let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let is_port = port.parse().is_ok_and(|port| (ports.ports.first..=ports.ports.last).contains(&port));
        is_port && protocol == ports.protocol.to_string()
    };
    record.ports.iter().any(|text| match text.split_once("->") {
        Some((host, own)) if hosts => {
            let port = host.rsplit(':').next().unwrap_or_default();
            is_one(&format!("{port}/{}", own.split('/').nth(1).unwrap_or("tcp")))
        }
        Some((_, own)) => is_one(own),
        None => !hosts && is_one(text),
    }) || (!hosts && record.config.exposed_ports.keys().any(|text| is_one(text)))
}

/// What is left of the list. Whoever asks for a state means those, too, that do not run.
///
/// # Errors
/// What `ancestor` says; `before` or `since` a container that is not there.
pub fn select(
    filters: &[Container],
    all: bool,
    listed: Vec<Listed>,
    ancestor: impl Fn(&str) -> Result<Ancestor>,
    is_in: impl Fn(&Listed, &str) -> bool,
) -> Result<Vec<Listed>> {
    let find = |filter: &Container| match filter {
        Container::Ancestor(word) => ancestor(word),
        _ => Ok(Ancestor::default()),
    };
    let ancestors: Vec<Ancestor> = filters.iter().map(find).collect::<Result<_>>()?;
    let mark = |filter: &Container| match filter {
        Container::Before(word) | Container::Since(word) => at(&listed, word).map(Some),
        _ => Ok(None),
    };
    let marks: Vec<Option<usize>> = filters.iter().map(mark).collect::<Result<_>>()?;
    let all = all || filters.iter().any(|filter| matches!(filter, Container::Status(_) | Container::Exited(_)));
    let keep = |(place, container): &(usize, Listed)| {
        let record = &container.record;
        let fits = |at: usize| match &filters[at] {
            // The newest is the first.
            Container::Before(_) => marks[at].is_some_and(|mark| *place > mark),
            Container::Since(_) => marks[at].is_some_and(|mark| *place < mark),
            Container::Publish(ports) => publishes(record, ports, true),
            Container::Expose(ports) => publishes(record, ports, false),
            Container::Id(start) => record.id.starts_with(start.as_str()),
            Container::Name(name) => name.fits(&record.name),
            Container::Status(state) => State::of(container) == *state,
            Container::Ancestor(_) => ancestors[at].fits(container),
            Container::Label(label) => label.fits(&record.config.labels),
            Container::Volume(word) => record
                .mounts
                .iter()
                .any(|mounted| mounted.volume() == Some(word.as_str()) || mounted.mount.target == *word),
            Container::Network(word) => is_in(container, word),
            Container::Pod(word) => {
                record.pod.as_ref().is_some_and(|member| member.name == *word || member.id.starts_with(word.as_str()))
            }
            Container::Exited(code) => !container.running && record.exit_code == Some(*code),
        };
        (all || container.running) && shown(filters, fits, |filter| matches!(filter, Container::Label(_)))
    };
    Ok(listed.into_iter().enumerate().filter(keep).map(|(_, container)| container).collect())
}

/// Where in the list the one is that this word means.
fn at(listed: &[Listed], word: &str) -> Result<usize> {
    let named = listed.iter().position(|listed| listed.record.name == word);
    let by_id = || listed.iter().position(|listed| !word.is_empty() && listed.record.id.starts_with(word));
    named.or_else(by_id).ok_or_else(|| crate::containers::absent(word))
}
