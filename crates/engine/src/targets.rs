//! Whether what is mounted on can be made where it is missing.
//!
//! An ordinary user's container can neither write to a directory of somebody whom its user namespace does not have, nor
//! can overlayfs make him a copy of it: said here, before anything is touched, and not by an EACCES halfway through.

use crate::error::{Error, Result};
use crate::ground::Ground;
use image::rootfs::Found;
use plan::Rootfs;
use plan::host::Host;
use spec::runtime::{IdMapping, Mount};
use std::path::Path;

/// # Errors
/// A target is missing, and the directory that it would be made in is somebody else's.
pub fn check(ground: &Ground, mounts: &[Mount], host: &Host, uid_map: &[IdMapping]) -> Result<()> {
    // Of a user namespace that is joined by its path nothing is known.
    if !host.rootless() || uid_map.is_empty() || matches!(ground.rootfs, Rootfs::Host(_)) {
        return Ok(());
    }
    let view = image::Rootfs::open(&ground.layers)?;
    let targets = mounts.iter().map(|mount| Path::new(&mount.destination));
    let is_target = |path: &Path| mounts.iter().any(|mount| Path::new(&mount.destination) == path);
    // What lies in another mount is made in that.
    let inner = |target: &&Path| target.ancestors().skip(1).any(is_target);
    for target in targets.filter(|target| !inner(target)) {
        for (depth, path) in target.ancestors().enumerate() {
            let node = match view.find(path)? {
                Found::Absent => continue,
                Found::Unknown => break,
                Found::Node(node) => node,
            };
            // The root of an overlay is the upper directory's, so the user's own; and so is that of a copy.
            let copied = matches!(ground.rootfs, Rootfs::Overlay { .. } | Rootfs::Copy { .. });
            let is_open = if copied { path == Path::new("/") } else { node.attributes.mode & 0o002 != 0 };
            if depth > 0 && !is_open && plan::ids::inside(uid_map, node.attributes.uid).is_none() {
                return Err(refused(ground, target, path, node.attributes.uid));
            }
            break;
        }
    }
    Ok(())
}

fn refused(ground: &Ground, target: &Path, directory: &Path, uid: u32) -> Error {
    let (target, directory) = (target.display(), directory.display());
    let why = format!(
        "it is not in {}, and cannot be made: {directory} there belongs to user {uid} of the host, whom the container \
         does not have",
        ground.name
    );
    Error::rejected(format!("cannot mount on {target}"), why)
        .hint(format!("make {}{target} as that user, use a copy that is the caller's own, or run as root", ground.name))
}
