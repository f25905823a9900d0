//! A container of a service manager's (sd_notify(3)): whoever creates it with a `NOTIFY_SOCKET` gives it one, and whoever
//! starts it so listens there.
//!
//! As runc: its directory is mounted read-only on /run/notify, so that the socket can be bound as late as at the start.

use crate::io;
use crate::root::Home;
use plan::notify::{DIRECTORY, NAME, VARIABLE};
use runtime::Result;
use runtime::notify::{Relay, check};
use spec::runtime::{Mount, Process};
use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

/// The caller's.
fn manager() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|name| !name.is_empty())
}

fn directory(home: &Home) -> PathBuf {
    PathBuf::from(home.notify())
}

/// What is mounted for it, if it is a service manager's.
///
/// # Errors
/// The caller's variable names no socket.
pub(crate) fn mount(home: &Home) -> Result<Option<Mount>> {
    let Some(manager) = manager() else { return Ok(None) };
    check(&manager)?;
    Ok(Some(Mount {
        destination: DIRECTORY.to_owned(),
        source: home.notify(),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    }))
}

/// The one that the configuration names, if any, is another's.
pub(crate) fn tell(process: &mut Process) {
    process.env.retain(|variable| !variable.starts_with(&format!("{VARIABLE}=")));
    process.env.push(format!("{VARIABLE}={DIRECTORY}/{NAME}"));
}

/// The source of the mount.
pub(crate) fn prepare(home: &Home) -> Result<()> {
    let path = directory(home);
    let cannot = || format!("cannot make the directory {}", path.display());
    std::fs::DirBuilder::new().mode(0o755).create(&path).map_err(io(cannot()))?;
    // Whatever the umask: any user of the container comes this way.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(io(cannot()))
}

/// Of one that was created for it; `main` is the service.
pub(crate) fn listen(home: &Home, main: i32) -> Result<Option<Relay>> {
    let path = directory(home);
    manager().filter(|_| path.is_dir()).map(|manager| Relay::bind(&path.join(NAME), manager, main)).transpose()
}
