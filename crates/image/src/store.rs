//! The store's root: `images/` (an OCI image layout), `layers/<chainID>/` (unpacked), `partial/` (blobs that are not whole
//! yet), `tmp/` (in progress).
//!
//! Invariant: an image is named only when its blobs and layers are complete and on disk. A [`Writer`] and a [`Hold`]
//! share a lock on the root, and only who holds it alone may remove what no image uses: nothing vanishes between a
//! layer's import and its image's name, or between a look at an image and its container's record.

use crate::error::{Context, Error, Kind, Result};
use crate::layer::{self, Broken, Expected, Layer, Source};
use crate::layout::Layout;
use crate::limit::{self, Limit};
use crate::temp::{self, Temp};
use crate::unpack::Rights;
use crate::{fs, gc};
use flate2::{Compression, GzBuilder};
use spec::image::{Descriptor, ImageConfig, Index, Manifest, Platform, REF_NAME, media};
use spec::{ChainId, Digest, Reference};
use std::ffi::CString;
use std::io::{BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

mod fetch;
pub(crate) mod names;
mod stored;
pub use fetch::{Came, Wanted};
pub use stored::Stored;

/// An image of which all layers are unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub manifest: Digest,
    /// The configuration's digest: what docker shows as the image's id.
    pub id: Digest,
    pub config: ImageConfig,
    /// Top first, as overlayfs's `lowerdir` wants them.
    pub layers: Vec<PathBuf>,
}

/// `size`: of the layers as stored, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The complete reference, or whatever another tool has written.
    pub name: Option<String>,
    /// Of the index.
    pub entry: Descriptor,
    pub manifest: Digest,
    pub id: Digest,
    pub created: Option<String>,
    pub size: u64,
    pub labels: spec::image::Annotations,
}

impl Listed {
    fn read(layout: &Layout, entry: &Descriptor) -> Result<Self> {
        let (digest, manifest) = manifest(layout, entry, None)?;
        let config: ImageConfig = layout.document(&manifest.config)?;
        Ok(Self {
            name: names::of(entry).map(str::to_owned),
            entry: entry.clone(),
            manifest: digest,
            id: manifest.config.digest,
            created: config.created,
            size: manifest.layers.iter().map(|layer| layer.size).sum(),
            labels: config.config.labels,
        })
    }
}

/// An entry of the index whose image cannot be read.
#[derive(Debug)]
pub struct Damaged {
    pub entry: Descriptor,
    pub why: Error,
}

/// Nothing is opened or made until it is asked for.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// `root` is `/var/lib/sampan`, rootless `$XDG_DATA_HOME/sampan`.
    #[must_use]
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn layer_path(&self, layer: &ChainId) -> PathBuf {
        self.root.join("layers").join(layer.0.hex())
    }

    /// The image of that name, or `None`. `platform`: which of an index's; else this machine's, else the one that is here.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it is named but not whole, [`Kind::Unsupported`] if it is not for this machine.
    pub fn resolve(&self, name: &Reference, platform: Option<&Platform>) -> Result<Option<Image>> {
        let what = || format!("cannot use image {}", name.familiar());
        let Some(layout) = Layout::open(&self.root).context(what)? else {
            return Ok(None);
        };
        let index = layout.index()?;
        let Some(entry) = index.manifests.iter().find(|entry| names::is_named(entry, name)) else {
            return Ok(None);
        };
        self.load(&layout, entry, platform).context(what).map(Some)
    }

    /// The image of an entry of the index.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn image(&self, entry: &Descriptor, platform: Option<&Platform>) -> Result<Image> {
        let what = || format!("cannot use image {}", names::text(entry));
        self.load(&self.layout().context(what)?, entry, platform).context(what)
    }

    fn layout(&self) -> Result<Layout> {
        let none = || Error::new(Kind::Missing, "", format!("there is no store at {}", self.root.display()));
        Layout::open(&self.root)?.ok_or_else(none)
    }

    /// The index's entry of that name, or `None`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn entry(&self, name: &Reference) -> Result<Option<Descriptor>> {
        let Some(layout) = Layout::open(&self.root)? else { return Ok(None) };
        Ok(layout.index()?.manifests.into_iter().find(|entry| names::is_named(entry, name)))
    }

    /// All that the store has of an entry's image, for those who hand it on.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn stored(&self, entry: &Descriptor) -> Result<Stored> {
        let what = || format!("cannot read image {}", names::text(entry));
        Stored::read(&self.layout().context(what)?, entry.clone()).context(what)
    }

    /// Whether the image's top layer is unpacked there.
    #[must_use]
    pub fn stands_on(&self, stored: &Stored, layer: &Path) -> bool {
        ChainId::chain(&stored.config.rootfs.diff_ids).last().is_some_and(|top| self.layer_path(top) == layer)
    }

    /// Where its layers are unpacked, top first.
    #[must_use]
    pub fn layers(&self, stored: &Stored) -> Vec<PathBuf> {
        ChainId::chain(&stored.config.rootfs.diff_ids).iter().rev().map(|id| self.layer_path(id)).collect()
    }

    /// A blob's file, unverified.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it is not there.
    pub fn blob(&self, digest: &Digest) -> Result<std::fs::File> {
        let file = match Layout::open(&self.root)? {
            Some(layout) => layout.open_blob(digest)?,
            None => None,
        };
        file.ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("cannot read blob {digest}"), "it is not in the store")
                .hint("sampan pull fetches what is missing")
        })
    }

    /// Repositories of that registry whose images have the blob, as the store knows.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn repositories_with(&self, registry: &str, digest: &Digest) -> Result<Vec<String>> {
        let Some(layout) = Layout::open(&self.root)? else { return Ok(vec![]) };
        let mut found = Vec::new();
        for entry in layout.index()?.manifests {
            let name = names::of(&entry).and_then(|text| text.parse::<Reference>().ok());
            let Some(name) = name.filter(|name| name.registry() == registry) else { continue };
            let (_, manifest) = manifest(&layout, &entry, None)?;
            if manifest.layers.iter().any(|layer| layer.digest == *digest) {
                found.push(name.repository().to_owned());
            }
        }
        Ok(found)
    }

    /// As [`Store::resolve`], for a name that must be there.
    ///
    /// # Errors
    /// [`Kind::Missing`] with the nearest name or the command that makes the image.
    pub fn require(&self, name: &Reference, platform: Option<&Platform>) -> Result<Image> {
        if let Some(image) = self.resolve(name, platform)? {
            return Ok(image);
        }
        let error =
            Error::new(Kind::Missing, format!("cannot find image {}", name.familiar()), "it is not in the store");
        let have = self.list()?.into_iter().filter_map(|listed| listed.name?.parse::<Reference>().ok());
        let wanted = name.familiar();
        let near = have.map(|name| (distance(&wanted, &name.familiar()), name.familiar())).min();
        Err(match near {
            Some((steps, near)) if steps <= 3 => error.hint(format!("did you mean {near}?")),
            _ if name.repository() == "library/busybox" => error.hint("sampan image bootstrap busybox"),
            _ => error.hint(format!("sampan pull {wanted}; sampan images shows what there is")),
        })
    }

    /// All images that can be read, in the index's order.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        Ok(self.look()?.0)
    }

    /// The same, and those whose documents are damaged or gone.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn look(&self) -> Result<(Vec<Listed>, Vec<Damaged>)> {
        let _hold = self.hold()?;
        let (mut images, mut damaged) = (Vec::new(), Vec::new());
        let Some(layout) = Layout::open(&self.root).context(|| "cannot list images".to_owned())? else {
            return Ok((images, damaged));
        };
        for entry in layout.index()?.manifests {
            match Listed::read(&layout, &entry) {
                Ok(listed) => images.push(listed),
                Err(error) => {
                    let what = format!("cannot read image {}", names::text(&entry));
                    // Which of its documents it is.
                    let why = if error.what.is_empty() { error.why } else { format!("{}: {}", error.what, error.why) };
                    let why = Error { what, why, ..error }.hint("sampan system check --repair fetches it again");
                    damaged.push(Damaged { entry, why });
                }
            }
        }
        Ok((images, damaged))
    }

    /// The images that each of these names stands for, by the digests of their configurations: of an index all that are
    /// here. What is damaged, or not here, is none.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn ids(&self, names: &[Reference]) -> Result<Vec<Vec<Digest>>> {
        let _hold = self.hold()?;
        let Some(layout) = Layout::open(&self.root)? else { return Ok(vec![vec![]; names.len()]) };
        let all = layout.index()?.manifests;
        let id = |entry: &Descriptor| layout.document::<Manifest>(entry).ok().map(|manifest| manifest.config.digest);
        let ids = |name: &Reference| match all.iter().find(|entry| names::is_named(entry, name)) {
            Some(entry) if entry.is_index() => {
                let index = layout.document::<Index>(entry);
                index.iter().flat_map(|index| &index.manifests).filter_map(id).collect()
            }
            entry => entry.and_then(id).into_iter().collect(),
        };
        Ok(names.iter().map(ids).collect())
    }

    /// Until it is dropped no layer is removed: to be had before an image is resolved whose layers are to be used. `None`
    /// where there is no store.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn hold(&self) -> Result<Option<Hold>> {
        if !self.root.is_dir() {
            return Ok(None);
        }
        let take = || -> Result<_> {
            let root = fs::open_root(&self.root)?;
            fs::lock(&root, false, true)?;
            Ok(Some(Hold { _lock: root }))
        };
        take().context(|| format!("cannot read the store {}", self.root.display()))
    }

    /// The right to add. Removes first what dead writers left.
    ///
    /// # Errors
    /// The store cannot be made or written.
    pub fn writer(&self) -> Result<Writer> {
        let what = || format!("cannot write to the store {}", self.root.display());
        self.try_writer().context(what)
    }

    fn try_writer(&self) -> Result<Writer> {
        let limit = Limit::parse(std::env::var(limit::VARIABLE).ok().as_deref())?;
        make_root(&self.root)?;
        let root = fs::open_root(&self.root)?;
        // Its own description, so that gc's exclusive lock meets this one.
        fs::lock(&root, false, true)?;
        fs::mkdir(&root, "tmp", 0o700)?;
        let tmp = fs::open_dir(&root, "tmp")?;
        temp::sweep(tmp.as_fd())?;
        let temp = Temp::new(tmp.as_fd())?;
        let layout = Layout::create(&root, &temp)?;
        // Files of set-user-id root and of other owners lie here: nobody else may walk in (CVE-2021-41091).
        fs::mkdir(&root, "layers", 0o700)?;
        let layers = fs::open_dir(&root, "layers")?;
        fs::mkdir(&root, "partial", 0o700)?;
        let partial = fs::open_dir(&root, "partial")?;
        Ok(Writer { root, tmp, temp, layout, layers, partial, rights: Rights::current(), limit })
    }

    /// Takes entries out of the index, and with them the blobs and layers that no image needs and `in_use` does not list
    /// (the layer paths of containers). While someone else holds the store, that clearing is left to the next
    /// removal. Whether they were there.
    ///
    /// # Errors
    /// The index cannot be written, or something unused cannot be removed: the entries are gone by then.
    pub fn remove(&self, entries: &[Descriptor], in_use: &dyn Fn() -> Vec<PathBuf>) -> Result<bool> {
        let what = || format!("cannot remove image {}", entries.first().map(names::text).unwrap_or_default());
        let writer = self.writer()?;
        let found = writer.forget(entries).context(what)?;
        drop(writer);
        if found {
            gc::collect(self, in_use).context(what)?;
        }
        Ok(found)
    }

    fn load(&self, layout: &Layout, entry: &Descriptor, platform: Option<&Platform>) -> Result<Image> {
        let (digest, manifest) = manifest(layout, entry, platform)?;
        let config: ImageConfig = layout.document(&manifest.config)?;
        let native = Platform::native();
        let wanted = platform.unwrap_or(&native);
        if !config.platform.architecture.is_empty() && wanted.rank(&config.platform).is_none() {
            let machine = if platform.is_some() { "the one that was asked for" } else { "this machine" };
            let why = format!("it is for {}, and {machine} is {wanted}", config.platform);
            return Err(Error::new(Kind::Unsupported, "", why));
        }
        let mut layers: Vec<_> = ChainId::chain(&config.rootfs.diff_ids).iter().map(|id| self.layer_path(id)).collect();
        if let Some(missing) = layers.iter().find(|layer| !layer.is_dir()) {
            return Err(Error::new(Kind::Corrupt, "", format!("its layer {} is missing", missing.display()))
                .hint("sampan pull, or sampan system check --repair, fetches it again"));
        }
        layers.reverse();
        Ok(Image { manifest: digest, id: manifest.config.digest, config, layers })
    }
}

/// An image that has its name now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    pub manifest: Digest,
    /// Of the configuration.
    pub id: Digest,
    /// The name stood for another image before.
    pub moved: bool,
}

/// The assurance that no layer is removed.
#[derive(Debug)]
pub struct Hold {
    /// The shared lock on the root.
    _lock: OwnedFd,
}

/// The right to add to the store. Dropping it removes what was not finished.
pub struct Writer {
    /// The root, with the shared lock.
    root: OwnedFd,
    tmp: OwnedFd,
    temp: Temp,
    layout: Layout,
    layers: OwnedFd,
    partial: OwnedFd,
    rights: Rights,
    limit: Limit,
}

impl Writer {
    pub(crate) fn rights(&self) -> (Rights, Limit) {
        (self.rights, self.limit)
    }

    /// Documents for something that leads to them before this value is gone.
    pub(crate) fn keep(&self, documents: &[(Descriptor, Vec<u8>)]) -> Result<()> {
        documents
            .iter()
            .try_for_each(|(descriptor, bytes)| self.layout.add(&self.temp, &descriptor.media_type, bytes).map(drop))
    }

    pub(crate) fn root_and_temp(&self) -> (&OwnedFd, &Temp) {
        (&self.root, &self.temp)
    }

    /// Nobody else changes the index or the lists until it is dropped.
    pub(crate) fn lock_index(&self) -> Result<OwnedFd> {
        self.layout.lock()
    }

    /// A directory for work in progress, which goes with its value.
    pub(crate) fn temp(&self) -> Result<Temp> {
        Temp::new(self.tmp.as_fd()).map_err(Into::into)
    }

    /// Stores and unpacks one layer: tar, plain or gzip, on `parent` (`None`: the bottom layer).
    ///
    /// # Errors
    /// As [`crate::unpack::unpack`]; [`Kind::Corrupt`] if it is not what was `expected`. The store is then as before.
    pub fn import_layer(&self, stream: impl Read, parent: Option<&ChainId>, expected: Expected) -> Result<Layer> {
        self.import(stream, parent, expected).context(|| "cannot import a layer".to_owned())
    }

    fn import(&self, stream: impl Read, parent: Option<&ChainId>, expected: Expected) -> Result<Layer> {
        let temp = Temp::new(self.tmp.as_fd())?;
        let source = Source { file: fs::create(&temp, layer::BLOB, 0o644)?, kept: 0, stream };
        self.take_in(&temp, source, parent, expected)
    }

    /// `source.file` is the temporary directory's blob.
    fn take_in(
        &self,
        temp: &Temp,
        source: Source<impl Read>,
        parent: Option<&ChainId>,
        expected: Expected,
    ) -> Result<Layer> {
        let layer = layer::receive(temp, source, self.rights(), parent, &mut Broken::default())?;
        layer::check(&layer, expected)?;
        self.layout.adopt(temp, layer::BLOB, layer.descriptor.digest)?;
        self.place(temp, &layer.chain_id)?;
        Ok(layer)
    }

    /// Stores and unpacks a layer of the tar that `fill` writes.
    ///
    /// # Errors
    /// Those of `fill`; as [`Writer::import_layer`].
    pub fn make_layer(
        &self,
        parent: Option<&ChainId>,
        fill: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Layer> {
        self.make(parent, fill).context(|| "cannot make a layer".to_owned())
    }

    fn make(&self, parent: Option<&ChainId>, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Layer> {
        let temp = Temp::new(self.tmp.as_fd())?;
        let file = BufWriter::with_capacity(1 << 17, fs::create(&temp, layer::BLOB, 0o644)?);
        // No name and time in the gzip header, so that only the content counts.
        let mut packed = GzBuilder::new().mtime(0).write(file, Compression::default());
        fill(&mut packed)?;
        let written = packed.finish().and_then(|mut file| file.flush());
        written.map_err(sys::Error::of_io(|| "write(layer)".to_owned()))?;
        let file = fs::open(&temp, layer::BLOB)?;
        let file = file.ok_or_else(|| Error::new(Kind::Corrupt, "", "it is gone from the store"))?;
        let kept = file.metadata().map_err(sys::Error::of_io(|| "fstat(layer)".to_owned()))?.len();
        let source = Source { file, kept, stream: std::io::empty() };
        self.take_in(&temp, source, parent, Expected::default())
    }

    /// Gives an unpacked layer its name.
    pub(crate) fn place(&self, temp: &Temp, chain: &ChainId) -> Result<()> {
        match fs::rename(temp, layer::TREE, &self.layers, &chain.0.hex()) {
            // Someone was faster with the same content.
            Err(error) if matches!(error.errno, rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => {}
            result => result?,
        }
        fs::sync_dir(&self.layers).map_err(Into::into)
    }

    /// Takes in an image whose layers are here, under a name or without. `entry` is that of the index, or of the manifest
    /// where there is none; `documents` are all of them, the configuration too, as they came. Whether the name stood for
    /// another one before, which stays without it.
    ///
    /// # Errors
    /// The kernel refused a write.
    pub fn add(
        &self,
        name: Option<&Reference>,
        mut entry: Descriptor,
        documents: &[(Descriptor, Vec<u8>)],
    ) -> Result<bool> {
        entry.annotations.remove(REF_NAME);
        entry.annotations.extend(name.map(|name| (REF_NAME.to_owned(), name.to_string())));
        let what = format!("cannot store image {}", names::text(&entry));
        let put = || {
            for (descriptor, bytes) in documents {
                self.layout.add(&self.temp, &descriptor.media_type, bytes)?;
            }
            self.layout.change(&self.temp, |index| names::give(&self.layout, index, entry))
        };
        put().context(|| what)
    }

    /// Takes entries out of the index; what they led to stays until it is collected. Whether they were there.
    pub(crate) fn forget(&self, entries: &[Descriptor]) -> Result<bool> {
        self.layout.change(&self.temp, |index| {
            let before = index.manifests.len();
            index.manifests.retain(|entry| !entries.iter().any(|asked| names::is_same(entry, asked)));
            before != index.manifests.len()
        })
    }

    /// Takes the names of these entries away. An image that has no other stays without one.
    ///
    /// # Errors
    /// The kernel refused a write.
    pub fn untag(&self, entries: &[Descriptor]) -> Result<()> {
        self.layout
            .change(&self.temp, |index| names::take(&self.layout, index, entries))
            .context(|| format!("cannot untag {}", entries.first().map(names::text).unwrap_or_default()))
    }

    /// Takes in an image of these layers (bottom first). `config.rootfs` is filled in. A name that exists moves to the new
    /// image.
    ///
    /// # Errors
    /// The kernel refused a write.
    pub fn put(&self, name: Option<&Reference>, mut config: ImageConfig, layers: &[Layer]) -> Result<Put> {
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        let platform = config.platform.clone();
        let documents = || -> Result<_> {
            let text = json(&config)?;
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(media::MANIFEST.to_owned()),
                artifact_type: None,
                config: Descriptor::new(media::CONFIG, Digest::of(&text), text.len() as u64),
                layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
                subject: None,
                annotations: Default::default(),
            };
            let bytes = json(&manifest)?;
            let mut entry = Descriptor::new(media::MANIFEST, Digest::of(&bytes), bytes.len() as u64);
            entry.platform = Some(platform);
            Ok((entry.clone(), [(manifest.config, text), (entry, bytes)]))
        };
        let (entry, documents) = documents().context(|| "cannot store an image".to_owned())?;
        let (manifest, id) = (entry.digest, documents[0].0.digest);
        let moved = self.add(name, entry, &documents)?;
        Ok(Put { manifest, id, moved })
    }
}

/// The lock of who may remove what is unused; `None` while anyone writes.
pub(crate) fn alone(root: &Path) -> Result<Option<OwnedFd>> {
    let root = fs::open_root(root)?;
    Ok(fs::lock(&root, true, false)?.then_some(root))
}

/// Moves an unpacked layer out of sight before it is taken apart: under its name it is whole, always.
pub(crate) fn drop_layer(root: &OwnedFd, name: &CString) -> Result<()> {
    let temp = Temp::new(fs::open_dir(root, "tmp")?.as_fd())?;
    let layers = fs::open_dir(root, "layers")?;
    let text = name.to_string_lossy();
    fs::rename(&layers, &text, &temp, &text)?;
    sys::tree::remove(temp.as_fd(), name).map_err(Into::into)
}

/// The manifest an index entry stands for: itself, or one out of a nested index, of which not all need be here: the one
/// for `platform`, else this machine's, else the one that was fetched.
pub(crate) fn manifest(layout: &Layout, entry: &Descriptor, platform: Option<&Platform>) -> Result<(Digest, Manifest)> {
    if !entry.is_index() {
        return Ok((entry.digest, layout.document(entry)?));
    }
    let index: Index = layout.document(entry)?;
    let native = Platform::native();
    let mut here = Vec::new();
    for entry in index.manifests {
        if layout.has(&entry.digest)? {
            here.push(entry);
        }
    }
    let wanted = platform.unwrap_or(&native);
    let fetched = entry.platform.as_ref().filter(|_| platform.is_none());
    let ours = wanted.pick(&here).or_else(|| fetched?.pick(&here));
    let ours = ours.ok_or_else(|| Error::new(Kind::Unsupported, "", format!("it has no variant for {wanted} here")))?;
    Ok((ours.digest, layout.document(ours)?))
}

fn json(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))
}

/// Readable by its owner alone (layers hold other owners' files), parents as usual.
fn make_root(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    if path.is_dir() {
        return Ok(());
    }
    builder.create(path).map_err(sys::Error::of_io(|| format!("mkdir({path:?}, 0o700)"))).map_err(Into::into)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
