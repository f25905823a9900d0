//! Proof that the store holds what it says: every blob hashed anew, every layer unpacked anew and compared.
//!
//! Invariant: nothing is changed but with `repair`, and then only what is bad. A layer that a container stands on stays.

use crate::error::{Context, Error, Kind, Result};
use crate::layer::{self, Broken, Expected, Source};
use crate::layout::Layout;
use crate::store::{self, Store, Wanted, Writer, names};
use crate::temp::Temp;
use crate::{compare, fs};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spec::Digest;
use spec::image::{Descriptor, ImageConfig, Index, Manifest};
use std::collections::HashSet;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The image's name.
    pub image: String,
    pub what: String,
    /// It is as it should be again.
    pub mended: bool,
    /// Bad content was taken away; a pull of the image brings it back.
    pub fetch: bool,
}

/// How much was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub images: usize,
    pub layers: usize,
    pub findings: Vec<Finding>,
}

/// # Errors
/// The index cannot be read, or the disk not be written to: layers are unpacked for the comparison.
pub fn check(store: &Store, repair: bool, in_use: &dyn Fn() -> Vec<PathBuf>) -> Result<Checked> {
    let what = || format!("cannot check the store {}", store.root().display());
    let mut checked = Checked::default();
    let Some(layout) = Layout::open(store.root()).context(what)? else { return Ok(checked) };
    let writer = store.writer()?;
    let mut check = Check {
        store,
        layout: &layout,
        writer: &writer,
        repair,
        in_use: in_use(),
        seen: HashSet::new(),
        checked: &mut checked,
    };
    for entry in layout.index().context(what)?.manifests {
        check.image(&entry).context(what)?;
    }
    Ok(checked)
}

struct Check<'a> {
    store: &'a Store,
    layout: &'a Layout,
    writer: &'a Writer,
    repair: bool,
    in_use: Vec<PathBuf>,
    seen: HashSet<Digest>,
    checked: &'a mut Checked,
}

impl Check<'_> {
    fn image(&mut self, entry: &Descriptor) -> Result<()> {
        self.checked.images += 1;
        let first = self.checked.findings.len();
        self.content(entry)?;
        let bad = |finding: &Finding| finding.fetch;
        if names::of(entry).is_none() && self.checked.findings[first..].iter().any(bad) {
            self.writer.forget(std::slice::from_ref(entry))?;
            for finding in self.checked.findings[first..].iter_mut().filter(|finding| bad(finding)) {
                finding.what += "; it has no name to be fetched by, and was removed";
                (finding.mended, finding.fetch) = (true, false);
            }
        }
        Ok(())
    }

    fn content(&mut self, entry: &Descriptor) -> Result<()> {
        let name = names::of(entry).map_or_else(|| entry.digest.to_string(), str::to_owned);
        if !self.blob(&name, entry)? {
            return Ok(());
        }
        let mut manifests = vec![entry.clone()];
        if entry.is_index() {
            let index: Index = self.layout.document(entry)?;
            manifests.clear();
            for child in index.manifests {
                if self.layout.has(&child.digest)? {
                    manifests.push(child);
                }
            }
            if manifests.is_empty() {
                self.find(&name, "none of its manifests is here".to_owned(), false, true);
            }
        }
        manifests.iter().try_for_each(|manifest| self.manifest(&name, manifest))
    }

    fn manifest(&mut self, name: &str, descriptor: &Descriptor) -> Result<()> {
        if !self.blob(name, descriptor)? {
            return Ok(());
        }
        let manifest: Manifest = self.layout.document(descriptor)?;
        if !self.blob(name, &manifest.config)? {
            return Ok(());
        }
        let config: ImageConfig = self.layout.document(&manifest.config)?;
        for wanted in Wanted::all(&manifest.layers, &config)? {
            if self.blob(name, &wanted.blob)? && self.seen.insert(wanted.chain_id.0) {
                self.checked.layers += 1;
                self.layer(name, &wanted)?;
            }
        }
        Ok(())
    }

    /// Whether it is what its digest says; a bad one is taken away.
    fn blob(&mut self, name: &str, blob: &Descriptor) -> Result<bool> {
        let Some(mut file) = self.layout.open_blob(&blob.digest)? else {
            self.find(name, format!("{} is missing", blob.digest), false, true);
            return Ok(false);
        };
        let digest = hash(&mut file).map_err(sys::Error::of_io(|| format!("read({})", blob.digest)))?;
        if digest == blob.digest {
            return Ok(true);
        }
        if self.repair {
            self.layout.forget(&blob.digest)?;
        }
        self.find(name, format!("{} has other content", blob.digest), false, true);
        Ok(false)
    }

    /// The blob is good: what comes out of it is what should be there.
    fn layer(&mut self, name: &str, wanted: &Wanted) -> Result<()> {
        let Some(file) = self.layout.open_blob(&wanted.blob.digest)? else { return Ok(()) };
        let temp = self.writer.temp()?;
        let source = Source { file, kept: wanted.blob.size, stream: std::io::empty() };
        let unpacked = layer::receive(&temp, source, self.writer.rights(), None, &mut Broken::default())
            .and_then(|layer| layer::check(&layer, Expected::of(wanted)));
        if let Err(error) = unpacked {
            // The disk's errors are no finding.
            if error.kind == Kind::System {
                return Err(error);
            }
            self.find(name, format!("layer {}: {error}", wanted.diff_id), false, false);
            return Ok(());
        }
        let path = self.store.layer_path(&wanted.chain_id);
        let difference = match fs::open_root(&path) {
            Err(_) => Some("it is missing".to_owned()),
            Ok(tree) => compare::trees(&tree, &fs::open_dir(&temp, layer::TREE)?)?,
        };
        let Some(difference) = difference else { return Ok(()) };
        let used = self.in_use.contains(&path);
        if self.repair && !used {
            self.replace(&temp, wanted)?;
        }
        let note = if used { "; a container stands on it" } else { "" };
        let what = format!("layer {}: {difference}{note}", wanted.chain_id);
        self.find(name, what, self.repair && !used, false);
        Ok(())
    }

    fn replace(&self, temp: &Temp, wanted: &Wanted) -> Result<()> {
        let hex = wanted.chain_id.0.hex();
        let root = fs::open_root(self.store.root())?;
        if fs::stat(fs::open_dir(&root, "layers")?.as_fd(), &hex)?.is_some() {
            let name = CString::new(hex).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))?;
            store::drop_layer(&root, &name)?;
        }
        self.writer.place(temp, &wanted.chain_id)
    }

    fn find(&mut self, image: &str, what: String, mended: bool, fetch: bool) {
        self.checked.findings.push(Finding { image: image.to_owned(), what, mended, fetch: fetch && self.repair });
    }
}

fn hash(file: &mut impl Read) -> std::io::Result<Digest> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::finish(hash)),
            n => hash.update(&buffer[..n]),
        }
    }
}
