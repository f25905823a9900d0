//! Images out of what lies here already: a container's changes, the files in a tar.
//!
//! Invariant: as with a pull, an image has its name only when its layer and its documents are on disk.

use crate::difference::{self, Own};
use crate::error::{Context, Error, Kind, Result};
use crate::layer::{Expected, Layer};
use crate::pack::Ids;
use crate::store::{Put, Store, Wanted, names};
use spec::Reference;
use spec::image::{Descriptor, ImageConfig, media};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// What a container has changed; one that never ran, nothing. `lower`: its image's layers, top first; `ids`: whose its
/// files are.
pub struct Changed<'a> {
    pub own: Option<&'a Own>,
    pub lower: &'a [PathBuf],
    pub ids: &'a Ids,
}

/// The image `base` with one more layer. `change`: what becomes of its configuration.
///
/// # Errors
/// [`Kind::Missing`] if the layers below are not those of `base`; the kernel's.
pub fn commit(
    store: &Store,
    base: &Descriptor,
    changed: &Changed<'_>,
    name: Option<&Reference>,
    change: impl FnOnce(&mut ImageConfig),
) -> Result<Put> {
    let what = || "cannot commit a container".to_owned();
    // From here on nothing of the base can go.
    let writer = store.writer()?;
    let gone = || Error::new(Kind::Missing, what(), format!("image {} is not what it was any more", names::text(base)));
    let top = changed.lower.first().ok_or_else(gone)?;
    let stored = Some(store.stored(base)?).filter(|stored| store.stands_on(stored, top)).ok_or_else(gone)?;
    let (_, _, manifest) = stored.manifest().ok_or_else(gone)?;
    let mut layers: Vec<Layer> = Wanted::all(&manifest.layers, &stored.config)?.into_iter().map(known).collect();
    let parent = layers.last().map(|layer| layer.chain_id);
    let pack = |output: &mut dyn std::io::Write| match changed.own {
        Some(own) => difference::pack(own, changed.lower, changed.ids, output),
        None => difference::pack_all(None, &[], changed.ids, output),
    };
    layers.push(writer.make_layer(parent.as_ref(), pack).context(what)?);
    let mut config = stored.config;
    change(&mut config);
    writer.put(name, config, &layers)
}

/// One that is here. In a manifest of OCI's, so with OCI's types (manifest.md).
fn known(wanted: Wanted) -> Layer {
    let kind = match wanted.blob.media_type.as_str() {
        media::DOCKER_LAYER => media::LAYER,
        media::DOCKER_LAYER_GZIP => media::LAYER_GZIP,
        other => other,
    };
    let descriptor = Descriptor::new(kind, wanted.blob.digest, wanted.blob.size);
    Layer { descriptor, diff_id: wanted.diff_id, chain_id: wanted.chain_id, skipped: vec![] }
}

/// An image of one layer, the files of the tar.
///
/// # Errors
/// As [`crate::Writer::import_layer`].
pub fn import(store: &Store, from: impl Read, name: Option<&Reference>, config: ImageConfig) -> Result<Put> {
    let mut from = BufReader::with_capacity(1 << 17, from);
    check(&mut from).context(|| "cannot import a root file system".to_owned())?;
    let writer = store.writer()?;
    let layer = writer.import_layer(from, None, Expected::default())?;
    writer.put(name, config, &[layer])
}

/// What would not be understood as a tar that is none.
fn check(from: &mut impl BufRead) -> Result<()> {
    let head = from.fill_buf().map_err(sys::Error::of_io(|| "read(archive)".to_owned()))?;
    let unsupported = |what: &str, program: &str| {
        Err(Error::new(Kind::Unsupported, "", format!("it is packed with {what}"))
            .hint(format!("{program} -dc FILE | sampan import - NAME")))
    };
    match head {
        [] => Err(Error::new(Kind::Corrupt, "", "it is empty")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unsupported("xz", "xz"),
        [b'B', b'Z', b'h', ..] => unsupported("bzip2", "bzip2"),
        _ => Ok(()),
    }
}
