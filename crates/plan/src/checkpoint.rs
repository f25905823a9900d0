//! What of a container is not its own: what whoever saves it leaves out, and has to be there again when it is restored.

use crate::mounts::{self, Source};
use crate::step::HostStep;
use crate::{Rejected, cgroup, order};
use spec::runtime::{Linux, Mount, Namespace, NamespaceKind};

/// What is done with the cgroups of a saved container when it is restored (criu(8), `--manage-cgroups`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// CRIU's own choice.
    #[default]
    Default,
    /// Nothing: its processes are where this program puts them.
    Ignore,
    /// Settings are restored of those that are not there.
    Soft,
    /// Settings are restored always.
    Full,
    /// They must not be there.
    Strict,
}

/// A mount of the container whose file system is the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// In the container.
    pub destination: String,
    pub source: String,
    /// With what is mounted below the source.
    pub recursive: bool,
}

/// # Errors
/// A mount that comes back as another one.
pub fn outside(all: &[Mount], linux: &Linux, cgroup: &cgroup::Cgroup) -> Result<Vec<Outside>, Rejected> {
    let mut found = Vec::new();
    for spec in all {
        if spec.kind == "cgroup" {
            let own = cgroup::container_mounts(cgroup, cgroup::Within::of(linux)).into_iter();
            found.extend(own.filter_map(|mount| match mount {
                cgroup::Mount::Bind { source, destination } => Some(Outside { destination, source, recursive: false }),
                _ => None,
            }));
            continue;
        }
        let mount = mounts::parse(spec)?;
        let Source::Bind { path, recursive, .. } = mount.source else { continue };
        if mount.idmap.is_some() {
            let what = format!("cannot save the mount on {}", mount.destination);
            return Err(Rejected::new(what, "its ids are shifted, which CRIU does not restore"));
        }
        found.push(Outside { destination: mount.destination, source: path, recursive });
    }
    // In a user namespace, or without CAP_MKNOD, they are the host's; where they are not, nobody asks for them.
    let device = |path: String| Outside { destination: path.clone(), source: path, recursive: false };
    found.extend(order::device_paths(linux).map(device));
    Ok(found)
}

/// Mounts whose targets must be there before CRIU comes, each with whether it binds the host's files. What lies in a
/// file system of the container's own comes with that.
#[must_use]
pub fn targets(all: &[Mount]) -> Vec<(&Mount, bool)> {
    let binds = |mount: &Mount| mounts::parse(mount).is_ok_and(|mount| matches!(mount.source, Source::Bind { .. }));
    let lies_in = |path: &str, above: &Mount| {
        let rest = path.strip_prefix(above.destination.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let own = |mount: &&Mount| all.iter().any(|above| !binds(above) && lies_in(&mount.destination, above));
    all.iter().filter(|mount| mount.kind != "cgroup" && !own(mount)).map(|mount| (mount, binds(mount))).collect()
}

/// The network and the pid namespace of others, which CRIU takes by name, and the rest, which it joins by path.
#[must_use]
pub fn shared(namespaces: &[Namespace]) -> (Vec<(&Namespace, &'static str)>, Vec<&Namespace>) {
    let (mut named, mut joined) = (Vec::new(), Vec::new());
    for namespace in namespaces.iter().filter(|namespace| namespace.path.is_some()) {
        match namespace.kind {
            NamespaceKind::Network => named.push((namespace, "extRootNetNS")),
            NamespaceKind::Pid => named.push((namespace, "extRootPidNS")),
            _ => joined.push(namespace),
        }
    }
    (named, joined)
}

/// Of the steps before the clone those that a restored container needs, too: it does not wait for its start.
#[must_use]
pub fn prepare(steps: Vec<HostStep>) -> Vec<HostStep> {
    steps.into_iter().filter(|step| !matches!(step, HostStep::Fifo { .. })).collect()
}

#[cfg(test)]
mod tests {
    use super::{Outside, outside, targets};
    use crate::cgroup::Cgroup;
    use spec::runtime::{Config, Mount};

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_hosts_files_and_bound_cgroups_are_outside() {
        let json = r#"{"mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
        ], "linux": {"namespaces": []}}"#;
        let mut config = config(json);
        let cgroup = Cgroup { v2: Some("/sys/fs/cgroup/c".into()), ..Cgroup::default() };
        let linux = config.linux.as_mut().unwrap();
        let found = outside(&config.mounts, linux, &cgroup).unwrap();
        let mount = |destination: &str, source: &str, recursive| Outside {
            destination: destination.into(),
            source: source.into(),
            recursive,
        };
        assert_eq!(found[..2], [mount("/data", "/srv", true), mount("/sys/fs/cgroup", "/sys/fs/cgroup", false)]);
        assert!(found[2..].iter().all(|it| it.destination.starts_with("/dev/") && it.destination == it.source));
        linux.namespaces = serde_json::from_str(r#"[{"type": "cgroup"}]"#).unwrap();
        assert!(!outside(&config.mounts, linux, &cgroup).unwrap().iter().any(|it| it.destination.contains("cgroup")));
    }

    #[test]
    fn shifted_ids_are_refused() {
        let json = r#"{"mounts": [{"destination": "/d", "type": "bind", "source": "/s", "options": ["idmap"]}],
            "linux": {}}"#;
        let config = config(json);
        let error = outside(&config.mounts, config.linux.as_ref().unwrap(), &Cgroup::default()).unwrap_err();
        assert!(error.what.contains("/d"), "{error}");
    }

    #[test]
    fn a_target_in_an_own_file_system_comes_with_it() {
        let json = r#"{"mounts": [
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts"},
            {"destination": "/devices", "type": "bind", "source": "/s"},
            {"destination": "/devices/x", "type": "bind", "source": "/s"},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
        ]}"#;
        let config = config(json);
        let found = targets(&config.mounts);
        let found: Vec<(&str, bool)> =
            found.into_iter().map(|(mount, binds): (&Mount, bool)| (&*mount.destination, binds)).collect();
        assert_eq!(found, [("/dev", false), ("/devices", true), ("/devices/x", true)]);
    }
}
