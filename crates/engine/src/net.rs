//! Which network a container gets, its ports, and the files that tell it about names.

use crate::config::Facts;
use crate::containers;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::request::network::{AddHost, Mode, Publish};
use crate::request::{Run, network};
use plan::host::Host;
use plan::network::files::{self, Dns, ExtraHost, HostIp, Own};
use plan::network::{AttachStep, InitStep, Pasta, Protocol, Published, Request, Taken, Why};
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
    /// Keeps the ports from others until the firewall's elements are there.
    pub held: Option<Held>,
}

/// `lock`: the steps will run, so what is observed must stay true.
///
/// # Errors
/// Ports, addresses, subnets that cannot be had.
pub fn connect(
    request: &Run,
    paths: &Paths,
    host: &Host,
    id: &str,
    exposed: &[String],
    user_namespace: bool,
    lock: bool,
) -> Result<Net> {
    let wanted = match &request.network.mode {
        None | Some(Mode::Bridge) if !host.rootless() && host.owns(NamespaceKind::Network) => {
            return bridge(request, paths, id, exposed, lock);
        }
        None | Some(Mode::Bridge | Mode::Pasta) => Mode::Pasta,
        Some(mode) => mode.clone(),
    };
    match wanted {
        Mode::Pasta => pasta(request, paths, host, id, exposed, user_namespace),
        Mode::None => Ok(Net { steps: loopback(), ..Net::default() }),
        Mode::Host | Mode::Container(_) | Mode::Path(_) | Mode::Bridge => Ok(Net::default()),
    }
}

fn loopback() -> NetworkSteps {
    NetworkSteps { init: vec![InitStep::Loopback], ..NetworkSteps::default() }
}

fn bridge(request: &Run, paths: &Paths, id: &str, exposed: &[String], lock: bool) -> Result<Net> {
    let directory = paths.networks();
    let lock = if lock { Some(Lock::take(&directory).map_err(runtime::Error::from)?) } else { None };
    let asked = Request {
        container: id.to_owned(),
        network: "bridge".to_owned(),
        ip: request.network.ip,
        ip6: request.network.ip6,
        mac: request.network.mac.map(|mac| mac.0),
        mtu: None,
        published: published(request, exposed)?,
    };
    let (mut observed, held) = runtime::observe::network::host(&directory, &asked).map_err(runtime::Error::from)?;
    name_holders(paths, observed.holder.as_mut(), &mut observed.ports);
    let connection = plan::network::connect(&asked, &observed)?;
    Ok(Net {
        ports: describe(&asked.published, connection.lease.address6.is_some()),
        own: Own {
            address4: Some(connection.lease.address4),
            address6: connection.lease.address6,
            gateway: Some(connection.shared.subnet4.gateway().into()),
        },
        steps: NetworkSteps { prepare: connection.host, attach: connection.attach, init: connection.init },
        warnings: connection.warnings,
        lock,
        held: Some(held),
    })
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

fn pasta(request: &Run, paths: &Paths, host: &Host, id: &str, exposed: &[String], user_namespace: bool) -> Result<Net> {
    let published = published(request, exposed)?;
    let path = match find_pasta(host, user_namespace) {
        Ok(path) => path,
        Err((why, hint)) => return without(request, &published, why, hint),
    };
    if request.network.ip.is_some() || request.network.ip6.is_some() || request.network.mac.is_some() {
        return Err(Error::rejected("cannot give the container an address", "pasta gives it the host's own addresses")
            .hint("leave out --ip, --ip6 and --mac-address, or run as root"));
    }
    // Pasta is content with one address family of two, and its words for the rest are not ours. It binds them itself.
    let (mut taken, _) =
        runtime::observe::network::ports(&paths.networks(), &published).map_err(runtime::Error::from)?;
    name_holders(paths, None, &mut taken);
    plan::network::check_ports(&published, &taken)?;
    let ports = describe(&published, true);
    let step = Pasta {
        path: path.to_string_lossy().into_owned(),
        pid_file: paths.journals().join(format!("{id}.pasta")).to_string_lossy().into_owned(),
        user_namespace,
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
fn name_holders(paths: &Paths, holder: Option<&mut String>, taken: &mut [Taken]) {
    let of_ports = taken.iter_mut().filter_map(|taken| match &mut taken.why {
        Why::Container(id) => Some(id),
        _ => None,
    });
    for id in holder.into_iter().chain(of_ports) {
        if let Ok(found) = containers::find(paths, id) {
            *id = found.record.name;
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
fn published(request: &Run, exposed: &[String]) -> Result<Vec<Published>> {
    let mut all = Vec::new();
    for publish in &request.network.publish {
        expand(publish, &mut all)?;
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
            let host_port = free_port(None, protocol)?;
            all.push(Published { host_ip: None, host_port, container_port, protocol });
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
    let resolv = if own_network {
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
