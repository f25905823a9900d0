//! Layers that arrive in pieces, twice, damaged, or not at all.

#![allow(clippy::unwrap_used)]

mod archive;

use archive::{Dir, entry};
use image::{Came, Kind, Store, Wanted};
use spec::image::{Descriptor, media};
use spec::{ChainId, DiffId, Digest};
use std::cell::Cell;
use std::fs;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use tar::EntryType::Regular;

/// A layer of one file that does not compress well, and what its manifest says of it.
fn layer(compress: impl Fn(&[u8]) -> Vec<u8>, parent: Option<&ChainId>) -> (Vec<u8>, Wanted) {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let content: Vec<u8> = (0..300_000).map(|_| next()).collect();
    let mut tar = vec![];
    entry(&mut tar, "file", Regular, "", &content);
    tar.resize(tar.len() + 1024, 0);
    let diff_id = DiffId(Digest::of(&tar));
    let bytes = compress(&tar);
    let blob = Descriptor::new(media::LAYER_GZIP, Digest::of(&bytes), bytes.len() as u64);
    (bytes, Wanted { blob, diff_id, chain_id: ChainId::of(parent, diff_id) })
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// Gives `left` bytes and breaks off.
struct Breaking<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl Read for Breaking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let n = buffer.len().min(self.left).min(self.bytes.len());
        buffer[..n].copy_from_slice(&self.bytes[..n]);
        (self.bytes, self.left) = (&self.bytes[n..], self.left - n);
        Ok(n)
    }
}

fn count(store: &Store, path: &str) -> usize {
    fs::read_dir(store.root().join(path)).unwrap().count()
}

#[test]
fn goes_on_where_it_broke_off() {
    let dir = Dir::new("resume");
    let store = Store::open(dir.0.join("store"));
    let (bytes, wanted) = layer(gzip, None);
    let offsets = Cell::new(vec![]);
    let mut at = 0;
    // Some forty breaks.
    loop {
        let source = |offset: u64| {
            let mut seen = offsets.take();
            seen.push(offset);
            offsets.set(seen);
            Breaking { bytes: &bytes[usize::try_from(offset).unwrap()..], left: 7_001 }
        };
        // A writer of its own each time, as after kill -9.
        match store.writer().unwrap().fetch(&wanted, source) {
            Ok(came) => break assert_eq!(came, Came::Unpacked),
            Err(error) => assert!(error.to_string().contains("ECONNRESET") || error.kind == Kind::Corrupt, "{error}"),
        }
        at += 7_001;
        assert_eq!(fs::metadata(store.root().join("partial").join(wanted.blob.digest.hex())).unwrap().len(), at);
    }
    let offsets = offsets.take();
    assert!(offsets.len() > 30 && offsets.iter().enumerate().all(|(n, at)| *at == n as u64 * 7_001), "{offsets:?}");
    assert_eq!(fs::metadata(store.layer_path(&wanted.chain_id).join("file")).unwrap().len(), 300_000);
    assert_eq!((count(&store, "partial"), count(&store, "images/blobs/sha256")), (0, 1));
    let never = |_: u64| -> &[u8] { panic!("it is here") };
    let writer = store.writer().unwrap();
    assert_eq!(writer.fetch(&wanted, never).unwrap(), Came::There);

    // The same blob on another parent: from here, not from there.
    let parent = ChainId(Digest::of(b"parent"));
    let other = Wanted { chain_id: ChainId::of(Some(&parent), wanted.diff_id), ..wanted };
    assert_eq!(writer.fetch(&other, never).unwrap(), Came::Unpacked);
    assert!(store.layer_path(&other.chain_id).join("file").exists());
    drop(writer);
    assert_eq!((count(&store, "partial"), count(&store, "tmp")), (0, 0));
}

#[test]
fn a_spoilt_beginning_is_fetched_again() {
    let dir = Dir::new("spoilt");
    let store = Store::open(dir.0.join("store"));
    for (name, compress) in [("plain", <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>), ("gzip", gzip)] {
        let (bytes, wanted) = layer(compress, None);
        let writer = store.writer().unwrap();
        // As a power cut leaves it: the length is there, the content is not.
        for spoilt in [vec![0; 100_000], [&bytes[..50_000], &[0; 50_000]].concat(), vec![0; bytes.len() + 1]] {
            fs::write(store.root().join("partial").join(wanted.blob.digest.hex()), &spoilt).unwrap();
            let source = |offset: u64| &bytes[usize::try_from(offset).unwrap()..];
            let came = writer.fetch(&wanted, source).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(came, Came::Unpacked, "{name}");
            fs::remove_dir_all(store.layer_path(&wanted.chain_id)).unwrap();
            fs::remove_file(store.root().join("images/blobs/sha256").join(wanted.blob.digest.hex())).unwrap();
        }
    }
}

#[test]
fn what_was_not_promised_leaves_nothing() {
    let dir = Dir::new("lies");
    let store = Store::open(dir.0.join("store"));
    let (bytes, wanted) = layer(gzip, None);
    let other = Digest::of(b"other");
    let size = |size: u64| Descriptor { size, ..wanted.blob.clone() };
    let cases = [
        (Wanted { blob: Descriptor { digest: other, ..wanted.blob.clone() }, ..wanted.clone() }, "digest is"),
        (Wanted { diff_id: DiffId(other), ..wanted.clone() }, "diffID is"),
        (Wanted { blob: size(100_000), ..wanted.clone() }, ""),
        (Wanted { blob: size(wanted.blob.size - 1), ..wanted.clone() }, ""),
    ];
    for (wanted, words) in cases {
        let error = store.writer().unwrap().fetch(&wanted, |_| bytes.as_slice()).unwrap_err();
        assert_eq!(error.kind, Kind::Corrupt, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        for path in ["partial", "tmp", "layers", "images/blobs/sha256"] {
            assert_eq!(count(&store, path), 0, "{path} after {error}");
        }
    }
}

#[test]
fn zstd_and_plain_layers() {
    let dir = Dir::new("zstd");
    let store = Store::open(dir.0.join("store"));
    let zstd = |tar: &[u8]| zstd::encode_all(tar, 3).unwrap();
    let frames = |tar: &[u8]| [zstd(&tar[..1000]), zstd(&tar[1000..])].concat();
    for compress in [&zstd as &dyn Fn(&[u8]) -> Vec<u8>, &frames, &<[u8]>::to_vec] {
        let (bytes, wanted) = layer(compress, None);
        store.writer().unwrap().fetch(&wanted, |_| bytes.as_slice()).unwrap();
        fs::remove_dir_all(store.layer_path(&wanted.chain_id)).unwrap();
    }
}

#[test]
fn several_at_once_do_the_work_once() {
    let dir = Dir::new("once");
    let store = Store::open(dir.0.join("store"));
    let (bytes, wanted) = layer(gzip, None);
    let opened = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let source = |_: u64| {
                    opened.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    bytes.as_slice()
                };
                store.writer().unwrap().fetch(&wanted, source).unwrap();
            });
        }
    });
    assert_eq!(opened.into_inner(), 1);
    assert_eq!((count(&store, "partial"), count(&store, "tmp")), (0, 0));
}
