//! What a tag at a registry is to lead to: manifests, what is left of an index over them, and where their blobs are.
//!
//! Invariant: until it is dressed otherwise all of it is sent as it lies here, byte for byte.

use super::Failure;
use image::convert::{Packing, Repacked, Wish};
use image::{Store, Stored, Wanted};
use registry::Repository;
use registry::side::by_side;
use spec::image::{Descriptor, ImageConfig, Index, Manifest, Platform};
use std::collections::HashSet;
use std::io::{Read, Seek as _, SeekFrom};

pub struct Parcel<'a> {
    store: &'a Store,
    pub images: Vec<Image>,
    /// None: the tag leads to the one image.
    pub index: Option<(Descriptor, Vec<u8>, Index)>,
    made: Option<Repacked>,
}

pub struct Image {
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
    pub manifest: Manifest,
    /// Where its blobs are that the store has not.
    pub home: Option<Repository>,
}

impl<'a> Parcel<'a> {
    /// Of an index only what is here whole can be handed on; else the variant that is. `platform`: that one alone.
    ///
    /// # Errors
    /// It has no variant for the platform.
    pub fn of_stored(store: &'a Store, stored: Stored, platform: Option<&Platform>) -> Result<Self, Failure> {
        let whole = stored.whole && stored.entry.is_index() && platform.is_none();
        let image = |(descriptor, bytes, manifest)| Image { descriptor, bytes, manifest, home: None };
        let index = match whole.then(|| serde_json::from_slice(&stored.top)).transpose() {
            Ok(index) => index.map(|index| (stored.entry.clone(), stored.top, index)),
            Err(error) => return Err(unusable("its index", &error.to_string())),
        };
        let mut manifests = stored.manifests;
        if let Some(platform) = platform {
            let own = |entry: &Descriptor| entry.platform.clone().unwrap_or_else(|| stored.config.platform.clone());
            let rank = |entry: &Descriptor| platform.rank(&own(entry));
            manifests.retain(|(entry, ..)| rank(entry).is_some());
            manifests.sort_by_key(|(entry, ..)| std::cmp::Reverse(rank(entry)));
            if manifests.is_empty() {
                return Err(unusable("it", &format!("it has no variant for {platform} here")));
            }
        }
        if !whole {
            manifests.truncate(1);
        }
        Ok(Self { store, images: manifests.into_iter().map(image).collect(), index, made: None })
    }

    /// Of images that are here and of others that are at registries.
    #[must_use]
    pub fn of_list(store: &'a Store, index: (Descriptor, Vec<u8>, Index), images: Vec<Image>) -> Self {
        Self { store, images, index: Some(index), made: None }
    }

    /// Changes what has to be changed for it to be as it is wanted.
    ///
    /// # Errors
    /// That cannot be; the disk is full.
    pub fn dress(&mut self, wish: &Wish, width: usize) -> Result<(), Failure> {
        for number in 0..self.images.len() {
            let layers = self.layers(number, wish, width)?;
            let Some(image) = self.images.get_mut(number) else { continue };
            let own = (&image.descriptor, image.bytes.as_slice(), &image.manifest);
            let (descriptor, bytes, manifest) = wish.manifest(own, layers)?;
            (image.descriptor, image.bytes, image.manifest) = (descriptor, bytes, manifest);
        }
        if let Some((entry, bytes, index)) = &mut self.index {
            let manifests: Vec<Descriptor> = self.images.iter().map(|image| image.descriptor.clone()).collect();
            let same = manifests.iter().map(|entry| entry.digest).eq(index.manifests.iter().map(|entry| entry.digest));
            if wish.documents.is_some() || !same {
                let (made, new) = wish.index(index, manifests)?;
                let kind = new.media_type.clone().unwrap_or_else(|| entry.media_type.clone());
                *entry = Descriptor::new(&kind, spec::Digest::of(&made), made.len() as u64);
                (*bytes, *index) = (made, new);
            }
        }
        Ok(())
    }

    /// The image's layers, those that are to be others made.
    fn layers(&mut self, number: usize, wish: &Wish, width: usize) -> Result<Vec<Descriptor>, Failure> {
        let Some(image) = self.images.get(number) else { return Ok(vec![]) };
        let mut layers = image.manifest.layers.clone();
        let Some(packing) = wish.packing.filter(|_| layers.iter().any(|layer| !wish.keeps(layer))) else {
            return Ok(layers);
        };
        let wanted = Wanted::all(&layers, &self.config(image)?)?;
        let repacked = match self.made.take() {
            Some(made) => made,
            None => self.store.writer()?.repacked()?,
        };
        let made = std::sync::Mutex::new(Vec::new());
        by_side(&wanted, width, |place, layer| {
            if !wish.keeps(&layer.blob) {
                let packed = self.pack(&repacked, image, layer, packing)?;
                made.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, packed));
            }
            Ok::<_, Failure>(())
        })?;
        for (place, layer) in made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            if let Some(old) = layers.get_mut(place) {
                *old = layer;
            }
        }
        self.made = Some(repacked);
        Ok(layers)
    }

    fn pack(&self, to: &Repacked, image: &Image, layer: &Wanted, packing: Packing) -> Result<Descriptor, Failure> {
        let content = self.open(image, &layer.blob, 0)?;
        let what = || format!("cannot compress layer {}", layer.blob.digest);
        to.layer(&layer.blob, content, &layer.diff_id, packing)
            .map_err(|error| Failure { what: what(), ..error.into() })
    }

    fn config(&self, image: &Image) -> Result<ImageConfig, Failure> {
        let mut text = Vec::new();
        let read = self.open(image, &image.manifest.config, 0)?.take(1 << 24).read_to_end(&mut text);
        read.map_err(|error| unusable("its configuration", &error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| unusable("its configuration", &error.to_string()))
    }

    /// A blob of an image from `offset` on: one that was made, the store's, or a registry's.
    ///
    /// # Errors
    /// It is not there.
    pub fn open<'b>(&self, image: &'b Image, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + 'b>, Failure> {
        let made = match &self.made {
            Some(made) => made.open(&blob.digest)?,
            None => None,
        };
        let file = match (made, self.store.blob(&blob.digest), &image.home) {
            (Some(file), ..) | (None, Ok(file), _) => file,
            (None, Err(_), Some(home)) => return Ok(Box::new(home.blob(blob, offset))),
            (None, Err(error), None) => return Err(error.into()),
        };
        let mut file = file;
        file.seek(SeekFrom::Start(offset)).map_err(|error| unusable(&blob.digest.to_string(), &error.to_string()))?;
        Ok(Box::new(file))
    }

    /// All of them, each once, configurations last.
    #[must_use]
    pub fn blobs(&self) -> Vec<(&Image, &Descriptor)> {
        let mut seen = HashSet::new();
        let layers = self.images.iter().flat_map(|image| image.manifest.layers.iter().map(move |layer| (image, layer)));
        let configs = self.images.iter().map(|image| (image, &image.manifest.config));
        layers.chain(configs).filter(|(_, blob)| seen.insert(blob.digest)).collect()
    }

    /// What the tag will lead to.
    #[must_use]
    pub fn top(&self) -> Option<(&Descriptor, &[u8])> {
        match &self.index {
            Some((entry, bytes, _)) => Some((entry, bytes)),
            None => self.images.first().map(|image| (&image.descriptor, image.bytes.as_slice())),
        }
    }
}

fn unusable(what: &str, why: &str) -> Failure {
    Failure { what: format!("cannot read {what}"), why: why.to_owned(), hint: None }
}
