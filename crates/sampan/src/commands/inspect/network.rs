//! The networks of a container, with docker's names.

use super::host;
use engine::inspect::Inspected;
use engine::networks::Place;
use engine::request::network::{DEFAULT, Endpoint};
use serde_json::{Map, Value, json};

pub fn settings(of: &Inspected) -> Value {
    let record = &of.listed.record;
    let asked = of.request.as_ref().map(|request| request.network.endpoints()).unwrap_or_default();
    let endpoint = |name: &str| asked.iter().find(|endpoint| endpoint.network == name).cloned().unwrap_or_default();
    let networks: Map<String, Value> =
        of.networks.iter().map(|(name, id, place)| (name.clone(), one(&endpoint(name), id, place.as_ref()))).collect();
    // docker says so of the default network once more.
    let default = networks.get(DEFAULT).cloned().unwrap_or_else(|| one(&Endpoint::default(), "", None));
    let sandbox = if record.pid > 0 { format!("/proc/{}/ns/net", record.pid) } else { String::new() };
    json!({
        "SandboxKey": sandbox,
        "Ports": host::published(&record.ports),
        "Gateway": default["Gateway"],
        "GlobalIPv6Address": default["GlobalIPv6Address"],
        "GlobalIPv6PrefixLen": default["GlobalIPv6PrefixLen"],
        "IPAddress": default["IPAddress"],
        "IPPrefixLen": default["IPPrefixLen"],
        "IPv6Gateway": default["IPv6Gateway"],
        "MacAddress": default["MacAddress"],
        "Networks": networks,
    })
}

fn one(endpoint: &Endpoint, id: &str, place: Option<&Place>) -> Value {
    let text = |value: Option<String>| value.unwrap_or_default();
    let asked = json!({
        "IPv4Address": text(endpoint.ip.map(|ip| ip.to_string())),
        "IPv6Address": text(endpoint.ip6.map(|ip| ip.to_string())),
    });
    json!({
        "IPAMConfig": (endpoint.ip.is_some() || endpoint.ip6.is_some()).then_some(asked),
        "Links": null,
        "Aliases": endpoint.aliases,
        "DriverOpts": null,
        "GwPriority": place.map_or(endpoint.priority, |place| place.priority),
        "NetworkID": id,
        "InterfaceName": place.map_or("", |place| &place.link),
        "MacAddress": text(place.map(engine::networks::mac)),
        "IPAddress": text(place.map(|place| place.address4.0.to_string())),
        "IPPrefixLen": place.map_or(0, |place| place.address4.1),
        "Gateway": text(place.and_then(|place| place.gateway4).map(|ip| ip.to_string())),
        "GlobalIPv6Address": text(place.and_then(|place| place.address6).map(|(ip, _)| ip.to_string())),
        "GlobalIPv6PrefixLen": place.and_then(|place| place.address6).map_or(0, |(_, prefix)| prefix),
        "IPv6Gateway": text(place.and_then(|place| place.gateway6).map(|ip| ip.to_string())),
        "DNSNames": place.map(|place| place.names.clone()).unwrap_or_default(),
    })
}
