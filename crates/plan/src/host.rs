//! What was observed of the host: plain values, made by `runtime::observe`, read by the planners.

use crate::ids::UserNamespaces;
use spec::runtime::IdMapping;
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
    /// As uname(2) calls it: `x86_64`.
    pub machine: String,
}

impl Host {
    /// Without root every container has a user namespace of its own.
    #[must_use]
    pub fn rootless(&self) -> bool {
        self.euid != 0
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
