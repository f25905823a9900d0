//! What was observed of the host: plain values, made by `runtime::observe`, read by the planners.

use crate::ids::UserNamespaces;
use crate::mounts::Ids;
use spec::runtime::{IdMapping, NamespaceKind};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub euid: u32,
    pub egid: u32,
    /// Major and minor of the kernel's release.
    pub kernel: (u32, u32),
    /// Bit set of the capabilities that this process may pass on.
    pub capabilities: u64,
    /// The highest capability that the kernel knows.
    pub last_capability: u32,
    pub time_namespace: bool,
    /// The hard limit inherited, by `RLIMIT_*` name.
    pub hard_limits: BTreeMap<String, u64>,
    /// Subordinate ids of the caller, mapped through newuidmap and newgidmap.
    pub subordinate: Option<Subordinate>,
    pub user_namespaces: UserNamespaces,
    /// Whether this process is in the initial user namespace: the one that the machine's devices belong to.
    pub initial: bool,
    /// The maps of the user namespace that this process is in.
    pub ids: Ids,
    /// That user namespace lets its processes change their groups.
    pub setgroups: bool,
    /// Which of this process's namespaces belong to its user namespace: where its capabilities count.
    pub owned: Vec<NamespaceKind>,
    /// As uname(2) calls it: `x86_64`.
    pub machine: String,
}

impl Host {
    /// Without root every container has a user namespace of its own.
    #[must_use]
    pub fn rootless(&self) -> bool {
        self.euid != 0
    }

    /// And not of a user namespace only, where root needs none for a container, but has no say over devices.
    #[must_use]
    pub fn is_machines_root(&self) -> bool {
        self.euid == 0 && self.initial
    }

    #[must_use]
    pub fn owns(&self, kind: NamespaceKind) -> bool {
        self.owned.contains(&kind)
    }

    #[must_use]
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }
}

/// First id and number of ids, from /etc/subuid and /etc/subgid, and that the set-uid helpers are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subordinate {
    pub uid: (u32, u32),
    pub gid: (u32, u32),
}

/// The maps of a container of an ordinary user: its root is the caller, the rest are the caller's subordinate ids.
#[must_use]
pub fn rootless_maps(host: &Host) -> (Vec<IdMapping>, Vec<IdMapping>) {
    let map = |own: u32, sub: Option<(u32, u32)>| {
        let mut map = vec![IdMapping { container_id: 0, host_id: own, size: 1 }];
        map.extend(sub.map(|(first, size)| IdMapping { container_id: 1, host_id: first, size }));
        map
    };
    (map(host.euid, host.subordinate.map(|ids| ids.uid)), map(host.egid, host.subordinate.map(|ids| ids.gid)))
}

/// [`rootless_maps`], but the caller is `uid` and `gid`: his subordinate ids lie around him, root the first of them.
/// `None`: there are none.
#[must_use]
pub fn keep_id_maps(host: &Host, uid: u32, gid: u32) -> Option<(Vec<IdMapping>, Vec<IdMapping>)> {
    let ids = host.subordinate?;
    Some((around(host.euid, uid, ids.uid), around(host.egid, gid, ids.gid)))
}

fn around(own: u32, kept: u32, (first, size): (u32, u32)) -> Vec<IdMapping> {
    let below = kept.min(size);
    let ranges =
        [(0, first, below), (kept, own, 1), (kept.saturating_add(1), first.saturating_add(below), size - below)];
    let mapping = |(container_id, host_id, size)| IdMapping { container_id, host_id, size };
    ranges.into_iter().map(mapping).filter(|mapping| mapping.size > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::around;

    #[test]
    fn the_subordinate_ids_lie_around_the_caller() {
        let map = |kept, size| {
            let words = |mapping| crate::step::map_words(&mapping);
            around(1000, kept, (100_000, size)).into_iter().map(words).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(map(1000, 65536), "0 100000 1000, 1000 1000 1, 1001 101000 64536");
        assert_eq!(map(0, 65536), "0 1000 1, 1 100000 65536");
        assert_eq!(map(1000, 1000), "0 100000 1000, 1000 1000 1");
        assert_eq!(map(70_000, 65536), "0 100000 65536, 70000 1000 1");
    }
}
