//! Directories of one name in a stack of layers, listed as overlayfs would show them (overlayfs.rst), without a mount.
//!
//! Invariant: read-only, relative to open directories, and no symbolic link is followed. What only the kernel could put
//! together (a directory that was renamed, a file of which only the attributes were copied) is an error, not a guess.

use crate::error::{Context, Error, Kind, Result};
use crate::fs as dirfs;
use crate::rootfs::is_opaque;
use crate::unpack::is_whiteout;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What overlayfs writes where it is told to (mount options `redirect_dir` and `metacopy`).
const ELSEWHERE: [&str; 4] =
    ["trusted.overlay.redirect", "user.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.metacopy"];

/// Those that show through, top first, each with the number of its layer. None: there is no such directory.
pub struct Stack(Vec<(usize, OwnedFd)>);

/// `at`: which directory of the stack it is in; `layer`: of which layer that is.
#[derive(Clone, Copy)]
pub struct Entry {
    pub at: usize,
    pub layer: usize,
    pub stat: Stat,
}

impl Entry {
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }
}

impl Stack {
    pub fn open<P: AsRef<Path>>(layers: &[P]) -> Result<Self> {
        let open = |layer: &P| {
            dirfs::open_root(layer.as_ref()).context(|| format!("cannot open layer {}", layer.as_ref().display()))
        };
        let dirs = layers.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Self(dirs.into_iter().enumerate().collect()))
    }

    pub fn none() -> Self {
        Self(vec![])
    }

    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub fn dir(&self, at: usize) -> &OwnedFd {
        &self.0[at].1
    }

    /// Of the topmost directory alone, whiteouts among them.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let Some((_, top)) = self.0.first() else { return Ok(vec![]) };
        Ok(dirfs::names(top)?.iter().map(|name| dirfs::os(name).to_owned()).collect())
    }

    /// Likewise.
    pub fn stat(&self, name: &OsStr) -> Result<Option<Stat>> {
        let Some((_, top)) = self.0.first() else { return Ok(None) };
        Ok(dirfs::stat(top, name)?)
    }

    /// Sorted, so that what is made of them is the same each time.
    pub fn entries(&self) -> Result<BTreeMap<OsString, Entry>> {
        let mut entries = BTreeMap::new();
        let mut hidden = HashSet::new();
        for (at, (layer, dir)) in self.0.iter().enumerate() {
            for name in dirfs::names(dir)? {
                let name = dirfs::os(&name).to_owned();
                if entries.contains_key(&name) || hidden.contains(&name) {
                    continue;
                }
                // Gone meanwhile: of a container that runs.
                let Some(stat) = dirfs::stat(dir, &name)? else { continue };
                if is_whiteout(&stat) {
                    hidden.insert(name);
                } else {
                    entries.insert(name, Entry { at, layer: *layer, stat });
                }
            }
        }
        Ok(entries)
    }

    pub fn entry(&self, name: &OsStr) -> Result<Option<Entry>> {
        for (at, (layer, dir)) in self.0.iter().enumerate() {
            if let Some(stat) = dirfs::stat(dir, name)? {
                return Ok((!is_whiteout(&stat)).then_some(Entry { at, layer: *layer, stat }));
            }
        }
        Ok(None)
    }

    /// The directory below: merged down to the first layer where it is opaque, or something else.
    pub fn enter(&self, name: &OsStr) -> Result<Self> {
        let mut below = Vec::new();
        for (layer, dir) in &self.0 {
            let Some(stat) = dirfs::stat(dir, name)? else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                break;
            }
            let inner = open_dir(dir, name)?;
            let last = is_opaque(&inner);
            below.push((*layer, inner));
            if last {
                break;
            }
        }
        Ok(Self(below))
    }
}

/// One that is where it says.
pub fn open_dir(dir: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    let inner = dirfs::open_dir(dir, name)?;
    is_here(&inner, name)?;
    Ok(inner)
}

pub fn is_here(file: impl AsFd, name: &OsStr) -> Result<()> {
    for mark in ELSEWHERE {
        match rustix::fs::fgetxattr(&file, mark, &mut [0_u8; 0][..]) {
            Ok(_) => {
                let why = format!("overlayfs has kept {name:?} in two places ({mark}), and only the kernel finds both");
                return Err(Error::new(Kind::Unsupported, "", why)
                    .hint("modprobe overlay redirect_dir=off metacopy=off, for the containers to come"));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(sys::Error::new(format!("fgetxattr({mark:?})"), errno).into()),
        }
    }
    Ok(())
}
