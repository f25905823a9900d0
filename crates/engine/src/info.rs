//! What this host offers to containers.

use crate::error::Result;
use crate::paths::Paths;
use plan::cgroup::CgroupPath;

/// Name and value, in the order in which they are printed.
///
/// # Errors
/// When /proc cannot be read.
pub fn info(paths: &Paths) -> Result<Vec<(&'static str, String)>> {
    let host = runtime::observe::host()?;
    let path = CgroupPath::of_container(None, "info", !host.is_machines_root())?;
    let layout = runtime::observe::cgroup::observe(&path, false).map_err(runtime::Error::from)?;
    let version = match (layout.v2.is_some(), layout.v1.is_empty()) {
        (true, true) => "2",
        (true, false) => "1 with a version 2 tree beside it",
        (false, _) => "1",
    };
    let containers = crate::containers::list(paths);
    let running = containers.iter().filter(|listed| listed.running).count();
    let images = crate::images::list(paths, &[])?.len();
    let subordinate = host.subordinate.map_or("none".to_owned(), |ids| format!("{} from {}", ids.uid.1, ids.uid.0));
    let pasta =
        runtime::observe::in_path("pasta").map_or("not installed".to_owned(), |path| path.display().to_string());
    let seccomp = runtime::observe::seccomp_actions();
    let seccomp = if seccomp.is_empty() { "none".to_owned() } else { seccomp.join(" ") };
    Ok(vec![
        ("Containers", containers.len().to_string()),
        ("Running", running.to_string()),
        ("Images", images.to_string()),
        ("Kernel", runtime::observe::release()),
        ("Architecture", host.machine.clone()),
        ("Cgroup Version", version.to_owned()),
        ("Seccomp", seccomp),
        ("Rootless", (!host.is_machines_root()).to_string()),
        ("Subordinate Ids", if host.rootless() { subordinate } else { "not needed by root".to_owned() }),
        ("Rootless Network", pasta),
        ("Time Namespace", host.time_namespace.to_string()),
        ("Data Directory", paths.data.display().to_string()),
        ("State Directory", paths.state.display().to_string()),
    ])
}
