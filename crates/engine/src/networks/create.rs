//! `network create`.

use super::{Driver, Options, Record, Subnet, Subnet4, Subnet6, file, hold, load, subnets, unfinished};
use crate::containers::now;
use crate::durable;
use crate::error::{Error, Result};
use crate::events;
use crate::paths::{Paths, cannot_use};
use plan::network::{Traits, Wish, define};
use runtime::observe::network::before;
use spec::image::Annotations;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Create {
    pub name: String,
    pub driver: String,
    /// One that is there already is no error.
    pub ignore: bool,
    /// The bridge's name.
    pub bridge: Option<String>,
    pub subnets: Vec<Subnet>,
    pub ranges: Vec<Subnet>,
    pub gateways: Vec<IpAddr>,
    pub ipv6: bool,
    pub internal: bool,
    pub resolver: bool,
    pub servers: Vec<IpAddr>,
    pub labels: Annotations,
    pub options: BTreeMap<String, String>,
}

/// Writes it down; the rest comes with its first container.
///
/// # Errors
/// What cannot be had.
pub fn create(paths: &Paths, asked: &Create) -> Result<Record> {
    let what = || format!("cannot create network {}", asked.name);
    let driver = check(asked, what)?;
    let options = Options::of(&asked.options)
        .map_err(|error| error.hint.into_iter().fold(Error::rejected(what(), error.why), Error::hint))?;
    let _held = hold(paths)?;
    if let Some(found) = load(&file(paths, &asked.name)) {
        return match asked.ignore {
            true => Ok(found),
            false => Err(Error::rejected(what(), "there is a network of that name already")
                .hint(format!("sampan network inspect {}", asked.name))),
        };
    }
    let refuse =
        |error: crate::request::Invalid| error.hint.into_iter().fold(Error::rejected(what(), error.why), Error::hint);
    let parent = options.parent_of(driver).map_err(refuse)?;
    let bridge = asked.bridge.clone().or(options.bridge);
    let wish = Wish {
        name: asked.name.clone(),
        subnets: asked.subnets.clone(),
        ranges: asked.ranges.clone(),
        gateways: asked.gateways.clone(),
        ipv6: asked.ipv6 || options.ipv6,
        mtu: options.mtu,
        traits: Traits { internal: asked.internal, named: asked.resolver, ..options.traits },
        bridge,
        parent,
    };
    let link = wish.bridge.clone().unwrap_or_else(|| plan::network::bridge_name(&wish.name));
    let host = before(&paths.networks(), &link).map_err(runtime::Error::from)?;
    if let Some(parent) = &wish.parent {
        if !runtime::observe::network::links(None).map_err(runtime::Error::from)?.here.contains(&parent.link) {
            let why = format!("this host has no link {}", parent.link);
            return Err(Error::rejected(what(), why).hint("ip link shows what there is"));
        }
    } else if host.foreign_bridge || super::made(paths).iter().any(|other| other.bridge == link) {
        return Err(Error::rejected(what(), format!("there is a link or a network's bridge {link} already")));
    }
    let made = define(&wish, &host, &subnets(paths))?;
    let id = runtime::observe::random()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let record = Record {
        id,
        name: made.name,
        driver,
        created: now(),
        labels: asked.labels.clone(),
        options: asked.options.clone(),
        bridge: made.bridge,
        subnet4: Some(Subnet4::of(made.subnet4, asked.ranges.first())),
        subnet6: made.subnet6.map(Subnet6::of),
        internal: asked.internal,
        resolver: asked.resolver,
        servers: asked.servers.clone(),
    };
    save(paths, &record)?;
    events::tell(paths, [super::news(&record, "create")]);
    Ok(record)
}

/// Other servers are asked instead of the host's, by containers that come from now on.
///
/// # Errors
/// There is no such network; it is always there, and never asks.
pub fn update(paths: &Paths, word: &str, add: &[IpAddr], drop: &[IpAddr]) -> Result<Record> {
    let name = super::find(paths, word)?.name;
    let _held = hold(paths)?;
    let mut record = super::find(paths, &name)?;
    if record.is_built_in() || !record.resolver {
        let what = format!("cannot update network {name}");
        return Err(Error::rejected(what, "its containers have no resolver of sampan's")
            .hint("sampan run --dns names servers for one container"));
    }
    record.servers.retain(|server| !drop.contains(server));
    for server in add {
        if !record.servers.contains(server) {
            record.servers.push(*server);
        }
    }
    save(paths, &record)?;
    events::tell(paths, [super::news(&record, "update")]);
    Ok(record)
}

/// # Errors
/// The caller is an ordinary user.
pub(super) fn check_user(what: impl Fn() -> String) -> Result<()> {
    if runtime::observe::host()?.rootless() {
        return Err(Error::rejected(what(), "an ordinary user can make no links on the host")
            .hint("a container of his has the host's network by pasta; or run sampan as root"));
    }
    Ok(())
}

fn check(asked: &Create, what: impl Fn() -> String) -> Result<Driver> {
    check_user(&what)?;
    // Words of --network that mean something else.
    if matches!(asked.name.as_str(), "bridge" | "default" | "host" | "none" | "pasta" | "private" | "container" | "ns")
    {
        return Err(Error::rejected(what(), "this name has a meaning of its own").hint("choose another name"));
    }
    match asked.driver.as_str() {
        "bridge" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "ipvlan" => Ok(Driver::Ipvlan),
        "overlay" => {
            Err(Error::rejected(what(), format!("this version has no driver {}", asked.driver)).hint("--driver bridge"))
        }
        "host" | "none" | "null" => {
            Err(Error::rejected(what(), format!("there is one network of the driver {}", asked.driver))
                .hint(format!("--network {}", if asked.driver == "host" { "host" } else { "none" })))
        }
        other => Err(Error::rejected(what(), format!("there is no driver {other}")).hint("--driver bridge")),
    }
}

/// Whole or not at all, and still there after a power cut. By who holds the records, so that there is one unfinished.
fn save(paths: &Paths, record: &Record) -> Result<()> {
    let path = file(paths, &record.name);
    let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
    let text = serde_json::to_vec(record).map_err(|error| cannot(error.into()))?;
    Ok(durable::replace_by(&unfinished(paths), &path, &text).map_err(cannot)?)
}
