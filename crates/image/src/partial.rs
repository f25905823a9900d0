//! Blobs that are not whole yet: `partial/<digest>`, one file each, kept when a download breaks off, so that it can go on.
//!
//! Invariant: who writes to one has it locked (flock(2)), so a blob is fetched by one process at a time and the others
//! wait for it. What is in one is believed only when the whole has the digest.

use crate::error::Result;
use crate::fs;
use spec::Digest;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime};

/// One that nobody has gone on with for so long is forgotten.
const STALE: Duration = Duration::from_secs(24 * 3600);

pub struct Partial {
    dir: OwnedFd,
    name: String,
    pub file: File,
}

impl Partial {
    /// Waits until nobody else writes to it.
    pub fn lock(dir: &OwnedFd, digest: &Digest) -> Result<Self> {
        let name = digest.hex();
        loop {
            let file = fs::open_or_create(dir, &name, 0o644)?;
            fs::lock(&file, true, true)?;
            // Who had it before us may have finished it, and then this is no partial any more.
            if fs::is_named(dir, &name, &file)? {
                let dir = dir.try_clone().map_err(sys::Error::of_io(|| "fcntl(F_DUPFD_CLOEXEC)".to_owned()))?;
                return Ok(Self { dir, name, file });
            }
        }
    }

    /// How many bytes are here; none where there are more than the whole has. The position is before them.
    pub fn kept(&mut self, whole: u64) -> Result<u64> {
        let length = self.file.metadata().map_err(sys::Error::of_io(|| "fstat(partial)".to_owned()))?.len();
        if length > whole {
            self.empty()?;
            return Ok(0);
        }
        self.file.seek(SeekFrom::Start(0)).map_err(sys::Error::of_io(|| "lseek(partial)".to_owned()))?;
        Ok(length)
    }

    pub fn empty(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(sys::Error::of_io(|| "ftruncate(partial)".to_owned()))?;
        self.file.seek(SeekFrom::Start(0)).map_err(sys::Error::of_io(|| "lseek(partial)".to_owned()))?;
        Ok(())
    }

    pub fn forget(&self) -> Result<()> {
        fs::unlink(&self.dir, &self.name).map_err(Into::into)
    }

    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Removes those that nobody writes to: the stale ones, or all.
pub fn sweep(dir: &OwnedFd, all: bool) -> Result<()> {
    for name in fs::names(dir)? {
        let Ok(name) = name.into_string() else { continue };
        let Some(file) = fs::open(dir, &name)? else { continue };
        let written = file.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let stale = SystemTime::now().duration_since(written).is_ok_and(|age| age > STALE);
        if (all || stale) && fs::lock(file.as_fd(), true, false)? {
            fs::unlink(dir, &name)?;
        }
    }
    Ok(())
}
