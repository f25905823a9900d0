//! The files of a tar, plain or packed with gzip or zstd, into a directory that is no layer.

use crate::error::{Context, Error, Kind, Result};
use crate::fs as dirfs;
use crate::limit::Limit;
use crate::unpack::{self, Rights};
use flate2::bufread::MultiGzDecoder;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;

/// What is there already and not in the tar stays. The devices that were left out for want of rights.
///
/// # Errors
/// It is no tar, or one that leads out of the directory, or that is too large.
pub fn fill(directory: &Path, from: impl Read) -> Result<Vec<String>> {
    let what = || format!("cannot unpack into {}", directory.display());
    let limit = Limit::parse(std::env::var(crate::limit::VARIABLE).ok().as_deref())?;
    let root = dirfs::open_root(directory).context(what)?;
    let mut from = BufReader::with_capacity(1 << 17, from);
    let head = from.fill_buf().map_err(sys::Error::of_io(|| "read(archive)".to_owned()))?.to_vec();
    let broken = |error: std::io::Error| Error::new(Kind::Corrupt, "", error.to_string());
    let unpack = |stream: &mut dyn Read| unpack::unpack(root.as_fd(), stream, Rights::current(), limit);
    match head.as_slice() {
        [] => Err(Error::new(Kind::Corrupt, "", "it is empty")),
        [0x1f, 0x8b, ..] => unpack(&mut MultiGzDecoder::new(from)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            zstd::Decoder::with_buffer(from).map_err(broken).and_then(|mut stream| unpack(&mut stream))
        }
        _ => unpack(&mut from),
    }
    .context(what)
}
