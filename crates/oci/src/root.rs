//! Where containers are kept: one directory each, below the root that the caller names.
//!
//! | file | what |
//! |---|---|
//! | `journal` | how it is undone; locked while a command works on it |
//! | `record.json` | what is known of it ([`crate::record::Record`]) |
//! | `model.json` | what `exec` takes of the container's first process ([`crate::record::Model`]) |
//! | `notify` | its socket of a service manager's ([`crate::notify`]) |
//! | `data` | what the plan makes: the mount point of its root, the pipes of its start |

use crate::filters::Filters;
use crate::{Id, io, refused};
use runtime::journal::Journal;
use runtime::{Error, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    /// Not named by the caller: nothing may have been made there yet.
    usual: bool,
    filters: Filters,
}

impl Root {
    /// The named directory, or the usual one. `env` is the caller's environment.
    ///
    /// # Errors
    /// An ordinary user has no runtime directory.
    pub fn new(named: Option<PathBuf>, env: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let root = runtime::observe::euid() == 0;
        // podman of an ordinary user is root of a user namespace, and /run is not its. As runc: by the name of the user.
        let mapped =
            || env("USER").is_none_or(|user| user != Path::new("root")) && !runtime::observe::is_machines_root();
        let runtime = match env("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()) {
            Some(path) if !root || mapped() => Some(path),
            _ => root.then(|| "/run".into()),
        };
        let usual = named.is_none();
        let path = match (named, &runtime) {
            (Some(path), _) => std::path::absolute(&path).map_err(io(format!("cannot use {}", path.display())))?,
            (None, Some(runtime)) => runtime.join("sampan-oci"),
            (None, None) => {
                let rejected = plan::Rejected::new("cannot find a place for containers", "XDG_RUNTIME_DIR is not set");
                return Err(rejected.hint("set it, or name a directory with --root").into());
            }
        };
        Ok(Self { path, usual, filters: Filters::below(runtime) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_usual(&self) -> bool {
        self.usual
    }

    pub(crate) fn filters(&self) -> &Filters {
        &self.filters
    }

    pub(crate) fn container(&self, id: &Id) -> Home {
        Home(self.path.join(id.to_string()))
    }

    /// # Errors
    /// There is such a container.
    pub(crate) fn check_free(&self, id: &Id) -> Result<()> {
        if self.container(id).exists() {
            return refused(format!("cannot create the container {id}"), "container with given ID already exists");
        }
        Ok(())
    }

    /// A new directory for this container, and its journal.
    pub(crate) fn claim(&self, id: &Id) -> Result<(Home, Journal)> {
        // Open to pass through: the root of a container's user namespace comes this way.
        let directory =
            |path: &Path, recursive| std::fs::DirBuilder::new().recursive(recursive).mode(0o711).create(path);
        let cannot = |path: &Path| format!("cannot make the directory {}", path.display());
        directory(&self.path, true).map_err(io(cannot(&self.path)))?;
        let home = self.container(id);
        match directory(&home.0, false) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => self.check_free(id)?,
            made => made.map_err(io(cannot(&home.0)))?,
        }
        match Journal::create(&home.journal()) {
            Ok(journal) => Ok((home, journal)),
            Err(error) => {
                let _ = std::fs::remove_dir(&home.0);
                Err(error)
            }
        }
    }
}

/// For a command that is about to end, and for the child of one that was killed: it has the lock, too, until it sees that
/// it is alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// The directory of one container.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn exists(&self) -> bool {
        self.0.is_dir()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("record.json")
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.0.join("model.json")
    }

    /// Where its socket of a service manager's is, if it has one.
    pub(crate) fn notify(&self) -> String {
        self.0.join("notify").to_string_lossy().into_owned()
    }

    /// What the plan makes.
    pub(crate) fn data(&self) -> String {
        self.0.join("data").to_string_lossy().into_owned()
    }

    /// The journal, for one command at a time.
    ///
    /// # Errors
    /// Another command has it.
    pub(crate) fn lock(&self, what: &str) -> Result<Option<Journal>> {
        let path = self.journal();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Journal::take_over(&path)? {
                None if path.exists() && Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                None if path.exists() => return refused(what, "another command works on the container"),
                journal => return Ok(journal),
            }
        }
    }

    /// Undo all of it. What could not be undone stays, and is told.
    pub(crate) fn undo(&self, journal: Option<Journal>) -> Vec<Error> {
        let mut errors = journal.map(|journal| runtime::undo::replay(journal, None)).unwrap_or_default();
        if errors.is_empty()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            errors.push(io(format!("cannot remove {}", self.0.display()))(error));
        }
        errors
    }
}
