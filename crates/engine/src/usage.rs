//! What images, containers and volumes take of the disk, as du(1) counts.

use crate::containers;
use crate::error::Result;
use crate::images::{self, in_use, listed, uses, which};
use crate::paths::Paths;
use crate::volumes::object;
use image::Store;
use spec::Digest;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// One line of `system df`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub kind: &'static str,
    pub total: usize,
    pub active: usize,
    /// Bytes of the disk.
    pub size: u64,
    pub reclaimable: u64,
}

/// # Errors
/// A store that is not whole.
pub fn sum(paths: &Paths) -> Result<[Used; 3]> {
    let store = Store::open(&paths.data);
    let (images, users) = (store.list()?, containers::list(paths));
    let (used, free): (Vec<_>, Vec<_>) = images.iter().partition(|listed| is_used(listed, &users));
    let of = |path: &str| image::usage::of(&paths.data.join(path));
    let size = of("images") + of("layers") + of("partial") + of("tmp") + of("mounts");
    // Layers that a used image has stay, whoever else has them.
    let kept: HashSet<PathBuf> = in_use(paths).into_iter().collect();
    let needed: u64 = kept.iter().map(|layer| image::usage::of(layer)).sum::<u64>()
        + used.iter().map(|listed| listed.size).sum::<u64>();
    let ids = |images: &[&image::Listed]| images.iter().map(|listed| listed.id).collect::<HashSet<_>>().len();
    let running = users.iter().filter(|user| user.running).count();
    let stopped = users.iter().filter(|user| !user.running).map(|user| paths.container(&user.record.id));
    Ok([
        Used {
            kind: "Images",
            total: ids(&images.iter().collect::<Vec<_>>()),
            active: ids(&used),
            size,
            reclaimable: if free.is_empty() && !used.is_empty() { 0 } else { size.saturating_sub(needed) },
        },
        Used {
            kind: "Containers",
            total: users.len(),
            active: running,
            size: image::usage::of(&paths.containers()),
            reclaimable: stopped.map(|path| image::usage::of(&path)).sum(),
        },
        of_volumes(&volumes(paths)),
    ])
}

fn of_volumes(volumes: &[Volume]) -> Used {
    let used = |volume: &&Volume| volume.links > 0;
    Used {
        kind: "Local Volumes",
        total: volumes.len(),
        active: volumes.iter().filter(used).count(),
        size: volumes.iter().map(|volume| volume.size).sum(),
        reclaimable: volumes.iter().filter(|volume| !used(volume)).map(|volume| volume.size).sum(),
    }
}

/// A volume, and how many containers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub links: usize,
    pub size: u64,
}

/// All of them.
#[must_use]
pub fn volumes(paths: &Paths) -> Vec<Volume> {
    let volume = |volume: object::Volume| Volume {
        size: object::size(&volume),
        links: volume.users.len(),
        name: volume.record.name,
    };
    object::list(paths, &[]).into_iter().map(volume).collect()
}

fn is_used(listed: &image::Listed, users: &[containers::Listed]) -> bool {
    users.iter().any(|user| is_of(user, listed))
}

fn is_of(user: &containers::Listed, listed: &image::Listed) -> bool {
    let name = which::name(&listed.entry).map(|name| name.familiar());
    uses(user, &listed.id, name.as_slice())
}

/// An image's part of the disk. What it has alone goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub image: images::Listed,
    /// Its layers, unpacked and as they came.
    pub size: u64,
    pub shared: u64,
    pub containers: usize,
}

/// A container's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub container: containers::Listed,
    pub size: u64,
}

/// One by one.
///
/// # Errors
/// As [`sum`].
pub fn each(paths: &Paths) -> Result<(Vec<Image>, Vec<Container>)> {
    let store = Store::open(&paths.data);
    let (images, users) = (store.list()?, containers::list(paths));
    let mut owners: BTreeMap<PathBuf, HashSet<Digest>> = BTreeMap::new();
    let mut parts = Vec::new();
    for listed in &images {
        let stored = store.stored(&listed.entry)?;
        let blobs = stored.manifest().map(|(_, _, manifest)| manifest.layers.clone()).unwrap_or_default();
        let blob = |digest: &Digest| paths.data.join("images/blobs/sha256").join(digest.hex());
        let own: HashSet<PathBuf> =
            store.layers(&stored).into_iter().chain(blobs.iter().map(|layer| blob(&layer.digest))).collect();
        own.iter().for_each(|path| _ = owners.entry(path.clone()).or_default().insert(listed.id));
        parts.push(own);
    }
    let sizes: BTreeMap<&PathBuf, u64> = owners.keys().map(|path| (path, image::usage::of(path))).collect();
    let part = |own: &HashSet<PathBuf>, fits: &dyn Fn(&HashSet<Digest>) -> bool| -> u64 {
        own.iter().filter(|path| owners.get(*path).is_some_and(fits)).filter_map(|path| sizes.get(path)).sum()
    };
    let image = |(image, own): (image::Listed, &HashSet<PathBuf>)| Image {
        size: part(own, &|_| true),
        shared: part(own, &|owners| owners.len() > 1),
        containers: users.iter().filter(|user| is_of(user, &image)).count(),
        image: listed(image),
    };
    let images = images.into_iter().zip(&parts).map(image).collect();
    let container = |container: containers::Listed| Container {
        size: image::usage::of(&paths.container(&container.record.id)),
        container,
    };
    Ok((images, users.into_iter().map(container).collect()))
}
