//! Users and groups of a container that has a user namespace: what its maps have, and whether it may have one.

use crate::Rejected;
use crate::host::Host;
use spec::runtime::{IdMapping, Linux, NamespaceKind, User};

/// Whether this process may make user namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNamespaces {
    Allowed,
    /// The kernel has none.
    Absent,
    /// `user.max_user_namespaces` is 0.
    None,
    /// Debian's `kernel.unprivileged_userns_clone` is 0.
    Privileged,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns` is 1, and no profile excepts sampan.
    AppArmor,
}

/// Nobody (/proc/sys/kernel/overflowuid): what a user namespace shows of an id that it does not have.
pub const OVERFLOW: u32 = 65534;

/// How an ordinary user comes to have subordinate ids.
pub const SUBORDINATE: &str = "give the caller ranges in /etc/subuid and /etc/subgid (usermod --add-subuids \
    100000-165535 --add-subgids 100000-165535 NAME), and install uidmap (Fedora: shadow-utils)";

/// # Errors
/// The container needs a user namespace, and none can be made.
pub fn check_namespace(host: &Host) -> Result<(), Rejected> {
    let (why, hint) = match host.user_namespaces {
        UserNamespaces::Allowed => return Ok(()),
        UserNamespaces::Absent => ("this kernel has no user namespaces", "run as root, or boot a kernel that has them"),
        UserNamespaces::None => {
            ("user namespaces are forbidden here", "as root: sysctl -w user.max_user_namespaces=15000")
        }
        UserNamespaces::Privileged => {
            ("only root may make user namespaces here", "as root: sysctl -w kernel.unprivileged_userns_clone=1")
        }
        UserNamespaces::AppArmor => (
            "AppArmor lets only programs with a profile make user namespaces here",
            "as root: give sampan a profile with `userns,`, \
             or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    };
    Err(Rejected::new("cannot make a user namespace for the container", why).hint(hint))
}

/// The id on the host; `None`: the map does not have it.
#[must_use]
pub fn on_host(map: &[IdMapping], id: u32) -> Option<u32> {
    let range = map.iter().find(|range| id >= range.container_id && id - range.container_id < range.size)?;
    range.host_id.checked_add(id - range.container_id)
}

/// The id in the container: [`on_host`] backwards.
#[must_use]
pub fn inside(map: &[IdMapping], id: u32) -> Option<u32> {
    let range = map.iter().find(|range| id >= range.host_id && id - range.host_id < range.size)?;
    range.container_id.checked_add(id - range.host_id)
}

/// Root of the container's own user namespace, as the host knows it, where sampan may make files its own.
#[must_use]
pub fn root(host: &Host, uid_map: &[IdMapping], gid_map: &[IdMapping]) -> Option<(u32, u32)> {
    on_host(uid_map, 0).zip(on_host(gid_map, 0)).filter(|_| !host.rootless())
}

/// Whether setgroups(2) is allowed: an ordinary user's map of his own group alone forbids it (user_namespaces(7),
/// newgidmap(1)). An empty map is that of a namespace of which nothing is known.
#[must_use]
pub fn groups_allowed(host: &Host, gid_map: &[IdMapping]) -> bool {
    let more = || gid_map.is_empty() || gid_map.iter().any(|map| map.host_id != host.egid || map.size > 1);
    host.setgroups && (!host.rootless() || host.subordinate.is_some() && more())
}

/// The map of the container's own user namespace; without one, it is in sampan's.
#[must_use]
pub fn own_or<'a>(own: &'a [IdMapping], hosts: &'a [IdMapping]) -> &'a [IdMapping] {
    if own.is_empty() { hosts } else { own }
}

/// Whether a process of the container can have this supplementary group.
#[must_use]
pub fn has_group(host: &Host, gid_map: &[IdMapping], gid: u32) -> bool {
    groups_allowed(host, gid_map) && on_host(own_or(gid_map, &host.ids.gid), gid).is_some()
}

/// # Errors
/// An id of the process that its user namespace does not have. Of one that it joins nothing is known.
pub fn check_user(user: &User, linux: &Linux, host: &Host) -> Result<(), Rejected> {
    if crate::order::joined(linux, NamespaceKind::User).is_some() {
        return Ok(());
    }
    let missing = |what: String| {
        let refused = |why: &str, hint: &str| Err(Rejected::new(format!("cannot run as {what}"), why).hint(hint));
        if linux.uid_mappings.is_empty() {
            return refused(
                "the user namespace that sampan is in does not have it",
                "start sampan in one that has more ids (unshare --map-auto)",
            );
        }
        if groups_allowed(host, &linux.gid_mappings) {
            return refused("the container's user namespace does not map it", "map it with --uidmap and --gidmap");
        }
        refused("without subordinate ids the container has a single one, its root, which is the caller", SUBORDINATE)
    };
    if on_host(own_or(&linux.uid_mappings, &host.ids.uid), user.uid).is_none() {
        return missing(format!("user {}", user.uid));
    }
    if on_host(own_or(&linux.gid_mappings, &host.ids.gid), user.gid).is_none() {
        return missing(format!("group {}", user.gid));
    }
    match user.additional_gids.iter().find(|gid| !has_group(host, &linux.gid_mappings, **gid)) {
        Some(gid) => missing(format!("group {gid}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{inside, on_host};
    use spec::runtime::IdMapping;

    #[test]
    fn finds_the_id_on_the_host() {
        let map = [
            IdMapping { container_id: 0, host_id: 1000, size: 1 },
            IdMapping { container_id: 1, host_id: 100_000, size: 10 },
        ];
        assert_eq!([0, 1, 10, 11].map(|id| on_host(&map, id)), [Some(1000), Some(100_000), Some(100_009), None]);
        assert_eq!(on_host(&[], 0), None);
        assert_eq!([1000, 100_009, 100_010, 0].map(|id| inside(&map, id)), [Some(0), Some(10), None, None]);
    }
}
