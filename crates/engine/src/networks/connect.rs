//! `network connect` and `disconnect`: of a container that runs at once, and for its next start.

use super::{Driver, Options, Place, Record, places};
use crate::containers::{self, Listed};
use crate::error::{Error, Result};
use crate::events;
use crate::net;
use crate::paths::Paths;
use crate::request::Run;
use crate::request::network::{Endpoint, Mode};
use crate::start;
use plan::network::{HostNetwork, Lease, Request, Shared};
use runtime::apply::network::{Lock, live, state};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A container that is about to be changed.
struct Member<'a> {
    paths: &'a Paths,
    record: containers::Record,
    /// What it is started from; a container that goes with its end may have none.
    request: Option<Run>,
    /// Of one that runs: what it is in, and its network namespace.
    places: Vec<Place>,
    namespace: Option<OwnedFd>,
}

/// The container is in the network from now on. What is to be said besides.
///
/// # Errors
/// No such network or container; what cannot be had.
pub fn connect(paths: &Paths, network: &str, container: &str, endpoint: Endpoint) -> Result<Vec<String>> {
    super::create::check_user(|| format!("cannot connect container {container} to network {network}"))?;
    let lock = Lock::take(&paths.networks()).map_err(runtime::Error::from)?;
    let done = join(paths, network, container, endpoint, &lock);
    drop(lock);
    net::retire(paths)?;
    done
}

/// It is no longer.
///
/// # Errors
/// No such network or container; it is not in it.
pub fn disconnect(paths: &Paths, network: &str, container: &str) -> Result<()> {
    super::create::check_user(|| format!("cannot disconnect container {container} from network {network}"))?;
    let lock = Lock::take(&paths.networks()).map_err(runtime::Error::from)?;
    let done = part(paths, network, container, &lock);
    drop(lock);
    net::retire(paths)?;
    done
}

fn join(paths: &Paths, network: &str, container: &str, mut endpoint: Endpoint, lock: &Lock) -> Result<Vec<String>> {
    let record = super::find(paths, network)?;
    endpoint.network.clone_from(&record.name);
    let what = || format!("cannot connect container {container} to network {}", record.name);
    let refuse = |why: &str| Error::rejected(what(), why);
    if matches!(record.driver, Driver::Host | Driver::Null) {
        return Err(refuse("it cannot be one of several"));
    }
    if record.is_built_in() && !endpoint.aliases.is_empty() {
        return Err(refuse("names are known on networks that a user made only"));
    }
    let mut member = Member::find(paths, container, &what)?;
    member.stands(&record, &what)?;
    let mut endpoints = member.endpoints(&what)?;
    if endpoints.iter().any(|known| known.network == record.name) {
        return Err(refuse("it is in it already"));
    }
    let mut warnings = Vec::new();
    if member.namespace.is_some() {
        if member.request.is_some() {
            member.clear(&record.name, lock)?;
        }
        warnings = member.plug(&record, &endpoint, lock, &what)?;
    }
    endpoints.push(endpoint);
    if let Err(error) = member.keep(endpoints) {
        member.unplug(&record.name, lock)?;
        return Err(error);
    }
    tell(paths, &record, &member.record, "connect");
    Ok(warnings)
}

fn part(paths: &Paths, network: &str, container: &str, lock: &Lock) -> Result<()> {
    let record = super::find(paths, network)?;
    let what = || format!("cannot disconnect container {container} from network {}", record.name);
    let mut member = Member::find(paths, container, &what)?;
    member.stands(&record, &what)?;
    let mut endpoints = member.endpoints(&what)?;
    let known = endpoints.len();
    endpoints.retain(|endpoint| endpoint.network != record.name);
    if endpoints.len() == known {
        if member.clear(&record.name, lock)? {
            return Ok(());
        }
        return Err(Error::rejected(what(), "it is not in it")
            .hint(format!("sampan network inspect {} shows who is", record.name)));
    }
    member.keep(endpoints)?;
    member.unplug(&record.name, lock)?;
    tell(paths, &record, &member.record, "disconnect");
    Ok(())
}

fn tell(paths: &Paths, network: &Record, container: &containers::Record, action: &str) {
    events::tell(paths, [super::news(network, action).with("container", &container.id)]);
}

impl<'a> Member<'a> {
    /// The state is locked: a container that runs cannot be undone meanwhile, because its end waits for that.
    fn find(paths: &'a Paths, word: &str, what: &dyn Fn() -> String) -> Result<Self> {
        let Listed { record, running } = containers::find(paths, word)?;
        let kept = paths.request(&record.id).exists();
        let request = if kept { Some(start::load(paths, &record)?) } else { None };
        let (mut places, mut namespace) = (Vec::new(), None);
        if running && record.pid > 0 {
            places = self::places(paths, &record.id)?;
            namespace = Some(open(&record, what)?);
        } else if request.is_none() {
            return Err(Error::rejected(what(), "it does not run, and cannot be started again"));
        }
        Ok(Self { paths, record, request, places, namespace })
    }

    /// A part of a parent comes with a start, and goes with the end.
    fn stands(&self, network: &Record, what: &dyn Fn() -> String) -> Result<()> {
        if self.namespace.is_none() || network.driver == Driver::Bridge {
            return Ok(());
        }
        let why = format!(
            "a container that runs can neither come to a network of the driver {} nor leave it",
            network.driver.name()
        );
        Err(Error::rejected(what(), why).hint("stop it first"))
    }

    /// Where it is, or will be at its next start.
    fn endpoints(&self, what: &dyn Fn() -> String) -> Result<Vec<Endpoint>> {
        let Some(request) = &self.request else {
            return Ok(self.places.iter().map(|place| Endpoint::of(&place.network)).collect());
        };
        match &request.network.mode {
            None | Some(Mode::Networks(_)) => Ok(request.network.endpoints()),
            Some(_) => {
                Err(Error::rejected(what(), "it is in no network of sampan's: it was made with another --network"))
            }
        }
    }

    /// For its next start, and still so after a power cut.
    fn keep(&mut self, endpoints: Vec<Endpoint>) -> Result<()> {
        let Some(request) = &mut self.request else { return Ok(()) };
        let network = &mut request.network;
        // What the flags said of the first network stands there now.
        (network.ip, network.ip6, network.mac, network.aliases) = (None, None, None, Vec::new());
        network.mode = Some(Mode::Networks(endpoints));
        start::save_request(request, &self.paths.request(&self.record.id))
    }

    fn plug(
        &mut self,
        network: &Record,
        endpoint: &Endpoint,
        lock: &Lock,
        what: &dyn Fn() -> String,
    ) -> Result<Vec<String>> {
        let (paths, id) = (self.paths, &self.record.id);
        let Some(namespace) = &self.namespace else { return Ok(Vec::new()) };
        let journal = std::fs::read_to_string(paths.journal(id)).unwrap_or_default();
        if !journal.contains("\nnetwork-leave-all ") {
            return Err(Error::rejected(what(), "it was started without a network")
                .hint("stop it, connect it, and start it again"));
        }
        let definition = network.definition()?;
        let options = Options::of(&network.options).unwrap_or_default();
        let stem = options.link.unwrap_or_else(|| "eth".to_owned());
        let free = |name: &String| !self.places.iter().any(|place| place.link == *name);
        let link = match &endpoint.link {
            Some(link) if free(link) => link.clone(),
            Some(link) => return Err(Error::rejected(what(), format!("the container has a link {link} already"))),
            None => (0..).map(|number| format!("{stem}{number}")).find(free).unwrap_or_default(),
        };
        let internal = definition.as_ref().is_some_and(|network| network.traits.internal);
        let rank = (std::cmp::Reverse(endpoint.priority), network.name.as_str());
        let leads_out = !internal && self.leading().is_none_or(|leading| rank < leading.rank());
        let names = net::names_of(&self.record.name, id, &endpoint.aliases, self.hostname());
        let asked = Request {
            network: network.name.clone(),
            reserved: super::subnets(paths).into_iter().map(|(_, net)| net).collect(),
            leads_out,
            definition,
            ..net::asked(id, endpoint, link, names)
        };
        let directory = paths.networks();
        let (observed, _) = runtime::observe::network::host(&directory, &asked)?;
        let observed = named(paths, observed);
        let connection = plan::network::connect(&asked, &observed)?;
        let pid = self.record.pid.cast_unsigned();
        live::connect(&directory, &connection, namespace, pid, lock).map_err(runtime::Error::from)?;
        if let (true, Some(old)) = (leads_out, self.leading()) {
            self.move_ports(old, &connection.shared, &connection.lease, lock)?;
        }
        let lease = &connection.lease;
        let addresses = [Some(IpAddr::from(lease.address4)), lease.address6.map(IpAddr::from)];
        self.edit_hosts(&addresses.into_iter().flatten().collect::<Vec<_>>(), true);
        let mut warnings = connection.warnings;
        if network.resolver && !network.is_built_in() && !self.has_resolver() {
            warnings.push(format!(
                "it was started without a resolver: names of {} are known to it from its next start on",
                network.name
            ));
        }
        Ok(warnings)
    }

    /// Of somebody who was killed before it was written down.
    fn clear(&mut self, network: &str, lock: &Lock) -> Result<bool> {
        if self.places.iter().any(|place| place.network == network) {
            return self.unplug(network, lock).map(|()| true);
        }
        let cleared = live::clear(&self.paths.networks(), network, &self.record.id, lock);
        Ok(cleared.map_err(runtime::Error::from)?)
    }

    fn unplug(&mut self, network: &str, lock: &Lock) -> Result<()> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let directory = self.paths.networks();
        // As it is now: it may have come just before.
        self.places = places(self.paths, &self.record.id)?;
        let Some(at) = self.places.iter().position(|place| place.network == network) else { return Ok(()) };
        let led = self.leading().is_some_and(|leading| leading.network == network);
        let gone = self.places.remove(at);
        let Some((_, lease)) = state_of(&directory, &gone) else { return Ok(()) };
        if let (true, Some(next)) = (led, self.leading())
            && let Some((shared, next)) = state_of(&directory, next)
        {
            self.move_ports(&gone, &shared, &next, lock)?;
            live::lead(&shared, &next, namespace).map_err(runtime::Error::from)?;
        }
        let lease = state::holder(&directory, network, lease.address4).unwrap_or(lease);
        live::disconnect(&directory, network, &lease, lock).map_err(runtime::Error::from)?;
        self.edit_hosts(&gone.addresses().collect::<Vec<_>>(), false);
        Ok(())
    }

    fn move_ports(&self, from: &Place, to: &Shared, lease: &Lease, lock: &Lock) -> Result<()> {
        let directory = self.paths.networks();
        let Some((_, old)) = state_of(&directory, from) else { return Ok(()) };
        live::move_ports(&directory, (&from.network, &old), (&to.name, lease), lock).map_err(runtime::Error::from)?;
        Ok(())
    }

    /// By which its default routes go.
    fn leading(&self) -> Option<&Place> {
        self.places.iter().filter(|place| place.gateway4.is_some()).min_by_key(|place| place.rank())
    }

    fn hostname(&self) -> Option<String> {
        self.request.as_ref()?.network.hostname.clone()
    }

    fn has_resolver(&self) -> bool {
        let text = std::fs::read_to_string(self.paths.container(&self.record.id).join("resolv.conf"));
        text.is_ok_and(|text| text.contains(&plan::network::resolver::ADDRESS.to_string()))
    }

    /// In place: the container has this file. One that it has replaced is its own.
    fn edit_hosts(&self, addresses: &[IpAddr], here: bool) {
        let path = self.paths.container(&self.record.id).join("hosts");
        let Ok(mut file) = std::fs::OpenOptions::new().read(true).write(true).open(path) else { return };
        let mut text = String::new();
        if file.read_to_string(&mut text).is_err() {
            return;
        }
        let of = |line: &str, ip: &IpAddr| line.split_whitespace().next().is_some_and(|word| word == ip.to_string());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.retain(|line| !addresses.iter().any(|ip| of(line, ip)));
        if here {
            let name = self.hostname().unwrap_or_else(|| self.record.id.get(..12).unwrap_or_default().to_owned());
            lines.extend(addresses.iter().map(|ip| format!("{ip}\t{name}")));
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // It is a help for the container, and none for its network.
        let _ = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| file.write_all(text.as_bytes()));
    }
}

/// Its network namespace, if it still is that process.
fn open(record: &containers::Record, what: &dyn Fn() -> String) -> Result<OwnedFd> {
    let gone = || Error::rejected(what(), "it has just ended");
    let path = format!("/proc/{}/ns/net", record.pid);
    let namespace: OwnedFd = std::fs::File::open(path).map_err(|_| gone())?.into();
    if runtime::observe::start_time(record.pid) == record.pid_start { Ok(namespace) } else { Err(gone()) }
}

fn state_of(directory: &Path, place: &Place) -> Option<(Shared, Lease)> {
    let lease = state::holder(directory, &place.network, place.address4.0)?;
    Some((state::shared(directory, &place.network)?, lease))
}

/// Who has an address is known to the user by name.
fn named(paths: &Paths, mut observed: HostNetwork) -> HostNetwork {
    net::name_holder(paths, &mut observed.holder);
    net::name_holder(paths, &mut observed.holder6);
    observed
}

impl Place {
    /// docker's order of who leads out: the highest priority, then the name.
    fn rank(&self) -> (std::cmp::Reverse<i32>, &str) {
        (std::cmp::Reverse(self.priority), self.network.as_str())
    }
}
