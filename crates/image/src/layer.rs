//! A layer on its way in: stored, decompressed, hashed twice and unpacked in one pass over the stream.

use crate::error::{Error, Kind, Result};
use crate::fs;
use crate::temp::Temp;
use crate::unpack::{self, Rights};
use sha2::{Digest as _, Sha256};
use spec::image::{Descriptor, media};
use spec::{ChainId, DiffId, Digest};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the source promised; nothing gets a name in the store that differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    pub digest: Option<Digest>,
    pub diff_id: Option<DiffId>,
}

impl Expected {
    pub(crate) fn of(wanted: &crate::store::Wanted) -> Self {
        Self { digest: Some(wanted.blob.digest), diff_id: Some(wanted.diff_id) }
    }
}

/// A layer in the store. `skipped`: device nodes that were left out for want of rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub descriptor: Descriptor,
    pub diff_id: DiffId,
    pub chain_id: ChainId,
    pub skipped: Vec<String>,
}

pub(crate) const BLOB: &str = "blob";
pub(crate) const TREE: &str = "tree";

/// What a layer's bytes come from: first those that `file` has, then the stream, whose bytes `file` gets.
pub(crate) struct Source<R> {
    pub file: File,
    /// So many bytes of `file` are here already, and its position is before them.
    pub kept: u64,
    pub stream: R,
}

/// Whether the stream broke off, which is nobody's fault who reads it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Broken(pub bool);

/// Into `tree` of `temp`; that and the file are on disk when this returns.
pub(crate) fn receive<R: Read>(
    temp: &Temp,
    source: Source<R>,
    rights: Rights,
    parent: Option<&ChainId>,
    broken_off: &mut Broken,
) -> Result<Layer> {
    fs::mkdir(temp, TREE, 0o755)?;
    let tree = fs::open_dir(temp, TREE)?;
    let tee = Tee { source, hash: Sha256::new(), size: 0, broken: false };
    let mut packed = BufReader::with_capacity(1 << 17, tee);
    let opened = decompress(&mut packed, &tree, rights);
    *broken_off = Broken(packed.get_ref().broken);
    let (media_type, skipped, diff_id) = opened?;
    let Tee { source, hash, size, .. } = packed.into_inner();
    source.file.sync_all().map_err(sys::Error::of_io(|| "fsync(blob)".to_owned()))?;
    // One call for the whole tree: an fsync for each of thousands of files would take minutes on a slow disk.
    rustix::fs::syncfs(&tree).map_err(sys::Error::of(|| "syncfs(layer)".to_owned()))?;
    let descriptor = Descriptor::new(media_type, Digest::finish(hash), size);
    Ok(Layer { descriptor, diff_id, chain_id: ChainId::of(parent, diff_id), skipped })
}

type Opened = (&'static str, Vec<String>, DiffId);

/// By its first bytes: media types are not always true.
fn decompress<R: Read>(packed: &mut BufReader<Tee<R>>, tree: &OwnedFd, rights: Rights) -> Result<Opened> {
    let head = packed.fill_buf().map_err(broken)?;
    let (media_type, (skipped, diff_id)) = if head.starts_with(&ZSTD) {
        let decoder = zstd::Decoder::with_buffer(&mut *packed).map_err(broken)?;
        (media::LAYER_ZSTD, open(decoder, tree, rights)?)
    } else if head.starts_with(&GZIP) {
        (media::LAYER_GZIP, open(flate2::bufread::MultiGzDecoder::new(&mut *packed), tree, rights)?)
    } else {
        (media::LAYER, open(&mut *packed, tree, rights)?)
    };
    io::copy(packed, &mut io::sink()).map_err(broken)?;
    Ok((media_type, skipped, diff_id))
}

/// Unpacks, then reads on to the end: the DiffID is of the whole file, and tar may pad behind its end mark.
fn open(stream: impl Read, tree: &OwnedFd, rights: Rights) -> Result<(Vec<String>, DiffId)> {
    let mut tar = BufReader::with_capacity(1 << 17, Hashing { stream, hash: Sha256::new() });
    let skipped = unpack::unpack(tree.as_fd(), &mut tar, rights)?;
    io::copy(&mut tar, &mut io::sink()).map_err(broken)?;
    Ok((skipped, DiffId(Digest::finish(tar.into_inner().hash))))
}

pub(crate) fn check(layer: &Layer, expected: Expected) -> Result<()> {
    let differs = |what: &str, got: Digest, wanted: Digest| {
        Err(Error::new(Kind::Corrupt, "", format!("its {what} is {got}, not {wanted}")))
    };
    match expected {
        Expected { digest: Some(wanted), .. } if wanted != layer.descriptor.digest => {
            differs("digest", layer.descriptor.digest, wanted)
        }
        Expected { diff_id: Some(wanted), .. } if wanted != layer.diff_id => {
            differs("diffID", layer.diff_id.0, wanted.0)
        }
        _ => Ok(()),
    }
}

struct Tee<R> {
    source: Source<R>,
    hash: Sha256,
    size: u64,
    broken: bool,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Source { file, kept, stream } = &mut self.source;
        let n = if *kept > 0 {
            let length = buffer.len().min(usize::try_from(*kept).unwrap_or(usize::MAX));
            let n = file.read(&mut buffer[..length])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *kept -= n as u64;
            n
        } else {
            let n =
                stream.read(buffer).inspect_err(|error| self.broken |= error.kind() != io::ErrorKind::Interrupted)?;
            file.write_all(&buffer[..n])?;
            n
        };
        self.hash.update(&buffer[..n]);
        self.size += n as u64;
        Ok(n)
    }
}

struct Hashing<R> {
    stream: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

fn broken(error: io::Error) -> Error {
    match rustix::io::Errno::from_io_error(&error) {
        Some(errno) => sys::Error::new("read(layer)", errno).into(),
        None => Error::new(Kind::Corrupt, "", error.to_string()),
    }
}
