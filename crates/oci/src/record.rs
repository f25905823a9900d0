//! What is known of a container, from its creation on; what changes, the kernel knows.

use crate::root::{Home, Root};
use crate::{Id, io, refused};
use plan::cgroup::Cgroup;
use runtime::{Result, gate};
use serde::{Deserialize, Serialize};
use spec::runtime::{
    Config, Device, Hooks, MemoryPolicy, Mount, Namespace, Personality, Process, SeccompSection, State, Status,
};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) oci_version: String,
    pub(crate) id: String,
    pub(crate) bundle: String,
    pub(crate) rootfs: String,
    pub(crate) annotations: BTreeMap<String, String>,
    /// RFC 3339.
    pub(crate) created: String,
    /// User id.
    pub(crate) owner: u32,
    pub(crate) hooks: Hooks,
    /// As `linux.cgroupsPath` has it.
    pub(crate) cgroup_path: String,
    /// Its directory on cgroup v2, and those on v1, each with its hierarchy's controllers.
    pub(crate) cgroup: Option<String>,
    pub(crate) cgroups: Vec<(Vec<String>, String)>,
    /// Its scope, where systemd made the cgroup.
    pub(crate) scope: Option<Scope>,
    /// Its resctrl groups, which its processes enter, too; the first has its schemata.
    pub(crate) resctrl: Vec<String>,
    /// Its pid namespace is another's, too, and does not end with its first process.
    pub(crate) shares_pids: bool,
    /// Its mount namespace is another's, too, and its root not that namespace's.
    pub(crate) chrooted: bool,
    /// `args[0]`.
    pub(crate) command: String,
    /// What its process does after the gate, by the step's number, and why.
    pub(crate) late: BTreeMap<usize, String>,
    /// What its first process was given as standard files and after these, as /proc/PID/fd has it.
    pub(crate) files: Vec<String>,
    /// 0: none yet.
    pub(crate) pid: i32,
    pub(crate) start: u64,
}

/// A unit of the systemd at this address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scope {
    pub(crate) address: String,
    pub(crate) unit: String,
    pub(crate) version: u32,
}

impl Record {
    /// # Errors
    /// There is no such container.
    pub(crate) fn load(root: &Root, id: &Id, what: &str) -> Result<(Home, Self)> {
        let home = root.container(id);
        let path = home.record();
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return refused(what, "container does not exist");
            }
            text => text.map_err(io(what))?,
        };
        let record = serde_json::from_slice(&text)
            .map_err(|error| plan::Rejected::new(what, format!("{} is damaged: {error}", path.display())))?;
        Ok((home, record))
    }

    /// Whole or not at all.
    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        write_whole(&home.record(), &text)
    }

    /// That of v2 first.
    pub(crate) fn all_cgroups(&self) -> Vec<String> {
        self.cgroup.iter().chain(self.cgroups.iter().map(|(_, dir)| dir)).cloned().collect()
    }

    /// Without the controllers that v2 has there.
    pub(crate) fn placed(&self) -> Cgroup {
        Cgroup { v2: self.cgroup.clone(), v2_controllers: Vec::new(), v1: self.cgroups.clone() }
    }

    /// All of its processes are there.
    pub(crate) fn any_cgroup(&self) -> Option<&String> {
        self.cgroup.as_ref().or_else(|| self.cgroups.first().map(|(_, dir)| dir))
    }

    /// Its directory in the v1 hierarchy of this controller.
    pub(crate) fn v1(&self, controller: &str) -> Option<&str> {
        let serves = |controllers: &[String]| controllers.iter().any(|name| name == controller);
        self.cgroups.iter().find(|(controllers, _)| serves(controllers)).map(|(_, dir)| dir.as_str())
    }

    pub(crate) fn process(&self) -> runtime::process::Process {
        runtime::process::Process { pid: self.pid, start: self.start }
    }

    pub(crate) fn status(&self, home: &Home) -> Status {
        if self.pid == 0 {
            // Who makes it is at it, or was killed.
            let held = runtime::journal::Journal::take_over(&home.journal()).is_ok_and(|journal| journal.is_none());
            return if held { Status::Creating } else { Status::Stopped };
        }
        match (self.process().lives(), gate::is_closed(&home.data())) {
            (false, _) => Status::Stopped,
            (true, true) => Status::Created,
            (true, false) if runtime::apply::cgroup::is_frozen(&self.all_cgroups()) => Status::Paused,
            (true, false) => Status::Running,
        }
    }

    pub(crate) fn state(&self, status: Status) -> State {
        State {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            status,
            pid: if status == Status::Stopped { 0 } else { self.pid },
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

/// What another process in the container has of its first, and a checkpoint of its configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Model {
    pub(crate) process: Process,
    pub(crate) personality: Option<Personality>,
    pub(crate) memory: Option<MemoryPolicy>,
    pub(crate) seccomp: Option<SeccompSection>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) devices: Vec<Device>,
}

impl Model {
    pub(crate) fn of(config: &Config) -> Self {
        let linux = config.linux.as_ref();
        Self {
            process: config.process.clone().unwrap_or_default(),
            personality: linux.and_then(|linux| linux.personality.clone()),
            memory: linux.and_then(|linux| linux.memory_policy.clone()),
            seccomp: linux.and_then(|linux| linux.seccomp.clone()),
            mounts: config.mounts.clone(),
            namespaces: linux.map(|linux| linux.namespaces.clone()).unwrap_or_default(),
            devices: linux.map(|linux| linux.devices.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        write_whole(&home.model(), &serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn load(home: &Home) -> Result<Self> {
        let path = home.model();
        let what = || format!("cannot read {}", path.display());
        let text = std::fs::read(&path).map_err(io(what()))?;
        Ok(serde_json::from_slice(&text).map_err(|error| plan::Rejected::new(what(), error.to_string()))?)
    }
}

/// Under another name first: who reads it never sees a part.
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).map_err(io(what()))
}
