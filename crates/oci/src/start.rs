//! `start`: the container's process executes its command.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::{Result, gate, hook};
use spec::runtime::Status;
use std::os::fd::OwnedFd;
use std::path::Path;

/// # Errors
/// It waits for no start; the command cannot be executed; a hook failed, and the container is gone.
pub fn start(root: &Root, id: &Id) -> Result<()> {
    beside(root, id, None)
}

/// [`start`], for a caller who shows the terminal: what hooks write to it he shows, too.
pub(crate) fn beside(root: &Root, id: &Id, terminal: Option<&OwnedFd>) -> Result<()> {
    let what = format!("cannot start the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    match record.status(&home) {
        Status::Created => {}
        Status::Stopped => return refused(what, "cannot start a container that has stopped"),
        Status::Running | Status::Paused => return refused(what, "cannot start an already running container"),
        Status::Creating => return refused(what, "the container is being created"),
    }
    let journal = home.lock(&what)?;
    gate::pass(&home.data(), &record.command, |step| record.late.get(&step).cloned(), terminal)?;
    let state = record.state(Status::Running);
    let called = hook::run_all("poststart", &record.hooks.poststart, &state, Path::new(&record.bundle));
    drop(journal);
    if called.is_err() {
        // Since 1.2 of the spec: it is stopped, and the rest of its life follows. The hook's error is the one to tell.
        let _ = crate::delete(root, id, true);
    }
    called
}
