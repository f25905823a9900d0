//! Work in progress, one directory each under the store's `tmp/`.
//!
//! Invariant: a directory under `tmp/` is locked (flock(2), on itself) for as long as its writer lives. One that is
//! not locked belongs to a dead writer, and the next writer removes it.

use crate::fs;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::{Error, Result};

pub struct Temp {
    parent: OwnedFd,
    name: CString,
    dir: OwnedFd,
}

impl Temp {
    /// In `tmp`, which is kept open for the removal.
    pub fn new(tmp: BorrowedFd<'_>) -> Result<Self> {
        let pid = std::process::id();
        for n in 0_u32.. {
            let name = format!("{pid}-{n}");
            if !fs::mkdir(tmp, &name, 0o700)? {
                continue;
            }
            // A sweeper may come between mkdir and flock: then the lock is refused or the directory is gone.
            let dir = match fs::open_dir(tmp, &name) {
                Err(error) if error.errno == Errno::NOENT => continue,
                dir => dir?,
            };
            if !fs::lock(&dir, true, false)? || !fs::is_named(tmp, &name, &dir)? {
                continue;
            }
            let parent = tmp.try_clone_to_owned().map_err(Error::of_io(|| "fcntl(F_DUPFD_CLOEXEC)".to_owned()))?;
            return Ok(Self { parent, name: CString::new(name).unwrap_or_default(), dir });
        }
        Err(Error::new("mkdirat(\"tmp\")", Errno::EXIST))
    }
}

impl AsFd for Temp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Drop for Temp {
    /// What cannot be removed now is the next sweeper's.
    fn drop(&mut self) {
        let _ = sys::tree::remove(self.parent.as_fd(), &self.name);
    }
}

/// Removes what dead writers left in `tmp`. One that cannot be removed is left for the next: it hinders nobody.
pub fn sweep(tmp: BorrowedFd<'_>) -> Result<()> {
    for name in fs::names(tmp)? {
        let Ok(dir) = fs::open_dir(tmp, fs::os(&name)) else {
            continue;
        };
        if fs::lock(&dir, true, false)? {
            let _ = sys::tree::remove(tmp, &name);
        }
    }
    Ok(())
}
