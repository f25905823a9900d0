//! The same image in other documents, or with its layers compressed otherwise, for a registry that wants it so.
//!
//! Invariant: the bytes of the configuration stay, and with them the image's id; a layer's content stays, which its DiffID
//! proves. The store is not changed.

use crate::error::{Error, Kind, Result};
use crate::fs;
use crate::layer::{GZIP, ZSTD};
use crate::store::Writer;
use crate::temp::Temp;
use flate2::bufread::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spec::image::{Descriptor, Index, Manifest, media};
use spec::{DiffId, Digest};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

/// Whose media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Documents {
    Oci,
    /// docker's image manifest version 2, schema 2.
    Docker,
}

/// How layers are compressed, and how hard where that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packing {
    Gzip(Option<u32>),
    Zstd(Option<i32>),
}

/// What is asked for; what is not stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub documents: Option<Documents>,
    pub packing: Option<Packing>,
}

impl Wish {
    /// Whether the layer is what is wanted, as far as its type says.
    #[must_use]
    pub fn keeps(&self, layer: &Descriptor) -> bool {
        let kind = layer.media_type.as_str();
        match self.packing {
            None => true,
            Some(Packing::Gzip(_)) => kind.ends_with("gzip"),
            Some(Packing::Zstd(_)) => kind.ends_with("zstd"),
        }
    }

    /// A manifest's own bytes where nothing has to change, else others. `layers`: those that it is to have.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] where the documents that are wanted have no word for something in it.
    pub fn manifest(
        &self,
        (entry, bytes, manifest): (&Descriptor, &[u8], &Manifest),
        layers: Vec<Descriptor>,
    ) -> Result<(Descriptor, Vec<u8>, Manifest)> {
        let mut new = Manifest { layers, ..manifest.clone() };
        let changed = (new.layers != manifest.layers).then(|| documents_of(&new));
        if let Some(documents) = self.documents.or(changed) {
            change(&mut new, documents)?;
        }
        if new == *manifest {
            return Ok((entry.clone(), bytes.to_vec(), new));
        }
        let kind = new.media_type.clone().unwrap_or_else(|| entry.media_type.clone());
        let bytes = json(&new)?;
        let described = Descriptor::new(&kind, Digest::of(&bytes), bytes.len() as u64);
        let (platform, annotations) = (entry.platform.clone(), entry.annotations.clone());
        Ok((Descriptor { platform, annotations, ..described }, bytes, new))
    }

    /// An index that leads to these manifests instead of its own.
    ///
    /// # Errors
    /// As [`Wish::manifest`].
    pub fn index(&self, index: &Index, manifests: Vec<Descriptor>) -> Result<(Vec<u8>, Index)> {
        let mut new = Index { manifests, ..index.clone() };
        match self.documents {
            Some(Documents::Oci) => new.media_type = Some(media::INDEX.to_owned()),
            Some(Documents::Docker) => {
                refuse(new.artifact_type.is_some() || new.subject.is_some(), "an artifact's index")?;
                new.media_type = Some(media::DOCKER_INDEX.to_owned());
                new.annotations.clear();
                new.manifests.iter_mut().for_each(|entry| entry.annotations.clear());
            }
            None => {}
        }
        Ok((json(&new)?, new))
    }
}

/// Zstd is a word of OCI's only, so documents of docker's change with it.
fn documents_of(manifest: &Manifest) -> Documents {
    let zstd = manifest.layers.iter().any(|layer| layer.media_type == media::LAYER_ZSTD);
    if manifest.config.media_type == media::DOCKER_CONFIG && !zstd { Documents::Docker } else { Documents::Oci }
}

fn change(manifest: &mut Manifest, documents: Documents) -> Result<()> {
    let (own, config) = match documents {
        Documents::Oci => (media::MANIFEST, media::CONFIG),
        Documents::Docker => (media::DOCKER_MANIFEST, media::DOCKER_CONFIG),
    };
    let image = matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG);
    refuse(!image, "an artifact")?;
    if documents == Documents::Docker {
        refuse(manifest.artifact_type.is_some() || manifest.subject.is_some(), "an artifact")?;
        manifest.annotations.clear();
    }
    manifest.media_type = Some(own.to_owned());
    manifest.config.media_type = config.to_owned();
    for layer in &mut manifest.layers {
        layer.media_type = named(&layer.media_type, documents)?.to_owned();
        if documents == Documents::Docker {
            layer.annotations.clear();
        }
    }
    Ok(())
}

fn named(kind: &str, documents: Documents) -> Result<&'static str> {
    let oci = match kind {
        media::LAYER | media::DOCKER_LAYER => media::LAYER,
        media::LAYER_GZIP | media::DOCKER_LAYER_GZIP => media::LAYER_GZIP,
        media::LAYER_ZSTD => media::LAYER_ZSTD,
        _ => {
            return Err(Error::new(
                Kind::Unsupported,
                "",
                format!("a layer of it has a type that is not known: {kind}"),
            ));
        }
    };
    match (documents, oci) {
        (Documents::Oci, oci) => Ok(oci),
        (Documents::Docker, media::LAYER) => Ok(media::DOCKER_LAYER),
        (Documents::Docker, media::LAYER_GZIP) => Ok(media::DOCKER_LAYER_GZIP),
        (Documents::Docker, _) => {
            Err(Error::new(Kind::Unsupported, "", "docker's manifests have no layers of zstd")
                .hint("gzip, or OCI's form"))
        }
    }
}

fn refuse(unable: bool, what: &str) -> Result<()> {
    if unable {
        return Err(Error::new(Kind::Unsupported, "", format!("docker's form has no word for {what}")));
    }
    Ok(())
}

fn json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Error::new(Kind::Corrupt, "", error.to_string()))
}

/// Layers that were compressed anew. They go with the value.
pub struct Repacked(Temp);

impl Writer {
    /// A place for them.
    ///
    /// # Errors
    /// The kernel refused it.
    pub fn repacked(&self) -> Result<Repacked> {
        self.temp().map(Repacked)
    }
}

impl Repacked {
    /// Compresses a layer as the packing says, whatever it was before.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if it is not what the DiffID says; the disk is full.
    pub fn layer(
        &self,
        layer: &Descriptor,
        content: impl Read,
        diff_id: &DiffId,
        packing: Packing,
    ) -> Result<Descriptor> {
        let name = format!("{}.new", layer.digest.hex());
        let made = self.pack(&name, content, diff_id, packing)?;
        fs::rename(&self.0, &name, &self.0, &made.digest.hex())?;
        Ok(made)
    }

    fn pack(&self, name: &str, content: impl Read, diff_id: &DiffId, packing: Packing) -> Result<Descriptor> {
        let mut packed = BufReader::with_capacity(1 << 17, content);
        let head = packed.fill_buf().map_err(unreadable)?;
        let plain: Box<dyn Read + '_> = if head.starts_with(&GZIP) {
            Box::new(MultiGzDecoder::new(&mut packed))
        } else if head.starts_with(&ZSTD) {
            Box::new(zstd::Decoder::with_buffer(&mut packed).map_err(unreadable)?)
        } else {
            Box::new(&mut packed)
        };
        let mut plain = Hashed { from: plain, hash: Sha256::new() };
        let file = Counted { file: fs::create(&self.0, name, 0o600)?, hash: Sha256::new(), size: 0 };
        let mut file = BufWriter::with_capacity(1 << 17, file);
        let written = |error: io::Error| -> Error { sys::Error::of_io(|| "write(layer)".to_owned())(error).into() };
        let kind = match packing {
            Packing::Gzip(level) => {
                let level = level.map_or_else(Compression::default, Compression::new);
                // No name and time, so that only the content counts.
                let mut gzip = GzBuilder::new().mtime(0).write(&mut file, level);
                copy(&mut plain, &mut gzip)?;
                gzip.finish().map_err(written)?;
                media::LAYER_GZIP
            }
            Packing::Zstd(level) => {
                let mut zstd = zstd::Encoder::new(&mut file, level.unwrap_or(0)).map_err(written)?;
                copy(&mut plain, &mut zstd)?;
                zstd.finish().map_err(written)?;
                media::LAYER_ZSTD
            }
        };
        let got = Digest::finish(plain.hash);
        if got != diff_id.0 {
            return Err(Error::new(Kind::Corrupt, "", format!("its layer is {got}, not {}", diff_id.0)));
        }
        let Counted { hash, size, .. } = file.into_inner().map_err(|error| written(error.into_error()))?;
        Ok(Descriptor::new(kind, Digest::finish(hash), size))
    }

    /// `None`: it is none of these.
    ///
    /// # Errors
    /// The kernel refused it.
    pub fn open(&self, digest: &Digest) -> Result<Option<File>> {
        Ok(fs::open(&self.0, &digest.hex())?)
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(Kind::Corrupt, "", format!("its layer cannot be read: {error}"))
}

/// Tells apart who failed.
fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                to.write_all(&buffer[..n]).map_err(sys::Error::of_io(|| "write(layer)".to_owned()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

struct Hashed<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

struct Counted {
    file: File,
    hash: Sha256,
    size: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: &[&str]) -> (Descriptor, Vec<u8>, Manifest) {
        let layer = |kind: &&str| Descriptor::new(kind, Digest::of(kind.as_bytes()), 1);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::new(media::CONFIG, Digest::of(b"{}"), 2),
            layers: layers.iter().map(layer).collect(),
            subject: None,
            annotations: [("a".to_owned(), "b".to_owned())].into(),
        };
        // Not the form that would be written here.
        let bytes = [json(&manifest).unwrap(), b"\n".to_vec()].concat();
        (Descriptor::new(media::MANIFEST, Digest::of(&bytes), bytes.len() as u64), bytes, manifest)
    }

    fn dressed(wish: Wish, layers: &[&str]) -> Result<(Descriptor, Vec<u8>, Manifest)> {
        let (entry, bytes, manifest) = manifest(layers);
        wish.manifest((&entry, &bytes, &manifest), manifest.layers.clone())
    }

    #[test]
    fn what_need_not_change_does_not() {
        let own = manifest(&[media::LAYER_GZIP]);
        for documents in [None, Some(Documents::Oci)] {
            let wish = Wish { documents, packing: Some(Packing::Gzip(None)) };
            assert!(wish.keeps(&own.2.layers[0]));
            assert_eq!(dressed(wish, &[media::LAYER_GZIP]).unwrap(), own);
        }
    }

    #[test]
    fn dockers_documents_have_dockers_types() {
        let docker = Wish { documents: Some(Documents::Docker), packing: None };
        let (entry, bytes, new) = dressed(docker, &[media::LAYER_GZIP, media::LAYER]).unwrap();
        assert_eq!((entry.media_type.as_str(), entry.digest), (media::DOCKER_MANIFEST, Digest::of(&bytes)));
        assert_eq!(new.config.media_type, media::DOCKER_CONFIG);
        let kinds: Vec<&str> = new.layers.iter().map(|layer| layer.media_type.as_str()).collect();
        assert_eq!(kinds, [media::DOCKER_LAYER_GZIP, media::DOCKER_LAYER]);
        assert!(!String::from_utf8(bytes.clone()).unwrap().contains("annotations"));
        let oci = Wish { documents: Some(Documents::Oci), packing: None };
        let (.., back) = oci.manifest((&entry, &bytes, &new), new.layers.clone()).unwrap();
        assert_eq!(back.layers, manifest(&[media::LAYER_GZIP, media::LAYER]).2.layers);
        assert!(dressed(docker, &[media::LAYER_ZSTD]).is_err());
        assert!(dressed(oci, &["application/x"]).is_err());
    }

    #[test]
    fn zstd_makes_the_documents_oci() {
        let docker = Wish { documents: Some(Documents::Docker), packing: None };
        let (entry, bytes, new) = dressed(docker, &[media::LAYER_GZIP]).unwrap();
        let other = |kind| vec![Descriptor::new(kind, Digest::of(b"x"), 1)];
        let (.., gzip) = Wish::default().manifest((&entry, &bytes, &new), other(media::LAYER_GZIP)).unwrap();
        assert_eq!(gzip.layers[0].media_type, media::DOCKER_LAYER_GZIP);
        let (entry, _, new) = Wish::default().manifest((&entry, &bytes, &new), other(media::LAYER_ZSTD)).unwrap();
        assert_eq!((entry.media_type.as_str(), new.config.media_type.as_str()), (media::MANIFEST, media::CONFIG));
    }
}
