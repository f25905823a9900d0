//! Images that are mounted on this machine, for who wants to look into them.
//!
//! Where overlayfs cannot work an image is copied instead, below `mounts` in the data directory.
//!
//! Invariant: what is below `mounts` in the state directory has a journal, and one that is mounted a record. A journal
//! without one is of a sampan that was killed while it mounted or unmounted: the reaper undoes it. A reboot empties it all.

use crate::error::{Error, Result};
use crate::images::{self, which};
use crate::paths::{Paths, cannot_use};
use crate::snapshot::{self, Driver};
use image::Store;
use plan::host::Host;
use runtime::journal::Journal;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    pub id: String,
    /// As a person would type them.
    pub names: Vec<String>,
    pub path: PathBuf,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    id: String,
    path: PathBuf,
    layers: Vec<PathBuf>,
    /// How often it was mounted, and so has to be unmounted.
    count: u32,
}

/// Mount images, read-only; with `all` every one of the store. One that is mounted stays so.
///
/// # Errors
/// No such image; the kernel's.
pub fn mount(paths: &Paths, words: &[String], all: bool, driver: Option<Driver>) -> Result<Vec<Mounted>> {
    paths.ensure()?;
    let host = runtime::observe::host()?;
    let may = host.has(CAP_SYS_ADMIN) && host.owns(spec::runtime::NamespaceKind::Mount);
    // Without that right nobody can tell whether overlayfs would work.
    let driver = if may { snapshot::choose(paths, &host, driver)? } else { driver.unwrap_or_default() };
    let store = Store::open(&paths.data);
    // No layer goes between the look at an image and its record.
    let _hold = store.hold()?;
    let _lock = lock(paths)?;
    reap_locked(paths)?;
    let mut entries: Vec<_> = words.iter().map(|word| images::entry(paths, word)).collect::<Result<_>>()?;
    if all {
        entries.extend(store.list()?.into_iter().map(|listed| (listed.entry, listed.id)));
        entries.sort_by_key(|(_, id)| *id);
        entries.dedup_by_key(|(_, id)| *id);
    }
    let mut mounted = Vec::new();
    for (entry, id) in entries {
        let image = store.image(&entry, None)?;
        let record = match read(&record_of(paths, &id.hex())) {
            Some(record) if is_mounted(paths, &record) => Record { count: record.count + 1, ..record },
            _ => fresh(paths, (&host, driver), &id.to_string(), &id.hex(), image.layers)?,
        };
        write(&record_of(paths, &id.hex()), &record)?;
        mounted.push(record);
    }
    named(&store, mounted)
}

fn fresh(paths: &Paths, (host, driver): (&Host, Driver), id: &str, hex: &str, layers: Vec<PathBuf>) -> Result<Record> {
    if driver == Driver::Overlay && (!host.has(CAP_SYS_ADMIN) || !host.owns(spec::runtime::NamespaceKind::Mount)) {
        return Err(Error::rejected(format!("cannot mount image {id}"), "only root mounts on this machine").hint(
            "unshare --user --map-auto --map-root-user --mount sh: a shell that is root of namespaces of its own",
        ));
    }
    // Of one that somebody unmounted by himself.
    undo(&journal_of(paths, hex))?;
    let lower: Vec<String> = layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (steps, at) = match driver {
        Driver::Overlay => {
            driver.check(&image::Rootfs::open(&layers)?, &format!("image {id}"))?;
            plan::overlay::image(host, &lower, &text(mounts(paths).join(hex)))?
        }
        Driver::Vfs => {
            let all = copies(paths);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&all);
            made.map_err(|error| cannot_use(format!("cannot make the directory {}", all.display()), &error))?;
            plan::overlay::copied(host, &lower, &text(all.join(hex)))
        }
    };
    let mut journal = Journal::create(&journal_of(paths, hex))?;
    let record = Record { id: id.to_owned(), path: at.into(), layers, count: 1 };
    match runtime::container::prepare(&steps, &mut journal) {
        Ok(()) => Ok(record),
        Err(error) => {
            // What cannot be undone now is the reaper's.
            runtime::undo::replay(journal, None);
            Err(error.into())
        }
    }
}

const CAP_SYS_ADMIN: u32 = 21;

/// What is mounted.
///
/// # Errors
/// A store that is not whole.
pub fn list(paths: &Paths) -> Result<Vec<Mounted>> {
    named(&Store::open(&paths.data), records(paths).into_iter().filter(|record| is_mounted(paths, record)).collect())
}

/// Once for each time that they were mounted, or with `force` at once; with `all` every one that is mounted. Their ids.
///
/// # Errors
/// No such image; it is not mounted; the kernel's.
pub fn unmount(paths: &Paths, words: &[String], all: bool, force: bool) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    let mut ids = Vec::new();
    if let Some(_lock) = mounts(paths).is_dir().then(|| lock(paths)).transpose()? {
        let records = records(paths);
        let asked = words.iter().map(|word| found(paths, &records, word)).collect::<Result<Vec<_>>>()?;
        for record in if all { records } else { asked } {
            let hex = hex(&record.id);
            ids.push(record.id.clone());
            if record.count > 1 && !force {
                write(&record_of(paths, &hex), &Record { count: record.count - 1, ..record })?;
                continue;
            }
            // In this order: a journal without a record is the reaper's.
            std::fs::remove_file(record_of(paths, &hex))
                .map_err(|error| cannot_use(format!("cannot unmount image {}", record.id), &error))?;
            undo(&journal_of(paths, &hex))?;
            gone.extend(record.layers);
        }
    } else if let Some(word) = words.first() {
        return Err(not_mounted(word));
    }
    // The image may have been removed meanwhile.
    images::sweep(paths, &gone)?;
    Ok(ids)
}

/// By what a person calls it, or by its id: the image itself may be gone.
fn found(paths: &Paths, records: &[Record], word: &str) -> Result<Record> {
    let by_id = |id: &str| {
        let start = word.strip_prefix("sha256:").unwrap_or(word);
        !start.is_empty() && hex(id).starts_with(start)
    };
    let id = images::entry(paths, word).map(|(_, id)| id.to_string());
    let fits = |record: &&Record| id.as_ref().is_ok_and(|id| *id == record.id) || (id.is_err() && by_id(&record.id));
    match (records.iter().find(fits), id) {
        (Some(record), _) => Ok(record.clone()),
        (None, Ok(_)) => Err(not_mounted(word)),
        (None, Err(error)) => Err(error),
    }
}

fn not_mounted(word: &str) -> Error {
    Error::rejected(format!("cannot unmount image {word}"), "it is not mounted")
        .hint("sampan image mount shows what is")
}

/// Layers that are mounted, and so not to be removed.
pub(crate) fn layers(paths: &Paths) -> Vec<PathBuf> {
    records(paths).into_iter().flat_map(|record| record.layers).collect()
}

/// Whether an image is mounted.
pub(crate) fn has(paths: &Paths, id: &str) -> bool {
    read(&record_of(paths, &hex(id))).is_some_and(|record| is_mounted(paths, &record))
}

/// Undo what sampans that were killed left.
pub(crate) fn reap(paths: &Paths) -> Option<Error> {
    if !mounts(paths).is_dir() && !copies(paths).is_dir() {
        return None;
    }
    lock(paths).and_then(|_lock| reap_locked(paths)).err()
}

fn reap_locked(paths: &Paths) -> Result<()> {
    let journals = files(paths, "journal");
    journals.iter().filter(|path| !path.with_extension("json").exists()).try_for_each(|path| undo(path))?;
    // Since a boot nothing says what they are for.
    let copies = std::fs::read_dir(copies(paths)).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_none = |copy: &PathBuf| {
        let name = copy.file_name().unwrap_or_default().to_string_lossy();
        !record_of(paths, &name).exists() && !journal_of(paths, &name).exists()
    };
    copies.filter(of_none).try_for_each(|copy| Ok(runtime::tree::remove(&copy.to_string_lossy(), true)?))
}

fn undo(journal: &Path) -> Result<()> {
    let Some(journal) = Journal::take_over(journal)? else { return Ok(()) };
    runtime::undo::replay(journal, None).into_iter().next().map_or(Ok(()), |error| Err(error.into()))
}

fn named(store: &Store, records: Vec<Record>) -> Result<Vec<Mounted>> {
    let all = store.list()?;
    let names = |id: &str| {
        let own = all.iter().filter(|listed| listed.id.to_string() == id);
        own.filter_map(|listed| which::name(&listed.entry)).map(|name| name.familiar()).collect()
    };
    Ok(records
        .into_iter()
        .map(|record| Mounted { names: names(&record.id), id: record.id, path: record.path })
        .collect())
}

fn mounts(paths: &Paths) -> PathBuf {
    paths.state.join("mounts")
}

fn record_of(paths: &Paths, hex: &str) -> PathBuf {
    mounts(paths).join(format!("{hex}.json"))
}

fn journal_of(paths: &Paths, hex: &str) -> PathBuf {
    mounts(paths).join(format!("{hex}.journal"))
}

fn hex(id: &str) -> String {
    id.trim_start_matches("sha256:").to_owned()
}

/// Nobody else mounts or unmounts while it is held.
fn lock(paths: &Paths) -> Result<File> {
    let path = mounts(paths);
    let open = || -> std::io::Result<File> {
        // In an image there may be programs with their owner's rights: nobody else may walk in (CVE-2021-41091).
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let file = File::open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error| cannot_use(format!("cannot use the directory {}", path.display()), &error).into())
}

fn files(paths: &Paths, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(mounts(paths)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn records(paths: &Paths) -> Vec<Record> {
    let mut files = files(paths, "json");
    files.sort();
    files.iter().filter_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write(path: &Path, record: &Record) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec(record)?)?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| cannot_use(format!("cannot write {}", path.display()), &error).into())
}

/// Where copies are.
fn copies(paths: &Paths) -> PathBuf {
    paths.data.join("mounts")
}

/// Here, in this mount namespace.
fn is_mounted(paths: &Paths, record: &Record) -> bool {
    if record.path.starts_with(copies(paths)) {
        return record.path.is_dir();
    }
    let device = |path: &Path| path.symlink_metadata().map(|found| found.dev()).ok();
    let (own, above) = (device(&record.path), record.path.parent().and_then(device));
    own.is_some() && own != above
}
