//! Networks as objects: those that a user made, and the three that are always there.
//!
//! What a user made is a record in `data/networks`, and lasts. Its bridge, its elements and its leases are there while a
//! container is in it (`state/networks`). Who changes the records holds their directory; who takes one away holds the
//! state as well, so that no container can come meanwhile.

mod connect;
mod create;
mod live;
mod options;

pub use connect::{connect, disconnect};
pub use create::{Create, create, update};
pub(crate) use live::is_in;
pub use live::{Place, inspect, of, places, prune, reload, remove};
pub use options::Options;
pub use plan::network::Network as Subnet;

use crate::error::{Error, Result};
use crate::events::{Kind, News};
use crate::filter;
use crate::paths::{self, Paths};
use crate::request::network::DEFAULT;
use plan::network::{Definition, Net4, Net6, Traits};
use serde::{Deserialize, Serialize};
use spec::image::Annotations;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// One network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub id: String,
    pub name: String,
    pub driver: Driver,
    /// Seconds since the epoch; 0 for those that are always there.
    pub created: u64,
    pub labels: Annotations,
    /// As given by `--opt`.
    pub options: BTreeMap<String, String>,
    pub bridge: String,
    pub subnet4: Option<Subnet4>,
    pub subnet6: Option<Subnet6>,
    pub internal: bool,
    /// Its containers find each other by name.
    pub resolver: bool,
    /// What the resolver asks, instead of the host's.
    pub servers: Vec<IpAddr>,
}

/// What makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    #[default]
    Bridge,
    /// The host's own network.
    Host,
    /// No network.
    Null,
    /// Parts of a link of the host's.
    Macvlan,
    Ipvlan,
}

impl Driver {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet4 {
    pub subnet: String,
    pub gateway: Ipv4Addr,
    pub range: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet6 {
    pub subnet: String,
    pub gateway: Ipv6Addr,
}

impl Record {
    /// Whether it is one of the three that are always there.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.created == 0
    }

    /// What plan makes a network of; `None` for one that is always there.
    ///
    /// # Errors
    /// The record is not whole.
    pub(crate) fn definition(&self) -> Result<Option<Definition>> {
        if self.is_built_in() {
            return Ok(None);
        }
        let broken = || {
            Error::rejected(format!("cannot use network {}", self.name), "its record is not whole")
                .hint(format!("sampan network rm {}", self.name))
        };
        let options = Options::of(&self.options).map_err(|_| broken())?;
        let subnet4 = self.subnet4.as_ref().and_then(Subnet4::read).ok_or_else(broken)?;
        let subnet6 = self.subnet6.as_ref().map(|net| net.read().ok_or_else(broken)).transpose()?;
        let traits = Traits { internal: self.internal, named: self.resolver, ..options.traits };
        let (name, bridge) = (self.name.clone(), self.bridge.clone());
        let parent = options.parent_of(self.driver).map_err(|_| broken())?;
        Ok(Some(Definition { name, bridge, subnet4, subnet6, mtu: options.mtu, traits, parent }))
    }

    fn subnets(&self) -> impl Iterator<Item = Subnet> {
        let texts = [self.subnet4.as_ref().map(|net| &net.subnet), self.subnet6.as_ref().map(|net| &net.subnet)];
        texts.into_iter().flatten().filter_map(|text| text.parse().ok())
    }
}

impl Subnet4 {
    fn of(net: Net4, range: Option<&Subnet>) -> Self {
        Self { subnet: net.to_string(), gateway: net.gateway(), range: range.map(ToString::to_string) }
    }

    fn read(&self) -> Option<Net4> {
        let Subnet { ip: IpAddr::V4(ip), prefix } = self.subnet.parse().ok()? else { return None };
        let net = Net4::new(ip, prefix)?.with_gateway(self.gateway)?;
        match &self.range {
            None => Some(net),
            Some(range) => {
                let Subnet { ip: IpAddr::V4(ip), prefix } = range.parse().ok()? else { return None };
                net.with_range(ip, prefix)
            }
        }
    }
}

impl Subnet6 {
    fn of(net: Net6) -> Self {
        Self { subnet: net.to_string(), gateway: net.gateway() }
    }

    fn read(&self) -> Option<Net6> {
        let Subnet { ip: IpAddr::V6(ip), prefix } = self.subnet.parse().ok()? else { return None };
        Net6::new(ip, prefix)?.with_gateway(self.gateway)
    }
}

/// docker's three, as they are without a container.
fn built_in() -> [Record; 3] {
    [(DEFAULT, Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)].map(|(name, driver)| {
        let id = spec::Digest::of(format!("sampan network {name}").as_bytes()).hex();
        let bridge = if driver == Driver::Bridge { plan::network::bridge_name(name) } else { String::new() };
        Record { id, name: name.to_owned(), driver, bridge, ..Record::default() }
    })
}

/// All of them by name.
#[must_use]
pub fn list(paths: &Paths) -> Vec<Record> {
    let mut all: Vec<Record> = built_in().into_iter().chain(made(paths)).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// Those that all filters let through.
#[must_use]
pub fn select(paths: &Paths, filters: &[filter::Network]) -> Vec<Record> {
    let used = |record: &Record| live::is_used(paths, &record.name);
    filter::networks(filters, list(paths), used)
}

/// Those that users made.
fn made(paths: &Paths) -> Vec<Record> {
    let entries = std::fs::read_dir(paths.defined_networks()).into_iter().flatten().flatten();
    let of_its_name = |path: &Path, record: &Record| path.file_stem().is_some_and(|stem| stem == record.name.as_str());
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| load(&path).filter(|record| of_its_name(&path, record)))
        .collect()
}

fn load(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// By name, id, or the start of an id that only one has.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(paths: &Paths, word: &str) -> Result<Record> {
    look_up(paths, word)?.ok_or_else(|| {
        Error::rejected(format!("cannot find network {word}"), "no network has this name or id")
            .hint(format!("sampan network ls shows which there are; sampan network create {word} makes one"))
    })
}

fn look_up(paths: &Paths, word: &str) -> Result<Option<Record>> {
    if let Some(found) = built_in().into_iter().find(|record| record.name == word) {
        return Ok(Some(found));
    }
    // The usual word, of one file.
    if crate::request::network::network_name(word).is_ok()
        && let Some(found) = load(&file(paths, word)).filter(|record| record.name == word)
    {
        return Ok(Some(found));
    }
    let mut matching = list(paths).into_iter().filter(|record| !word.is_empty() && record.id.starts_with(word));
    match (matching.next(), matching.next()) {
        (found, None) => Ok(found),
        (Some(_), Some(_)) => {
            Err(Error::rejected(format!("cannot tell which network {word} is"), "the id of more than one starts so")
                .hint("sampan network ls --no-trunc shows the whole ids"))
        }
        (None, Some(_)) => Ok(None),
    }
}

/// Subnets that the default network must not choose, with the network's name.
pub(crate) fn subnets(paths: &Paths) -> Vec<(String, Subnet)> {
    let of = |record: Record| record.subnets().map(|net| (record.name.clone(), net)).collect::<Vec<_>>();
    made(paths).into_iter().flat_map(of).collect()
}

fn file(paths: &Paths, name: &str) -> std::path::PathBuf {
    paths.defined_networks().join(format!("{name}.json"))
}

/// A record that is being written; no name of a network begins so.
fn unfinished(paths: &Paths) -> std::path::PathBuf {
    paths.defined_networks().join(".unfinished")
}

/// What one left that was killed while it wrote.
pub(crate) fn reap(paths: &Paths) {
    let unfinished = unfinished(paths);
    if !unfinished.exists() {
        return;
    }
    let Ok(directory) = std::fs::File::open(paths.defined_networks()) else { return };
    if directory.try_lock().is_ok() {
        let _ = std::fs::remove_file(unfinished);
    }
}

/// Who holds it changes the records; let go when dropped.
fn hold(paths: &Paths) -> Result<std::fs::File> {
    paths::hold(&paths.defined_networks())
}

/// What happened to it, in docker's words.
fn news(record: &Record, action: &str) -> News {
    News::new(Kind::Network, action, &record.id).with("name", &record.name).with("type", record.driver.name())
}

/// As podman calls one that was given no name.
#[must_use]
pub fn free_name(paths: &Paths) -> String {
    let taken: Vec<String> = made(paths).into_iter().map(|record| record.name).collect();
    let names = (1u32..).map(|number| format!("net{number}"));
    names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}

/// When it was made (RFC 3339); docker's year 1 for what is always there.
#[must_use]
pub fn date(record: &Record) -> String {
    if record.is_built_in() { "0001-01-01T00:00:00Z".to_owned() } else { crate::time::rfc3339(record.created) }
}

/// In colon notation.
#[must_use]
pub fn mac(place: &Place) -> String {
    plan::network::mac_text(place.mac)
}
