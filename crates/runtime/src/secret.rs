//! Secrets where they are kept: one file each, a line about it and then its bytes; and how a container gets them.
//!
//! Invariant: only the caller can read the file; it has its name when all of it is on disk. What is secret goes from there
//! to the container's own file or variable, and nowhere else.

use crate::error::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Keep one. `false`: there is one of this name. `line` has no end of line in it.
///
/// # Errors
/// The kernel's.
pub fn keep(path: &Path, line: &str, secret: &[u8]) -> Result<bool> {
    let all = path.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(all);
    made.map_err(sys::Error::of_io(|| format!("mkdir({all:?}, 0700)")))?;
    // Without a name until it is whole, so a kill leaves nothing.
    let file = rustix::fs::open(all, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from(0o600))
        .map_err(sys::Error::of(|| format!("open({all:?}, O_TMPFILE)")))?;
    let mut file = File::from(file);
    let written = file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n"));
    let written = written.and_then(|()| file.write_all(secret)).and_then(|()| file.sync_all());
    written.map_err(sys::Error::of_io(|| format!("write({path:?})")))?;
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, from, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::EXIST) => return Ok(false),
        linked => linked.map_err(sys::Error::of(|| format!("linkat({path:?})")))?,
    }
    let directory = File::open(all).and_then(|all| all.sync_all());
    directory.map_err(sys::Error::of_io(|| format!("fsync({all:?})")))?;
    Ok(true)
}

/// What follows the first line.
fn read(from: &str) -> Result<Vec<u8>> {
    let mut bytes = std::fs::read(from).map_err(sys::Error::of_io(|| format!("read({from:?})")))?;
    let start = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
    Ok(bytes.split_off(start))
}

/// `NAME=` and the secret.
///
/// # Errors
/// It cannot be read, or no variable can hold it.
pub(crate) fn variable(name: &str, from: &str) -> Result<CString> {
    let mut line = format!("{name}=").into_bytes();
    line.extend(read(from)?);
    CString::new(line).map_err(|_| {
        let what = format!("cannot set {name} to a secret");
        plan::Rejected::new(what, "it has a byte of zeros in it, which ends a variable")
            .hint("mount it as a file")
            .into()
    })
}

pub(crate) fn copy(from: &str, to: &str, mode: u32, owner: (u32, u32), mapped: bool) -> Result<()> {
    let call = || format!("write({to:?})");
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(to).map_err(sys::Error::of_io(call))?;
    file.write_all(&read(from)?).map_err(sys::Error::of_io(call))?;
    // The mode first: who gave it away may not change it.
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(sys::Error::of_io(call))?;
    crate::tree::chown(to, owner, mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_once_and_read_whole() {
        let all = std::env::temp_dir().join(format!("sampan-secret-{}", std::process::id()));
        let path = all.join("a");
        assert!(keep(&path, "{}", b"one\n\0two").unwrap());
        assert!(!keep(&path, "{}", b"other").unwrap());
        assert_eq!(read(&path.to_string_lossy()).unwrap(), b"one\n\0two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(variable("A", &path.to_string_lossy()).is_err());
        std::fs::remove_dir_all(&all).unwrap();
    }
}
