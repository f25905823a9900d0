//! The sources of bind mounts, as they are on the host.
//!
//! Must not: make anything; what is missing is made by the plan, or refused here, before anything is touched.

use crate::error::{Error, Result};
use crate::request::Run;
use crate::request::mount::{Bind, Kind, Propagation};
use plan::host::Host;
use plan::volumes::Volume;
use spec::runtime::NamespaceKind;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// # Errors
/// A source that is not there and shall not be made, that the caller cannot reach, or whose mount has not the
/// propagation that is asked for.
pub fn find(request: &Run, host: &Host) -> Result<Vec<Volume>> {
    let binds = request.files.mounts.iter().filter_map(|mount| match &mount.kind {
        Kind::Bind(bind) => Some((mount.target.as_str(), bind)),
        Kind::Tmpfs(_) => None,
    });
    binds
        .map(|(target, bind)| {
            check_propagation(target, bind, host)?;
            volume(target, bind)
        })
        .collect()
}

/// As docker: what is asked for and cannot be is refused, not silently less.
fn check_propagation(target: &str, bind: &Bind, host: &Host) -> Result<()> {
    use Propagation::{RecursiveShared, RecursiveSlave, Shared, Slave};
    let Some(asked @ (Shared | RecursiveShared | Slave | RecursiveSlave)) = bind.propagation else { return Ok(()) };
    let shared = matches!(asked, Shared | RecursiveShared);
    let what = || format!("cannot mount {} on {target} as {}", bind.source.display(), asked.option());
    if shared && (host.rootless() || !host.owns(NamespaceKind::Mount)) {
        return Err(Error::rejected(what(), "what an ordinary user mounts never reaches the host")
            .hint("slave is what can be had: mounts of the host are seen in the container"));
    }
    let Some(there) = bind.source.ancestors().find(|path| path.exists()) else { return Ok(()) };
    let found = runtime::observe::mount::propagation(there).map_err(Error::from)?;
    if found.shared || found.slave && !shared {
        return Ok(());
    }
    let why =
        if shared { "on the host it is in no shared mount" } else { "on the host it is in no shared or slave mount" };
    Err(Error::rejected(what(), why).hint("findmnt -o TARGET,PROPAGATION shows them; mount --make-shared changes one"))
}

fn volume(target: &str, bind: &Bind) -> Result<Volume> {
    let what = || format!("cannot mount {} on {target}", bind.source.display());
    let create = match std::fs::metadata(&bind.source) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NotFound && bind.create => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::rejected(what(), "there is no such file or directory on this host")
                .hint("make it first; -v SOURCE:TARGET makes a directory where none is"));
        }
        Err(error) => return Err(runtime::refused(what(), &error).into()),
    };
    // What is given away is what the path leads to now, whatever becomes of a link in it.
    let source = if bind.chown { real(&bind.source) } else { Ok(bind.source.clone()) };
    let source = source.map_err(|error| runtime::refused(what(), &error))?;
    let source = source.to_string_lossy().into_owned();
    Ok(Volume { source, target: target.to_owned(), create, give: bind.chown })
}

/// Without symbolic links, as far as it is there.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Err(error), Some(above), Some(name)) if error.kind() == ErrorKind::NotFound => Ok(real(above)?.join(name)),
        (found, ..) => found,
    }
}
