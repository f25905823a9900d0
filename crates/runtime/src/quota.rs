//! A limit of what a directory may hold.

use crate::error::Result;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// So many bytes at most in a directory that is empty.
///
/// # Errors
/// Its filesystem has no project quotas, or does not enforce them.
pub fn limit(path: &Path, bytes: u64) -> Result<()> {
    limit_all(&[path], bytes, "volumes")
}

/// The same of several together. `what` is kept there: for the message.
///
/// # Errors
/// As [`limit`].
pub fn limit_all(paths: &[&Path], bytes: u64, what: &str) -> Result<()> {
    let directories: Vec<OwnedFd> = paths.iter().map(|path| open(path)).collect::<Result<_>>()?;
    let (Some(first), Some(path)) = (directories.first(), paths.first()) else { return Ok(()) };
    let limited = project(first).and_then(|project| {
        directories.iter().try_for_each(|directory| sys::quota::limit(directory.as_fd(), project, bytes))
    });
    limited.map_err(|error| match error.errno {
        Errno::SRCH | Errno::NOSYS | Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL => plan::Rejected::new(
            format!("cannot limit {} to {}", path.display(), spec::unit::binary(bytes)),
            format!("its file system keeps no project quotas: {error}"),
        )
        .hint(format!("keep the {what} on an xfs or ext4 that is mounted with prjquota, or leave the size out"))
        .into(),
        _ => error.into(),
    })
}

/// A number that nobody has.
fn project(directory: &OwnedFd) -> sys::Result<u32> {
    let bytes = sys::process::random()?;
    for number in bytes.chunks_exact(4).filter_map(|chunk| Some(u32::from_le_bytes(chunk.try_into().ok()?))) {
        // Small ones are given by hand (projects(5)).
        let number = number | 0x4000_0000;
        if sys::quota::is_free(directory.as_fd(), number)? {
            return Ok(number);
        }
    }
    Err(sys::Error::new("quotactl_fd(Q_GETQUOTA)", Errno::EXIST))
}

/// That limit is none any more; a directory that has none is as it was.
pub fn release(path: &Path) {
    // What the filesystem says is of no use to who removes the directory.
    let _ = open(path).and_then(|directory| Ok(sys::quota::release(directory.as_fd())?));
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty()).map_err(sys::Error::of(|| format!("open({path:?})")))?)
}
