//! What config.json can ask for and this version cannot do.
//!
//! Invariant: refused by name. A property that the spec has is done or refused, never dropped.

use crate::Rejected;
use spec::runtime::{Config, Linux, NamespaceKind, Process, Resources};

/// # Errors
/// The first property that cannot be honoured.
pub(crate) fn check(config: &Config) -> Result<(), Rejected> {
    config.process.as_ref().map_or(Ok(()), check_process)?;
    let linux = config.linux.iter().flat_map(of_linux);
    let resources = config.linux.iter().filter_map(|linux| linux.resources.as_ref()).flat_map(of_resources);
    first([("vm", config.vm.is_some())].into_iter().chain(linux).chain(resources))?;
    config.linux.as_ref().map_or(Ok(()), |linux| namespaces(config, linux))
}

/// # Errors
/// The first property that cannot be honoured.
pub(crate) fn check_process(process: &Process) -> Result<(), Rejected> {
    first(of_process(process).into_iter())
}

/// # Errors
/// The first property that cannot be honoured.
pub(crate) fn check_resources(resources: &Resources) -> Result<(), Rejected> {
    first(of_resources(resources).into_iter())
}

fn first(mut all: impl Iterator<Item = (&'static str, bool)>) -> Result<(), Rejected> {
    match all.find(|(_, asked)| *asked) {
        Some((name, _)) => {
            Err(Rejected::new(format!("cannot honour {name} of config.json"), "this version cannot do it"))
        }
        None => Ok(()),
    }
}

/// What only means something in a namespace that the container has.
fn namespaces(config: &Config, linux: &Linux) -> Result<(), Rejected> {
    let refused = |what: &str, why: &str| Err(Rejected::new(format!("cannot {what}"), why));
    let has = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind);
    let new = |kind| linux.namespaces.iter().any(|namespace| namespace.kind == kind && namespace.path.is_none());
    let named = [(&config.hostname, "hostname"), (&config.domainname, "domain name")];
    if let Some((_, what)) = named.into_iter().find(|(name, _)| !name.is_empty() && !has(NamespaceKind::Uts)) {
        return refused(&format!("set the {what}"), "the container has no uts namespace: it would be the host's");
    }
    let mapped = !linux.uid_mappings.is_empty() && !linux.gid_mappings.is_empty();
    if new(NamespaceKind::User) && !mapped {
        return refused("make a user namespace", "uidMappings or gidMappings are missing");
    }
    if mapped && !has(NamespaceKind::User) {
        return refused("map ids", "uidMappings are there, and no user namespace");
    }
    Ok(())
}

fn of_process(process: &Process) -> [(&'static str, bool); 2] {
    [
        ("process.selinuxLabel", !process.selinux_label.is_empty()),
        ("process.execCPUAffinity", process.exec_cpu_affinity.is_some()),
    ]
}

fn of_linux(linux: &Linux) -> [(&'static str, bool); 6] {
    let listener = linux.seccomp.as_ref().is_some_and(|seccomp| !seccomp.listener_path.is_empty());
    [
        ("linux.mountLabel", !linux.mount_label.is_empty()),
        ("linux.intelRdt", linux.intel_rdt.is_some()),
        ("linux.memoryPolicy", linux.memory_policy.is_some()),
        ("linux.timeOffsets", !linux.time_offsets.is_empty()),
        ("linux.netDevices", !linux.net_devices.is_empty()),
        ("linux.seccomp.listenerPath", listener),
    ]
}

/// 0 asks for nothing.
fn of_resources(resources: &Resources) -> Vec<(&'static str, bool)> {
    let mut all = vec![("linux.resources.rdma", !resources.rdma.is_empty())];
    if let Some(network) = &resources.network {
        all.push(("linux.resources.network.classID", network.class_id.is_some_and(|id| id != 0)));
        all.push(("linux.resources.network.priorities", !network.priorities.is_empty()));
    }
    if let Some(memory) = &resources.memory {
        all.push(("linux.resources.memory.kernel", memory.kernel.is_some_and(|bytes| bytes > 0)));
        all.push(("linux.resources.memory.kernelTCP", memory.kernel_tcp.is_some_and(|bytes| bytes > 0)));
    }
    if let Some(cpu) = &resources.cpu {
        all.push(("linux.resources.cpu.realtimeRuntime", cpu.realtime_runtime.is_some_and(|time| time != 0)));
        all.push(("linux.resources.cpu.realtimePeriod", cpu.realtime_period.is_some_and(|time| time != 0)));
        all.push(("linux.resources.cpu.idle", cpu.idle.is_some_and(|idle| idle != 0)));
    }
    if let Some(io) = &resources.block_io {
        let leaf = io.leaf_weight.iter().chain(io.weight_device.iter().filter_map(|it| it.leaf_weight.as_ref()));
        all.push(("linux.resources.blockIO.leafWeight", leaf.into_iter().any(|weight| *weight != 0)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (json, name) in [
            (r#"{"vm": {}}"#, "vm"),
            (r#"{"process": {"execCPUAffinity": {"initial": "0"}}}"#, "process.execCPUAffinity"),
            (r#"{"process": {"selinuxLabel": "a:b:c"}}"#, "process.selinuxLabel"),
            (r#"{"linux": {"memoryPolicy": {"mode": "MPOL_BIND"}}}"#, "linux.memoryPolicy"),
            (r#"{"linux": {"timeOffsets": {"monotonic": {"secs": 1}}}}"#, "linux.timeOffsets"),
            (r#"{"linux": {"seccomp": {"listenerPath": "/s"}}}"#, "linux.seccomp.listenerPath"),
            (r#"{"linux": {"resources": {"network": {"classID": 1}}}}"#, "network.classID"),
            (r#"{"linux": {"resources": {"rdma": {"mlx5_1": {}}}}}"#, "rdma"),
            (r#"{"linux": {"resources": {"cpu": {"idle": 1}}}}"#, "cpu.idle"),
            (r#"{"hostname": "h", "linux": {}}"#, "hostname"),
            (r#"{"linux": {"namespaces": [{"type": "user"}]}}"#, "user namespace"),
        ] {
            let what = check(&serde_json::from_str(json).unwrap()).unwrap_err().what;
            assert!(what.contains(name), "{what}");
        }
        for json in [
            r#"{"linux": {"personality": null, "resources": {"network": {}, "memory": {"kernel": -1}}}}"#,
            r#"{"windows": {}, "org.example.unknown": 1}"#,
        ] {
            check(&serde_json::from_str(json).unwrap()).unwrap();
        }
    }
}
