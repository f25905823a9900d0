//! What config.json can ask for and this version cannot do.
//!
//! Invariant: refused by name. A property that the spec has is done or refused, never dropped.

use crate::Rejected;
use spec::runtime::{Config, Linux, NamespaceKind, Process};

/// # Errors
/// The first property that cannot be honoured.
pub(crate) fn check(config: &Config) -> Result<(), Rejected> {
    config.process.as_ref().map_or(Ok(()), check_process)?;
    let linux = config.linux.iter().flat_map(of_linux);
    first([("vm", config.vm.is_some())].into_iter().chain(linux))?;
    config.linux.as_ref().map_or(Ok(()), |linux| namespaces(config, linux))
}

/// # Errors
/// The first property that cannot be honoured.
pub(crate) fn check_process(process: &Process) -> Result<(), Rejected> {
    first(of_process(process).into_iter())
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

fn of_process(process: &Process) -> [(&'static str, bool); 1] {
    [("process.selinuxLabel", !process.selinux_label.is_empty())]
}

fn of_linux(linux: &Linux) -> [(&'static str, bool); 1] {
    [("linux.mountLabel", !linux.mount_label.is_empty())]
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (json, name) in [
            (r#"{"vm": {}}"#, "vm"),
            (r#"{"process": {"selinuxLabel": "a:b:c"}}"#, "process.selinuxLabel"),
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
