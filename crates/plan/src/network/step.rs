//! The steps, with their reason, their shell form and their undoing.

use super::device::Device;
use super::lease::Lease;
use super::parent::Part;
use super::pasta::Pasta;
use super::shared::Shared;
use super::subnet::{Mac, mac_text};
use super::{Protocol, Published, entry, firewall, resolver};
use crate::shell::quote;
use crate::undo::Verb;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first link of a container, as it sees it.
pub const LINK: &str = "eth0";

/// In the parent, before the clone, all under the lock of the state directory. Each makes what is not there and leaves
/// what is, so that the second container repeats the steps of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostStep {
    /// Write down the network and the container's place in it; the first step, because it says what there is to undo.
    Claim {
        state_dir: String,
        shared: Box<Shared>,
        lease: Box<Lease>,
    },
    /// Let the host forward, and remember what was before.
    Forwarding {
        state_dir: String,
        ipv6: bool,
    },
    Bridge {
        shared: Shared,
    },
    /// The table, and the network's elements in it.
    Firewall {
        state_dir: String,
        shared: Shared,
    },
    /// Where what is published comes in again, when the host's rules have let it in.
    Entry {
        state_dir: String,
    },
    /// The elements of the container. `direct`: there is no [`HostStep::Entry`].
    Publish {
        state_dir: String,
        network: String,
        lease: Box<Lease>,
        direct: bool,
    },
}

/// In the parent, when the child is there: `$PID` in the shell form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachStep {
    /// `hairpin`: the host shows bridged packets to nftables (br_netfilter), so that a translated packet of the
    /// container to itself is bridged, back by the port by which it came. `apart`: it does not reach its neighbours.
    Veth {
        name: String,
        bridge: String,
        link: String,
        mac: Mac,
        mtu: u32,
        hairpin: bool,
        apart: bool,
    },
    Pasta(Pasta),
    Device(Device),
    Part(Part),
    /// Where the container asks for names.
    Resolver,
}

/// In the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitStep {
    /// Only `lo`: for a container without a network, or whose network others make.
    Loopback,
    /// Do not believe router advertisements.
    NoAdvertisements { link: String },
    /// The network has none: no address of the link's own either.
    NoIpv6 { link: String },
    /// `lo` and the link up, addresses with the length of their prefix, default routes.
    Configure {
        link: String,
        address4: (Ipv4Addr, u8),
        address6: Option<(Ipv6Addr, u8)>,
        gateway4: Option<Ipv4Addr>,
        gateway6: Option<Ipv6Addr>,
    },
    /// The bridge forwards by the cable's other end `name`: the host hears that a link is up from a worker, and until
    /// then drops what comes by it. Looking at a link makes it listen (since Linux 6.8), the port first.
    Connected { name: String, bridge: String },
}

/// What undoes them. The veth pair needs no verb: it dies with the container's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Take the container's elements and leases away, in all networks that it is in by then. The last to leave one
    /// leaves the rest to `retire`.
    Leave { state_dir: String, container: String },
    /// End the pasta that wrote this file, and remove the file.
    EndPasta { pid_file: String },
}

impl HostStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Claim { lease, .. } => format!("the address {} belongs to this container", lease.address4),
            Self::Forwarding { .. } => "the host passes packets on between the bridge and its other links".into(),
            Self::Bridge { shared } => format!("a switch for the containers of the network {}", shared.name),
            Self::Firewall { .. } => {
                "containers reach out through NAT; only answers and published ports reach in".into()
            }
            Self::Entry { .. } => {
                "who reaches a published port is for the host's rules for input to say: what they let in comes in once more".into()
            }
            Self::Publish { lease, .. } => {
                let ports: Vec<String> =
                    lease.published.iter().map(|port| format!("{port} to {}", port.container_port)).collect();
                format!("the host's ports lead into the container: {}", ports.join(", "))
            }
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Claim { state_dir, shared, lease } => claim(state_dir, shared, lease),
            Self::Forwarding { state_dir, ipv6 } => forwarding(state_dir, *ipv6),
            Self::Bridge { shared } => bridge(shared),
            Self::Firewall { shared, .. } => format!(
                "nft list table inet {0} >/dev/null 2>&1 || nft -f - <<'EOF'\n{1}EOF\nnft -f - <<'EOF'\n{2}EOF",
                firewall::TABLE,
                firewall::text(shared.direct),
                firewall::network_text(shared)
            ),
            Self::Entry { state_dir } => entry::shell(state_dir),
            Self::Publish { lease, direct, .. } => {
                let elements = firewall::elements(&lease.published, lease.address4, lease.address6);
                let mut text: String = elements.iter().map(firewall::Element::text).collect();
                if !direct {
                    text += &entry::elements_text(&elements);
                }
                let udp = lease.published.iter().filter(|port| port.protocol == Protocol::Udp);
                let forget: String = udp.map(|port| forget_flows(port.host_port)).collect();
                format!("nft -f - <<'EOF'\n{text}EOF{forget}")
            }
        }
    }

    /// One verb undoes them all, so only the first step has it.
    #[must_use]
    pub fn undo(&self) -> Vec<Verb> {
        match self {
            Self::Claim { state_dir, lease, .. } => {
                vec![Verb::Network(Undo::Leave { state_dir: state_dir.clone(), container: lease.container.clone() })]
            }
            Self::Forwarding { .. }
            | Self::Bridge { .. }
            | Self::Firewall { .. }
            | Self::Entry { .. }
            | Self::Publish { .. } => Vec::new(),
        }
    }
}

/// UDP has no end: clients that go on sending would not reach the container.
fn forget_flows(port: u16) -> String {
    format!("\nconntrack -D -p udp --orig-port-dst {port} >/dev/null 2>&1 || :")
}

fn claim(state_dir: &str, shared: &Shared, lease: &Lease) -> String {
    let network = format!("{state_dir}/{}", shared.name);
    let leases = format!("{network}/leases");
    let member = format!("{state_dir}/.members/{}", lease.container);
    let mut text = format!("(umask 077; mkdir -p {})\n", quote(&member));
    text += &format!("[ \"${{LOCK:-}}\" ] || {{ exec {{LOCK}}<{}; flock $LOCK; }}\n", quote(state_dir));
    text += &format!("ln -s {} {}\n", lease.address4, quote(&format!("{member}/{}", shared.name)));
    text += &format!("(umask 077; mkdir -p {})\n", quote(&leases));
    if !lease.published.is_empty() {
        text += &format!("mkdir -p {}\n", quote(&format!("{state_dir}/.ports")));
    }
    text += &format!("printf %s {} > {}\n", quote(&shared.record()), quote(&format!("{network}/record")));
    let file = format!("{leases}/{}", lease.address4);
    text += &format!("(set -C; printf %s {} > {})", quote(&lease.text()), quote(&file));
    if let Some(ip) = lease.address6 {
        text += &format!("\nln -s {} {}", lease.address4, quote(&format!("{leases}/{ip}")));
    }
    let known_as = lease.address6.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    for name in &lease.names {
        let directory = format!("{network}/names/{}", name.to_ascii_lowercase());
        let file = quote(&format!("{directory}/{}", lease.address4));
        text += &format!("\nmkdir -p {}; ln -sf {known_as} {file}", quote(&directory));
    }
    for port in lease.published.iter().map(Published::file_name) {
        text += &format!("\nln -s {} {}", quote(&lease.container), quote(&format!("{state_dir}/.ports/{port}")));
    }
    text
}

fn forwarding(state_dir: &str, ipv6: bool) -> String {
    let host = quote(&format!("{state_dir}/.host"));
    let mut text = format!("{FORWARD4} >>{host}");
    if ipv6 {
        text += &format!("\n{FORWARD6} >>{host}");
    }
    // Nothing to put back, no file.
    text + &format!("\n[ -s {host} ] || rm -f {host}")
}

/// What was, for whoever leaves last; then on.
const FORWARD4: &str = r"(
	cd /proc/sys/net/ipv4
	[ $(cat ip_forward) = 0 ] || exit 0
	grep -Hs '' /proc/sys/net/ipv4/{ip_forward,conf/all/accept_redirects} | tr : ' '
	grep -lxs 1 /proc/sys/net/ipv4/conf/*/forwarding | sed 's/$/ 1/' || :
	echo 1 >ip_forward
)";

/// A router ignores advertisements unless told twice (`accept_ra=2`), and would lose its own default route.
const FORWARD6: &str = r"(
	cd /proc/sys/net/ipv6/conf
	[ $(cat all/forwarding) = 0 ] || exit 0
	echo $PWD/all/forwarding 0
	grep -lxs 1 $PWD/*/forwarding | sed 's/$/ 1/' || :
	for file in $PWD/*/accept_ra; do
		case $file in */all/*|*/default/*) continue;; esac
		[ $(cat $file) = 1 ] || continue
		echo $file 1
		echo 2 >$file
	done
	echo 1 >all/forwarding
)";

fn bridge(shared: &Shared) -> String {
    let (name, mac) = (quote(&shared.bridge), mac_text(shared.bridge_mac()));
    let (gateway, prefix, mtu) = (shared.subnet4.gateway(), shared.subnet4.prefix(), shared.mtu);
    let mut text = format!(
        "ip link show {name} >/dev/null 2>&1 || ip link add {name} address {mac} mtu {mtu} up type bridge\n\
         ip address replace {gateway}/{prefix} broadcast + dev {name}\n\
         sysctl -qw net.ipv4.conf.{name}.route_localnet=1"
    );
    if let Some(net) = shared.subnet6 {
        text += &format!(
            "\nsysctl -qw net.ipv6.conf.{name}.accept_ra=0\nip address replace {}/{} dev {name} nodad",
            net.gateway(),
            net.prefix()
        );
    }
    text
}

impl AttachStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Veth { bridge, link, .. } => {
                format!("a cable: one end is a port of {bridge}, the other is the container's {link}")
            }
            Self::Device(device) => device.why(),
            Self::Part(part) => part.why(),
            Self::Resolver => {
                "names of the container's networks are known in them only: it asks its own resolver".into()
            }
            Self::Pasta(_) => "an ordinary user may make no links on the host: pasta forwards in user space".into(),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Veth { name, bridge, link, mac, mtu, hairpin, apart } => {
                let (bridge, link, mac) = (quote(bridge), quote(link), mac_text(*mac));
                let mut text = format!(
                    "ip link add {name} mtu {mtu} numtxqueues 1 numrxqueues 1 master {bridge} up \
                     type veth peer name {link} address {mac} mtu {mtu} numtxqueues 1 numrxqueues 1 netns $PID"
                );
                if *hairpin {
                    text += &format!("\nip link set {name} type bridge_slave hairpin on");
                }
                if *apart {
                    text += &format!("\nip link set {name} type bridge_slave isolated on");
                }
                text
            }
            Self::Device(device) => device.shell(),
            Self::Part(part) => part.shell(),
            Self::Resolver => resolver::shell(),
            Self::Pasta(pasta) => pasta.shell(),
        }
    }

    #[must_use]
    pub fn undo(&self) -> Vec<Verb> {
        match self {
            // With the namespace.
            Self::Veth { .. } | Self::Device(_) | Self::Part(_) | Self::Resolver => Vec::new(),
            Self::Pasta(pasta) => vec![Verb::Network(Undo::EndPasta { pid_file: pasta.pid_file.clone() })],
        }
    }
}

impl InitStep {
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Loopback => "a new network namespace has its loopback down".into(),
            Self::NoAdvertisements { .. } => "a neighbour must not be able to become this container's router".into(),
            Self::NoIpv6 { link } => format!("the network of {link} has no IPv6"),
            Self::Configure { link, address4: (ip, _), gateway4: Some(gateway), .. } => {
                format!("{link} is {ip}, the way out is {gateway}")
            }
            Self::Configure { link, address4: (ip, _), .. } => format!("{link} is {ip}"),
            Self::Connected { bridge, .. } => format!("{bridge} must not lose the container's first packet"),
        }
    }

    #[must_use]
    pub fn shell(&self) -> String {
        match self {
            Self::Loopback => "ip link set lo up".into(),
            Self::NoAdvertisements { link } => format!("echo 0 > {}", quote(&Self::accept_ra(link))),
            Self::NoIpv6 { link } => format!("echo 1 > {}", quote(&Self::disable_ipv6(link))),
            Self::Configure { link, address4: (ip, prefix), address6, gateway4, gateway6 } => {
                let link = quote(link);
                let mut text = format!(
                    "ip link set lo up\nip link set {link} up\n\
                     ip address add {ip}/{prefix} broadcast + dev {link}"
                );
                if let Some((ip, prefix)) = address6 {
                    text += &format!("\nip address add {ip}/{prefix} dev {link} nodad");
                }
                let gateways = [gateway4.map(IpAddr::from), gateway6.map(IpAddr::from)];
                for gateway in gateways.into_iter().flatten() {
                    text += &format!("\nip route add default via {gateway} dev {link}");
                }
                text
            }
            Self::Connected { name, bridge } => {
                format!("# no shell equivalent: on the host's side, ip link show {name}; ip link show {bridge}")
            }
        }
    }

    /// The file of the sysctl that [`InitStep::NoAdvertisements`] writes.
    #[must_use]
    pub fn accept_ra(link: &str) -> String {
        format!("/proc/sys/net/ipv6/conf/{link}/accept_ra")
    }

    /// The same of [`InitStep::NoIpv6`].
    #[must_use]
    pub fn disable_ipv6(link: &str) -> String {
        format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6")
    }
}

impl Undo {
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::Leave { state_dir, container } => {
                vec!["network-leave-all".into(), state_dir.clone(), container.clone()]
            }
            Self::EndPasta { pid_file } => vec!["network-end-pasta".into(), pid_file.clone()],
        }
    }

    pub(crate) fn shell(&self) -> String {
        match self {
            Self::Leave { state_dir, container } => {
                format!("leave_networks {} {}", quote(state_dir), quote(container))
            }
            Self::EndPasta { pid_file } => {
                let file = quote(pid_file);
                format!("if [ -s {file} ]; then kill \"$(cat {file})\"; fi; rm -f {file}")
            }
        }
    }

    /// What [`Undo::shell`] calls.
    pub(crate) const FUNCTION: &str = include_str!("leave.sh");

    pub(crate) fn from_words(words: &[&str]) -> Option<Self> {
        Some(match words {
            ["network-leave-all", state_dir, container] => {
                Self::Leave { state_dir: (*state_dir).into(), container: (*container).into() }
            }
            ["network-end-pasta", pid_file] => Self::EndPasta { pid_file: (*pid_file).into() },
            _ => return None,
        })
    }
}
