//! A layer from elsewhere, stored and unpacked while it arrives.
//!
//! Invariant: a blob is fetched by one at a time, each of its bytes once, however often that is interrupted; blob and tree
//! get their names only when both are what was promised.

use super::Writer;
use crate::error::{Context, Error, Kind, Result};
use crate::fs;
use crate::layer::{self, Broken, Expected, Layer, Source};
use crate::partial::Partial;
use crate::temp::Temp;
use spec::image::{Descriptor, ImageConfig};
use spec::{ChainId, DiffId};
use std::io::Read;
use std::os::fd::AsFd;

/// A layer that a manifest and its configuration promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub blob: Descriptor,
    pub diff_id: DiffId,
    pub chain_id: ChainId,
}

impl Wanted {
    /// Of an image, bottom first.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if manifest and configuration do not count the same layers.
    pub fn all(layers: &[Descriptor], config: &ImageConfig) -> Result<Vec<Self>> {
        let ids = &config.rootfs.diff_ids;
        if ids.len() != layers.len() {
            let why = format!("the manifest has {} layers, and the configuration {}", layers.len(), ids.len());
            return Err(Error::new(Kind::Corrupt, "", why));
        }
        let chain = ChainId::chain(ids);
        let wanted = |((blob, diff_id), chain_id): ((&Descriptor, &DiffId), ChainId)| Self {
            blob: blob.clone(),
            diff_id: *diff_id,
            chain_id,
        };
        Ok(layers.iter().zip(ids).zip(chain).map(wanted).collect())
    }
}

/// How a layer came to be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It was here.
    There,
    /// From a blob that was here, or from the source.
    Unpacked,
}

impl Writer {
    /// Whether the layer is here, blob and tree.
    ///
    /// # Errors
    /// The kernel's.
    pub fn has(&self, wanted: &Wanted) -> Result<bool> {
        let tree = fs::stat(&self.layers, wanted.chain_id.0.hex())?.is_some();
        Ok(tree && self.layout.has(&wanted.blob.digest)?)
    }

    /// Fetches and unpacks a layer, unless it is here; waits where another does that. `source` gives the blob from an
    /// offset on; where it breaks off, what came is kept for the next time.
    ///
    /// # Errors
    /// As [`Writer::import_layer`].
    pub fn fetch<R: Read>(&self, wanted: &Wanted, source: impl Fn(u64) -> R) -> Result<Came> {
        let what = || format!("cannot store layer {}", wanted.blob.digest);
        self.try_fetch(wanted, source).context(what)
    }

    fn try_fetch<R: Read>(&self, wanted: &Wanted, source: impl Fn(u64) -> R) -> Result<Came> {
        if self.has(wanted)? {
            return Ok(Came::There);
        }
        let mut partial = Partial::lock(&self.partial, &wanted.blob.digest)?;
        if self.has(wanted)? {
            partial.forget()?;
            return Ok(Came::There);
        }
        if let Some(file) = self.layout.open_blob(&wanted.blob.digest)? {
            partial.forget()?;
            return self.unpack_again(wanted, file).map(|()| Came::Unpacked);
        }
        let (expected, size) = (Expected::of(wanted), wanted.blob.size);
        let kept = partial.kept(size)?;
        let got = self.fetch_rest(wanted, &mut partial, kept, &source);
        let (temp, layer) = match got {
            // What was kept may have lost its content in a power cut.
            Err(Failed { broken: false, .. }) if kept > 0 => {
                partial.empty()?;
                self.fetch_rest(wanted, &mut partial, 0, &source)
            }
            got => got,
        }
        .map_err(|failed| {
            // What broke off can go on; what is wrong, or too much for the disk, is no use to anyone.
            if !failed.broken {
                let _ = partial.forget();
            }
            failed.error
        })?;
        if let Err(error) = layer::check(&layer, expected) {
            partial.forget()?;
            return Err(error);
        }
        self.layout.adopt(partial.dir(), partial.name(), wanted.blob.digest)?;
        self.place(&temp, &wanted.chain_id)?;
        Ok(Came::Unpacked)
    }

    fn fetch_rest<R: Read>(
        &self,
        wanted: &Wanted,
        partial: &mut Partial,
        kept: u64,
        source: impl Fn(u64) -> R,
    ) -> Result<(Temp, Layer), Failed> {
        let mut broken = Broken::default();
        let mut fetch = || -> Result<_> {
            let temp = Temp::new(self.tmp.as_fd())?;
            let file = partial.file.try_clone().map_err(sys::Error::of_io(|| "fcntl(F_DUPFD_CLOEXEC)".to_owned()))?;
            // Never more than the manifest says: a registry that does not stop must not fill the disk.
            let stream = source(kept).take(wanted.blob.size - kept);
            let layer = layer::receive(&temp, Source { file, kept, stream }, self.rights(), None, &mut broken)?;
            if kept > 0 {
                layer::check(&layer, Expected::of(wanted))?;
            }
            Ok((temp, layer))
        };
        fetch().map_err(|error| Failed { error, broken: broken.0 })
    }

    /// From a blob that another image brought.
    fn unpack_again(&self, wanted: &Wanted, file: std::fs::File) -> Result<()> {
        let temp = Temp::new(self.tmp.as_fd())?;
        let source = Source { file, kept: wanted.blob.size, stream: std::io::empty() };
        let layer = layer::receive(&temp, source, self.rights(), None, &mut Broken::default())?;
        layer::check(&layer, Expected::of(wanted))?;
        self.place(&temp, &wanted.chain_id)
    }
}

struct Failed {
    error: Error,
    /// The source broke off.
    broken: bool,
}
