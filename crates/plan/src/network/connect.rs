//! From a request to the steps that connect a container.

use super::define::{self, Definition};
use super::lease::Lease;
use super::parent::{Mode, Parent, Part};
use super::shared::{Shared, Traits};
use super::step::{AttachStep, HostStep, InitStep};
use super::subnet::{Mac, Network, bridge_name, free4, free6, link_name, mac_of};
use super::{Protocol, Published, entry};
use crate::Rejected;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked of the network, as the command line says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The container's id, unique on the host for all time.
    pub container: String,
    /// When it comes, in nanoseconds since the epoch: it may have been here before.
    pub moment: u64,
    /// The network's name; `bridge` is the default one.
    pub network: String,
    /// `None`: its subnets are chosen when the first container comes.
    pub definition: Option<Definition>,
    /// Subnets of networks that are not there now.
    pub reserved: Vec<Network>,
    /// The container's link.
    pub link: String,
    /// By which others of the network shall find the container.
    pub names: Vec<String>,
    /// The container's default routes go by this network, where it has a way out.
    pub leads_out: bool,
    /// Among the networks of a container.
    pub priority: i32,
    pub ip: Option<Ipv4Addr>,
    pub ip6: Option<Ipv6Addr>,
    pub mac: Option<Mac>,
    /// Bytes; `None`: the network's.
    pub mtu: Option<u32>,
    pub published: Vec<Published>,
}

/// What `observe` saw of the host, as far as a network is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// The directory of all networks' state.
    pub state_dir: String,
    /// The network, when it is there already; then what only matters for a new one is not looked at.
    pub shared: Option<Shared>,
    /// Destinations of routes and networks of addresses, but those of the network's own bridge.
    pub taken: Vec<Network>,
    /// Bytes; of the link of the default route. `None`: there is no such route.
    pub mtu: Option<u32>,
    /// The kernel has IPv6, and it is not disabled.
    pub ipv6: bool,
    /// See [`Shared::dropped_by`].
    pub dropped_by: Vec<String>,
    /// See [`Shared::direct`].
    pub direct: bool,
    /// Chains that drop what the host sends into the second entry, where a container's ports are published.
    pub entry_dropped_by: Vec<String>,
    /// The network is [`Shared::direct`], and a chain for input does not let everyone in.
    pub denies_input: bool,
    /// What makes this machine's subnets its own: the machine id.
    pub seed: String,
    /// The first free one of [`Shared::candidates`], where the network is there already; `None`: all are leased.
    pub free: Option<Ipv4Addr>,
    /// The container that has the requested address.
    pub holder: Option<String>,
    pub holder6: Option<String>,
    /// There is a link of the bridge's name that is not sampan's.
    pub foreign_bridge: bool,
    /// Bridged packets are shown to nftables: br_netfilter is loaded (`bridge-nf-call-iptables`).
    pub bridged_filter: bool,
    /// Requested ports that cannot be had.
    pub ports: Vec<Taken>,
}

/// A port that cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub published: Published,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Another container has it.
    Container(String),
    /// A process of the host listens there.
    Process,
    /// The address is none of this host.
    NotLocal,
    /// Below 1024, and not permitted.
    Privileged,
    /// Some other error of `bind(2)`.
    Other(String),
}

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub lease: Lease,
    pub shared: Shared,
    pub mac: Mac,
    pub host: Vec<HostStep>,
    pub attach: Vec<AttachStep>,
    pub init: Vec<InitStep>,
    pub warnings: Vec<String>,
}

/// # Errors
/// Everything that can be wrong: no free subnet or address, an address outside the subnet or taken, a port taken.
pub fn connect(request: &Request, host: &HostNetwork) -> Result<Connection, Rejected> {
    let shared = host.shared.clone().map_or_else(|| create(request, host), Ok)?;
    let address4 = address4(request, host, &shared)?;
    let address6 = address6(request, host, &shared, address4)?;
    let published = request.published.clone();
    check_addresses(&published, address6)?;
    check_ports(&published, &host.ports)?;
    let mtu = mtu(request, &shared)?;
    let mac = request.mac.unwrap_or_else(|| mac_of(address4));
    let lease = Lease {
        container: request.container.clone(),
        address4,
        address6,
        mac,
        link: request.link.clone(),
        cable: link_name(&request.container, &shared.name, request.moment),
        priority: request.priority,
        names: if shared.traits.named { request.names.clone() } else { Vec::new() },
        published,
    };
    let attach = match &shared.parent {
        Some(parent) => part(request, parent, &lease)?,
        None => AttachStep::Veth {
            name: lease.cable.clone(),
            bridge: shared.bridge.clone(),
            link: lease.link.clone(),
            mac,
            mtu,
            hairpin: host.bridged_filter && !lease.published.is_empty(),
            apart: shared.traits.apart,
        },
    };
    Ok(Connection {
        host: host_steps(&host.state_dir, &shared, &lease),
        attach: vec![attach],
        init: init_steps(request, host, &shared, &lease),
        warnings: warnings(&shared, host, &lease),
        lease,
        shared,
        mac,
    })
}

fn part(request: &Request, parent: &Parent, lease: &Lease) -> Result<AttachStep, Rejected> {
    if let Some(port) = lease.published.first() {
        let why = format!(
            "the network {} is {}'s: its containers are reached at their own addresses",
            request.network, parent.link
        );
        return Err(Rejected::new(format!("cannot publish {port}"), why).hint("leave -p out"));
    }
    let own = matches!(parent.mode, Mode::Macvlan(_));
    if request.mac.is_some() && !own {
        return Err(Rejected::new("cannot set an Ethernet address", "in an ipvlan all have the parent's"));
    }
    let mtu = request.mtu.or_else(|| request.definition.as_ref().and_then(|definition| definition.mtu));
    Ok(AttachStep::Part(Part { parent: parent.clone(), link: lease.link.clone(), mac: own.then_some(lease.mac), mtu }))
}

fn create(request: &Request, host: &HostNetwork) -> Result<Shared, Rejected> {
    if let Some(definition) = &request.definition {
        return define::begin(definition, host);
    }
    let name = request.network.clone();
    let taken: Vec<Network> = host.taken.iter().chain(&request.reserved).copied().collect();
    let subnet4 = free4(&taken).ok_or_else(|| {
        Rejected::new(format!("cannot create network {name}"), "every private IPv4 range is routed on this host")
            .hint("use --network none or --network host")
    })?;
    let subnet6 = if host.ipv6 { free6(&host.seed, &name, &taken) } else { None };
    let (bridge, dropped_by) = (bridge_name(&name), host.dropped_by.clone());
    let (mtu, traits) = (host.mtu.unwrap_or(1500), Traits::default());
    Ok(Shared { name, bridge, subnet4, subnet6, mtu, traits, dropped_by, direct: host.direct, parent: None })
}

fn address4(request: &Request, host: &HostNetwork, shared: &Shared) -> Result<Ipv4Addr, Rejected> {
    if let Some(ip) = request.ip {
        let what = format!("cannot use address {ip}");
        if !shared.subnet4.holds(ip) {
            let why = format!(
                "the network {} has {} with the gateway {}",
                shared.name,
                shared.subnet4,
                shared.subnet4.gateway()
            );
            return Err(
                Rejected::new(what, why).hint(format!("choose one of {}, or leave it to sampan", shared.subnet4))
            );
        }
        return match &host.holder {
            Some(id) => {
                Err(Rejected::new(what, format!("container {id} has it")).hint("choose another, or leave it to sampan"))
            }
            None => Ok(ip),
        };
    }
    let free = if host.shared.is_some() { host.free } else { shared.candidates(&request.container).next() };
    free.ok_or_else(|| {
        Rejected::new("cannot get an address", format!("all of {} are in use", shared.subnet4))
            .hint("remove containers, or use another --network")
    })
}

fn address6(
    request: &Request,
    host: &HostNetwork,
    shared: &Shared,
    address4: Ipv4Addr,
) -> Result<Option<Ipv6Addr>, Rejected> {
    match (request.ip6, shared.subnet6) {
        (None, net) => Ok(net.map(|net| net.beside(address4))),
        (Some(ip), Some(net)) if net.holds(ip) => match &host.holder6 {
            Some(id) => Err(Rejected::new(format!("cannot use address {ip}"), format!("container {id} has it"))),
            None => Ok(Some(ip)),
        },
        (Some(ip), Some(net)) => {
            Err(Rejected::new(format!("cannot use address {ip}"), format!("the network {} has {net}", shared.name)))
        }
        (Some(ip), None) => {
            let why = match &request.definition {
                Some(Definition { subnet6: None, name, .. }) => format!("the network {name} has no IPv6"),
                _ => "this host has no IPv6".to_owned(),
            };
            Err(Rejected::new(format!("cannot use address {ip}"), why))
        }
    }
}

fn mtu(request: &Request, shared: &Shared) -> Result<u32, Rejected> {
    // RFC 791 and RFC 8200 name the least that a link must carry; a veth takes no more than 65535.
    let least = if shared.subnet6.is_some() { 1280 } else { 68 };
    match request.mtu {
        Some(mtu) if !(least..=65535).contains(&mtu) => {
            Err(Rejected::new(format!("cannot set an MTU of {mtu}"), format!("it must be {least} to 65535 bytes")))
        }
        mtu => Ok(mtu.unwrap_or(shared.mtu)),
    }
}

fn check_addresses(published: &[Published], address6: Option<Ipv6Addr>) -> Result<(), Rejected> {
    for port in published {
        let refuse = |why: &str| Rejected::new(format!("cannot publish {port}"), why);
        if port.host_ip == Some(Ipv6Addr::LOCALHOST.into()) {
            return Err(refuse("the kernel cannot forward from the IPv6 loopback").hint("use 127.0.0.1"));
        }
        if matches!(port.host_ip, Some(IpAddr::V6(_))) && address6.is_none() {
            return Err(refuse("this host has no IPv6"));
        }
    }
    Ok(())
}

/// `taken`: those of them that cannot be had.
///
/// # Errors
/// What is asked for twice, or taken.
pub fn check_ports(published: &[Published], taken: &[Taken]) -> Result<(), Rejected> {
    for (at, port) in published.iter().enumerate() {
        let refuse = |why: &str| Rejected::new(format!("cannot publish {port}"), why);
        if published[..at].iter().any(|other| other.collides(port)) {
            return Err(refuse("it is asked for twice"));
        }
        if port.host_port == 0 || port.container_port == 0 {
            return Err(refuse("there is no port 0"));
        }
    }
    taken.first().map_or(Ok(()), |taken| Err(refusal(taken)))
}

fn refusal(taken: &Taken) -> Rejected {
    let Published { host_ip, host_port, protocol, .. } = taken.published;
    let refuse = |why: &str| Rejected::new(format!("cannot publish {}", taken.published), why);
    match &taken.why {
        Why::Container(id) => {
            refuse(&format!("container {id} has that port")).hint("choose another host port, or stop that container")
        }
        Why::Process => {
            let list = if protocol == Protocol::Tcp { "ss -ltnp" } else { "ss -lunp" };
            refuse("a process of this host has that port")
                .hint(format!("choose another host port; `{list} sport = :{host_port}` names the process"))
        }
        Why::NotLocal => refuse("no link of this host has that address")
            .hint(host_ip.map_or_else(String::new, |ip| format!("`ip address` lists those it has; {ip} is not one"))),
        Why::Privileged => refuse("ports below 1024 need root")
            .hint("choose a higher host port, or lower net.ipv4.ip_unprivileged_port_start"),
        Why::Other(error) => refuse(error),
    }
}

fn host_steps(state_dir: &str, shared: &Shared, lease: &Lease) -> Vec<HostStep> {
    let state_dir = || state_dir.to_owned();
    let claim =
        HostStep::Claim { state_dir: state_dir(), shared: Box::new(shared.clone()), lease: Box::new(lease.clone()) };
    if shared.parent.is_some() {
        return vec![claim];
    }
    let mut steps = vec![
        claim,
        HostStep::Forwarding { state_dir: state_dir(), ipv6: shared.subnet6.is_some() },
        HostStep::Bridge { shared: shared.clone() },
        HostStep::Firewall { state_dir: state_dir(), shared: shared.clone() },
    ];
    if !lease.published.is_empty() {
        if !shared.direct {
            steps.push(HostStep::Entry { state_dir: state_dir() });
        }
        steps.push(HostStep::Publish {
            state_dir: state_dir(),
            network: shared.name.clone(),
            lease: Box::new(lease.clone()),
            direct: shared.direct,
        });
    }
    steps
}

fn init_steps(request: &Request, host: &HostNetwork, shared: &Shared, lease: &Lease) -> Vec<InitStep> {
    let mut steps = Vec::new();
    let link = || lease.link.clone();
    if shared.subnet6.is_some() {
        // Before the link is up: another container could announce itself as router (CVE-2020-13401).
        steps.push(InitStep::NoAdvertisements { link: link() });
    } else if host.ipv6 {
        steps.push(InitStep::NoIpv6 { link: link() });
    }
    let leads_out = request.leads_out && !shared.traits.internal;
    steps.push(InitStep::Configure {
        link: link(),
        address4: (lease.address4, shared.subnet4.prefix()),
        address6: lease.address6.zip(shared.subnet6.map(|net| net.prefix())),
        gateway4: leads_out.then(|| shared.subnet4.gateway()),
        gateway6: shared.subnet6.filter(|_| leads_out).map(|net| net.gateway()),
    });
    if shared.parent.is_none() {
        steps.push(InitStep::Connected { name: lease.cable.clone(), bridge: shared.bridge.clone() });
    }
    steps
}

fn warnings(shared: &Shared, host: &HostNetwork, lease: &Lease) -> Vec<String> {
    let bridge = &shared.bridge;
    let warn = |chain: &String| {
        format!(
            "the firewall of this host drops what the container sends and receives, unless a rule accepts it: chain \
             {chain} ends with a drop or a reject, and no rule of its table names {bridge}\n\
             hint: {}",
            names_bridge(chain, bridge)
        )
    };
    let mut warnings: Vec<String> = shared.dropped_by.iter().map(warn).collect();
    if lease.published.is_empty() {
        return warnings;
    }
    if host.denies_input {
        warnings.push(
            "published ports are reached whatever the rules of this host for input say: the kernel has no nft_dup_ipv4"
                .to_owned(),
        );
    }
    let entry = |chain: &String| {
        format!(
            "the firewall of this host drops what goes to published ports: chain {chain} ends with a drop or a reject, \
             and no rule of its table names {0}\nhint: nft insert rule {chain} oifname {0} accept",
            entry::EXIT
        )
    };
    warnings.extend(host.entry_dropped_by.iter().map(entry));
    warnings
}

fn names_bridge(chain: &str, bridge: &str) -> String {
    // Its rules are made anew at each of its reloads.
    if chain.starts_with("inet firewalld ") {
        return format!(
            "firewall-cmd --permanent --zone=trusted --add-interface={bridge}; firewall-cmd --reload; \
             sampan network reload --all"
        );
    }
    format!("nft insert rule {chain} iifname {bridge} accept; nft insert rule {chain} oifname {bridge} accept")
}
