//! `delete`: all that the container was is undone.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::{Error, Result, hook};
use spec::runtime::Status;
use std::path::Path;

/// What went wrong without making it fail: hooks, which the spec wants called all the same.
///
/// # Errors
/// It runs, and is not to be killed; what could not be undone, for the next try.
pub fn delete(root: &Root, id: &Id, force: bool) -> Result<Vec<Error>> {
    let what = format!("cannot delete the container {id}");
    let home = root.container(id);
    if !home.exists() {
        return if force { Ok(Vec::new()) } else { refused(what, "container does not exist") };
    }
    let record = match Record::load(root, id, &what) {
        // Whoever made it was killed before he had written it down.
        Err(_) if force => Record::default(),
        record => record?.1,
    };
    let status = record.status(&home);
    let word = match status {
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Creating => "being created",
        Status::Created | Status::Stopped => "",
    };
    if !force && !word.is_empty() {
        return refused(what, format!("container is not stopped: it is {word}"));
    }
    if status == Status::Paused {
        // On v1 a frozen process does not die.
        runtime::apply::cgroup::freeze(&record.all_cgroups(), false)?;
    }
    let journal = home.lock(&what)?;
    if let Some(error) = home.undo(journal).into_iter().next() {
        return Err(error);
    }
    Ok(poststop(&record))
}

/// Each, whatever the one before it came to.
pub(crate) fn poststop(record: &Record) -> Vec<Error> {
    let state = record.state(Status::Stopped);
    let call = |(number, called)| hook::run("poststop", number, called, &state, Path::new(&record.bundle)).err();
    record.hooks.poststop.iter().enumerate().filter_map(call).collect()
}
