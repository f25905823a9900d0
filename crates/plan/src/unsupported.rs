//! What config.json can ask for and a container cannot have: refused by name, never dropped.

use crate::Rejected;
use spec::runtime::{Config, Linux, NamespaceKind};

/// # Errors
/// The first property that cannot be honoured.
pub(crate) fn check(config: &Config) -> Result<(), Rejected> {
    if config.vm.is_some() {
        return Err(Rejected::new(
            "cannot honour vm of config.json",
            "containers of this runtime are no virtual machines",
        ));
    }
    config.linux.as_ref().map_or(Ok(()), |linux| namespaces(config, linux))
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

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (json, name) in [
            (r#"{"vm": {}}"#, "vm"),
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
