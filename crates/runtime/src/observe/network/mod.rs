//! What this host's network is: addresses, routes, firewall policies, ports, as plan's plain values.
//!
//! Must not: change anything. Trying a port binds it and lets it go.

mod ports;

pub use ports::{Held, listen, ports};

use crate::apply::network::device::socket_in;
use crate::apply::network::firewall;
use crate::apply::network::state;
use plan::network::entry::EXIT;
use plan::network::{HostNetwork, Links, Network, Request, Shared, bridge_name};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use sys::Result;
use sys::netlink::{Protocol, Socket};
use sys::nft::{BaseChain, Hook};

/// What plan needs to connect `request`; under the lock it stays true until the steps have run. Also the sockets that
/// keep the ports from others, see [`Held`].
///
/// # Errors
/// The call that was refused.
pub fn host(state_dir: &Path, request: &Request) -> std::result::Result<(HostNetwork, Held), plan::Rejected> {
    look(state_dir, request).map_err(|error| {
        let refused = plan::Rejected::new("cannot look at this host's network", error.to_string());
        let denied = error.errno == rustix::io::Errno::PERM;
        if denied { refused.hint("run as root with CAP_NET_ADMIN, or with --network none or host") } else { refused }
    })
}

fn look(state_dir: &Path, request: &Request) -> Result<(HostNetwork, Held)> {
    let (taken, held) = ports(state_dir, &request.published)?;
    let mut host =
        HostNetwork { state_dir: state_dir.to_string_lossy().into_owned(), ports: taken, ..HostNetwork::default() };
    // One switch in each namespace; absent without the module.
    host.bridged_filter = !request.published.is_empty()
        && state::sysctl(Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables"))?.as_deref() == Some("1");
    host.ipv6 = ipv6();
    match state::shared(state_dir, &request.network) {
        Some(shared) => existing(state_dir, request, shared, &mut host)?,
        None => {
            let own = request.definition.as_ref().map(|definition| definition.bridge.clone());
            fresh(&own.unwrap_or_else(|| bridge_name(&request.network)), &mut host)?;
        }
    }
    let direct = host.shared.as_ref().map_or(host.direct, |shared| shared.direct);
    match (request.published.is_empty(), direct) {
        (true, _) => {}
        (false, false) => host.entry_dropped_by = dropped_by(Hook::Output, EXIT)?,
        (false, true) => host.denies_input = !dropping(Hook::Input)?.is_empty(),
    }
    Ok((host, held))
}

/// What plan needs to define a network whose bridge will be called so.
///
/// # Errors
/// The call that was refused.
pub fn before(state_dir: &Path, bridge: &str) -> Result<HostNetwork> {
    let state_dir = state_dir.to_string_lossy().into_owned();
    let mut host = HostNetwork { state_dir, ipv6: ipv6(), ..HostNetwork::default() };
    fresh(bridge, &mut host)?;
    Ok(host)
}

/// The links of the host; and of a namespace, when there is one already: any has its loopback.
///
/// # Errors
/// The call that was refused; `EINVAL`: the namespace is the host's.
pub fn links(namespace: Option<&str>) -> Result<Links> {
    let names = |socket: &Socket| Ok(socket.links()?.into_iter().map(|link| link.name).collect());
    let here = names(&Socket::open(Protocol::Route)?)?;
    let Some(path) = namespace else { return Ok(Links { here, there: vec!["lo".to_owned()] }) };
    let found = |path: &str| fs::metadata(path).map_err(sys::Error::of_io(|| format!("stat({path:?})")));
    let same = |one: &fs::Metadata, other: &fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    if same(&found(path)?, &found("/proc/self/ns/net")?) {
        return Err(sys::Error::new(format!("{path} is sampan's own network namespace"), rustix::io::Errno::INVAL));
    }
    Ok(Links { here, there: names(&socket_in(&sys::process::open_namespace(path)?)?)? })
}

fn existing(state_dir: &Path, request: &Request, mut shared: Shared, host: &mut HostNetwork) -> Result<()> {
    let lease = |ip: Ipv4Addr| state::holder(state_dir, &request.network, ip);
    match request.ip {
        Some(ip) => host.holder = lease(ip).map(|lease| lease.container),
        None => {
            let leases = state::leases(state_dir, &request.network);
            host.free = shared.candidates(&request.container).find(|&ip| is_free(&leases, &shared, ip));
        }
    }
    if let Some(ip) = request.ip6 {
        let four = fs::read_link(state::leases(state_dir, &request.network).join(ip.to_string())).ok();
        let four = four.and_then(|link| link.to_str()?.parse().ok());
        host.holder6 = four.and_then(lease).map(|lease| lease.container);
    }
    if !shared.dropped_by.is_empty() {
        // Since the warning somebody may have followed its hint.
        shared.dropped_by = dropped_by(Hook::Forward, &shared.bridge)?;
    }
    host.shared = Some(shared);
    Ok(())
}

fn is_free(leases: &Path, shared: &Shared, ip: Ipv4Addr) -> bool {
    let has = |name: String| fs::symlink_metadata(leases.join(name)).is_ok();
    !has(ip.to_string()) && !shared.subnet6.is_some_and(|net| has(net.beside(ip).to_string()))
}

/// The network is to be made: what is there that it must not collide with?
fn fresh(bridge: &str, host: &mut HostNetwork) -> Result<()> {
    let socket = Socket::open(Protocol::Route)?;
    let links = socket.links()?;
    // Left over from a network whose record was lost: the same subnet must be found again.
    let own = links.iter().find(|link| link.name == bridge).map(|link| link.index);
    host.foreign_bridge = own.is_some() && !bridge.starts_with(OURS);
    let own = own.filter(|_| !host.foreign_bridge);
    let routes = socket.routes()?;
    host.mtu = routes
        .iter()
        .filter(|route| route.prefix == 0)
        .find_map(|route| links.iter().find(|link| link.index == route.link))
        .map(|link| link.mtu);
    let of_routes = routes.iter().map(|route| (route.link, route.destination, route.prefix));
    let addresses = socket.addresses()?;
    let of_addresses = addresses.iter().map(|address| (address.link, address.ip, address.prefix));
    host.taken = of_routes
        .chain(of_addresses)
        .filter(|(link, _, prefix)| Some(*link) != own && *prefix != 0)
        .map(|(_, ip, prefix)| Network { ip, prefix })
        .collect();
    host.dropped_by = dropped_by(Hook::Forward, bridge)?;
    host.direct = !can_enter_twice(Path::new(&host.state_dir))?;
    host.seed = seed();
    Ok(())
}

/// Asked once a boot: the kernel takes the trial back with a grace period of RCU, 5 to 15 ms. A kernel that cannot is asked
/// again, since it may have got the module.
fn can_enter_twice(state_dir: &Path) -> Result<bool> {
    let known = state_dir.with_file_name("nft-dup");
    if known.exists() {
        return Ok(true);
    }
    let can = firewall::can_enter_twice(&Socket::open(Protocol::Netfilter)?)?;
    if can {
        // Not there, it costs the next one a trial.
        let _ = fs::File::create(&known);
    }
    Ok(can)
}

/// How the names of bridges begin that were not asked for by name.
const OURS: &str = "sampan";

/// Compiled in, and not switched off (`ipv6.disable_ipv6`).
fn ipv6() -> bool {
    let disabled = state::sysctl(Path::new("/proc/sys/net/ipv6/conf/all/disable_ipv6"));
    matches!(disabled, Ok(Some(value)) if value == "0")
}

/// Base chains of other tables that drop what comes to them, where no rule of the table names the link. A rule of ours
/// cannot overrule them: every table is asked, and a drop is final. Chains of the old iptables are not seen here.
fn dropped_by(hook: Hook, link: &str) -> Result<Vec<String>> {
    let mut drops = dropping(hook)?;
    if !drops.is_empty() {
        let known = Socket::open(Protocol::Netfilter)?.tables_naming(link)?;
        drops.retain(|chain| !known.iter().any(|(family, table)| *family == chain.family && *table == chain.table));
    }
    Ok(drops.iter().map(|chain| format!("{} {} {}", chain.family, chain.table, chain.name)).collect())
}

/// By their policy, or by their last rule.
fn dropping(hook: Hook) -> Result<Vec<BaseChain>> {
    let socket = Socket::open(Protocol::Netfilter)?;
    let mut found = Vec::new();
    for chain in socket.base_chains()?.into_iter().filter(|chain| chain.hook == hook as u32) {
        if chain.drops || socket.closes(&chain)? {
            found.push(chain);
        }
    }
    Ok(found)
}

/// machine-id(5); where there is none, what names this machine best.
fn seed() -> String {
    ["/etc/machine-id", "/proc/sys/kernel/hostname"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// Where pasta(1) is, on this search path (`$PATH`).
#[must_use]
pub fn pasta(search: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    search.split(':').filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join("pasta")).find(executable)
}

/// Whether this process may make tap links, pasta's end in the container.
#[must_use]
pub fn tun() -> bool {
    use rustix::fs::{Access, access};
    access("/dev/net/tun", Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// The host's resolv.conf(5), and systemd-resolved's list of the servers that it asks itself.
#[must_use]
pub fn resolvers() -> (String, Option<String>) {
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    (host, fs::read_to_string("/run/systemd/resolve/resolv.conf").ok())
}
