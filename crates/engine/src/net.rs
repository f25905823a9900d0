//! Which network a container gets, its ports, and the files that tell it about names.

use crate::config::Facts;
use crate::containers;
use crate::error::{Error, Result};
use crate::networks::{self, Options};
use crate::paths::Paths;
use crate::request::network::{AddHost, DEFAULT, Endpoint, Mode, Publish};
use crate::request::{Run, network};
use crate::time::Moment;
use plan::host::Host;
use plan::network::files::{self, Dns, ExtraHost, HostIp, Own};
use plan::network::{AttachStep, Definition, InitStep, Pasta, Protocol, Published, Request, Taken, Why};
use plan::order::NetworkSteps;
use runtime::apply::network::Lock;
use runtime::observe::network::Held;
use spec::runtime::NamespaceKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// How the container is connected, and what must stay until it is.
#[derive(Debug, Default)]
pub struct Net {
    pub steps: NetworkSteps,
    pub warnings: Vec<String>,
    /// As `docker ps` prints them.
    pub ports: Vec<String>,
    pub lock: Option<Lock>,
    own: Own,
    /// Whether it has a resolver, and which servers that asks instead of the host's.
    pub resolver: Option<Vec<IpAddr>>,
    /// Keeps the ports from others until the firewall's elements are there.
    pub held: Option<Held>,
}

/// Who is to be connected.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    pub id: &'a str,
    pub name: &'a str,
    /// Ports that its image names.
    pub exposed: &'a [String],
    /// It has one of its own.
    pub user_namespace: bool,
    /// A monitor stays with it, which answers what it asks.
    pub watched: bool,
}

/// `lock`: the steps will run, so what is observed must stay true.
///
/// # Errors
/// Ports, addresses, subnets that cannot be had.
pub fn connect(request: &Run, paths: &Paths, host: &Host, who: Who<'_>, lock: bool) -> Result<Net> {
    let owns = !host.rootless() && host.owns(NamespaceKind::Network);
    let wanted = match &request.network.mode {
        None | Some(Mode::Networks(_)) if owns => return bridged(request, paths, who, lock),
        None => Mode::Pasta,
        Some(Mode::Networks(endpoints)) => {
            if let Some(other) = endpoints.iter().find(|endpoint| endpoint.network != DEFAULT) {
                let what = format!("cannot connect the container to network {}", other.network);
                return Err(Error::rejected(what, "an ordinary user can make no links on the host")
                    .hint("leave --network out: pasta gives it the host's network; or run sampan as root"));
            }
            Mode::Pasta
        }
        Some(mode) => mode.clone(),
    };
    match wanted {
        Mode::Pasta => pasta(request, paths, host, who),
        Mode::None => Ok(Net { steps: loopback(), ..Net::default() }),
        Mode::Host | Mode::Container(_) | Mode::Path(_) | Mode::Networks(_) => Ok(Net::default()),
    }
}

fn loopback() -> NetworkSteps {
    NetworkSteps { init: vec![InitStep::Loopback], ..NetworkSteps::default() }
}

/// A place in a network, with what the network says of it.
struct Wanted {
    endpoint: Endpoint,
    definition: Option<Definition>,
    options: Options,
    servers: Vec<IpAddr>,
    link: String,
}

fn bridged(request: &Run, paths: &Paths, who: Who<'_>, lock: bool) -> Result<Net> {
    let directory = paths.networks();
    // Before the networks are looked up: who removes one holds it, too.
    let lock = if lock { Some(Lock::take(&directory).map_err(runtime::Error::from)?) } else { None };
    let wanted = wanted(&request.network, paths)?;
    if wanted.is_empty() {
        // It was taken out of all.
        return Ok(Net { steps: loopback(), ..Net::default() });
    }
    let leading = leading(&wanted);
    let mut net = Net { lock, resolver: resolver(&wanted, &request.network, who), ..Net::default() };
    let published = published(request, who.exposed, leading.and_then(|at| wanted[at].options.host_ip))?;
    if leading.is_none() && !published.is_empty() {
        net.warnings.push("published ports have no effect: the container is in internal networks only".to_owned());
    }
    for (at, place) in wanted.into_iter().enumerate() {
        let leads_out = leading == Some(at);
        let published = if leads_out { published.clone() } else { Vec::new() };
        join(request, paths, who, place, (leads_out, published), &mut net)?;
    }
    net.steps.attach.extend(net.resolver.as_ref().map(|_| AttachStep::Resolver));
    Ok(net)
}

/// Names are known on networks that users made.
fn resolver(wanted: &[Wanted], asked: &network::Network, who: Who<'_>) -> Option<Vec<IpAddr>> {
    let named = |place: &&Wanted| place.definition.as_ref().is_some_and(|network| network.traits.named);
    let servers = || match asked.dns.is_empty() {
        false => asked.dns.clone(),
        true => wanted.iter().flat_map(|place| place.servers.iter().copied()).collect(),
    };
    (who.watched && wanted.iter().any(|place| named(&place))).then(servers)
}

fn wanted(asked: &network::Network, paths: &Paths) -> Result<Vec<Wanted>> {
    let mut all: Vec<Wanted> = Vec::new();
    for mut endpoint in asked.endpoints() {
        let record = networks::find(paths, &endpoint.network)?;
        // It may have been named by its id.
        endpoint.network.clone_from(&record.name);
        let what = || format!("cannot connect the container to network {}", record.name);
        let why = match record.driver {
            _ if all.iter().any(|other| other.endpoint.network == record.name) => Some("it is named twice"),
            networks::Driver::Bridge | networks::Driver::Macvlan | networks::Driver::Ipvlan => None,
            networks::Driver::Host | networks::Driver::Null => Some("it cannot be one of several"),
        };
        if let Some(why) = why {
            return Err(Error::rejected(what(), why));
        }
        let definition = record.definition()?;
        let options = Options::of(&record.options).unwrap_or_default();
        let link = endpoint.link.clone().unwrap_or_else(|| {
            let stem = options.link.as_deref().unwrap_or("eth");
            let free = |name: &String| !all.iter().any(|other| other.link == *name);
            (0..).map(|number| format!("{stem}{number}")).find(free).unwrap_or_default()
        });
        if all.iter().any(|other| other.link == link) {
            return Err(Error::rejected(what(), format!("the container has a link {link} already")));
        }
        all.push(Wanted { endpoint, definition, options, servers: record.servers, link });
    }
    Ok(all)
}

/// By which network the container's default routes go; docker's rule: of those with a way out the one with the highest
/// priority, then by name.
fn leading(wanted: &[Wanted]) -> Option<usize> {
    let leads = |place: &&Wanted| !place.definition.as_ref().is_some_and(|network| network.traits.internal);
    let order = |place: &&Wanted| (std::cmp::Reverse(place.endpoint.priority), place.endpoint.network.clone());
    let first = wanted.iter().filter(leads).min_by_key(order)?;
    wanted.iter().position(|place| std::ptr::eq(place, first))
}

fn join(
    request: &Run,
    paths: &Paths,
    who: Who<'_>,
    place: Wanted,
    (leads_out, published): (bool, Vec<Published>),
    net: &mut Net,
) -> Result<()> {
    let directory = paths.networks();
    let Wanted { endpoint, definition, link, .. } = place;
    let begins = runtime::apply::network::state::shared(&directory, &endpoint.network).is_none();
    let reserved = match definition {
        None if begins => networks::subnets(paths).into_iter().map(|(_, net)| net).collect(),
        _ => Vec::new(),
    };
    let names = names(&request.network, who, &endpoint);
    let asked = Request { definition, reserved, leads_out, published, ..asked(who.id, &endpoint, link, names) };
    let (mut observed, held) = runtime::observe::network::host(&directory, &asked)?;
    name_holder(paths, &mut observed.holder);
    name_holder(paths, &mut observed.holder6);
    name_takers(paths, &mut observed.ports);
    let connection = plan::network::connect(&asked, &observed)?;
    let lease = &connection.lease;
    net.own.addresses.extend([Some(lease.address4.into()), lease.address6.map(IpAddr::from)].into_iter().flatten());
    if leads_out {
        net.own.gateway = Some(connection.shared.subnet4.gateway().into());
        net.ports = describe(&asked.published, lease.address6.is_some());
        net.held = Some(held);
    }
    net.steps.prepare.extend(connection.host);
    net.steps.attach.extend(connection.attach);
    net.steps.init.extend(connection.init);
    net.warnings.extend(connection.warnings);
    Ok(())
}

/// What an endpoint says to a network that the container is about to come to.
pub(crate) fn asked(id: &str, endpoint: &Endpoint, link: String, names: Vec<String>) -> Request {
    Request {
        container: id.to_owned(),
        moment: Moment::now().0,
        network: endpoint.network.clone(),
        link,
        names,
        priority: endpoint.priority,
        ip: endpoint.ip,
        ip6: endpoint.ip6,
        mac: endpoint.mac.map(|mac| mac.0),
        ..Request::default()
    }
}

fn names(asked: &network::Network, who: Who<'_>, endpoint: &Endpoint) -> Vec<String> {
    names_of(who.name, who.id, &endpoint.aliases, asked.hostname.clone())
}

/// docker's: the container's name, what else it is called there, the start of its id, and its host name if it was given.
pub(crate) fn names_of(name: &str, id: &str, aliases: &[String], hostname: Option<String>) -> Vec<String> {
    let short = id.get(..12).unwrap_or(id).to_owned();
    let all = std::iter::once(name.to_owned()).chain(aliases.iter().cloned()).chain([short]);
    let mut names: Vec<String> = Vec::new();
    for name in all.chain(hostname) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The program, or why it cannot serve and what to do about it.
fn find_pasta(host: &Host, user_namespace: bool) -> std::result::Result<PathBuf, (&'static str, &'static str)> {
    // It gives up most capabilities first, and may then not look at a process of its own user namespace that has them.
    if !host.initial && !host.rootless() && !user_namespace {
        return Err((
            "pasta cannot enter the container, which is in the same user namespace as sampan",
            "add --userns keep-id, or run sampan as the ordinary user, or in a network namespace of its own",
        ));
    }
    let search = std::env::var("PATH").unwrap_or_default();
    let path = runtime::observe::network::pasta(&search).ok_or((
        "pasta, which gives an ordinary user's container its network, is not installed",
        "install it: apt-get install passt, dnf install passt",
    ))?;
    runtime::observe::network::tun().then_some(path).ok_or((
        "pasta needs /dev/net/tun, which this user cannot open",
        "as root: modprobe tun && chmod 666 /dev/net/tun",
    ))
}

fn pasta(request: &Run, paths: &Paths, host: &Host, who: Who<'_>) -> Result<Net> {
    let published = published(request, who.exposed, None)?;
    let path = match find_pasta(host, who.user_namespace) {
        Ok(path) => path,
        Err((why, hint)) => return without(request, &published, why, hint),
    };
    let addressed = |at: &Endpoint| at.ip.is_some() || at.ip6.is_some() || at.mac.is_some() || at.link.is_some();
    if request.network.endpoints().iter().any(addressed) {
        return Err(Error::rejected("cannot give the container an address", "pasta gives it the host's own addresses")
            .hint("leave out --ip, --ip6 and --mac-address, or run as root"));
    }
    // Pasta is content with one address family of two, and its words for the rest are not ours. It binds them itself.
    let (mut taken, _) =
        runtime::observe::network::ports(&paths.networks(), &published).map_err(runtime::Error::from)?;
    name_takers(paths, &mut taken);
    plan::network::check_ports(&published, &taken)?;
    let ports = describe(&published, true);
    let step = Pasta {
        path: path.to_string_lossy().into_owned(),
        pid_file: paths.journals().join(format!("{}.pasta", who.id)).to_string_lossy().into_owned(),
        user_namespace: who.user_namespace,
        mtu: None,
        published,
    };
    let steps = NetworkSteps { attach: vec![AttachStep::Pasta(step)], ..loopback() };
    Ok(Net { steps, ports, ..Net::default() })
}

/// For want of pasta: an error where it matters to the user, else a word.
fn without(request: &Run, published: &[Published], why: &str, hint: &str) -> Result<Net> {
    if request.network.mode.is_some() {
        return Err(Error::rejected("cannot connect the container", why).hint(hint));
    }
    if !published.is_empty() {
        return Err(Error::rejected("cannot publish ports", why).hint(hint));
    }
    let warning = format!("the container has no network: {why} ({hint})");
    Ok(Net { steps: loopback(), warnings: vec![warning], ..Net::default() })
}

/// Who has an address or a port is known to the user by name, to the network by id.
pub(crate) fn name_holder(paths: &Paths, holder: &mut Option<String>) {
    if let Some(id) = holder
        && let Some(name) = containers::name_of(paths, id)
    {
        *id = name;
    }
}

fn name_takers(paths: &Paths, taken: &mut [Taken]) {
    for taken in taken {
        if let Why::Container(id) = &mut taken.why
            && let Some(name) = containers::name_of(paths, id)
        {
            *id = name;
        }
    }
}

/// A port at all addresses is one of each family, where the container has both.
fn describe(published: &[Published], ipv6: bool) -> Vec<String> {
    const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let of_port = |port: &Published| {
        let hosts = port.host_ip.map_or_else(|| ANY[..1 + usize::from(ipv6)].to_vec(), |ip| vec![ip]);
        let (from, to, protocol) = (port.host_port, port.container_port, port.protocol.name());
        hosts.into_iter().map(move |ip| format!("{}->{to}/{protocol}", SocketAddr::new(ip, from)))
    };
    published.iter().flat_map(of_port).collect()
}

/// Each `-p` as single ports, and with `-P` what the image and `--expose` name, if no `-p` does.
/// `address`: the network's own, where none is named.
fn published(request: &Run, exposed: &[String], address: Option<Ipv4Addr>) -> Result<Vec<Published>> {
    let mut all = Vec::new();
    let address = address.map(IpAddr::from);
    for publish in &request.network.publish {
        expand(&Publish { address: publish.address.or(address), ..publish.clone() }, &mut all)?;
    }
    if request.network.publish_all {
        let asked = request
            .network
            .expose
            .iter()
            .flat_map(|expose| expose.ports.iter().map(|port| (port, protocol(expose.protocol))));
        let of_image = exposed.iter().filter_map(|text| {
            let (port, name) = text.split_once('/').unwrap_or((text, "tcp"));
            Some((port.parse().ok()?, Protocol::parse(name)?))
        });
        for (container_port, protocol) in asked.chain(of_image) {
            let is_same = |port: &Published| (port.container_port, port.protocol) == (container_port, protocol);
            if all.iter().any(is_same) {
                continue;
            }
            let host_port = free_port(address, protocol)?;
            all.push(Published { host_ip: address, host_port, container_port, protocol });
        }
    }
    Ok(all)
}

fn protocol(protocol: network::Protocol) -> Protocol {
    match protocol {
        network::Protocol::Tcp => Protocol::Tcp,
        network::Protocol::Udp => Protocol::Udp,
    }
}

fn expand(publish: &Publish, all: &mut Vec<Published>) -> Result<()> {
    let protocol = protocol(publish.protocol);
    let one = |host_port, container_port| Published { host_ip: publish.address, host_port, container_port, protocol };
    match publish.host {
        None => {
            for container in publish.container.iter() {
                all.push(one(free_port(publish.address, protocol)?, container));
            }
        }
        // docker: any free one of the range.
        Some(host) if host.count() > 1 && publish.container.count() == 1 => {
            let free =
                host.iter().find(|port| runtime::observe::network::listen(publish.address, *port, protocol).is_some());
            let port = free.ok_or_else(|| {
                Error::rejected(
                    format!("cannot publish port {}", publish.container.first),
                    format!("no port from {} to {} is free", host.first, host.last),
                )
                .hint("name another range")
            })?;
            all.push(one(port, publish.container.first));
        }
        Some(host) => all.extend(host.iter().zip(publish.container.iter()).map(|(host, inside)| one(host, inside))),
    }
    Ok(())
}

fn free_port(address: Option<IpAddr>, protocol: Protocol) -> Result<u16> {
    runtime::observe::network::listen(address, 0, protocol)
        .ok_or_else(|| Error::rejected("cannot publish a port", "the host has no free one"))
}

/// Content of the container's hosts, hostname and resolv.conf, by name; empty where it keeps the image's.
///
/// # Errors
/// `host-gateway` where there is no way to the host.
pub fn files(request: &Run, facts: &Facts, net: &Net, warnings: &mut Vec<String>) -> Result<Vec<(String, String)>> {
    let asked = &request.network;
    let dns = Dns { servers: asked.dns.clone(), search: asked.dns_search.clone(), options: asked.dns_options.clone() };
    let (host, upstream) = runtime::observe::network::resolvers();
    let own_network = !matches!(asked.mode, Some(Mode::Host | Mode::Container(_) | Mode::Path(_)));
    // Asked for, or for want of pasta: who can ask no resolver misses none.
    let isolated = net.steps.prepare.is_empty() && net.steps.attach.is_empty();
    let resolv = if net.resolver.is_some() {
        files::resolver_conf(&host, upstream.as_deref(), &dns)
    } else if own_network {
        let resolv = files::resolv_conf(&host, upstream.as_deref(), &dns);
        warnings.extend(resolv.warning.filter(|_| !isolated));
        resolv.text
    } else if dns == Dns::default() {
        // In a network that has the host's loopback, or another's, the host's own list is the right one.
        host
    } else {
        files::resolv_conf(&host, upstream.as_deref(), &dns).text
    };
    let extra: Vec<ExtraHost> = asked.add_host.iter().flat_map(extra_hosts).collect();
    let domain = asked.domainname.as_deref().unwrap_or_default();
    let hosts = files::hosts(&facts.hostname, domain, &net.own, &extra)?;
    Ok(vec![
        ("hosts".to_owned(), hosts),
        ("hostname".to_owned(), files::hostname(&facts.hostname)),
        ("resolv.conf".to_owned(), resolv),
    ])
}

fn extra_hosts(asked: &AddHost) -> impl Iterator<Item = ExtraHost> + '_ {
    let ip = asked.address.map_or(HostIp::Gateway, HostIp::Address);
    asked.names.iter().map(move |name| ExtraHost { name: name.clone(), ip })
}

/// The files of the container whose network is joined: its names are ours.
///
/// # Errors
/// No such container.
pub fn joined_files(request: &Run, paths: &Paths) -> Result<Option<String>> {
    let Some(Mode::Container(name)) = &request.network.mode else { return Ok(None) };
    let found = containers::find(paths, name.as_str())?;
    Ok(Some(paths.container(&found.record.id).to_string_lossy().into_owned()))
}

/// Take away the networks that nobody is in any more, without waiting for it.
///
/// # Errors
/// The kernel's.
pub fn retire(paths: &Paths) -> Result<()> {
    Ok(runtime::apply::network::retire_later(&paths.networks()).map_err(runtime::Error::from)?)
}
