//! `pause` and `unpause`: the processes of a container get no CPU, and get it again.

use crate::containers::{self, Listed};
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::model::Model;
use crate::paths::Paths;
use plan::cgroup::Undo;
use plan::undo::Verb;
use runtime::apply::cgroup;
use runtime::journal::Journal;
use runtime::supervise::Signals;
use std::fs::File;

/// # Errors
/// It does not run, is paused already, or has no cgroup.
pub fn pause(paths: &Paths, of: &Listed) -> Result<()> {
    let what = format!("cannot pause container {}", of.record.name);
    let model = running(paths, of, &what)?;
    if model.is_paused() {
        return Err(Error::rejected(what, "it is paused already"));
    }
    freeze(&model, true, what)?;
    events::tell(paths, [News::of(&of.record, "pause")]);
    Ok(())
}

/// # Errors
/// It is not paused.
pub fn unpause(paths: &Paths, of: &Listed) -> Result<()> {
    let what = format!("cannot unpause container {}", of.record.name);
    let model = running(paths, of, &what)?;
    if !model.is_paused() {
        return Err(Error::rejected(what, "it is not paused"));
    }
    freeze(&model, false, what)?;
    events::tell(paths, [News::of(&of.record, "unpause")]);
    Ok(())
}

fn running(paths: &Paths, of: &Listed, what: &str) -> Result<Model> {
    containers::first(paths, &of.record, what)?;
    Model::load(paths, &of.record)
}

fn freeze(model: &Model, frozen: bool, what: String) -> Result<()> {
    let cgroups = model.all_cgroups();
    let freezer = cgroup::freezer(&cgroups).map_err(runtime::Error::from)?;
    if freezer.is_none() {
        return Err(Error::rejected(what, "it has no cgroup that can: none is delegated to this user")
            .hint("systemd-run --user --scope -p Delegate=yes sampan run … gives it one"));
    }
    cgroup::freeze(&cgroups, frozen).map_err(|error| Error::rejected(what, error.to_string()))
}

/// What is done while nothing in it changes. It may have been paused before, and then stays so.
///
/// # Errors
/// Those of `act`; it cannot be paused, or does not go on.
pub(crate) fn during<T>(paths: &Paths, of: &Listed, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let model = Model::load(paths, &of.record)?;
    let what = || format!("cannot pause container {}", of.record.name);
    // Blocked: who ends this process shall not leave the container as it is meanwhile. After a kill -9 the next command
    // lets it go on.
    let _signals = Signals::take().map_err(runtime::Error::from)?;
    let _turn = turn(paths, &of.record.id)?;
    let still = journal(paths, &of.record.id, &model)?;
    if model.is_paused() {
        still.remove()?;
        return act();
    }
    if let Err(error) = freeze(&model, true, what()) {
        still.remove()?;
        return Err(error.hint("--pause=false goes without"));
    }
    let done = act();
    let goes_on = match freeze(&model, false, what()) {
        // It may have been killed.
        Err(_) if containers::first(paths, &of.record, "").is_err() => Ok(()),
        other => other,
    };
    still.remove()?;
    done.and_then(|done| goes_on.map(|()| done))
}

/// One after the other; let go when dropped.
fn turn(paths: &Paths, id: &str) -> Result<File> {
    let path = paths.model(id);
    let locked = File::open(&path).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| Error::io(format!("cannot lock {}", path.display()), &error))
}

/// To be there before it is frozen, by who has its turn.
fn journal(paths: &Paths, id: &str, model: &Model) -> Result<Journal> {
    let path = paths.still(id);
    if let Some(dead) = Journal::take_over(&path)? {
        runtime::undo::replay(dead, None).into_iter().next().map_or(Ok(()), Err)?;
    }
    let mut journal = Journal::create(&path)?;
    let freezer = cgroup::freezer(&model.all_cgroups()).map_err(runtime::Error::from)?;
    let verbs: Vec<Verb> = freezer.map(|dir| Verb::Cgroup(Undo::Thaw { dir })).into_iter().collect();
    journal.write(&verbs)?;
    Ok(journal)
}

/// All that run and are, or are not, paused.
#[must_use]
pub fn all(paths: &Paths, paused: bool) -> Vec<Listed> {
    let is = |listed: &Listed| Model::load(paths, &listed.record).is_ok_and(|model| model.is_paused() == paused);
    containers::list(paths).into_iter().filter(|listed| listed.running && is(listed)).collect()
}
