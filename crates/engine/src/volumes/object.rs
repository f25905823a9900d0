//! Volumes that have names: which there are, what is known of them, who uses them.
//!
//! Invariant: a volume that a container's record names is there until somebody asks for its end by force; one that nobody
//! named has a claim of its container, and goes with that where it is so asked for.

use super::driver::{self, Stands};
use crate::containers::{self, Listed, Mounted};
use crate::content;
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::filter;
use crate::paths::Paths;
use crate::remote::{self, Access, Task};
use crate::request::mount::Driver;
use plan::Plan;
use plan::step::HostStep;
use plan::volumes::{FILES, RECORD};
use serde::{Deserialize, Serialize};
use spec::image::Annotations;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// docker's label of a volume that nobody named.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// [`RECORD`] in its directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub name: String,
    pub options: BTreeMap<String, String>,
    pub labels: Annotations,
    /// Seconds since the epoch.
    pub created: u64,
    pub anonymous: bool,
}

impl Record {
    #[must_use]
    pub fn new(name: &str, driver: &Driver, anonymous: bool) -> Self {
        let mut labels: Annotations = driver.labels.iter().cloned().collect();
        if anonymous {
            labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        let options = driver.options.iter().cloned().collect();
        Self { name: name.to_owned(), options, labels, created: containers::now(), anonymous }
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// # Errors
    /// Its options say nothing that can be.
    pub fn stands(&self) -> Result<Stands> {
        Ok(driver::read(&self.options)?)
    }
}

/// A volume, and who uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    pub record: Record,
    pub mountpoint: PathBuf,
    /// Ids of containers, running or not.
    pub users: Vec<String>,
    /// How many of these run.
    pub mounted: usize,
}

/// # Errors
/// One of this name that is another; options that say nothing that can be; the kernel's.
pub fn create(paths: &Paths, name: Option<&str>, driver: &Driver) -> Result<String> {
    let record = Record::new(&name.map_or_else(random, |name| Ok(name.to_owned()))?, driver, name.is_none());
    let (name, stands) = (record.name.clone(), record.stands()?);
    if let Stands::Filesystem { fstype, .. } = &stands {
        check_mountable(&name, fstype)?;
    }
    let quota = if let Stands::Directory { quota } = stands { quota } else { None };
    let text = record.text();
    let new = runtime::volume::New { record: &text, claim: None, owner: None, quota };
    paths.ensure()?;
    if runtime::volume::make(&paths.volume(&name), &new)? {
        events::tell(paths, [of_volume("create", &name)]);
    } else {
        check_same(&get(paths, &name)?, driver)?;
    }
    Ok(name)
}

pub(crate) fn of_volume(action: &str, name: &str) -> News {
    News::new(events::Kind::Volume, action, name).with("driver", "local")
}

/// A volume that no container uses goes. Whether nobody is about to.
fn destroy(paths: &Paths, name: &str) -> Result<bool> {
    let gone = runtime::volume::remove(&paths.volume(name))?;
    if gone {
        events::tell(paths, [of_volume("destroy", name)]);
    }
    Ok(gone)
}

/// # Errors
/// Asked for is another than the one that is there: docker says nothing, and gives that.
pub(super) fn check_same(there: &Record, asked: &Driver) -> Result<()> {
    let same = |asked: &[(String, String)], there: &BTreeMap<String, String>| {
        asked.iter().all(|(key, value)| there.get(key) == Some(value))
    };
    if same(&asked.options, &there.options) && same(&asked.labels, &there.labels) {
        return Ok(());
    }
    let what = format!("cannot make volume {}", there.name);
    Err(Error::rejected(what, "there is one of this name, with other options or labels")
        .hint(format!("sampan volume inspect {0} shows it; sampan volume rm {0} removes it", there.name)))
}

/// Only root mounts for everybody.
pub(super) fn check_mountable(name: &str, fstype: &str) -> Result<()> {
    if runtime::observe::is_machines_root() {
        return Ok(());
    }
    let what = format!("cannot use a {fstype} as the volume {name}");
    Err(Error::rejected(what, "only root of the host may mount it for all containers")
        .hint("--tmpfs gives one container a tmpfs of its own; o=bind takes a directory"))
}

/// As docker makes names.
pub(super) fn random() -> Result<String> {
    let bytes = runtime::observe::random()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn load(directory: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&std::fs::read(directory.join(RECORD)).ok()?).ok()?;
    // What it names is removed by that name.
    directory.file_name().is_some_and(|name| name == record.name.as_str()).then_some(record)
}

/// The one of just this name.
pub(super) fn look(paths: &Paths, name: &str) -> Option<Record> {
    load(&paths.volume(name))
}

/// # Errors
/// There is none of just this name.
pub fn get(paths: &Paths, name: &str) -> Result<Record> {
    look(paths, name).ok_or_else(|| absent(name))
}

fn absent(word: &str) -> Error {
    Error::rejected(format!("cannot find volume {word}"), "no volume has this name")
        .hint("sampan volume ls shows which there are")
}

fn records(paths: &Paths) -> Vec<Record> {
    let entries = std::fs::read_dir(paths.volumes()).into_iter().flatten().flatten();
    let mut records: Vec<Record> = entries.filter_map(|entry| load(&entry.path())).collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}

/// By name, or by the start of one that only one has.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(paths: &Paths, word: &str) -> Result<Record> {
    if let Some(record) = look(paths, word) {
        return Ok(record);
    }
    let mut matching = records(paths).into_iter().filter(|record| !word.is_empty() && record.name.starts_with(word));
    match (matching.next(), matching.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => {
            Err(Error::rejected(format!("cannot tell which volume {word} is"), "the name of more than one starts so")
                .hint("sampan volume ls shows the whole names"))
        }
        (None, _) => Err(absent(word)),
    }
}

/// Whether there is one of just this name.
#[must_use]
pub fn exists(paths: &Paths, name: &str) -> bool {
    look(paths, name).is_some()
}

fn with_users(paths: &Paths, record: Record, containers: &[Listed]) -> Volume {
    let uses = |listed: &&Listed| listed.record.mounts.iter().any(|mount| mount.volume() == Some(&record.name));
    let users: Vec<&Listed> = containers.iter().filter(uses).collect();
    Volume {
        mountpoint: paths.volume(&record.name).join(FILES),
        mounted: users.iter().filter(|listed| listed.running).count(),
        users: users.iter().map(|listed| listed.record.id.clone()).collect(),
        record,
    }
}

/// # Errors
/// As [`find`].
pub fn inspect(paths: &Paths, word: &str) -> Result<Volume> {
    Ok(with_users(paths, find(paths, word)?, &containers::list(paths)))
}

/// Those that all filters let through, by name.
#[must_use]
pub fn list(paths: &Paths, filters: &[filter::Volume]) -> Vec<Volume> {
    let records = records(paths);
    if records.is_empty() {
        return Vec::new();
    }
    let containers = containers::list(paths);
    let all = records.into_iter().map(|record| with_users(paths, record, &containers)).collect();
    filter::volumes(filters, all)
}

/// With `force` the containers that use it go first, and one that is not there is no error. Whether there was one.
///
/// # Errors
/// A container uses it, or is about to; the kernel's.
pub fn remove(paths: &Paths, word: &str, force: bool) -> Result<bool> {
    let record = match find(paths, word) {
        Err(_) if force && look(paths, word).is_none() => return Ok(false),
        record => record?,
    };
    let what = || format!("cannot remove volume {word}");
    let volume = with_users(paths, record, &containers::list(paths));
    if let (Some(user), false) = (volume.users.first(), force) {
        let user = user.get(..12).unwrap_or(user);
        return Err(Error::rejected(what(), format!("container {user} uses it, running or not"))
            .hint("remove that first, or both with --force"));
    }
    for user in &volume.users {
        containers::remove(paths, user, true, false)?;
    }
    // It may have been one that nobody named, and gone with the container.
    if destroy(paths, &volume.record.name)? {
        return Ok(true);
    }
    Err(Error::rejected(what(), "a container that uses it is about to start").hint("try again"))
}

/// What [`prune`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub names: Vec<String>,
    /// Bytes of the disk.
    pub freed: u64,
}

/// Remove those that no container uses; without `all` only those that nobody named.
///
/// # Errors
/// The kernel's.
pub fn prune(paths: &Paths, filters: &[filter::Volume], all: bool) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    let unused = |volume: &Volume| volume.users.is_empty() && (all || volume.record.anonymous);
    for volume in list(paths, filters).into_iter().filter(unused) {
        let size = size(&volume);
        if destroy(paths, &volume.record.name)? {
            pruned.freed += size;
            pruned.names.push(volume.record.name);
        }
    }
    Ok(pruned)
}

/// Bytes of the disk that its files take.
#[must_use]
pub fn size(volume: &Volume) -> u64 {
    image::usage::of(&volume.mountpoint)
}

/// All files of a volume into a tar.
///
/// # Errors
/// No such volume; it cannot be read, or the output not be written.
pub fn export(paths: &Paths, word: &str, output: &mut dyn Write) -> Result<()> {
    content::export_directory(paths, files(paths, word, "export")?, output)
}

/// The files of a tar, plain or packed, into a volume. What could not be made for want of rights.
///
/// # Errors
/// No such volume; what is no tar, or leads out of the volume.
pub fn import(paths: &Paths, word: &str, from: &mut dyn Read) -> Result<Vec<String>> {
    let files = files(paths, word, "import into")?;
    remote::call_with(paths, &Access::default(), Task::Fill(files), Some(from), &mut |_| {})
}

/// Where the files of a volume are.
fn files(paths: &Paths, word: &str, what: &str) -> Result<PathBuf> {
    let volume = inspect(paths, word)?;
    match volume.record.stands()? {
        Stands::Directory { .. } => Ok(volume.mountpoint),
        Stands::Path { path, .. } => Ok(path),
        Stands::Filesystem { .. } if volume.mounted > 0 => Ok(volume.mountpoint),
        Stands::Filesystem { fstype, .. } => Err(Error::rejected(
            format!("cannot {what} volume {word}"),
            format!("it is a {fstype} that is not mounted"),
        )
        .hint("while a container that uses it runs, it is")),
    }
}

/// The file by which a volume is a container's that nobody named it for.
pub(super) fn claim(paths: &Paths, id: &str, name: &str) -> PathBuf {
    claims(paths).join(format!("{id}+{name}"))
}

fn claims(paths: &Paths) -> PathBuf {
    paths.volumes().join(".owned")
}

/// The claims there are: the container's id, and the volume's name.
fn claimed(paths: &Paths) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(claims(paths)).into_iter().flatten().flatten();
    let parse = |name: &str| name.split_once('+').map(|(id, name)| (id.to_owned(), name.to_owned()));
    entries.filter_map(|entry| parse(entry.file_name().to_str()?)).collect()
}

/// This container goes, and its volumes stay.
pub(crate) fn keep(paths: &Paths, id: &str) {
    for (_, name) in claimed(paths).into_iter().filter(|(owner, _)| owner == id) {
        // One that stays is of a container that is gone: then its volume goes, too, as if that had been asked for.
        let _ = std::fs::remove_file(claim(paths, id, &name));
    }
}

/// Those that a plan makes, of a container that is made and not started yet.
///
/// # Errors
/// The kernel's.
pub(crate) fn make(plan: &Plan) -> Result<()> {
    let mut context = runtime::apply::Context::default();
    let makes = |step: &&HostStep| matches!(step, HostStep::Volume { .. });
    for step in plan.prepare.iter().filter(makes) {
        runtime::apply::host(step, &mut context)?;
    }
    Ok(())
}

/// [`reap`], where this container, which has just gone, had volumes.
pub(crate) fn reap_of(paths: &Paths, record: &containers::Record) -> Vec<Error> {
    if record.mounts.iter().any(|mounted| mounted.volume().is_some()) { reap(paths) } else { Vec::new() }
}

/// What nobody named goes with its container: with this one, or all that are gone. And what is left of volumes that were
/// being made or removed by who is dead.
#[must_use]
pub(crate) fn reap(paths: &Paths) -> Vec<Error> {
    let is_gone = |id: &str| !paths.journal(id).exists() && !paths.container(id).exists();
    let left: Vec<(String, String)> = claimed(paths).into_iter().filter(|(id, _)| is_gone(id)).collect();
    let mut errors = Vec::new();
    if !left.is_empty() {
        let containers = containers::list(paths);
        let used: BTreeSet<&str> =
            containers.iter().flat_map(|listed| &listed.record.mounts).filter_map(Mounted::volume).collect();
        for (id, name) in &left {
            // Another may have taken it over (--volumes-from), or be about to.
            let gone = if used.contains(name.as_str()) { Ok(true) } else { destroy(paths, name) };
            match gone {
                Ok(true) => drop(std::fs::remove_file(claim(paths, id, name))),
                Ok(false) => {}
                Err(error) => errors.push(error),
            }
        }
    }
    errors.extend(runtime::volume::reap(&paths.volumes()).into_iter().map(Error::from));
    errors
}
