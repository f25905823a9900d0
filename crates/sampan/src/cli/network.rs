//! The verbs of networks.

use super::Verb;
use super::list::Format;
use super::live::{Selected, Selection};
use super::tree::{Leaf, named};
use crate::ui::Failure;
use clap::Args;
use engine::filter;
use engine::networks::Subnet;
use engine::request::network::{Mac, hostname, link, network_name};
use engine::request::process;
use spec::unit::Invalid;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One call about networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Create(Create),
    List(List),
    Inspect(Inspect),
    Remove(Remove),
    Prune(Prune),
    Exists(Exists),
    Connect(Connect),
    Disconnect(Disconnect),
    Reload(Selected),
    Update(Update),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Create {
    /// What makes it: bridge, macvlan or ipvlan
    #[arg(long, short, value_name = "DRIVER", default_value = "bridge")]
    pub driver: String,
    /// Its subnet, one of each family; else a free one
    #[arg(long, value_name = "SUBNET", value_parser = subnet, value_delimiter = ',')]
    pub subnet: Vec<Subnet>,
    /// Choose addresses from this part of the subnet
    #[arg(long, value_name = "SUBNET", value_parser = subnet, value_delimiter = ',')]
    pub ip_range: Vec<Subnet>,
    /// The host's address in the subnet
    #[arg(long, value_name = "ADDRESS", value_parser = ip, value_delimiter = ',')]
    pub gateway: Vec<IpAddr>,
    /// IPv6, too
    #[arg(long)]
    pub ipv6: bool,
    /// No way out, and none in
    #[arg(long)]
    pub internal: bool,
    /// Taken and not needed: containers can always be connected
    #[arg(long)]
    pub attachable: bool,
    /// An option, such as mtu=1400
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = process::label)]
    pub opt: Vec<(String, String)>,
    /// Set a label
    #[arg(long, value_name = "KEY=VALUE", value_parser = process::label)]
    pub label: Vec<(String, String)>,
    /// The name of its bridge on the host
    #[arg(long, value_name = "NAME", value_parser = link)]
    pub interface_name: Option<String>,
    /// Names of containers do not resolve
    #[arg(long)]
    pub disable_dns: bool,
    /// A name server instead of the host's
    #[arg(long, value_name = "ADDRESS", value_parser = ip, value_delimiter = ',')]
    pub dns: Vec<IpAddr>,
    /// Who chooses addresses: default or host-local
    #[arg(long, value_name = "DRIVER", default_value = "default", value_parser = ipam)]
    pub ipam_driver: String,
    /// One that is there already is no error
    #[arg(long)]
    pub ignore: bool,
    #[arg(value_name = "NETWORK", value_parser = network_name)]
    pub name: Option<String>,
}

named!(Create of Network, ["network create"], "Make a network", "sampan network create [OPTIONS] [NETWORK]");

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct List {
    /// Show only those of which this is true: dangling, driver, id, label, label!, name, scope, type or until
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Network>,
    /// Print ids only
    #[arg(long, short)]
    pub quiet: bool,
    /// Print whole ids
    #[arg(long)]
    pub no_trunc: bool,
    /// Print no header
    #[arg(long, short = 'n')]
    pub noheading: bool,
    /// table, json, or a template as docker takes
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

named!(List of Network, ["network ls", "network list"], "List networks", "sampan network ls [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Inspect {
    /// json, or a template as docker takes
    #[arg(long, short, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Taken and not needed: all is shown
    #[arg(long, short)]
    pub verbose: bool,
    /// By name, id or the start of an id
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
}

named!(Inspect of Network, ["network inspect"], "Show all of networks", "sampan network inspect [OPTIONS] NETWORK [NETWORK...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Remove {
    /// Do not complain about one that is not there
    #[arg(long, short)]
    pub force: bool,
    /// By name, id or the start of an id
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
}

named!(Remove of Network, ["network rm", "network remove"], "Remove networks", "sampan network rm [OPTIONS] NETWORK [NETWORK...]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Prune {
    /// Do not ask
    #[arg(long, short)]
    pub force: bool,
    /// Remove only those of which this is true: label, label! or until
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<filter::Network>,
}

named!(Prune of Network, ["network prune"], "Remove networks that no container is in", "sampan network prune [OPTIONS]");

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Exists {
    /// By name or id
    #[arg(value_name = "NETWORK")]
    pub network: String,
}

named!(
    Exists of Network,
    ["network exists"],
    "Say by the exit code whether there is such a network",
    "sampan network exists NETWORK"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Connect {
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<Ipv6Addr>,
    /// Ethernet address
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<Mac>,
    /// Another name in the network
    #[arg(long, value_name = "NAME", value_parser = hostname, value_delimiter = ',')]
    pub alias: Vec<String>,
    /// Of a container's networks its default route goes by the one that has the highest
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_hyphen_values = true)]
    pub gw_priority: i32,
    /// com.docker.network.endpoint.ifname=NAME: how the container calls the link
    #[arg(long, value_name = "KEY=VALUE", value_parser = interface)]
    pub driver_opt: Option<String>,
    /// By name, id or the start of an id
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

named!(
    Connect of Network,
    ["network connect"],
    "Put a container into a network",
    "sampan network connect [OPTIONS] NETWORK CONTAINER"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Disconnect {
    /// Taken and not needed: it is always done at once
    #[arg(long, short)]
    pub force: bool,
    /// By name, id or the start of an id
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// By name, id or the start of an id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

named!(
    Disconnect of Network,
    ["network disconnect"],
    "Take a container out of a network",
    "sampan network disconnect [OPTIONS] NETWORK CONTAINER"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Update {
    /// Ask this name server instead of the host's
    #[arg(long, value_name = "ADDRESS", value_parser = ip, value_delimiter = ',')]
    pub dns_add: Vec<IpAddr>,
    /// Ask this one no more
    #[arg(long, value_name = "ADDRESS", value_parser = ip, value_delimiter = ',')]
    pub dns_drop: Vec<IpAddr>,
    /// By name, id or the start of an id
    #[arg(value_name = "NETWORK")]
    pub network: String,
}

named!(
    Update of Network,
    ["network update"],
    "Change the name servers that the containers of a network ask from their next start on",
    "sampan network update [OPTIONS] NETWORK"
);

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Reload {
    #[command(flatten)]
    selection: Selection,
}

impl Leaf for Reload {
    const NAMES: &[&str] = &["network reload"];
    const ABOUT: &str = "Restore the rules and links of networks after others removed them";
    const USAGE: &str = "sampan network reload [OPTIONS] CONTAINER [CONTAINER...]";

    fn verb(self) -> Result<Verb, Failure> {
        Ok(Verb::Network(Box::new(Call::Reload(self.selection.selected()?))))
    }
}

fn interface(text: &str) -> Result<String, Invalid> {
    match text.split_once('=') {
        Some(("com.docker.network.endpoint.ifname", name)) => link(name),
        _ => Err(Invalid::new("not an option that sampan knows").hint("com.docker.network.endpoint.ifname=NAME")),
    }
}

fn subnet(text: &str) -> Result<Subnet, Invalid> {
    text.parse().map_err(|()| Invalid::new("not a subnet").hint("such as 10.5.0.0/16 or fd00:5::/64"))
}

fn ip(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| Invalid::new("not an IP address").hint("such as 10.5.0.1"))
}

fn ipam(text: &str) -> Result<String, Invalid> {
    match text {
        "default" | "host-local" => Ok(text.to_owned()),
        "dhcp" => Err(Invalid::new("addresses are always chosen by sampan, and no others are asked for them")
            .hint("--subnet names the network, --ip-range the part of it that is for containers")),
        _ => Err(Invalid::new("addresses are always chosen by sampan").hint("leave --ipam-driver out")),
    }
}
