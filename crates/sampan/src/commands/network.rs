//! `sampan network …`.

use super::list::List;
use crate::cli::network::{self as arguments, Call};
use crate::cli::{Globals, Selected};
use crate::template::{Field, METHOD};
use crate::ui::{self, Failure, SUCCESS, Ui};
use engine::networks::{self, Place, Record};
use engine::request::network::Endpoint;
use serde_json::{Map, Value, json};

/// # Errors
/// [`Failure`] for what cannot be done.
pub fn run(call: &Call, globals: &Globals, ui: &Ui) -> Result<u8, Failure> {
    match call {
        Call::Create(arguments) => create(arguments, globals),
        Call::List(arguments) => list(arguments, globals),
        Call::Inspect(arguments) => inspect(arguments, globals, ui),
        Call::Remove(arguments) => remove(arguments, globals, ui),
        Call::Prune(arguments) => super::prune::networks(arguments, globals, ui),
        Call::Exists(arguments) => return exists(arguments, globals),
        Call::Connect(arguments) => connect(arguments, globals, ui),
        Call::Disconnect(arguments) => disconnect(arguments, globals, ui),
        Call::Reload(of) => reload(of, globals, ui),
        Call::Update(arguments) => update(arguments, globals),
    }
    .map(|()| SUCCESS)
}

fn create(arguments: &arguments::Create, globals: &Globals) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => networks::free_name(&paths),
    };
    let made = networks::create(
        &paths,
        &networks::Create {
            name,
            driver: arguments.driver.clone(),
            ignore: arguments.ignore,
            bridge: arguments.interface_name.clone(),
            subnets: arguments.subnet.clone(),
            ranges: arguments.ip_range.clone(),
            gateways: arguments.gateway.clone(),
            ipv6: arguments.ipv6,
            internal: arguments.internal,
            resolver: !arguments.disable_dns,
            servers: arguments.dns.clone(),
            labels: arguments.label.iter().cloned().collect(),
            options: arguments.opt.iter().cloned().collect(),
        },
    )?;
    ui::print(&format!("{}\n", made.id))
}

const FIELDS: [Field; 10] = [
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
    (METHOD, ""),
];

fn list(arguments: &arguments::List, globals: &Globals) -> Result<(), Failure> {
    let records = networks::select(&super::paths(globals)?, &arguments.filter);
    let rows: Vec<Value> = records.iter().map(|record| row(record, arguments.no_trunc)).collect();
    let quiet = arguments.quiet.then_some("ID");
    let columns = ["ID", "Name", "Driver", "Scope"];
    let list = List { fields: &FIELDS, columns: &columns, rows: &rows, quiet, heading: !arguments.noheading };
    ui::print(&list.text(&arguments.format)?)
}

/// docker's keys, all values texts but that of [`METHOD`].
fn row(record: &Record, whole: bool) -> Value {
    let labels: Vec<String> = record.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "ID": if whole { &record.id } else { super::short(&record.id) },
        "Name": record.name,
        "Driver": record.driver.name(),
        "Scope": "local",
        "IPv4": "true",
        "IPv6": record.subnet6.is_some().to_string(),
        "Internal": record.internal.to_string(),
        "Labels": labels.join(","),
        "CreatedAt": engine::time::date(record.created),
        METHOD: record.labels,
    })
}

fn inspect(arguments: &arguments::Inspect, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::paths(globals)?;
    let mut found = Vec::new();
    let inspect = |word: &String| {
        let (record, places) = networks::inspect(&paths, word)?;
        found.push(object(&record, &places));
        Ok(())
    };
    let done: Vec<Result<(), Failure>> = arguments.networks.iter().map(inspect).collect();
    // As docker: those that there are, then the error.
    ui::print(&super::list::documents(arguments.format.as_ref(), found)?)?;
    super::all(done.into_iter(), ui)
}

/// docker's document, and podman's names for what it has besides.
pub(super) fn object(record: &Record, places: &[Place]) -> Value {
    let subnet4 = record.subnet4.as_ref().map(|net| {
        let mut config = json!({ "Subnet": net.subnet, "Gateway": net.gateway });
        if let Some(range) = &net.range {
            config["IPRange"] = json!(range);
        }
        config
    });
    let subnet6 = record.subnet6.as_ref().map(|net| json!({ "Subnet": net.subnet, "Gateway": net.gateway }));
    let config: Vec<Value> = subnet4.into_iter().chain(subnet6).collect();
    let containers: Map<String, Value> = places.iter().map(|place| (place.id.clone(), member(place))).collect();
    json!({
        "Name": record.name,
        "Id": record.id,
        "Created": engine::networks::date(record),
        "Scope": "local",
        "Driver": record.driver.name(),
        "EnableIPv4": true,
        "EnableIPv6": record.subnet6.is_some(),
        "IPAM": { "Driver": "default", "Options": {}, "Config": config },
        "Internal": record.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": record.options,
        "Labels": record.labels,
        "NetworkInterface": record.bridge,
        "DNSEnabled": record.resolver,
        "NetworkDNSServers": record.servers,
    })
}

fn member(place: &Place) -> Value {
    let (ip, prefix) = place.address4;
    json!({
        "Name": place.name,
        "MacAddress": engine::networks::mac(place),
        "IPv4Address": format!("{ip}/{prefix}"),
        "IPv6Address": place.address6.map_or_else(String::new, |(ip, prefix)| format!("{ip}/{prefix}")),
    })
}

fn remove(arguments: &arguments::Remove, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let remove = |word: &String| match networks::remove(&paths, word, arguments.force)? {
        true => ui::print(&format!("{word}\n")),
        false => Ok(()),
    };
    super::all(arguments.networks.iter().map(remove), ui)
}

fn connect(arguments: &arguments::Connect, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let endpoint = Endpoint {
        network: String::new(),
        ip: arguments.ip,
        ip6: arguments.ip6,
        mac: arguments.mac_address,
        aliases: arguments.alias.clone(),
        link: arguments.driver_opt.clone(),
        priority: arguments.gw_priority,
    };
    let warnings = networks::connect(&paths, &arguments.network, &arguments.container, endpoint)?;
    warnings.iter().for_each(|warning| ui.warn(warning));
    Ok(())
}

fn disconnect(arguments: &arguments::Disconnect, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    Ok(networks::disconnect(&paths, &arguments.network, &arguments.container)?)
}

fn update(arguments: &arguments::Update, globals: &Globals) -> Result<(), Failure> {
    let arguments::Update { dns_add, dns_drop, network } = arguments;
    networks::update(&super::paths(globals)?, network, dns_add, dns_drop)?;
    Ok(())
}

fn reload(of: &Selected, globals: &Globals, ui: &Ui) -> Result<(), Failure> {
    let paths = super::clean_paths(globals, ui)?;
    let ids = networks::reload(&paths, of.as_deref())?;
    ids.iter().try_for_each(|id| ui::print(&format!("{id}\n")))
}

/// Nothing is printed: the exit code says it.
fn exists(arguments: &arguments::Exists, globals: &Globals) -> Result<u8, Failure> {
    let there = networks::find(&super::paths(globals)?, &arguments.network).is_ok();
    Ok(u8::from(!there))
}
