//! A layer on its way in: stored, decompressed, hashed twice and unpacked in one pass over the stream, each of it by a
//! thread of its own, so that the slowest stage sets the pace and not their sum.

use crate::entries::broken;
use crate::error::{Error, Kind, Result};
use crate::fs;
use crate::limit::{Limit, Limited};
use crate::pipe::{self, Inlet, Outlet};
use crate::temp::Temp;
use crate::unpack::{self, Rights};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use spec::image::{Descriptor, media};
use spec::{ChainId, DiffId, Digest};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::{self, Scope, ScopedJoinHandle};

pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];
pub(crate) const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

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
    (rights, limit): (Rights, Limit),
    parent: Option<&ChainId>,
    broken_off: &mut Broken,
) -> Result<Layer> {
    fs::mkdir(temp, TREE, 0o755)?;
    let tree = fs::open_dir(temp, TREE)?;
    let mut tee = Tee { source, hash: Sha256::new(), size: 0, broken: false };
    let opened = side_by_side(&mut tee, tree.as_fd(), rights, limit);
    *broken_off = Broken(tee.broken);
    let Opened { media_type, skipped, content } = opened?;
    let Tee { source, hash, size, .. } = tee;
    source.file.sync_all().map_err(sys::Error::of_io(|| "fsync(blob)".to_owned()))?;
    // One call for the whole tree: an fsync for each of thousands of files would take minutes on a slow disk.
    rustix::fs::syncfs(&tree).map_err(sys::Error::of(|| "syncfs(layer)".to_owned()))?;
    let descriptor = Descriptor::new(media_type, Digest::finish(hash), size);
    let diff_id = DiffId(content.unwrap_or(descriptor.digest));
    Ok(Layer { descriptor, diff_id, chain_id: ChainId::of(parent, diff_id), skipped })
}

struct Opened {
    media_type: &'static str,
    skipped: Vec<String>,
    /// The digest of what was compressed.
    content: Option<Digest>,
}

/// This thread reads; others decompress, hash and unpack. What goes wrong above comes down to who unpacks and is told there.
fn side_by_side<R: Read>(tee: &mut Tee<R>, tree: BorrowedFd<'_>, rights: Rights, limit: Limit) -> Result<Opened> {
    let (mut arrived, packed) = pipe::pipe();
    let (mut content, tar) = pipe::pipe();
    let hashed = content.aside();
    thread::scope(|scope| {
        let hash = stage(scope, "hash", move || {
            let mut hash = Sha256::new();
            hashed.iter().for_each(|chunk| hash.update(chunk.as_slice()));
            Digest::finish(hash)
        })?;
        let decompress = stage(scope, "decompress", move || decompress(packed, content))?;
        let unpack = stage(scope, "unpack", move || unpack(tar, tree, rights, limit))?;
        arrived.pump(tee);
        drop(arrived);
        let media_type = join(decompress);
        let skipped = join(unpack)?;
        // What is not compressed has one digest for both, and the reader takes it.
        let content = Some(join(hash)).filter(|_| media_type != media::LAYER);
        Ok(Opened { media_type, skipped, content })
    })
}

fn stage<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    Ok(spawned.map_err(sys::Error::of_io(|| "clone(CLONE_THREAD)".to_owned()))?)
}

fn join<T>(stage: ScopedJoinHandle<'_, T>) -> T {
    stage.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// By its first bytes: media types are not always true.
fn decompress(mut packed: Outlet, mut content: Inlet) -> &'static str {
    let head = match packed.fill_buf() {
        Ok(head) => head,
        Err(error) => {
            content.fail(error);
            return media::LAYER;
        }
    };
    let (media_type, more) = if head.starts_with(&ZSTD) {
        let more = match zstd::Decoder::with_buffer(&mut packed) {
            Ok(decoder) => content.pump(decoder),
            Err(error) => content.fail(error),
        };
        (media::LAYER_ZSTD, more)
    } else if head.starts_with(&GZIP) {
        (media::LAYER_GZIP, content.pump(MultiGzDecoder::new(&mut packed)))
    } else {
        content.without_aside();
        (media::LAYER, content.pump(&mut packed))
    };
    // The digest is of all that comes, whatever stands behind the compressed stream.
    if more && let Err(error) = io::copy(&mut packed, &mut io::sink()) {
        content.fail(error);
    }
    media_type
}

/// Unpacks, then reads on to the end: the DiffID is of the whole file, and tar may pad behind its end mark.
fn unpack(tar: Outlet, tree: BorrowedFd<'_>, rights: Rights, limit: Limit) -> Result<Vec<String>> {
    let mut tar = Limited::new(tar, limit);
    let skipped = unpack::unpack(tree, &mut tar, rights, limit)?;
    io::copy(&mut tar, &mut io::sink()).map_err(broken)?;
    Ok(skipped)
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
