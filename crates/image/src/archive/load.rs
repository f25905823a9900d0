//! Reading: an OCI image layout, or docker's form before it.

use super::source::Source;
use super::{CONTAINERD_NAME, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::layer::Expected;
use crate::store::{Store, Wanted, Writer};
use spec::image::{Descriptor, ImageConfig, Index, Manifest, Platform, REF_NAME, media};
use spec::{ChainId, Digest, Reference};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// An image that came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub name: Option<Reference>,
    /// Of the configuration.
    pub id: Digest,
    /// What the archive's index has of it, and no name.
    pub entry: Descriptor,
    /// The name stood for another image before.
    pub moved: bool,
}

/// From a tar, gzip and zstd too, or from a directory. `tag`: the name of an image that has none.
///
/// # Errors
/// It is no archive of images; [`Kind::Corrupt`] if it does not hold what it says; as [`Writer::fetch`].
pub fn load(store: &Store, from: Input<'_>, tag: Option<&Reference>) -> Result<Vec<Loaded>> {
    let what = || "cannot load images".to_owned();
    let writer = store.writer()?;
    let source = match from {
        Input::Directory(path) => Source::directory(path),
        Input::Stream(stream) => Source::tar(writer.temp()?, stream),
    };
    let loader = Loader { source: source.context(what)?, writer: &writer, tag, named: true };
    loader.load().context(what)
}

/// As [`load`], for something that leads to the images before the writer is gone: they get no name.
///
/// # Errors
/// As [`load`].
pub fn take_in(writer: &Writer, from: Input<'_>) -> Result<Vec<Loaded>> {
    let what = || "cannot read images".to_owned();
    let source = match from {
        Input::Directory(path) => Source::directory(path),
        Input::Stream(stream) => Source::tar(writer.temp()?, stream),
    };
    Loader { source: source.context(what)?, writer, tag: None, named: false }.load().context(what)
}

pub enum Input<'a> {
    Directory(&'a Path),
    Stream(&'a mut dyn Read),
}

struct Loader<'a> {
    source: Source,
    writer: &'a Writer,
    tag: Option<&'a Reference>,
    named: bool,
}

impl Loader<'_> {
    fn load(&self) -> Result<Vec<Loaded>> {
        let entries: Vec<Entry> = self.document("manifest.json")?.unwrap_or_default();
        if let Some(index) = self.document::<Index>("index.json")? {
            return index
                .manifests
                .iter()
                .map(|entry| self.layout(entry, &entries))
                .collect::<Result<Vec<_>>>()
                .map(|all| all.concat());
        }
        if entries.is_empty() {
            return Err(Error::new(Kind::Unsupported, "", "it holds neither an index.json nor a manifest.json")
                .hint("sampan load takes what save of sampan, docker and podman writes"));
        }
        entries.iter().map(|entry| self.docker(entry)).collect::<Result<Vec<_>>>().map(|all| all.concat())
    }

    /// An entry of an OCI layout's index.
    fn layout(&self, entry: &Descriptor, entries: &[Entry]) -> Result<Vec<Loaded>> {
        let mut documents = Vec::new();
        let mut entry = entry.clone();
        let top = self.blob(&entry)?;
        let manifest = if entry.is_index() {
            let index: Index = parse(&top, "index")?;
            let mut here = Vec::new();
            for child in index.manifests {
                if self.source.open(&path(&child.digest))?.is_some() {
                    here.push(child);
                }
            }
            let native = Platform::native();
            let chosen = native.pick(&here).or_else(|| here.first()).cloned();
            let chosen = chosen.ok_or_else(|| Error::new(Kind::Corrupt, "", "it leads to no manifest that is here"))?;
            entry.platform.clone_from(&chosen.platform);
            documents.push((entry.clone(), top));
            let mut own = None;
            for child in &here {
                let bytes = self.blob(child)?;
                let manifest = self.image(child, bytes, &mut documents)?;
                if child.digest == chosen.digest {
                    own = Some(manifest);
                }
            }
            own
        } else {
            Some(self.image(&entry.clone(), top, &mut documents)?)
        };
        let manifest = manifest.ok_or_else(|| Error::new(Kind::Corrupt, "", "it has no manifest"))?;
        let names = Self::names(&entry, &manifest, entries);
        entry.annotations.clear();
        self.add(names, entry, manifest.config.digest, &documents)
    }

    /// A manifest with its configuration and layers.
    fn image(
        &self,
        descriptor: &Descriptor,
        bytes: Vec<u8>,
        documents: &mut Vec<(Descriptor, Vec<u8>)>,
    ) -> Result<Manifest> {
        let manifest: Manifest = parse(&bytes, "manifest")?;
        let text = self.blob(&manifest.config)?;
        let config: ImageConfig = parse(&text, "configuration")?;
        for wanted in Wanted::all(&manifest.layers, &config)? {
            let file = self.source.open(&path(&wanted.blob.digest))?;
            let file =
                file.ok_or_else(|| Error::new(Kind::Corrupt, "", format!("{} is missing", wanted.blob.digest)))?;
            self.writer.fetch(&wanted, |offset| At(file.try_clone(), offset))?;
        }
        documents.push((descriptor.clone(), bytes));
        documents.push((manifest.config.clone(), text));
        Ok(manifest)
    }

    /// As annotations say, or docker's list.
    fn names(entry: &Descriptor, manifest: &Manifest, entries: &[Entry]) -> Vec<Reference> {
        let annotated = [CONTAINERD_NAME, REF_NAME].iter().find_map(|name| entry.annotations.get(*name));
        if let Some(name) = annotated.and_then(|name| name.parse().ok()) {
            return vec![name];
        }
        let config = path(&manifest.config.digest);
        let listed =
            entries.iter().filter(|entry| entry.config == config).flat_map(|entry| entry.repo_tags.iter().flatten());
        listed.filter_map(|name| name.parse().ok()).collect()
    }

    /// docker's form before OCI's: layers are named by their place, and known by their DiffID.
    fn docker(&self, entry: &Entry) -> Result<Vec<Loaded>> {
        let text = self.source.read(&entry.config)?;
        let text = text.ok_or_else(|| Error::new(Kind::Corrupt, "", format!("{} is missing", entry.config)))?;
        let config: ImageConfig = parse(&text, "configuration")?;
        let ids = &config.rootfs.diff_ids;
        if ids.len() != entry.layers.len() {
            return Err(Error::new(Kind::Corrupt, "", "it does not list the layers that its configuration has"));
        }
        let chain = ChainId::chain(ids);
        let mut layers = Vec::new();
        for (number, (name, id)) in entry.layers.iter().zip(ids).enumerate() {
            let file = self.source.open(name)?;
            let file = file.ok_or_else(|| Error::new(Kind::Corrupt, "", format!("{name} is missing")))?;
            let parent = number.checked_sub(1).and_then(|below| chain.get(below));
            let expected = Expected { digest: None, diff_id: Some(*id) };
            layers.push(self.writer.import_layer(file, parent, expected)?.descriptor);
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::new(media::CONFIG, Digest::of(&text), text.len() as u64),
            layers,
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))?;
        let mut top = Descriptor::new(media::MANIFEST, Digest::of(&bytes), bytes.len() as u64);
        top.platform = Some(config.platform);
        let id = manifest.config.digest;
        let documents = [(top.clone(), bytes), (manifest.config, text)];
        let names = entry.repo_tags.iter().flatten().filter_map(|name| name.parse().ok()).collect();
        self.add(names, top, id, &documents)
    }

    /// Under its names; one that has none gets the one that was asked for, if any.
    fn add(
        &self,
        names: Vec<Reference>,
        entry: Descriptor,
        id: Digest,
        documents: &[(Descriptor, Vec<u8>)],
    ) -> Result<Vec<Loaded>> {
        let names = if names.is_empty() { vec![self.tag.cloned()] } else { names.into_iter().map(Some).collect() };
        let add = |name: Option<Reference>| {
            let moved = if self.named {
                self.writer.add(name.as_ref(), entry.clone(), documents)?
            } else {
                self.writer.keep(documents)?;
                false
            };
            Ok(Loaded { name, id, entry: entry.clone(), moved })
        };
        names.into_iter().map(add).collect()
    }

    fn document<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.source.read(name)?.map(|bytes| parse(&bytes, name)).transpose()
    }

    /// A document by its digest, verified.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.source.read(&path(&descriptor.digest))?;
        let bytes = bytes.ok_or_else(|| Error::new(Kind::Corrupt, "", format!("{} is missing", descriptor.digest)))?;
        let digest = Digest::of(&bytes);
        if digest != descriptor.digest {
            let why = format!("what it has as {} has the digest {digest}", descriptor.digest);
            return Err(Error::new(Kind::Corrupt, "", why));
        }
        Ok(bytes)
    }
}

/// A file from an offset on; where it cannot be had, its read says so.
struct At(std::io::Result<std::fs::File>, u64);

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let file = self.0.as_mut().map_err(|error| std::io::Error::from(error.kind()))?;
        // One open file is behind all of them, so each read says where.
        file.seek(SeekFrom::Start(self.1))?;
        let n = file.read(buffer)?;
        self.1 += n as u64;
        Ok(n)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::new(Kind::Corrupt, "", format!("its {what}: {error}")))
}
