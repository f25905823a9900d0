//! A bundle: a directory with a config.json and a root file system.
//!
//! Invariant: the configuration that comes out says what it meant: paths absolute, defaults filled in.

use crate::{io, refused};
use plan::Rejected;
use runtime::Result;
use serde::de::DeserializeOwned;
use spec::runtime::{Config, DeviceRule, Mount, Process};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) path: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) config: Config,
}

impl Bundle {
    /// # Errors
    /// It is none, or its configuration contradicts itself or the spec.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let found = path.canonicalize().map_err(io(format!("cannot use the bundle {}", path.display())))?;
        let file = found.join("config.json");
        let text = std::fs::read(&file).map_err(io(format!("cannot read {}", file.display())))?;
        let mut config: Config = parse(&text)
            .map_err(|error| Rejected::new(format!("cannot read {}", file.display()), error.to_string()))?;
        check_version(&config.oci_version)?;
        let Some(root) = &config.root else {
            return refused("cannot create the container", "config.json names no root");
        };
        let rootfs = found.join(&root.path);
        let rootfs = rootfs.canonicalize().map_err(io(format!("cannot use the root {}", rootfs.display())))?;
        if !rootfs.is_dir() {
            return refused(format!("cannot use the root {}", rootfs.display()), "it is no directory");
        }
        config.mounts.iter_mut().for_each(|mount| anchor(mount, &found));
        if let Some(process) = &mut config.process {
            settle(process, &rootfs);
        }
        let resources = config.linux.as_mut().and_then(|linux| linux.resources.as_mut());
        if let Some(resources) = resources.filter(|resources| !resources.devices.is_empty()) {
            // The spec's default devices are there whatever the rules say; the first of ours refuses all.
            let default = plan::cgroup::default_rules().into_iter().filter(|rule: &DeviceRule| rule.allow);
            resources.devices.extend(default);
        }
        Ok(Self { path: found, rootfs, config })
    }
}

/// What Go writes as null where it has nothing: that is absent, too, but serde takes it for a list only when told.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).or_else(|error| {
        let mut value = serde_json::from_slice(text)?;
        drop_nulls(&mut value);
        serde_json::from_value(value).map_err(|_| error)
    })
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// All of version 1 is compatible (config.md, "Specification version").
fn check_version(version: &str) -> Result<()> {
    let mut numbers = version.split(['.', '-', '+']);
    let known = numbers.next() == Some("1") && numbers.take(2).filter(|part| part.parse::<u32>().is_ok()).count() == 2;
    if known { Ok(()) } else { refused(format!("cannot use ociVersion {version:?}"), "this runtime implements 1.3.0") }
}

fn anchor(mount: &mut Mount, bundle: &Path) {
    let binds = mount.kind == "bind" || mount.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"));
    if binds && !mount.source.is_empty() && !mount.source.starts_with('/') {
        mount.source = bundle.join(&mount.source).to_string_lossy().into_owned();
    }
    // A relative destination is deprecated, not forbidden: it is from the root.
    if !mount.destination.starts_with('/') {
        mount.destination.insert(0, '/');
    }
}

/// What a process has that its configuration leaves open.
pub(crate) fn settle(process: &mut Process, rootfs: &Path) {
    // Without them it has none; the plan would leave it its parent's.
    let capabilities = process.capabilities.get_or_insert_default();
    // What is not in both the kernel does not raise (capabilities(7)); as runc, left out.
    let (inheritable, permitted) = (&capabilities.inheritable, &capabilities.permitted);
    capabilities.ambient.retain(|name| inheritable.contains(name) && permitted.contains(name));
    set_home(process, rootfs);
}

/// As runc: from the container's own passwd, where the configuration does not say it; the last one counts.
fn set_home(process: &mut Process, rootfs: &Path) {
    let given = process.env.iter().rev().find_map(|variable| variable.strip_prefix("HOME="));
    if given.is_some_and(|home| !home.is_empty()) {
        return;
    }
    let passwd = runtime::observe::read_inside(rootfs, "etc/passwd").unwrap_or_default();
    let uid = process.user.uid.to_string();
    let home = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| fields.get(5).copied().unwrap_or_default())
    });
    process.env.retain(|variable| !variable.starts_with("HOME="));
    process.env.push(format!("HOME={}", home.filter(|home| !home.is_empty()).unwrap_or("/")));
}

#[cfg(test)]
mod tests {
    use super::{check_version, parse};
    use spec::runtime::Config;

    #[test]
    fn what_go_writes_as_null_is_absent() {
        let config: Config =
            parse(br#"{"ociVersion": "1.0.2", "mounts": null, "linux": {"namespaces": null}}"#).unwrap();
        assert!(config.mounts.is_empty());
        let error = parse::<Config>(br#"{"mounts": 3}"#).unwrap_err().to_string();
        assert!(error.contains("expected a sequence"), "{error}");
    }

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.99.0+x"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.0", "2.0.0", "0.9.0", "1.x.0"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }
}
