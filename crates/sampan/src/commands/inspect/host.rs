//! What a container was asked to be, as docker's `HostConfig` says it.

use super::container::log;
use super::there;
use engine::containers::Mounted;
use engine::containers::Record;
use engine::request::limit::Bound;
use engine::request::mount::{Kind, Mount, Object};
use engine::request::namespace::{Join, User};
use engine::request::network::{Mode, Publish};
use engine::request::process::Patience;
use engine::request::security::Seccomp;
use engine::request::{Namespaces, Run, Security};
use serde_json::{Map, Value, json};
use spec::unit::{DeviceRate, Size};

/// Of /dev/shm, where nothing is said.
const SHM: u64 = 64 << 20;

pub fn config(request: &Run, record: &Record) -> Value {
    let mut all = Map::new();
    for part in [container(request, record), limits(request), devices(request)] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

fn container(request: &Run, record: &Record) -> Value {
    let Run { network, namespaces, security, files, process, .. } = request;
    let binds: Vec<String> = files.mounts.iter().filter_map(bind).collect();
    let words = |list: &[String]| there(&list.to_vec(), list.is_empty()).cloned();
    let capabilities = |list: &[engine::request::security::Capability]| -> Option<Vec<String>> {
        (!list.is_empty()).then(|| list.iter().map(|capability| format!("{capability:?}")).collect())
    };
    let hosts: Vec<String> = network
        .add_host
        .iter()
        .flat_map(|host| {
            let address = host.address.map_or("host-gateway".to_owned(), |address| address.to_string());
            host.names.iter().map(move |name| format!("{name}:{address}"))
        })
        .collect();
    json!({
        "Binds": there(&binds, binds.is_empty()),
        "ContainerIDFile": request.cidfile.clone().unwrap_or_default(),
        "LogConfig": log(&request.log),
        "NetworkMode": network.mode.as_ref().map_or("bridge".to_owned(), mode),
        "PortBindings": bindings(&network.publish),
        "RestartPolicy": { "Name": request.restart.name(), "MaximumRetryCount": request.restart.times() },
        "AutoRemove": request.remove,
        "VolumeDriver": "",
        "VolumesFrom": volumes_from(&files.volumes_from),
        "ConsoleSize": [0, 0],
        "Annotations": map(&request.annotations),
        "CapAdd": capabilities(&security.cap_add),
        "CapDrop": capabilities(&security.cap_drop),
        "CgroupnsMode": join(&namespaces.cgroup, "private"),
        "Dns": network.dns,
        "DnsOptions": network.dns_options,
        "DnsSearch": network.dns_search,
        "ExtraHosts": there(&hosts, hosts.is_empty()),
        "GroupAdd": words(&process.groups),
        "IpcMode": join(&namespaces.ipc, "private"),
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": process.oom_score_adj.unwrap_or(0),
        "PidMode": join(&namespaces.pid, ""),
        "Privileged": security.privileged,
        "PublishAllPorts": network.publish_all,
        "ReadonlyRootfs": files.read_only,
        "SecurityOpt": options(security),
        "UTSMode": join(&namespaces.uts, ""),
        "UsernsMode": userns(namespaces),
        "ShmSize": files.shm_size.map_or(SHM, Size::bytes),
        "Runtime": "sampan",
        "Init": process.init,
        "Tmpfs": tmpfs(&files.mounts),
        "Sysctls": map(&security.sysctls),
        "Isolation": "",
        "Image": record.image,
    })
}

fn limits(request: &Run) -> Value {
    let limits = &request.limits;
    let bytes = |size: Option<Size>| size.map_or(0, Size::bytes);
    let ulimits: Vec<Value> = request
        .process
        .ulimits
        .iter()
        .map(|limit| {
            let name = limit.kind.trim_start_matches("RLIMIT_").to_ascii_lowercase();
            // Go's -1 is no limit.
            let number = |limit: u64| i64::try_from(limit).unwrap_or(-1);
            json!({ "Name": name, "Soft": number(limit.soft), "Hard": number(limit.hard) })
        })
        .collect();
    json!({
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": bytes(limits.memory),
        "NanoCpus": limits.cpus.map_or(0, spec::unit::Cpus::nano),
        "CgroupParent": limits.cgroup_parent.clone().unwrap_or_default(),
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": bounded(limits.cpu_quota, |quota| quota),
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus.as_ref().map_or(String::new(), ToString::to_string),
        "CpusetMems": limits.cpuset_mems.as_ref().map_or(String::new(), ToString::to_string),
        "MemoryReservation": bytes(limits.memory_reservation),
        "MemorySwap": bounded(limits.memory_swap, Size::bytes),
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids.map(|pids| bounded(Some(pids), |pids| pids)),
        "Ulimits": ulimits,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

fn devices(request: &Run) -> Value {
    let limits = &request.limits;
    let devices: Vec<Value> = request
        .files
        .devices
        .iter()
        .map(|device| {
            json!({
                "PathOnHost": device.host,
                "PathInContainer": device.container,
                "CgroupPermissions": device.access.letters(),
            })
        })
        .collect();
    let weights: Vec<Value> = limits
        .blkio_weight_device
        .iter()
        .map(|weight| json!({ "Path": weight.device, "Weight": weight.weight }))
        .collect();
    json!({
        "Devices": devices,
        "DeviceRequests": null,
        "BlkioWeightDevice": weights,
        "BlkioDeviceReadBps": rates(&limits.device_read_bps, |size| size.bytes()),
        "BlkioDeviceWriteBps": rates(&limits.device_write_bps, |size| size.bytes()),
        "BlkioDeviceReadIOps": rates(&limits.device_read_iops, |count| count.0),
        "BlkioDeviceWriteIOps": rates(&limits.device_write_iops, |count| count.0),
    })
}

fn rates<T>(rates: &[DeviceRate<T>], number: impl Fn(&T) -> u64) -> Vec<Value> {
    rates.iter().map(|rate| json!({ "Path": rate.device, "Rate": number(&rate.rate) })).collect()
}

/// docker's 0 is nothing said, and -1 no limit.
fn bounded<T>(bound: Option<Bound<T>>, number: impl Fn(T) -> u64) -> i64 {
    match bound {
        None => 0,
        Some(Bound::Unlimited) => -1,
        Some(Bound::At(limit)) => i64::try_from(number(limit)).unwrap_or(i64::MAX),
    }
}

fn mode(mode: &Mode) -> String {
    match mode {
        Mode::Networks(all) => all.first().map_or_else(|| "bridge".to_owned(), |first| first.network.clone()),
        Mode::None => "none".to_owned(),
        Mode::Host => "host".to_owned(),
        Mode::Pasta => "pasta".to_owned(),
        Mode::Container(name) => format!("container:{name}"),
        Mode::Path(path) => format!("ns:{}", path.display()),
    }
}

fn join(join: &Join, private: &str) -> String {
    match join {
        Join::Private => private.to_owned(),
        Join::Host => "host".to_owned(),
        Join::Container(name) => format!("container:{name}"),
        Join::Path(path) => format!("ns:{}", path.display()),
    }
}

fn userns(namespaces: &Namespaces) -> String {
    match &namespaces.user {
        None => String::new(),
        Some(User::Host) => "host".to_owned(),
        Some(User::Private) => "private".to_owned(),
        Some(User::Auto) => "auto".to_owned(),
        Some(User::KeepId { .. }) => "keep-id".to_owned(),
        Some(User::Container(name)) => format!("container:{name}"),
        Some(User::Path(path)) => format!("ns:{}", path.display()),
    }
}

fn options(security: &Security) -> Option<Vec<String>> {
    let seccomp = match &security.seccomp {
        Seccomp::Default => None,
        Seccomp::Unconfined => Some("seccomp=unconfined".to_owned()),
        Seccomp::File(path) => Some(format!("seccomp={}", path.display())),
    };
    let mut all: Vec<String> = seccomp.into_iter().collect();
    all.extend(security.no_new_privileges.then(|| "no-new-privileges".to_owned()));
    all.extend(security.apparmor.iter().map(|profile| format!("apparmor={profile}")));
    all.extend(security.label.disable.then(|| "label=disable".to_owned()));
    (!all.is_empty()).then_some(all)
}

fn bind(mount: &Mount) -> Option<String> {
    let source = match &mount.kind {
        Kind::Bind(bind) => bind.source.to_string_lossy().into_owned(),
        Kind::Volume(Object { name: Some(name), .. }) => name.clone(),
        _ => return None,
    };
    let mode = words(mount);
    let end = if mode.is_empty() { String::new() } else { format!(":{mode}") };
    Some(format!("{source}:{}{end}", mount.target))
}

/// As they stand behind the last colon of `-v`.
fn words(mount: &Mount) -> String {
    let way = match &mount.kind {
        Kind::Bind(bind) => bind.propagation.map(|way| way.option()),
        _ => None,
    };
    mount.flags.read_only.then_some("ro").into_iter().chain(way).collect::<Vec<_>>().join(",")
}

fn volumes_from(from: &[engine::request::mount::From]) -> Option<Vec<String>> {
    let text =
        |from: &engine::request::mount::From| format!("{}{}", from.container, if from.read_only { ":ro" } else { "" });
    (!from.is_empty()).then(|| from.iter().map(text).collect())
}

fn tmpfs(mounts: &[Mount]) -> Option<Map<String, Value>> {
    let is_tmpfs = |mount: &&Mount| matches!(mount.kind, Kind::Tmpfs(_));
    let all: Map<_, _> = mounts.iter().filter(is_tmpfs).map(|mount| (mount.target.clone(), "".into())).collect();
    (!all.is_empty()).then_some(all)
}

/// docker's list of what is mounted.
pub fn mounts(record: &Record) -> Vec<Value> {
    let one = |mounted: &Mounted| {
        let mount = &mounted.mount;
        let (kind, propagation) = match &mount.kind {
            Kind::Bind(bind) => ("bind", bind.propagation.map_or("rprivate", |way| way.option())),
            Kind::Volume(_) => ("volume", ""),
            Kind::Tmpfs(_) => ("tmpfs", ""),
            Kind::Image(_) => ("image", ""),
            Kind::Devpts(_) => ("devpts", ""),
        };
        let source = match &mount.kind {
            Kind::Image(image) => &image.reference,
            _ => &mounted.source,
        };
        let mut all = json!({
            "Type": kind,
            "Source": source,
            "Destination": mount.target,
            "Mode": words(mount),
            "RW": !mount.flags.read_only,
            "Propagation": propagation,
        });
        if let (Some(name), Value::Object(all)) = (mounted.volume(), &mut all) {
            all.insert("Name".to_owned(), name.into());
            all.insert("Driver".to_owned(), "local".into());
        }
        all
    };
    record.mounts.iter().map(one).collect()
}

/// As asked for: an address or a port that is none is any.
fn bindings(publish: &[Publish]) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for one in publish {
        let address = one.address.map_or(String::new(), |address| address.to_string());
        let hosts: Vec<u16> = one.host.map(|ports| ports.iter().collect()).unwrap_or_default();
        for (at, port) in one.container.iter().enumerate() {
            let host = hosts.get(at).map_or(String::new(), ToString::to_string);
            push(&mut all, format!("{port}/{}", one.protocol), &address, &host);
        }
    }
    Value::Object(all)
}

/// As it is now, from what `ps` shows: `0.0.0.0:8080->80/tcp`.
pub fn published(ports: &[String]) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for text in ports {
        match text.split_once("->") {
            Some((host, container)) => {
                let (address, port) = host.rsplit_once(':').unwrap_or(("", host));
                push(&mut all, container.to_owned(), address.trim_matches(['[', ']']), port);
            }
            None => drop(all.insert(text.clone(), Value::Null)),
        }
    }
    Value::Object(all)
}

fn push(all: &mut Map<String, Value>, container: String, address: &str, port: &str) {
    let binding = json!({ "HostIp": address, "HostPort": port });
    match all.entry(container).or_insert_with(|| json!([])) {
        Value::Array(bindings) => bindings.push(binding),
        other => *other = json!([binding]),
    }
}

pub fn seconds(patience: Patience) -> i64 {
    match patience {
        Patience::Seconds(seconds) => seconds.into(),
        Patience::Endless => -1,
    }
}

pub fn map(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect()
}
