//! A bundle: a directory with a config.json and a root file system.
//!
//! Invariant: the configuration that comes out says what it meant: paths absolute, defaults filled in.

use crate::{io, refused};
use plan::Rejected;
use runtime::Result;
use runtime::join::grant;
use spec::json::parse;
use spec::runtime::{Config, DeviceRule, Mount, NamespaceKind, Process};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) path: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) config: Config,
    pub(crate) warnings: Vec<String>,
}

impl Bundle {
    /// # Errors
    /// It is none, or its configuration contradicts itself or the spec.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let found = path.canonicalize().map_err(io(format!("cannot use the bundle {}", path.display())))?;
        let file = found.join("config.json");
        let cannot = || format!("cannot read {}", file.display());
        // A named pipe would hold us up, a device may have no end.
        if !file.metadata().map_err(io(cannot()))?.is_file() {
            return refused(cannot(), "it is no regular file");
        }
        let text = read(&file)?;
        let mut config: Config = parse(&text).map_err(|error| Rejected::new(cannot(), error.to_string()))?;
        check_version(&config.oci_version)?;
        if let Some(linux) = &mut config.linux {
            // As runc: an empty path is none.
            linux.namespaces.iter_mut().for_each(|ns| ns.path = ns.path.take().filter(|path| path != Path::new("")));
        }
        plan::invalid::check(&config)?;
        let Some(root) = config.root.as_ref().filter(|root| !root.path.as_os_str().is_empty()) else {
            return refused("cannot create the container", "config.json names no root");
        };
        let rootfs = found.join(&root.path);
        let rootfs = rootfs.canonicalize().map_err(io(format!("cannot use the root {}", rootfs.display())))?;
        if !rootfs.is_dir() {
            return refused(format!("cannot use the root {}", rootfs.display()), "it is no directory");
        }
        let mut warnings = Vec::new();
        config.mounts.iter_mut().for_each(|mount| anchor(mount, &found, &rootfs, &mut warnings));
        if let Some(process) = &mut config.process {
            warnings.extend(settle(process, &rootfs));
            if keeps_groups(&config.annotations) && !process.user.additional_gids.is_empty() {
                warnings.push(format!("the container has its caller's groups, and no others: {KEEP_GROUPS}"));
                process.user.additional_gids.clear();
            }
            let mut namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
            let elsewhere = namespaces.any(|namespace| namespace.kind == NamespaceKind::User);
            warnings.extend(grant(process, elsewhere)?);
        }
        let resources = config.linux.as_mut().and_then(|linux| linux.resources.as_mut());
        if let Some(resources) = resources.filter(|resources| !resources.devices.is_empty()) {
            // The spec's default devices are there whatever the rules say; the first of ours refuses all.
            let default = plan::cgroup::default_rules().into_iter().filter(|rule: &DeviceRule| rule.allow);
            resources.devices.extend(default);
        }
        Ok(Self { path: found, rootfs, config, warnings })
    }
}

/// crun's, which podman's `--group-add keep-groups` asks for.
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// Whether the caller's supplementary groups stay, who may have files by them that a user namespace has no name for.
pub(crate) fn keeps_groups(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(KEEP_GROUPS).is_some_and(|value| value != "0")
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(io(format!("cannot read {}", path.display())))?;
    whole(file, path)
}

/// All that comes, if it is of a size that can be meant.
///
/// # Errors
/// It is more than 16 MiB, or cannot be read.
pub fn whole(from: impl Read, path: &Path) -> Result<Vec<u8>> {
    const MOST: u64 = 16 << 20;
    let cannot = || format!("cannot read {}", path.display());
    // An engine's config.json is of about this size; in an empty one it would come in a dozen of reads.
    let mut text = Vec::with_capacity(32 << 10);
    from.take(MOST + 1).read_to_end(&mut text).map_err(io(cannot()))?;
    if text.len() as u64 > MOST { refused(cannot(), "it is larger than 16 MiB") } else { Ok(text) }
}

/// All of version 1 is compatible (config.md, "Specification version").
fn check_version(version: &str) -> Result<()> {
    let mut numbers = version.split(['.', '-', '+']);
    let known = numbers.next() == Some("1") && numbers.take(2).filter(|part| part.parse::<u32>().is_ok()).count() == 2;
    if known {
        return Ok(());
    }
    refused(format!("cannot use ociVersion {version:?}"), format!("this runtime implements {}", crate::VERSION))
}

fn anchor(mount: &mut Mount, bundle: &Path, rootfs: &Path, warnings: &mut Vec<String>) {
    let binds = mount.kind == "bind" || mount.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"));
    if binds && !mount.source.is_empty() && !mount.source.starts_with('/') {
        mount.source = bundle.join(&mount.source).to_string_lossy().into_owned();
    }
    if !mount.destination.starts_with('/') {
        warnings
            .push(format!("mount destination {:?} is relative, which is deprecated: taken from /", mount.destination));
        mount.destination.insert(0, '/');
    }
    // As runc: some callers have it on the host already.
    if let Ok(inside) = Path::new(&mount.destination).strip_prefix(rootfs)
        && rootfs != Path::new("/")
    {
        mount.destination = format!("/{}", inside.display());
    }
}

/// What a process has that its configuration leaves open; and what it asks for in vain.
pub(crate) fn settle(process: &mut Process, rootfs: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    // Without them it has none; the plan would leave it its parent's.
    let capabilities = process.capabilities.get_or_insert_default();
    // What is not in both the kernel does not raise (capabilities(7)); as runc, left out.
    let (inheritable, permitted) = (&capabilities.inheritable, &capabilities.permitted);
    capabilities.ambient.retain(|name| {
        let can = inheritable.contains(name) && permitted.contains(name);
        if !can {
            warnings.push(format!("can't raise ambient capability {name}: it is not both permitted and inheritable"));
        }
        can
    });
    // The last of a name counts: some programs look for the first.
    let names = |variable: &str| variable.split_once('=').map(|(name, _)| name.to_owned());
    let all = std::mem::take(&mut process.env);
    let is_last = |(at, variable): &(usize, &String)| all[at + 1..].iter().all(|later| names(later) != names(variable));
    process.env = all.iter().enumerate().filter(is_last).map(|(_, variable)| variable.clone()).collect();
    set_home(process, rootfs);
    warnings
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
    use super::check_version;

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
