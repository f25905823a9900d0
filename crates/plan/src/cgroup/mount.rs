//! What a container sees in its /sys/fs/cgroup.
//!
//! Invariant: only its own cgroup, but for who asks for no cgroup namespace on v2: he sees all that his caller does. A
//! hierarchy in which it has none is not shown: the namespace's root would be the host's there, and its directories bear
//! the names of the neighbours.

use super::Cgroup;
use spec::runtime::{Linux, NamespaceKind};

/// In which cgroup namespace the container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// One of its own.
    Own,
    /// Another's, by its path.
    Joined,
    /// The caller's.
    Callers,
}

impl Within {
    #[must_use]
    pub fn of(linux: &Linux) -> Self {
        match linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::Cgroup) {
            None => Self::Callers,
            Some(namespace) if namespace.path.is_some() => Self::Joined,
            Some(_) => Self::Own,
        }
    }
}

/// Read-only all, and without devices, set-user-ID and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    Tmpfs {
        destination: String,
    },
    /// `mount -t cgroup2`.
    Cgroup2 {
        destination: String,
    },
    /// `mount -t cgroup -o OPTIONS`.
    Cgroup {
        destination: String,
        options: String,
    },
    Bind {
        source: String,
        destination: String,
    },
    /// `link` leads to `target`, in the same directory.
    Symlink {
        target: String,
        link: String,
    },
}

/// Of the hierarchy, which is mounted already, with those that its owner has chosen: whoever mounts it again from outside of a
/// cgroup namespace would change them for all (cgroup-v2.rst), so callers name them again. A bind leaves them alone.
pub const HIERARCHY_OPTIONS: [&str; 6] = [
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
];

const ROOT: &str = "/sys/fs/cgroup";

/// In this order. In a namespace of its own mounting the filesystem shows the container's part. In another its own
/// directories are bound, and from /proc/self/cgroup it can't tell where it is; but on v2, where that path leads to it in the
/// whole tree, that is bound where the tree is the caller's: agents that look after others' cgroups run so, privileged.
#[must_use]
pub fn container_mounts(cgroup: &Cgroup, within: Within) -> Vec<Mount> {
    let mount = |version2: bool, path: &str, options: String, destination: String| match (within, version2) {
        (Within::Own, true) => Mount::Cgroup2 { destination },
        (Within::Own, false) => Mount::Cgroup { destination, options },
        (Within::Joined | Within::Callers, _) => Mount::Bind { source: path.to_owned(), destination },
    };
    if cgroup.v1.is_empty() {
        let whole = |path: &str| within == Within::Callers && path.starts_with(ROOT);
        let mount = |path| mount(true, if whole(path) { ROOT } else { path }, String::new(), ROOT.to_owned());
        return cgroup.v2.as_deref().map(mount).into_iter().collect();
    }
    let mut mounts = vec![Mount::Tmpfs { destination: ROOT.to_owned() }];
    for (controllers, path) in &cgroup.v1 {
        let options = controllers.join(",");
        // systemd looks for its own at this place.
        let name = options.trim_start_matches("name=").to_owned();
        mounts.push(mount(false, path, options, format!("{ROOT}/{name}")));
        if controllers.len() > 1 {
            let link = |controller| Mount::Symlink { target: name.clone(), link: format!("{ROOT}/{controller}") };
            mounts.extend(controllers.iter().map(link));
        }
    }
    if let Some(path) = &cgroup.v2 {
        mounts.push(mount(true, path, String::new(), format!("{ROOT}/unified")));
    }
    mounts
}
