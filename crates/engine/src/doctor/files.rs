//! Where images, containers and their state are kept.

use super::Finding;
use crate::paths::Paths;
use runtime::observe::mount::{self, Space};
use std::path::Path;

/// Less than this, and most images do not fit.
const LITTLE: u64 = 1 << 30;
/// Less, and a container's own files do not.
const NONE: u64 = 16 << 20;
const FEW_INODES: u64 = 10_000;

pub fn check(paths: &Paths) -> Vec<Finding> {
    vec![data(&paths.data), overlay(&paths.data), state(&paths.state)]
}

fn data(path: &Path) -> Finding {
    let check = "data directory";
    let at = path.display();
    let fix = "free some (sampan system prune), or use another with --root";
    let Ok(space) = mount::space(path) else {
        return Finding::failure(check, format!("nobody can look at {at}"), "name another with --root");
    };
    let Space { free, inodes, read_only, writable } = space;
    if !writable && !read_only {
        return Finding::failure(check, format!("{at} is not this user's to write to"), "name another with --root");
    }
    if read_only {
        return Finding::failure(
            check,
            format!("{at} is on a read-only file system"),
            "mount it writable, or name another with --root",
        );
    }
    let left = spec::unit::binary(free);
    match (free, inodes) {
        (..NONE, _) => Finding::failure(check, format!("{left} are left at {at}"), fix),
        (_, Some(..100)) => Finding::failure(check, format!("no inodes are left at {at} (df -i)"), fix),
        (..LITTLE, _) => Finding::warning(check, format!("{left} are left at {at}"), fix),
        (_, Some(inodes @ ..FEW_INODES)) => {
            Finding::warning(check, format!("{inodes} inodes are left at {at} (df -i)"), fix)
        }
        _ => Finding::ok(check, format!("{at}, with {left} free")),
    }
}

/// overlay(7) needs extended attributes and whiteouts of what it writes to.
fn overlay(path: &Path) -> Finding {
    let check = "overlayfs";
    let kind = mount::filesystem(path);
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if ["overlayfs", "nfs", "fuse"].contains(&kind.as_str()) {
        let what = format!("{} is on {kind}, which overlayfs does not write to", path.display());
        return Finding::warning(check, what, "keep containers on ext4, xfs, btrfs or tmpfs with --root");
    }
    if !known.lines().any(|line| line.ends_with("\toverlay")) {
        return Finding::warning(check, "the kernel has not loaded it", "modprobe overlay, as root");
    }
    Finding::ok(check, format!("on {kind}"))
}

fn state(path: &Path) -> Finding {
    let check = "state directory";
    let at = path.display();
    let Ok(space) = mount::space(path) else {
        return Finding::failure(check, format!("nobody can look at {at}"), "name another with --state");
    };
    if !space.writable && !space.read_only {
        return Finding::failure(check, format!("{at} is not this user's to write to"), "name another with --state");
    }
    if space.read_only || space.free < 1 << 20 {
        let what = format!("{at} is full, or read-only");
        return Finding::failure(check, what, "free some space there, or name another with --state");
    }
    if mount::filesystem(path) != "tmpfs" {
        let what = format!("{at} is on no tmpfs: after a reboot it would tell of containers that are gone");
        return Finding::warning(check, what, "name a directory on a tmpfs, such as one below /run, with --state");
    }
    Finding::ok(check, at.to_string())
}
