//! Directories of one name in a stack of layers, listed as overlayfs would show them (overlayfs.rst), without a mount.
//!
//! Invariant: read-only, relative to open directories, and no symbolic link is followed. What only the kernel could put
//! together (a directory that was renamed, a file of which only the attributes were copied) is an error, not a guess.

use crate::error::{Context, Error, Kind, Result};
use crate::fs as dirfs;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mark::{Marks, Seen};

/// What overlayfs writes where it is told to (mount options `redirect_dir` and `metacopy`).
const ELSEWHERE: [&str; 4] =
    ["trusted.overlay.redirect", "user.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.metacopy"];

/// Those that show through, top first. None: there is no such directory.
pub struct Stack(Vec<Part>);

struct Part {
    /// The number of its layer.
    layer: usize,
    dir: OwnedFd,
    marks: Marks,
}

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
        let open = |(layer, path): (usize, &P)| {
            let path = path.as_ref();
            let dir = dirfs::open_root(path).context(|| format!("cannot open layer {}", path.display()))?;
            Ok(Part { layer, marks: Marks::of(&dir)?, dir })
        };
        Ok(Self(layers.iter().enumerate().map(open).collect::<Result<_>>()?))
    }

    /// A container's own layer, top of all: what it calls its files is its own matter.
    pub fn under<P: AsRef<Path>>(upper: &Path, layers: &[P]) -> Result<Self> {
        let dir = dirfs::open_root(upper).context(|| format!("cannot open layer {}", upper.display()))?;
        let below = Self::open(layers)?.0.into_iter().map(|part| Part { layer: part.layer + 1, ..part });
        let upper = Part { layer: 0, dir, marks: Marks::Overlay };
        Ok(Self(std::iter::once(upper).chain(below).collect()))
    }

    pub fn none() -> Self {
        Self(vec![])
    }

    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub fn dir(&self, at: usize) -> &OwnedFd {
        &self.0[at].dir
    }

    pub fn is_opaque(&self) -> bool {
        self.0.first().is_some_and(|top| top.marks.is_opaque(&top.dir))
    }

    /// Of the topmost directory alone, whiteouts among them.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let Some(top) = self.0.first() else { return Ok(vec![]) };
        Ok(dirfs::names(&top.dir)?.iter().map(|name| dirfs::os(name).to_owned()).collect())
    }

    /// Likewise.
    pub fn look(&self, name: &OsStr) -> Result<Seen> {
        let Some(top) = self.0.first() else { return Ok(Seen::Nothing) };
        Ok(top.marks.look(&top.dir, name)?)
    }

    /// Sorted, so that what is made of them is the same each time.
    pub fn entries(&self) -> Result<BTreeMap<OsString, Entry>> {
        let mut entries = BTreeMap::new();
        let mut hidden = HashSet::new();
        for (at, part) in self.0.iter().enumerate() {
            for (name, seen) in part.marks.list(&part.dir)? {
                if entries.contains_key(&name) || hidden.contains(&name) {
                    continue;
                }
                match seen {
                    Seen::Entry(stat) => _ = entries.insert(name, Entry { at, layer: part.layer, stat }),
                    Seen::Hidden | Seen::Nothing => _ = hidden.insert(name),
                }
            }
        }
        Ok(entries)
    }

    pub fn entry(&self, name: &OsStr) -> Result<Option<Entry>> {
        for (at, part) in self.0.iter().enumerate() {
            match part.marks.look(&part.dir, name)? {
                Seen::Nothing => {}
                Seen::Hidden => return Ok(None),
                Seen::Entry(stat) => return Ok(Some(Entry { at, layer: part.layer, stat })),
            }
        }
        Ok(None)
    }

    /// The directory below: merged down to the first layer where it is opaque, or something else.
    pub fn enter(&self, name: &OsStr) -> Result<Self> {
        let mut below = Vec::new();
        for part in &self.0 {
            let stat = match part.marks.look(&part.dir, name)? {
                Seen::Nothing => continue,
                Seen::Hidden => break,
                Seen::Entry(stat) => stat,
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                break;
            }
            let inner = Part { dir: open_dir(&part.dir, name)?, ..*part };
            let last = inner.marks.is_opaque(&inner.dir);
            below.push(inner);
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
