//! All that is known about a container.

use crate::containers::{self, Listed, Which};
use crate::error::Result;
use crate::logs;
use crate::model::Model;
use crate::networks::{self, Place};
use crate::paths::Paths;
use crate::request::log::Driver;
use crate::request::{Log, Run};
use crate::snapshot;
pub use image::difference::Own;
use spec::runtime::Process;
use std::path::PathBuf;

/// A container, what it was asked to be, and where its files are.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    pub listed: Listed,
    /// Absent where nobody kept it: of a container that ends with its terminal.
    pub request: Option<Run>,
    /// Of its image, as long as that is here.
    pub image: Option<String>,
    pub digest: Option<String>,
    pub directory: PathBuf,
    /// Absent until it was started.
    pub own: Option<Own>,
    pub log: Option<PathBuf>,
    /// Its first process, while it runs.
    pub process: Option<Process>,
    pub cgroup: Option<String>,
    pub size: Option<Size>,
    /// Its networks by name, with the network's id; of one that does not run, without a place.
    pub networks: Vec<(String, String, Option<Place>)>,
}

/// Bytes of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Of what it changed.
    pub own: u64,
    /// With what it stands on.
    pub root: u64,
}

fn networks(paths: &Paths, listed: &Listed) -> Vec<(String, String, Option<Place>)> {
    let places = networks::places(paths, &listed.record.id).unwrap_or_default();
    let place = |name: &str| places.iter().find(|place| place.network == name).cloned();
    let id = |name: &str| networks::find(paths, name).map_or_else(|_| String::new(), |record| record.id);
    networks::of(paths, listed).into_iter().map(|name| (name.clone(), id(&name), place(&name))).collect()
}

/// # Errors
/// No such container.
pub fn container(paths: &Paths, which: &Which, size: bool) -> Result<Inspected> {
    let listed = containers::which(paths, which)?;
    let record = &listed.record;
    let directory = paths.container(&record.id);
    let request: Option<Run> =
        std::fs::read(directory.join("request.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let image = crate::images::inspect(paths, &record.image).ok();
    let model = if listed.running { Model::load(paths, record).ok() } else { None };
    let in_files = |log: &&Log| matches!(log.driver(), Driver::K8sFile | Driver::JsonFile);
    Ok(Inspected {
        image: image.as_ref().map(|image| image.id.clone()),
        digest: image.map(|image| image.entry.digest.to_string()),
        log: request.as_ref().map(|request| &request.log).filter(in_files).map(|log| logs::path(log, &directory)),
        cgroup: model.as_ref().map(|model| model.path.clone()),
        process: model.map(|model| model.process),
        size: size.then(|| self::size(paths, &listed)),
        networks: networks(paths, &listed),
        own: snapshot::own(paths, &record.id),
        request,
        directory,
        listed,
    })
}

/// What its files take. Of what it stands on only what is sampan's own counts: not the machine's files, nor a directory
/// of the user's.
#[must_use]
pub fn size(paths: &Paths, of: &Listed) -> Size {
    let layers: Vec<_> = of.record.layers.iter().filter(|layer| layer.starts_with(&paths.data)).collect();
    let below = || layers.iter().map(|layer| image::usage::of(layer)).sum::<u64>();
    match snapshot::own(paths, &of.record.id) {
        None => Size { own: 0, root: below() },
        Some(Own::Upper(upper)) => {
            let own = image::usage::of(&upper);
            Size { own, root: own + below() }
        }
        // A copy has it all, and what it changed is what there is not below.
        Some(Own::Tree(tree)) => {
            Size { own: image::difference::size(&tree, &layers, &of.record.ids), root: image::usage::of(&tree) }
        }
    }
}
