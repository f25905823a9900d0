//! Who a container's users are outside, and who its command runs as where `--userns keep-id` says so.

use crate::config::Joined;
use crate::error::{Error, Result};
use crate::request::{Run, User};
use plan::host::{Host, keep_id_maps, rootless_maps};
use spec::runtime::{IdMapping, NamespaceKind};

pub type Maps = (Vec<IdMapping>, Vec<IdMapping>);

/// The maps of a new user namespace; both empty when there is none.
///
/// # Errors
/// A mode that takes ids which the caller does not have.
pub fn maps(request: &Run, host: &Host, joined: &[Joined]) -> Result<Maps> {
    if joined.iter().any(|(kind, _)| *kind == NamespaceKind::User) {
        return Ok(Maps::default());
    }
    let names = &request.namespaces;
    let (mut uid, mut gid) = (names.uid_map.clone(), names.gid_map.clone());
    if uid.is_empty() {
        uid.clone_from(&gid);
    }
    if gid.is_empty() {
        gid.clone_from(&uid);
    }
    if !uid.is_empty() {
        return Ok((uid, gid));
    }
    match (&names.user, host.rootless()) {
        (None | Some(User::Host), false) => Ok(Maps::default()),
        (Some(User::KeepId { .. }), false) => Ok((same(&host.ids.uid), same(&host.ids.gid))),
        (Some(_), false) => Err(Error::rejected(
            "cannot choose a range of ids",
            "root has no subordinate ids of its own to take one from",
        )
        .hint("write the maps with --uidmap and --gidmap: --uidmap 0:100000:65536")),
        (_, true) => match kept(request, host) {
            None | Some((0, 0)) => Ok(rootless_maps(host)),
            Some((uid, gid)) => keep_id_maps(host, uid, gid).ok_or_else(|| {
                let why = "the container's root needs another id than the caller's, and there are no subordinate ones";
                Error::rejected("cannot keep the caller's ids in the container", why).hint(plan::ids::SUBORDINATE)
            }),
        },
    }
}

/// The maps of a user namespace that is joined, as far as something is known of it.
#[must_use]
pub fn joined(joined: &[Joined]) -> Option<Maps> {
    let (_, path) = joined.iter().find(|(kind, _)| *kind == NamespaceKind::User)?;
    let pid = path.strip_prefix("/proc/").and_then(|path| path.split('/').next()?.parse().ok());
    Some(pid.map(runtime::observe::id_maps).unwrap_or_default())
}

/// As podman for root: all ids that there are, as they are, in a user namespace of its own.
fn same(map: &[IdMapping]) -> Vec<IdMapping> {
    map.iter().map(|range| IdMapping { host_id: range.container_id, ..*range }).collect()
}

/// The user and group that `--userns keep-id` runs the command as: the caller, but for what it names.
#[must_use]
pub fn kept(request: &Run, host: &Host) -> Option<(u32, u32)> {
    let Some(User::KeepId { uid, gid }) = request.namespaces.user else { return None };
    Some((uid.unwrap_or(host.euid), gid.unwrap_or(host.egid)))
}
