//! Lists of images that are made here, for a push: OCI indexes with names of their own, in `lists.json` beside the layout.
//!
//! Invariant: an image of a list lies in the store as long as the list does. Of one that is at a registry the manifest lies in
//! the list itself: what is a blob of the store has all that it leads to there. A list is no image: no container stands on it.

use crate::error::{Context, Error, Kind, Result};
use crate::fs;
use crate::layout::Layout;
use crate::store::{Store, Writer};
use serde::{Deserialize, Serialize};
use spec::Digest;
use spec::image::{Descriptor, Index, Manifest};
use std::collections::BTreeMap;

const FILE: &str = "lists.json";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    pub index: Index,
    /// Those of its images that are not here.
    #[serde(default)]
    pub abroad: BTreeMap<Digest, Abroad>,
    /// What images were called when they were added.
    #[serde(default)]
    pub names: BTreeMap<Digest, String>,
}

/// An image that is at a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abroad {
    /// The repository's whole name.
    pub home: String,
    pub manifest: String,
}

/// By their whole names.
pub type Lists = BTreeMap<String, List>;

impl List {
    /// Takes an image in, in the place of one with that digest.
    pub fn add(&mut self, image: Listable) {
        let digest = image.entry.digest;
        match self.index.manifests.iter_mut().find(|entry| entry.digest == digest) {
            Some(entry) => *entry = image.entry,
            None => self.index.manifests.push(image.entry),
        }
        self.abroad.remove(&digest);
        self.abroad.extend(image.abroad.map(|abroad| (digest, abroad)));
        self.names.extend(image.name.map(|name| (digest, name)));
    }

    /// Whether it was in it.
    pub fn remove(&mut self, digest: &Digest) -> bool {
        let before = self.index.manifests.len();
        self.index.manifests.retain(|entry| entry.digest != *digest);
        self.abroad.remove(digest);
        self.names.remove(digest);
        before != self.index.manifests.len()
    }

    /// As it is pushed.
    ///
    /// # Errors
    /// None that would be known.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.index).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))
    }
}

/// An image for a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listable {
    pub entry: Descriptor,
    pub abroad: Option<Abroad>,
    pub name: Option<String>,
}

impl Store {
    /// # Errors
    /// Their file cannot be read.
    pub fn lists(&self) -> Result<Lists> {
        if !self.root().is_dir() {
            return Ok(Lists::new());
        }
        read(&fs::open_root(self.root())?)
    }

    /// A manifest of a list, and its bytes.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it is not here.
    pub fn listed_manifest(&self, list: &List, entry: &Descriptor) -> Result<(Vec<u8>, Manifest)> {
        if let Some(Abroad { manifest, .. }) = list.abroad.get(&entry.digest) {
            let parsed = serde_json::from_str(manifest);
            let parsed = parsed.map_err(|error| Error::new(Kind::Corrupt, "cannot read a manifest", error.to_string()));
            return Ok((manifest.clone().into_bytes(), parsed?));
        }
        let missing = || Error::new(Kind::Corrupt, "", format!("manifest {} is not in the store", entry.digest));
        let layout = Layout::open(self.root())?.ok_or_else(missing)?;
        Ok((layout.read(entry)?, layout.document(entry)?))
    }
}

fn read(root: &std::os::fd::OwnedFd) -> Result<Lists> {
    let what = || "cannot read the lists of images".to_owned();
    let Some(bytes) = fs::read(root, FILE).context(what)? else { return Ok(Lists::new()) };
    serde_json::from_slice(&bytes).map_err(|error| Error::new(Kind::Corrupt, what(), error.to_string()))
}

impl Writer {
    /// Reads, changes and replaces all lists; nobody else's change is lost. An error changes nothing.
    ///
    /// # Errors
    /// The caller's; the kernel refused a write.
    pub fn change_lists<T, E: From<Error>>(&self, change: impl FnOnce(&mut Lists) -> Result<T, E>) -> Result<T, E> {
        let (root, temp) = self.root_and_temp();
        let _lock = self.lock_index()?;
        let mut lists = read(root)?;
        let result = change(&mut lists)?;
        let write = || -> Result<()> {
            let bytes = serde_json::to_vec(&lists).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))?;
            fs::write_synced(temp, FILE, &bytes)?;
            fs::rename(temp, FILE, root, FILE)?;
            fs::sync_dir(root).map_err(Into::into)
        };
        write().context(|| "cannot write the lists of images".to_owned())?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::image::media;

    #[test]
    fn an_image_is_in_it_once() {
        let entry = |size| Descriptor::new(media::MANIFEST, Digest::of(b"a"), size);
        let mut list = List::default();
        let abroad = Abroad { home: "h/a".into(), manifest: "{}".into() };
        list.add(Listable { entry: entry(1), abroad: Some(abroad), name: Some("h/a:1".into()) });
        list.add(Listable { entry: entry(2), abroad: None, name: None });
        assert_eq!((list.index.manifests.len(), list.index.manifests[0].size), (1, 2));
        assert!(list.abroad.is_empty() && list.names.len() == 1);
        assert!(list.remove(&Digest::of(b"a")) && !list.remove(&Digest::of(b"a")));
        assert_eq!(list, List::default());
    }
}
