//! What a layer's directory says of those below it: overlayfs's whiteouts and opaque directories (overlayfs.rst), and on
//! a file system that has no room for those the names that a layer's tar has for them (image-spec, layer.md).
//!
//! Invariant: a layer whose root has no [`NAMED`] is read as overlayfs reads it, whatever its files are called.

use crate::{Error, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub const WHITEOUT: &[u8] = b".wh.";
pub const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names with this prefix are AUFS's own records, which mean nothing to anyone else; so no tar brings [`NAMED`].
pub const RECORDS: &[u8] = b".wh..wh.";
/// In the root of a layer whose marks are names.
pub const NAMED: &str = ".wh..wh.names";

/// The last is what fuse-overlayfs writes where it may not write overlayfs's.
const OPAQUE_ATTRIBUTES: [&str; 3] = ["trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"];

/// How a layer says what is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Marks {
    #[default]
    Overlay,
    /// Beside those of overlayfs.
    Names,
}

/// A name in a layer.
#[derive(Clone, Copy)]
pub enum Seen {
    Nothing,
    /// Not there, nor what those below have under that name.
    Hidden,
    Entry(Stat),
}

impl Marks {
    /// # Errors
    /// The kernel's.
    pub fn of(root: impl AsFd) -> Result<Self> {
        Ok(if stat(root, OsStr::new(NAMED))?.is_some() { Self::Names } else { Self::Overlay })
    }

    /// # Errors
    /// The kernel's.
    pub fn look(self, dir: impl AsFd, name: &OsStr) -> Result<Seen> {
        if self == Self::Names && name.as_bytes().starts_with(WHITEOUT) {
            return Ok(Seen::Nothing);
        }
        Ok(match stat(&dir, name)? {
            Some(stat) if is_whiteout(&stat) => Seen::Hidden,
            Some(stat) => Seen::Entry(stat),
            None if self == Self::Names && stat(&dir, &whiteout(name))?.is_some() => Seen::Hidden,
            None => Seen::Nothing,
        })
    }

    /// All that a directory says, without [`Seen::Nothing`]; sorted. What goes meanwhile is not there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn list(self, dir: impl AsFd) -> Result<BTreeMap<OsString, Seen>> {
        let call = || "getdents64".to_owned();
        let mut all = BTreeMap::new();
        for entry in Dir::read_from(&dir).map_err(Error::of(call))? {
            let entry = entry.map_err(Error::of(call))?;
            let name = entry.file_name().to_bytes();
            match name.strip_prefix(WHITEOUT).filter(|_| self == Self::Names) {
                _ if matches!(name, b"." | b"..") => {}
                Some(_) if name.starts_with(RECORDS) => {}
                Some(hidden) => _ = all.insert(OsString::from_vec(hidden.to_vec()), Seen::Hidden),
                None => {
                    let name = OsStr::from_bytes(name);
                    let seen =
                        stat(&dir, name)?.map(|stat| if is_whiteout(&stat) { Seen::Hidden } else { Seen::Entry(stat) });
                    all.extend(seen.map(|seen| (name.to_owned(), seen)));
                }
            }
        }
        Ok(all)
    }

    /// Nothing of what is below this directory is seen.
    pub fn is_opaque(self, dir: impl AsFd) -> bool {
        let marked = |mark: &str| {
            let mut value = [0; 1];
            matches!(fs::fgetxattr(&dir, mark, &mut value[..]), Ok(1)) && value == *b"y"
        };
        OPAQUE_ATTRIBUTES.into_iter().any(marked)
            || self == Self::Names && stat(&dir, OsStr::from_bytes(OPAQUE)).is_ok_and(|found| found.is_some())
    }
}

/// The name by which a layer says that this one is not there.
#[must_use]
pub fn whiteout(name: &OsStr) -> OsString {
    OsString::from_vec([WHITEOUT, name.as_bytes()].concat())
}

/// overlayfs's.
#[must_use]
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn stat(dir: impl AsFd, name: &OsStr) -> Result<Option<Stat>> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("fstatat({name:?})"), errno)),
    }
}
