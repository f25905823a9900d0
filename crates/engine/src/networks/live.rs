//! What of a network is there while containers are in it, and taking one away.

use super::{Driver, Record, Subnet4, Subnet6, file, find, hold, look_up, made};
use crate::containers::{self, Listed, Which};
use crate::durable;
use crate::error::{Error, Result};
use crate::events;
use crate::filter;
use crate::paths::{Paths, cannot_use};
use crate::start;
use plan::network::{Lease, Mac, Shared};
use runtime::apply::network::{Lock, reload as restore, retire, state};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A container's place in a network, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub network: String,
    /// The container's.
    pub id: String,
    pub name: String,
    pub mac: Mac,
    /// The link, as the container calls it.
    pub link: String,
    pub address4: (Ipv4Addr, u8),
    pub gateway4: Option<Ipv4Addr>,
    pub address6: Option<(Ipv6Addr, u8)>,
    pub gateway6: Option<Ipv6Addr>,
    /// By which others of the network find it.
    pub names: Vec<String>,
    pub priority: i32,
}

impl Place {
    fn of(paths: &Paths, shared: &Shared, lease: Lease) -> Self {
        let leads_out = !shared.traits.internal;
        Self {
            network: shared.name.clone(),
            name: containers::name_of(paths, &lease.container).unwrap_or_default(),
            id: lease.container,
            mac: lease.mac,
            link: lease.link,
            address4: (lease.address4, shared.subnet4.prefix()),
            gateway4: leads_out.then(|| shared.subnet4.gateway()),
            address6: lease.address6.zip(shared.subnet6.map(|net| net.prefix())),
            gateway6: shared.subnet6.filter(|_| leads_out).map(|net| net.gateway()),
            names: lease.names,
            priority: lease.priority,
        }
    }

    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [Some(IpAddr::from(self.address4.0)), self.address6.map(|(ip, _)| ip.into())].into_iter().flatten()
    }
}

/// Where a container is, by the name of the network; nowhere if it does not run.
///
/// # Errors
/// The kernel's.
pub fn places(paths: &Paths, id: &str) -> Result<Vec<Place>> {
    let state_dir = paths.networks();
    let mut found = state::memberships(&state_dir, id).map_err(runtime::Error::from)?;
    found.sort();
    let place = |(network, address): (String, Ipv4Addr)| {
        let lease = state::holder(&state_dir, &network, address).filter(|lease| lease.container == id)?;
        Some(Place::of(paths, &state::shared(&state_dir, &network)?, lease))
    };
    Ok(found.into_iter().filter_map(place).collect())
}

/// The names of the networks that a container is in, or will be at its next start.
#[must_use]
pub fn of(paths: &Paths, container: &Listed) -> Vec<String> {
    let id = &container.record.id;
    if container.running && container.record.pid > 0 {
        let all = state::memberships(&paths.networks(), id).unwrap_or_default();
        let mut names: Vec<String> = all.into_iter().map(|(network, _)| network).collect();
        names.sort();
        return names;
    }
    let request = start::load(paths, &container.record);
    let endpoints = request.map(|request| request.network.endpoints()).unwrap_or_default();
    endpoints.into_iter().map(|endpoint| endpoint.network).collect()
}

/// Whether one of them is that network, by name or id.
pub(crate) fn is_in(paths: &Paths, container: &Listed, word: &str) -> bool {
    let name = look_up(paths, word).ok().flatten().map(|record| record.name);
    name.is_some_and(|name| of(paths, container).contains(&name))
}

/// The network, as it is now, and who is in it.
///
/// # Errors
/// There is no such network.
pub fn inspect(paths: &Paths, word: &str) -> Result<(Record, Vec<Place>)> {
    let mut record = find(paths, word)?;
    let state_dir = paths.networks();
    let Some(shared) = state::shared(&state_dir, &record.name) else { return Ok((record, Vec::new())) };
    if record.is_built_in() && record.driver == Driver::Bridge {
        record.subnet4 = Some(Subnet4::of(shared.subnet4, None));
        record.subnet6 = shared.subnet6.map(Subnet6::of);
    }
    let leases = state::all(&state_dir, &record.name).map_err(runtime::Error::from)?;
    let mut places: Vec<Place> = leases.into_iter().map(|lease| Place::of(paths, &shared, lease)).collect();
    places.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((record, places))
}

/// Whether a container is in it now.
pub(super) fn is_used(paths: &Paths, name: &str) -> bool {
    state::is_used(&paths.networks(), name)
}

/// Whether there was one. `force`: one that is not there is no error.
///
/// # Errors
/// One that is always there, or that a container is in.
pub fn remove(paths: &Paths, word: &str, force: bool) -> Result<bool> {
    let found = if force { look_up(paths, word)? } else { Some(find(paths, word)?) };
    let Some(record) = found else { return Ok(false) };
    let what = || format!("cannot remove network {}", record.name);
    if record.is_built_in() {
        return Err(Error::rejected(what(), "it is always there"));
    }
    let _held = hold(paths)?;
    if take_away(paths, &record)? {
        return Ok(true);
    }
    let (_, places) = inspect(paths, &record.name)?;
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let names = names.join(", ");
    Err(Error::rejected(what(), format!("containers are in it: {names}"))
        .hint(format!("stop them, or: sampan network disconnect {} CONTAINER", record.name)))
}

/// Whether nobody was in it. The state is held: no container can come meanwhile.
fn take_away(paths: &Paths, record: &Record) -> Result<bool> {
    let state_dir = paths.networks();
    let lock = Lock::take(&state_dir).map_err(runtime::Error::from)?;
    let is_free = !is_used(paths, &record.name);
    let gone = match is_free.then(|| durable::remove(&file(paths, &record.name))) {
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(cannot_use(format!("cannot remove network {}", record.name), &error))
        }
        _ => Ok(()),
    };
    drop(lock);
    // Its bridge may linger; the next network of this name is another.
    retire(&state_dir).map_err(runtime::Error::from)?;
    gone?;
    events::tell(paths, is_free.then(|| super::news(record, "destroy")));
    Ok(is_free)
}

/// The names of those that were made, that the filters let through, and that no container uses: they are gone.
///
/// # Errors
/// The kernel's.
pub fn prune(paths: &Paths, filters: &[filter::Network]) -> Result<Vec<String>> {
    let _held = hold(paths)?;
    let mut gone = Vec::new();
    for record in filter::networks(filters, made(paths), |record| is_used(paths, &record.name)) {
        if take_away(paths, &record)? {
            gone.push(record.name);
        }
    }
    gone.sort();
    Ok(gone)
}

/// What others did to the host's rules, links and sysctls is mended, for all networks at once, and so for these
/// containers; their ids.
///
/// # Errors
/// There is no such container; the kernel's.
pub fn reload(paths: &Paths, of: Option<&[Which]>) -> Result<Vec<String>> {
    let state_dir = paths.networks();
    let in_one = |id: &str| state::memberships(&state_dir, id).is_ok_and(|all| !all.is_empty());
    let ids = match of {
        Some(named) => {
            let id = |which: &Which| Ok(containers::which(paths, which)?.record.id);
            named.iter().map(id).collect::<Result<Vec<_>>>()?
        }
        None => containers::list(paths).into_iter().map(|listed| listed.record.id).filter(|id| in_one(id)).collect(),
    };
    restore(&state_dir).map_err(runtime::Error::from)?;
    Ok(ids)
}
