//! The lock on a directory, which leaves no file behind and may go with the directory.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use sys::{Error, Result};

/// The exclusive right to a directory; released when dropped.
#[derive(Debug)]
pub struct Lock(Option<File>);

impl Lock {
    /// Makes the directory if it is not there, and waits for whoever has the lock.
    ///
    /// # Errors
    /// The call that was refused.
    pub fn take(directory: &Path) -> Result<Self> {
        loop {
            if let Some(lock) = Self::take_existing(directory)? {
                return Ok(lock);
            }
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(directory).map_err(Error::of_io(|| format!("mkdir({})", directory.display())))?;
        }
    }

    /// `None`: there is no such directory.
    ///
    /// # Errors
    /// The call that was refused.
    pub fn take_existing(directory: &Path) -> Result<Option<Self>> {
        loop {
            let file = match File::open(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file.map_err(Error::of_io(|| format!("open({})", directory.display())))?,
            };
            match file.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done.map_err(Error::of_io(|| format!("flock({}, LOCK_EX)", directory.display())))?,
            }
            // Whoever had the lock may have removed the directory.
            let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            if let (Ok(locked), Ok(named)) = (file.metadata(), fs::metadata(directory))
                && same(&locked, &named)
            {
                return Ok(Some(Self(Some(file))));
            }
        }
    }
}

impl Lock {
    /// A child that was forked has it from now on, as its own descriptor of the same open file (flock(2)).
    pub fn hand_over(mut self) {
        self.0 = None;
    }
}

impl Drop for Lock {
    /// At once, even if a child still has the descriptor.
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}
