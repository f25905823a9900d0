//! An image as it lies in the store: its documents, each with its bytes.

use super::manifest;
use crate::error::Result;
use crate::layout::Layout;
use spec::Digest;
use spec::image::{Descriptor, ImageConfig, Index, Manifest, Platform};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Of the index, or of the manifest where there is none.
    pub entry: Descriptor,
    /// Its bytes.
    pub top: Vec<u8>,
    /// The manifests, the chosen one first; of an index only those that are here.
    pub manifests: Vec<(Descriptor, Vec<u8>, Manifest)>,
    /// Whether all that the index leads to is here.
    pub whole: bool,
    pub config: ImageConfig,
}

impl Stored {
    pub(super) fn read(layout: &Layout, entry: Descriptor) -> Result<Self> {
        let top = layout.read(&entry)?;
        let (chosen, own) = manifest(layout, &entry, None)?;
        let config = layout.document(&own.config)?;
        let mut manifests = Vec::new();
        let mut whole = true;
        if entry.is_index() {
            let index: Index = layout.document(&entry)?;
            for child in index.manifests {
                if !layout.has(&child.digest)? {
                    whole = false;
                    continue;
                }
                let bytes = layout.read(&child)?;
                let parsed: Manifest = layout.document(&child)?;
                whole &= complete(layout, &parsed)?;
                manifests.push((child, bytes, parsed));
            }
            manifests.sort_by_key(|(descriptor, ..)| descriptor.digest != chosen);
        } else {
            manifests.push((entry.clone(), top.clone(), own));
        }
        Ok(Self { entry, top, manifests, whole, config })
    }

    /// Of the manifest that a container stands on.
    #[must_use]
    pub fn manifest(&self) -> Option<&(Descriptor, Vec<u8>, Manifest)> {
        self.manifests.first()
    }

    /// Of its configuration.
    #[must_use]
    pub fn id(&self) -> Option<Digest> {
        self.manifest().map(|(_, _, manifest)| manifest.config.digest)
    }

    /// The platform it was fetched for.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.config.platform
    }
}

fn complete(layout: &Layout, manifest: &Manifest) -> Result<bool> {
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        if !layout.has(&blob.digest)? {
            return Ok(false);
        }
    }
    Ok(true)
}
