//! A tree into a tar.

use super::{Place, Source};
use crate::error::{Context, Result};
use crate::fs as dirfs;
use crate::pack::{Ids, Packer};
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Of the files those ids are told that `ids` knows them by. What goes away meanwhile is left out.
///
/// # Errors
/// A file cannot be read, or the output not be written.
pub fn send(place: &Place, source: &Source, ids: &Ids, output: impl Write) -> Result<()> {
    let mut packer = Packer::new(output);
    let name = Path::new(&source.name);
    entry(&mut packer, &place.dir, &place.name, name, ids).context(|| format!("cannot copy {}", source.name))?;
    packer.finish().map(drop)
}

fn entry<W: Write>(packer: &mut Packer<W>, dir: &OwnedFd, name: &OsStr, path: &Path, ids: &Ids) -> Result<()> {
    let Some(stat) = dirfs::stat(dir, name)? else { return Ok(()) };
    if let Err(error) = packer.entry(dir, name, path, &ids.inside(&stat)?) {
        // Nothing is written of one that could not be opened.
        let is_gone = dirfs::stat(dir, name)?.is_none();
        return if is_gone { Ok(()) } else { Err(error) };
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let inner = dirfs::open_dir(dir, name)?;
    for name in dirfs::names(inner.as_fd())? {
        let name = dirfs::os(&name);
        entry(packer, &inner, name, &path.join(name), ids)?;
    }
    Ok(())
}
