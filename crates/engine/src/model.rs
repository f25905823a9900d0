//! What is kept of a container while it runs, beside its record: what another process in it has of its first, and where
//! its cgroups are. A file of its own, as only commands about this container read it.

use crate::containers::Record;
use crate::error::{Error, Result};
use crate::paths::{Paths, cannot_use};
use crate::request::Run;
use crate::request::security::Seccomp;
use plan::Rejected;
use plan::cgroup::{Cgroup, CgroupPath};
use plan::host::Host;
use plan::seccomp;
use serde::{Deserialize, Serialize};
use spec::runtime::{Config, Process, SeccompSection};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Model {
    /// As the first was started, but for its arguments.
    pub process: Process,
    pub filter: Filter,
    /// As it was asked for; see [`CgroupPath`].
    pub path: String,
    /// Its directory on cgroup v2, and those on v1, each with its hierarchy's controllers.
    pub cgroup: Option<String>,
    pub cgroups: Vec<(Vec<String>, String)>,
}

/// The container's seccomp profile. That of its capabilities is many times as long as all the rest, and is made again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Filter {
    #[default]
    None,
    Default,
    Own(SeccompSection),
}

impl Model {
    pub fn of(request: &Run, config: &Config, path: &CgroupPath, cgroup: &Cgroup) -> Self {
        let mut process = config.process.clone().unwrap_or_default();
        process.args = Vec::new();
        let profile = config.linux.as_ref().and_then(|linux| linux.seccomp.clone());
        let filter = match (profile, &request.security.seccomp) {
            (None, _) => Filter::None,
            (Some(profile), Seccomp::File(_)) => Filter::Own(profile),
            (Some(_), _) => Filter::Default,
        };
        let (cgroup, cgroups) = (cgroup.v2.clone(), cgroup.v1.clone());
        Self { process, filter, path: path.to_string(), cgroup, cgroups }
    }

    /// Before the record that says that the container runs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn save(&self, paths: &Paths, id: &str) -> Result<(), Rejected> {
        let path = paths.model(id);
        let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
        let text = serde_json::to_vec(self).map_err(|error| cannot(error.into()))?;
        std::fs::write(&path, text).map_err(cannot)
    }

    /// Of one that runs, which others may read meanwhile.
    ///
    /// # Errors
    /// The kernel's.
    pub fn replace(&self, paths: &Paths, id: &str) -> Result<(), Rejected> {
        let path = paths.model(id);
        let cannot = |error: std::io::Error| cannot_use(format!("cannot write {}", path.display()), &error);
        let text = serde_json::to_vec(self).map_err(|error| cannot(error.into()))?;
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path)).map_err(cannot)
    }

    /// # Errors
    /// It does not run any more.
    pub fn load(paths: &Paths, record: &Record) -> Result<Self> {
        let path = paths.model(&record.id);
        let what = || format!("cannot read {}", path.display());
        let text = std::fs::read(&path).map_err(|error| Error::io(what(), &error))?;
        serde_json::from_slice(&text).map_err(|error| Error::rejected(what(), error.to_string()))
    }

    /// # Errors
    /// A machine without system call tables.
    pub fn profile(&self, host: &Host) -> Result<Option<SeccompSection>, Rejected> {
        Ok(match &self.filter {
            Filter::None => None,
            Filter::Own(section) => Some(section.clone()),
            Filter::Default => {
                let bounding = self.process.capabilities.as_ref().map(|sets| sets.bounding.as_slice());
                Some(seccomp::default_profile(bounding.unwrap_or_default(), seccomp::Arch::of(host)?).into())
            }
        })
    }

    /// That of v2 first.
    pub fn all_cgroups(&self) -> Vec<String> {
        self.cgroup.iter().chain(self.cgroups.iter().map(|(_, dir)| dir)).cloned().collect()
    }

    pub fn is_paused(&self) -> bool {
        runtime::apply::cgroup::is_frozen(&self.all_cgroups())
    }
}
