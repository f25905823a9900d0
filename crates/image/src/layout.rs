//! `images/`: an OCI image layout (image-layout.md), readable by other tools.
//!
//! Invariant: a blob under its name has that digest; `index.json` is replaced whole, by one writer at a time.

use crate::error::{Context, Error, Kind, Result};
use crate::fs;
use crate::temp::Temp;
use spec::image::{Descriptor, Index, LAYOUT};
use spec::{Digest, image};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const INDEX: &str = "index.json";
const MARK: &str = "oci-layout";

pub struct Layout {
    dir: OwnedFd,
    blobs: OwnedFd,
}

impl Layout {
    /// `None`: there is none yet.
    pub fn open(root: &Path) -> Result<Option<Self>> {
        let open = |path: &Path| match fs::open_root(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.errno == rustix::io::Errno::NOENT => Ok(None),
            Err(error) => Err(error),
        };
        let (Some(dir), Some(blobs)) = (open(&root.join("images"))?, open(&root.join("images/blobs/sha256"))?) else {
            return Ok(None);
        };
        Ok(Some(Self { dir, blobs }))
    }

    /// Makes what is missing. The mark comes last: a tool that sees it finds the rest.
    pub fn create(root: &OwnedFd, temp: &Temp) -> Result<Self> {
        fs::mkdir(root, "images", 0o755)?;
        let dir = fs::open_dir(root, "images")?;
        fs::mkdir(&dir, "blobs", 0o755)?;
        fs::mkdir(fs::open_dir(&dir, "blobs")?, "sha256", 0o755)?;
        let blobs = fs::open_dir(fs::open_dir(&dir, "blobs")?, "sha256")?;
        let layout = Self { dir, blobs };
        if fs::stat(&layout.dir, MARK)?.is_none() {
            let _lock = layout.lock()?;
            if fs::stat(&layout.dir, INDEX)?.is_none() {
                layout.write_index(temp, &Index::default())?;
            }
            layout.replace(temp, MARK, LAYOUT.as_bytes())?;
        }
        Ok(layout)
    }

    /// An absent file is an empty index.
    pub fn index(&self) -> Result<Index> {
        let what = || "cannot read the image index".to_owned();
        let Some(bytes) = fs::read(&self.dir, INDEX).context(what)? else {
            return Ok(Index::default());
        };
        serde_json::from_slice(&bytes).map_err(|error| Error::new(Kind::Corrupt, what(), error.to_string()))
    }

    /// Reads, changes and replaces the index; nobody else's change is lost.
    pub fn change<T>(&self, temp: &Temp, change: impl FnOnce(&mut Index) -> T) -> Result<T> {
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let result = change(&mut index);
        self.write_index(temp, &index)?;
        Ok(result)
    }

    /// The blob, if it is what the descriptor says.
    pub fn read(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let what = || format!("cannot read blob {}", blob.digest);
        let name = blob.digest.hex();
        let file = fs::open(&self.blobs, &name).context(what)?;
        let file = file.ok_or_else(|| Error::new(Kind::Corrupt, what(), "it is not in the store"))?;
        let bytes = fs::read_document(file, &name).context(what)?;
        if Digest::of(&bytes) != blob.digest {
            return Err(Error::new(Kind::Corrupt, what(), "its content has another digest")
                .hint("sampan system check --repair fetches it again"));
        }
        Ok(bytes)
    }

    pub fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(fs::stat(&self.blobs, digest.hex())?.is_some())
    }

    /// Unread, and so not verified.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<std::fs::File>> {
        fs::open(&self.blobs, &digest.hex()).map_err(Into::into)
    }

    pub fn document<T: serde::de::DeserializeOwned>(&self, blob: &Descriptor) -> Result<T> {
        serde_json::from_slice(&self.read(blob)?)
            .map_err(|error| Error::new(Kind::Corrupt, format!("cannot read blob {}", blob.digest), error.to_string()))
    }

    pub fn add(&self, temp: &Temp, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = Digest::of(bytes);
        let hex = digest.hex();
        if fs::stat(&self.blobs, &hex)?.is_none() {
            fs::write_synced(temp, &hex, bytes)?;
            self.adopt(temp, &hex, digest)?;
        }
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    /// Gives a complete, synced and hashed file of another directory its name.
    pub fn adopt(&self, temp: impl AsFd, name: &str, digest: Digest) -> Result<()> {
        fs::rename(temp, name, &self.blobs, &digest.hex())?;
        fs::sync_dir(&self.blobs).map_err(Into::into)
    }

    pub fn blobs(&self) -> Result<Vec<Digest>> {
        let names = fs::names(&self.blobs)?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name.to_str().ok()?)).collect())
    }

    pub fn forget(&self, blob: &Digest) -> Result<()> {
        fs::unlink(&self.blobs, blob.hex()).map_err(Into::into)
    }

    pub fn lock(&self) -> Result<OwnedFd> {
        // A descriptor of its own: flock(2) locks belong to the open file, so two users of one would not exclude.
        let lock = fs::open_dir(&self.dir, ".")?;
        fs::lock(lock.as_fd(), true, true)?;
        Ok(lock)
    }

    fn write_index(&self, temp: &Temp, index: &image::Index) -> Result<()> {
        let bytes = serde_json::to_vec(index)
            .map_err(|error| Error::new(Kind::Corrupt, "cannot write the image index", error.to_string()))?;
        self.replace(temp, INDEX, &bytes)
    }

    fn replace(&self, temp: &Temp, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write_synced(temp, name, bytes)?;
        fs::rename(temp, name, &self.dir, name)?;
        fs::sync_dir(&self.dir).map_err(Into::into)
    }
}
