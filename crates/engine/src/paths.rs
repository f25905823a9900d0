//! Where things are: what lasts and what a reboot may empty.

use crate::error::{Error, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// `data` is /var/lib/sampan, `state` /run/sampan; for an ordinary user, also as root of a user namespace, both below
/// the XDG directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub data: PathBuf,
    pub state: PathBuf,
}

impl Paths {
    /// The usual places, but for those that are given. `env` is the caller's environment.
    ///
    /// # Errors
    /// When an ordinary user has no home, or the state directory is somebody else's.
    pub fn new(data: Option<PathBuf>, state: Option<PathBuf>, env: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let (euid, root) = (runtime::observe::euid(), runtime::observe::is_machines_root());
        let absolute = |name: &str| env(name).filter(|path| path.is_absolute());
        let data = match data {
            Some(data) => whole(data)?,
            None if root => "/var/lib/sampan".into(),
            None => absolute("XDG_DATA_HOME")
                .or_else(|| Some(absolute("HOME")?.join(".local/share")))
                .ok_or_else(|| {
                    Error::rejected("cannot find a place for images", "neither HOME nor XDG_DATA_HOME is set")
                        .hint("set HOME, or name a directory with --root")
                })?
                .join("sampan"),
        };
        let state = match state {
            Some(state) => whole(state)?,
            None if root => "/run/sampan".into(),
            // Without a login session there is no runtime directory; /tmp is all that a reboot empties, mostly.
            None => absolute("XDG_RUNTIME_DIR")
                .map_or_else(|| format!("/tmp/sampan-{euid}").into(), |dir| dir.join("sampan")),
        };
        let paths = Self { data, state };
        paths.check_state()?;
        Ok(paths)
    }

    /// Make what is missing.
    ///
    /// # Errors
    /// The kernel's, or a state directory that is somebody else's.
    pub fn ensure(&self) -> Result<()> {
        // One stat a run when all is there.
        if self.journals().is_dir() && self.names().is_dir() && self.containers().is_dir() {
            return Ok(());
        }
        for (path, mode) in [
            (self.data.clone(), 0o711),
            (self.containers(), 0o711),
            (self.names(), 0o700),
            (self.state.clone(), if runtime::observe::euid() == 0 { 0o711 } else { 0o700 }),
            (self.journals(), 0o700),
        ] {
            let make = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path);
            make.map_err(|error| cannot_use(format!("cannot make the directory {}", path.display()), &error))?;
        }
        // Again: in /tmp somebody may have been faster than our mkdir.
        self.check_state()
    }

    /// What is written there is believed, pids to kill and trees to remove among it. And in /tmp anybody can make a
    /// directory or a link of this name.
    fn check_state(&self) -> Result<()> {
        let refuse = |why: String| {
            let what = format!("cannot use the state directory {}", self.state.display());
            Err(Error::rejected(what, why).hint("name another directory with --state, or set XDG_RUNTIME_DIR"))
        };
        match std::fs::symlink_metadata(&self.state) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                Err(cannot_use(format!("cannot use the state directory {}", self.state.display()), &error).into())
            }
            Ok(found) if !found.is_dir() => refuse("it is no directory".to_owned()),
            Ok(found) if found.uid() != runtime::observe::euid() => {
                refuse(format!("it belongs to user {}", found.uid()))
            }
            Ok(found) if found.mode() & 0o022 != 0 => refuse("others may write to it".to_owned()),
            Ok(_) => Ok(()),
        }
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

    /// A journal of its own, while somebody holds its processes still for a moment.
    #[must_use]
    pub(crate) fn still(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.still"))
    }

    #[must_use]
    pub fn running(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.json"))
    }

    /// See [`crate::model`].
    #[must_use]
    pub(crate) fn model(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.model"))
    }

    /// Where its monitor is spoken to.
    #[must_use]
    pub fn socket(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.sock"))
    }

    /// What was asked for when it was made.
    #[must_use]
    pub fn request(&self, id: &str) -> PathBuf {
        self.container(id).join("request.json")
    }

    /// Of a container that is kept, or will be.
    #[must_use]
    pub fn record(&self, id: &str) -> PathBuf {
        self.container(id).join("record.json")
    }

    /// Of networks that users made.
    #[must_use]
    pub fn defined_networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// Of networks that containers are in.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    #[must_use]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// Who uses those that are mounted.
    #[must_use]
    pub fn volume_users(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// There when all of `data` was looked through since the machine was started.
    #[must_use]
    pub fn swept(&self) -> PathBuf {
        self.state.join("swept")
    }

    /// There when it is known since the machine was started whether overlayfs can write to these containers; empty if so.
    #[must_use]
    pub fn overlay(&self) -> PathBuf {
        let text = self.data.to_string_lossy();
        let name = spec::Digest::of(text.as_bytes()).hex();
        self.state.join(format!("overlay-{}", name.get(..16).unwrap_or_default()))
    }

    /// Where they are kept, a file each.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// Those of a container that runs.
    #[must_use]
    pub fn given_secrets(&self, id: &str) -> PathBuf {
        self.journals().join(format!("{id}.secrets"))
    }

    /// A file each.
    #[must_use]
    pub fn pods(&self) -> PathBuf {
        self.data.join("pods")
    }

    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.state.join("networks")
    }
}

/// A monitor stays, and its working directory does not.
fn whole(path: PathBuf) -> Result<PathBuf> {
    let what = || format!("cannot find the working directory for {}", path.display());
    std::path::absolute(&path).map_err(|error| cannot_use(what(), &error).into())
}

/// The lock on a directory, which is made if it is not there; let go when dropped.
pub(crate) fn hold(directory: &Path) -> Result<std::fs::File> {
    let open = || {
        std::fs::create_dir_all(directory)?;
        let file = std::fs::File::open(directory)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error: std::io::Error| cannot_use(format!("cannot lock {}", directory.display()), &error).into())
}

/// A failure of what is done below one of the two.
pub(crate) fn cannot_use(what: impl Into<String>, error: &std::io::Error) -> plan::Rejected {
    let other = "name another place with --root or --state";
    let plan::Rejected { what, why, hint } = runtime::refused(what, error);
    plan::Rejected::new(what, why).hint(hint.map_or_else(|| other.to_owned(), |hint| format!("{hint}, or {other}")))
}
