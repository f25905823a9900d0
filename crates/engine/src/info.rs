//! What this host offers to containers.

use crate::error::Result;
use crate::paths::Paths;
use crate::snapshot::{self, Driver};
use crate::state::State;
use plan::cgroup::CgroupPath;
use spec::image::Platform;

/// This host, and what there is on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// By state: running, paused, and all others.
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub driver: Driver,
    /// Why overlayfs cannot work where containers are kept.
    pub unfit: Option<String>,
    pub kernel: String,
    /// As uname(2) has it.
    pub machine: String,
    /// As Go and images have it.
    pub architecture: String,
    pub cgroup: Cgroup,
    pub seccomp: Vec<String>,
    pub apparmor: bool,
    pub selinux: bool,
    pub rootless: bool,
    /// `count from first`; what else there is to say where there is none.
    pub subordinate: String,
    pub pasta: Option<String>,
    pub time_namespace: bool,
    pub data: String,
    pub state: String,
    pub name: String,
    pub cpus: usize,
    /// In bytes.
    pub memory: u64,
    pub forwarding: bool,
    /// Name and version, as /etc/os-release has them.
    pub system: (String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    pub version: u8,
    /// Version 1 with a version 2 tree beside it.
    pub hybrid: bool,
    /// Of both.
    pub controllers: Vec<String>,
    pub swap: bool,
    pub cfs_quota: bool,
}

/// # Errors
/// When /proc cannot be read.
pub fn info(paths: &Paths, driver: Option<Driver>) -> Result<Info> {
    let host = runtime::observe::host()?;
    let unfit = snapshot::unfit(paths, &host).ok().flatten().map(|unfit| unfit.why);
    let containers = crate::containers::list(paths);
    let count = |state: State| containers.iter().filter(|listed| State::of(listed) == state).count();
    let (running, paused) = (count(State::Running), count(State::Paused));
    let subordinate = host.subordinate.map_or("none".to_owned(), |ids| format!("{} from {}", ids.uid.1, ids.uid.0));
    let rootless = !host.is_machines_root();
    let (cgroup, cpus) = cgroup(rootless)?;
    Ok(Info {
        running,
        paused,
        stopped: containers.len() - running - paused,
        images: crate::images::list(paths, &[])?.len(),
        driver: driver.unwrap_or(if unfit.is_some() { Driver::Vfs } else { Driver::Overlay }),
        unfit,
        kernel: kernel(),
        architecture: Platform::native().architecture,
        cgroup,
        seccomp: runtime::observe::seccomp_actions(),
        apparmor: runtime::observe::lsm::apparmor(),
        selinux: runtime::observe::lsm::selinux(),
        subordinate: if host.rootless() { subordinate } else { "not needed by root".to_owned() },
        rootless,
        pasta: runtime::observe::in_path("pasta").map(|path| path.display().to_string()),
        time_namespace: host.time_namespace,
        machine: host.machine,
        data: paths.data.display().to_string(),
        state: paths.state.display().to_string(),
        name: runtime::observe::hostname(),
        cpus,
        memory: runtime::observe::memory(),
        forwarding: text("/proc/sys/net/ipv4/ip_forward").trim() == "1",
        system: system(&text("/etc/os-release")),
    })
}

/// As uname(2) has its version.
#[must_use]
pub fn kernel() -> String {
    runtime::observe::release()
}

fn cgroup(rootless: bool) -> Result<(Cgroup, usize)> {
    let path = CgroupPath::of_container(None, "info", rootless)?;
    let layout = runtime::observe::cgroup::observe(&path, false).map_err(runtime::Error::from)?;
    let old = layout.v1.iter().flat_map(|hierarchy| hierarchy.controllers.iter().cloned());
    let new = layout.v2.iter().flat_map(|unified| unified.offered.iter().cloned());
    let mut controllers: Vec<String> = old.chain(new).collect();
    controllers.sort();
    controllers.dedup();
    let unified = layout.v2.is_some() && layout.v1.is_empty();
    let cgroup = Cgroup {
        version: if unified { 2 } else { 1 },
        hybrid: layout.v2.is_some() && !unified,
        swap: layout.features.swap,
        cfs_quota: unified || layout.features.cfs_quota,
        controllers,
    };
    Ok((cgroup, layout.cpus.count()))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// os-release(5).
fn system(release: &str) -> (String, String) {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    (value("PRETTY_NAME"), value("VERSION_ID"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_systems_name() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=x\nVERSION_ID=\"12\"\n";
        assert_eq!(super::system(text), ("Debian GNU/Linux 12".to_owned(), "12".to_owned()));
        assert_eq!(super::system("").0, "");
    }
}
