//! How much of a disk something takes.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As du(1) counts: blocks, a file with several links once. What cannot be read counts nothing.
#[must_use]
pub fn of(path: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut left = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = left.pop() {
        let Ok(found) = path.symlink_metadata() else { continue };
        if found.nlink() > 1 && !found.is_dir() && !seen.insert((found.dev(), found.ino())) {
            continue;
        }
        bytes += found.blocks() * 512;
        if found.is_dir() {
            left.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}
