//! Writing: only plain files, in an order and with times that are the same each time.

use super::{CONTAINERD_NAME, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::fs;
use crate::store::{Store, Stored, names};
use spec::image::{Descriptor, Index, LAYOUT, Manifest, REF_NAME};
use spec::{Digest, Reference};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Where it goes.
pub enum Form<W: Write> {
    Tar(W),
    /// A directory, made if it is not there; an image in it stays, unless it has the same name.
    Directory(std::path::PathBuf),
}

/// Saves the images of these entries of the index, with the names that they have there.
///
/// # Errors
/// One of them is not in the store, or not whole; the output cannot be written.
pub fn save<W: Write>(store: &Store, entries: &[Descriptor], form: Form<W>) -> Result<()> {
    let _hold = store.hold()?;
    let mut content = Content::default();
    for entry in entries {
        let what = || format!("cannot save image {}", names::text(entry));
        let name = names::of(entry).and_then(|text| text.parse().ok());
        content.add(name.as_ref(), &store.stored(entry)?).context(what)?;
    }
    match form {
        Form::Tar(output) => content.tar(store, output),
        Form::Directory(path) => content.directory(store, &path),
    }
    .context(|| "cannot save images".to_owned())
}

#[derive(Default)]
struct Content {
    index: Vec<Descriptor>,
    entries: Vec<Entry>,
    /// By digest, and what they weigh.
    blobs: BTreeMap<Digest, u64>,
}

impl Content {
    /// Of an index only what is here whole can be handed on; else the variant that is.
    fn add(&mut self, name: Option<&Reference>, stored: &Stored) -> Result<()> {
        let whole = stored.whole && stored.entry.is_index();
        let chosen = stored.manifest().ok_or_else(|| Error::new(Kind::Corrupt, "", "it has no manifest"))?;
        let mut entry = if whole { stored.entry.clone() } else { chosen.0.clone() };
        entry.annotations.remove(REF_NAME);
        let both = |name: &Reference| [REF_NAME, CONTAINERD_NAME].map(|key| (key.to_owned(), name.to_string()));
        entry.annotations.extend(name.into_iter().flat_map(both));
        self.blobs.insert(entry.digest, entry.size);
        for (descriptor, _, manifest) in if whole { &stored.manifests[..] } else { &stored.manifests[..1] } {
            self.blobs.insert(descriptor.digest, descriptor.size);
            self.blobs.extend(manifest.layers.iter().chain([&manifest.config]).map(|blob| (blob.digest, blob.size)));
        }
        self.index.push(entry);
        self.docker(name, &chosen.2);
        Ok(())
    }

    fn docker(&mut self, name: Option<&Reference>, manifest: &Manifest) {
        let config = blob_path(&manifest.config.digest);
        let tag = name.filter(|name| name.digest().is_none()).map(Reference::familiar);
        if let Some(known) = self.entries.iter_mut().find(|entry| entry.config == config) {
            known.repo_tags.get_or_insert_default().extend(tag);
            return;
        }
        let layers = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
        self.entries.push(Entry { config, repo_tags: Some(tag.into_iter().collect()), layers });
    }

    fn documents(&self) -> Result<[(&'static str, Vec<u8>); 3]> {
        let json = |error: serde_json::Error| Error::new(Kind::Corrupt, "", error.to_string());
        let index = Index { manifests: self.index.clone(), ..Index::default() };
        Ok([
            ("index.json", serde_json::to_vec(&index).map_err(json)?),
            ("manifest.json", serde_json::to_vec(&self.entries).map_err(json)?),
            ("oci-layout", LAYOUT.as_bytes().to_vec()),
        ])
    }

    fn tar(&self, store: &Store, output: impl Write) -> Result<()> {
        let mut tar = tar::Builder::new(output);
        for directory in ["blobs/", "blobs/sha256/"] {
            append(&mut tar, directory, tar::EntryType::Directory, 0, &mut std::io::empty())?;
        }
        for (digest, size) in &self.blobs {
            let mut file = store.blob(digest)?;
            append(&mut tar, &blob_path(digest), tar::EntryType::Regular, *size, &mut (&mut file).take(*size))?;
        }
        for (name, bytes) in self.documents()? {
            append(&mut tar, name, tar::EntryType::Regular, bytes.len() as u64, &mut bytes.as_slice())?;
        }
        tar.into_inner().and_then(|mut output| output.flush()).map_err(written)
    }

    fn directory(&self, store: &Store, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| sys::Error::of_io(|| format!("mkdir({path:?})"))(error);
        std::fs::create_dir_all(path.join("blobs/sha256")).map_err(failed)?;
        let root = fs::open_root(path)?;
        let blobs = fs::open_root(&path.join("blobs/sha256"))?;
        for digest in self.blobs.keys() {
            copy(store.blob(digest)?, &blobs, &digest.hex())?;
        }
        let mut index: Index = match fs::read(&root, "index.json")? {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::new(Kind::Corrupt, "", format!("its index.json: {error}")))?,
            None => Index::default(),
        };
        let replaced = |old: &Descriptor, new: &Descriptor| match names::of(old) {
            Some(name) => names::of(new) == Some(name),
            None => names::is_same(old, new),
        };
        index.manifests.retain(|old| !self.index.iter().any(|new| replaced(old, new)));
        index.manifests.extend(self.index.iter().cloned());
        let index = serde_json::to_vec(&index).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))?;
        for (name, bytes) in [("index.json", index.as_slice()), ("oci-layout", LAYOUT.as_bytes())] {
            copy(bytes, &root, name)?;
        }
        Ok(())
    }
}

/// Beside its name first, so that what is there is whole.
fn copy(mut from: impl Read, dir: &OwnedFd, name: &str) -> Result<()> {
    let beside = format!("{name}.{}", std::process::id());
    let mut file = fs::create(dir, &beside, 0o644)?;
    let copied = std::io::copy(&mut from, &mut file).and_then(|_| file.sync_all());
    if let Err(error) = copied {
        let _ = fs::unlink(dir, &beside);
        return Err(sys::Error::of_io(|| format!("write({name:?})"))(error).into());
    }
    fs::rename(dir, &beside, dir, name).map_err(Into::into)
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &str,
    kind: tar::EntryType,
    size: u64,
    content: &mut dyn Read,
) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, path, content).map_err(written)
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn written(error: std::io::Error) -> Error {
    sys::Error::of_io(|| "write(archive)".to_owned())(error).into()
}
