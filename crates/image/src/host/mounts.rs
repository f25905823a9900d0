//! The host's mounts, as far as the view needs them (proc_pid_mountinfo(5)).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Filesystems that hold a machine's files and that overlayfs takes as a lower layer.
const REAL: [&str; 14] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "zfs", "f2fs", "nilfs2", "jfs", "erofs", "squashfs", "nfs",
    "nfs4",
];
/// Filesystems that themselves stand on others: overlayfs goes two deep (FILESYSTEM_MAX_STACK_DEPTH).
const STACKED: [&str; 2] = ["overlay", "ecryptfs"];

/// Type by mount point; of several on one point the last, which is the visible one.
pub struct Mounts(BTreeMap<PathBuf, String>);

impl Mounts {
    pub fn read() -> sys::Result<Self> {
        let path = "/proc/self/mountinfo";
        let text = std::fs::read(path).map_err(sys::Error::of_io(|| format!("open({path:?})")))?;
        Ok(Self(text.split(|b| *b == b'\n').filter_map(parse).collect()))
    }

    /// Without the root, parents first.
    pub fn real(&self) -> impl Iterator<Item = &Path> {
        let real = self.0.iter().filter(|(at, kind)| at.parent().is_some() && REAL.contains(&kind.as_str()));
        real.map(|(at, _)| at.as_path())
    }

    pub fn root_is_stacked(&self) -> bool {
        self.0.get(Path::new("/")).is_some_and(|kind| STACKED.contains(&kind.as_str()))
    }

    /// A mount point of something that is no machine's files.
    pub fn is_foreign(&self, path: &Path) -> bool {
        let kind = self.0.get(path);
        path.parent().is_some() && kind.is_some_and(|kind| !REAL.contains(&kind.as_str()))
    }

    pub fn is_point(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    pub fn any_beneath(&self, path: &Path) -> bool {
        self.0.keys().any(|at| at != path && at.starts_with(path))
    }
}

fn parse(line: &[u8]) -> Option<(PathBuf, String)> {
    let mut fields = line.split(|b| *b == b' ');
    let point = fields.nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((OsString::from_vec(unescape(point)).into(), String::from_utf8_lossy(kind).into_owned()))
}

/// `\040` and the like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match tail.get(..3).filter(|_| *byte == b'\\').and_then(octal) {
            Some(code) => {
                out.push(code);
                rest = &tail[3..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_points_and_types() {
        let line = br"36 35 98:0 /mnt1 /a\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw";
        assert_eq!(parse(line), Some((PathBuf::from("/a b"), "ext3".to_owned())));
        assert_eq!(parse(b""), None);
    }
}
