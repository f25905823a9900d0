//! Removing what no image needs.
//!
//! Invariant: only while nobody holds the store, and only if every named image could be read: what is not understood is kept.

use crate::error::Result;
use crate::layout::Layout;
use crate::lists::List;
use crate::store::{self, Store};
use crate::{fs, partial, temp};
use spec::image::{Descriptor, ImageConfig, Index, Manifest};
use spec::{ChainId, Digest};
use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Removes unused blobs, and unpacked layers that are neither of an image nor in `in_use`. That is asked when nobody can
/// begin to use one any more. Whether it was possible: not while someone writes, or starts a container.
///
/// # Errors
/// [`crate::Kind::Corrupt`] if an image cannot be read (nothing is removed then); the first refused removal.
pub fn collect(store: &Store, in_use: &dyn Fn() -> Vec<PathBuf>) -> Result<bool> {
    clear(store, in_use, false)
}

/// As [`collect`], and the partial blobs that a pull might still have gone on with.
///
/// # Errors
/// As [`collect`].
pub fn collect_all(store: &Store, in_use: &dyn Fn() -> Vec<PathBuf>) -> Result<bool> {
    clear(store, in_use, true)
}

fn clear(store: &Store, in_use: &dyn Fn() -> Vec<PathBuf>, all: bool) -> Result<bool> {
    let Some(layout) = Layout::open(store.root())? else {
        return Ok(true);
    };
    let Some(root) = store::alone(store.root())? else {
        return Ok(false);
    };
    temp::sweep(fs::open_dir(&root, "tmp")?.as_fd())?;
    if fs::stat(&root, "partial")?.is_some() {
        partial::sweep(&fs::open_dir(&root, "partial")?, all)?;
    }
    let mut used = Used::default();
    for entry in layout.index()?.manifests {
        used.entry(&layout, &entry)?;
    }
    for list in store.lists()?.values() {
        used.list(&layout, list)?;
    }
    for blob in layout.blobs()?.iter().filter(|blob| !used.blobs.contains(blob)) {
        layout.forget(blob)?;
    }
    let in_use = in_use();
    let in_use: HashSet<_> = in_use.iter().filter_map(|path| path.file_name()).collect();
    for name in fs::names(fs::open_dir(&root, "layers")?)? {
        let chain = name.to_str().ok().and_then(Digest::from_hex).map(ChainId);
        let needed = chain.is_some_and(|chain| used.layers.contains(&chain)) || in_use.contains(fs::os(&name));
        if !needed {
            store::drop_layer(&root, &name)?;
        }
    }
    Ok(true)
}

#[derive(Default)]
struct Used {
    blobs: HashSet<Digest>,
    layers: HashSet<ChainId>,
}

impl Used {
    fn list(&mut self, layout: &Layout, list: &List) -> Result<()> {
        let mut here = list.index.manifests.iter().filter(|entry| !list.abroad.contains_key(&entry.digest));
        here.try_for_each(|entry| self.entry(layout, entry))
    }

    fn entry(&mut self, layout: &Layout, entry: &Descriptor) -> Result<()> {
        self.blobs.insert(entry.digest);
        if entry.is_index() {
            let index: Index = layout.document(entry)?;
            // Of a nested index only this machine's variant need be here.
            let have: HashSet<_> = layout.blobs()?.into_iter().collect();
            return index.manifests.iter().filter(|e| have.contains(&e.digest)).try_for_each(|e| self.entry(layout, e));
        }
        let manifest: Manifest = layout.document(entry)?;
        let config: ImageConfig = layout.document(&manifest.config)?;
        self.blobs.insert(manifest.config.digest);
        self.blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
        self.layers.extend(ChainId::chain(&config.rootfs.diff_ids));
        Ok(())
    }
}
