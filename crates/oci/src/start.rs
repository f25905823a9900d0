//! `start`: the container's process executes its command.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, notify, refused};
use runtime::notify::Relay;
use runtime::{Error, Result, gate, hook};
use spec::runtime::Status;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Of a service manager's until it is ready, or has ended; what its manager did not hear is no error.
///
/// # Errors
/// It waits for no start; the command cannot be executed; a hook failed, and the container is gone.
pub fn start(root: &Root, id: &Id) -> Result<Vec<Error>> {
    let (record, relay) = beside(root, id, None, None)?;
    Ok(until_ready(&record, relay).err().into_iter().collect())
}

pub(crate) fn until_ready(record: &Record, relay: Option<Relay>) -> Result<()> {
    let Some(relay) = relay else { return Ok(()) };
    match record.process().open()? {
        Some(process) => relay.wait(process.as_fd()),
        None => relay.pass().map(drop),
    }
}

/// [`start`], for a caller who shows the terminal: what hooks write to it he shows, too. `main`: who is the service, if it
/// is not the container's own process.
pub(crate) fn beside(
    root: &Root,
    id: &Id,
    terminal: Option<&OwnedFd>,
    main: Option<i32>,
) -> Result<(Record, Option<Relay>)> {
    let what = format!("cannot start the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    match record.status(&home) {
        Status::Created => {}
        Status::Stopped => return refused(what, "cannot start a container that has stopped"),
        Status::Running | Status::Paused => return refused(what, "cannot start an already running container"),
        Status::Creating => return refused(what, "the container is being created"),
    }
    let journal = home.lock(&what)?;
    let relay = notify::listen(&home, main.unwrap_or(record.pid))?;
    gate::pass(&home.data(), &record.command, |step| record.late.get(&step).cloned(), terminal)?;
    let state = record.state(Status::Running);
    let called = hook::run_all("poststart", &record.hooks.poststart, &state, Path::new(&record.bundle));
    drop(journal);
    if called.is_err() {
        // Since 1.2 of the spec: it is stopped, and the rest of its life follows. The hook's error is the one to tell.
        let _ = crate::delete(root, id, true);
    }
    called.map(|()| (record, relay))
}
