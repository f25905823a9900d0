//! The files of containers and images as they lie there: written to a tar, compared.

use crate::containers::{self, Record, Which};
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::ground;
use crate::images::{entry, which};
use crate::paths::Paths;
use crate::remote::{self, Access, Task};
use crate::{copy, snapshot};
use image::Store;
use image::difference::Own;
pub use image::difference::{Change, Kind};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// What a container sees: its own files, if it has some, and the layers that it stands on, top first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Export {
    own: Option<Own>,
    lower: Vec<PathBuf>,
    ids: image::Ids,
}

impl Export {
    fn of(paths: &Paths, record: &Record, what: &str) -> Result<Self> {
        if record.image == ground::HOST {
            return Err(Error::rejected(
                format!("cannot {what} container {}", record.name),
                "it stands on this machine itself, and nothing of what it changed was kept",
            ));
        }
        let own = snapshot::own(paths, &record.id);
        Ok(Self { own, lower: record.layers.clone(), ids: record.ids.clone() })
    }
}

/// All files of a container into a tar, without what is mounted there.
///
/// # Errors
/// No such container; one that stands on the host; the output cannot be written.
pub fn export(paths: &Paths, container: &Which, output: &mut dyn Write) -> Result<()> {
    let found = containers::which(paths, container)?;
    remote::call_for(paths, Task::Export(Export::of(paths, &found.record, "export")?), output)?;
    events::tell(paths, [News::of(&found.record, "export")]);
    Ok(())
}

/// All files of a directory into a tar.
///
/// # Errors
/// It cannot be read, or the output not be written.
pub(crate) fn export_directory(paths: &Paths, directory: PathBuf, output: &mut dyn Write) -> Result<()> {
    let task = Export { own: None, lower: vec![directory], ids: image::Ids::default() };
    remote::call_for(paths, Task::Export(task), output)
}

/// In the child.
pub(crate) fn export_in(task: &Export, output: &mut dyn Write) -> Result<(), image::Error> {
    image::difference::pack_all(task.own.as_ref(), &task.lower, &task.ids, output)
}

/// What is compared, top first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Differ {
    Container { own: Own, lower: Vec<PathBuf>, ids: image::Ids },
    Layer { layer: PathBuf, lower: Vec<PathBuf> },
    Images { layers: Vec<PathBuf>, before: Vec<PathBuf> },
}

/// In the child.
pub(crate) fn differ_in(task: &Differ) -> Result<Vec<Change>, image::Error> {
    match task {
        Differ::Container { own, lower, ids } => image::difference::of_container(own, lower, ids),
        Differ::Layer { layer, lower } => image::difference::of_layer(layer, lower),
        Differ::Images { layers, before } => image::difference::between(layers, before),
    }
}

/// What a container has changed.
///
/// # Errors
/// No such container; one without a layer of its own.
pub fn of_container(paths: &Paths, container: &Which) -> Result<Vec<Change>> {
    let found = containers::which(paths, container)?;
    let Export { own, lower, ids } = Export::of(paths, &found.record, "compare")?;
    match own {
        Some(own) => differ(paths, Differ::Container { own, lower, ids }),
        // It was never started.
        None if copy::is_layered(paths, &found.record) => Ok(vec![]),
        None => Err(Error::rejected(
            format!("cannot compare container {}", found.record.name),
            format!("its changes go to {} itself", found.record.image),
        )),
    }
}

/// What an image changes in another one; `None`: its last layer in those below.
///
/// # Errors
/// No such image.
pub fn of_image(paths: &Paths, word: &str, other: Option<&str>) -> Result<Vec<Change>> {
    let store = Store::open(&paths.data);
    let _hold = store.hold()?;
    let layers = layers(paths, &store, word)?;
    let task = match other {
        Some(other) => Differ::Images { before: self::layers(paths, &store, other)?, layers },
        None => match layers.split_first() {
            Some((layer, lower)) => Differ::Layer { layer: layer.clone(), lower: lower.to_vec() },
            None => return Ok(vec![]),
        },
    };
    differ(paths, task)
}

/// Of a container or an image, as `diff` of podman.
///
/// # Errors
/// Neither.
pub fn of_either(paths: &Paths, word: &str) -> Result<Vec<Change>> {
    match containers::find(paths, word) {
        Ok(_) => of_container(paths, &Which::Named(word.to_owned())),
        Err(error) => match which::here(paths, word) {
            Ok(_) => of_image(paths, word, None),
            Err(_) => Err(error),
        },
    }
}

fn layers(paths: &Paths, store: &Store, word: &str) -> Result<Vec<PathBuf>> {
    Ok(store.image(&entry(paths, word)?.0, None)?.layers)
}

fn differ(paths: &Paths, task: Differ) -> Result<Vec<Change>> {
    remote::call(paths, &Access::default(), Task::Differ(task), &mut |_| {})
}
