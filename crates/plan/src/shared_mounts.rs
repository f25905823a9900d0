//! A container without a mount namespace of its own: its mounts are made in one that others are in, too.
//!
//! Invariant: all of them lie below one mount that is nobody's peer, so that nothing is seen elsewhere, and to unmount
//! that one is to undo them all. It is in the container's own directory: a path that is never anything else.

use crate::host::Host;
use crate::mounts::{PRIVATE, RECURSIVE, SHARED, Source};
use crate::order::joined;
use crate::step::{HostStep, InitStep};
use crate::{Rejected, capability};
use spec::runtime::{Linux, NamespaceKind};

/// None is named, so that it is the caller's; or it is another's.
#[must_use]
pub fn has(linux: &Linux) -> bool {
    !linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Mount && namespace.path.is_none())
}

/// # Errors
/// Who may not mount there, or not unmount.
pub(crate) fn check(linux: &Linux, host: &Host) -> Result<(), Rejected> {
    let refuse = |why: &str| {
        Err(Rejected::new("cannot do without a mount namespace of the container's own", why)
            .hint("add {\"type\": \"mount\"} to linux.namespaces"))
    };
    if !has(linux) {
        return Ok(());
    }
    if linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::User) {
        return refuse(
            "root of a user namespace may not mount in one that does not belong to it (mount_namespaces(7))",
        );
    }
    if host.rootless() || !host.owns(NamespaceKind::Mount) || !host.has(capability::SYS_ADMIN) {
        return refuse("only root may mount in the one that is there");
    }
    Ok(())
}

/// Where all is mounted.
pub(crate) fn point(data: &str) -> String {
    format!("{data}/shared-mounts")
}

pub(crate) fn root(data: &str) -> String {
    format!("{}/root", point(data))
}

pub(crate) fn prepare(linux: &Linux, data: &str, steps: &mut Vec<HostStep>) {
    let within = joined(linux, NamespaceKind::Mount);
    steps.push(HostStep::MountPoint { path: point(data), within });
    steps.push(HostStep::Directory { path: root(data), mode: 0o755, owner: None });
}

/// What is mounted below a peer of the host's appears on the host, and stays.
pub(crate) fn cut(steps: &mut [InitStep]) -> Result<(), Rejected> {
    for step in steps {
        if let InitStep::Mount(mount) = step
            && matches!(mount.source, Source::Bind { .. })
        {
            if mount.attributes.propagation & SHARED != 0 {
                let what = format!("cannot share the mount on {}", mount.destination);
                return Err(Rejected::new(what, "the container has no mount namespace of its own"));
            }
            if mount.attributes.propagation == 0 {
                mount.attributes.propagation = PRIVATE | RECURSIVE;
            }
        }
    }
    Ok(())
}
