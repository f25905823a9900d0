//! Where things are: what lasts and what a reboot may empty.

use crate::error::{Error, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// `data` is /var/lib/sampan, `state` /run/sampan; for an ordinary user both below the XDG directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub data: PathBuf,
    pub state: PathBuf,
}

impl Paths {
    /// The usual places, but for those that are given. `env` is the caller's environment.
    ///
    /// # Errors
    /// When an ordinary user has no home.
    pub fn new(data: Option<PathBuf>, state: Option<PathBuf>, env: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let euid = runtime::observe::euid();
        let absolute = |name: &str| env(name).filter(|path| path.is_absolute());
        let data = match data {
            Some(data) => data,
            None if euid == 0 => "/var/lib/sampan".into(),
            None => absolute("XDG_DATA_HOME")
                .or_else(|| Some(absolute("HOME")?.join(".local/share")))
                .ok_or_else(|| {
                    Error::rejected("cannot find a place for images", "neither HOME nor XDG_DATA_HOME is set")
                        .hint("set HOME, or name a directory with --root")
                })?
                .join("sampan"),
        };
        let state = match state {
            Some(state) => state,
            None if euid == 0 => "/run/sampan".into(),
            // Without a login session there is no runtime directory; /tmp is all that a reboot empties, mostly.
            None => absolute("XDG_RUNTIME_DIR")
                .map_or_else(|| format!("/tmp/sampan-{euid}").into(), |dir| dir.join("sampan")),
        };
        Ok(Self { data, state })
    }

    /// Make what is missing.
    ///
    /// # Errors
    /// The kernel's, or a state directory that is somebody else's.
    pub fn ensure(&self) -> Result<()> {
        let euid = runtime::observe::euid();
        // One stat a run when all is there.
        if self.journals().is_dir() && self.names().is_dir() && self.containers().is_dir() {
            return Ok(());
        }
        for (path, mode) in [
            (self.data.clone(), 0o711),
            (self.containers(), 0o711),
            (self.names(), 0o700),
            (self.state.clone(), 0o711),
            (self.journals(), 0o700),
        ] {
            let make = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path);
            make.map_err(|error| cannot_make(&path, &error))?;
        }
        let owner = std::fs::metadata(&self.state).map_err(|error| cannot_make(&self.state, &error))?.uid();
        if owner != euid {
            return Err(Error::rejected(
                format!("cannot use {}", self.state.display()),
                format!("it belongs to user {owner}"),
            )
            .hint("name another directory with --state"));
        }
        Ok(())
    }

    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    #[must_use]
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.data.join("names")
    }

    #[must_use]
    pub fn journals(&self) -> PathBuf {
        self.state.join("containers")
    }

    #[must_use]
    pub fn journal(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.journal"))
    }

    #[must_use]
    pub fn running(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.json"))
    }

    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }
}

fn cannot_make(path: &Path, error: &std::io::Error) -> Error {
    let rejected = Error::rejected(format!("cannot make the directory {}", path.display()), error.to_string());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => rejected.hint("name another with --root or --state"),
        std::io::ErrorKind::ReadOnlyFilesystem => rejected.hint("name a writable one with --root or --state"),
        std::io::ErrorKind::StorageFull => rejected.hint("free some space, or name another disk with --root"),
        _ => rejected,
    }
}
