//! Files from one tree to another, as docker's `cp` has it: a tar in between.
//!
//! Invariant: a path of a container is looked up inside of its root, each time from an open directory, whatever its own
//! processes change meanwhile (CVE-2018-15664); nothing of the tree is loaded or executed (CVE-2019-14271).

mod receive;
mod send;

use crate::error::{Error, Kind, Result};
use crate::fs as dirfs;
pub use receive::{Owner, Received, Rules, receive};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
pub use send::send;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// As the kernel's (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What paths start from.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    within: ResolveFlags,
}

impl Root {
    /// A container's.
    #[must_use]
    pub fn inside(dir: OwnedFd) -> Self {
        Self { dir, within: ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS) }
    }

    /// This machine's, where the caller's own paths lead wherever he may go.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_host() -> Result<Self> {
        Ok(Self { dir: dirfs::open_root("/".as_ref())?, within: ResolveFlags::empty() })
    }

    fn is_host(&self) -> bool {
        self.within.is_empty()
    }

    fn directory(&self, path: &[u8]) -> sys::Result<OwnedFd> {
        let relative = path.iter().position(|byte| *byte != b'/').map_or(&b"."[..], |at| &path[at..]);
        let relative = OsStr::from_bytes(relative);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat2(&self.dir, relative, flags, Mode::empty(), self.within)
            .map_err(sys::Error::of(|| format!("openat2({relative:?}, O_DIRECTORY, {:?})", self.within)))
    }

    /// Where a path leads. `follow`: through links at its end, too.
    ///
    /// # Errors
    /// A directory on the way is not there; the kernel's.
    pub fn locate(&self, path: &str, follow: bool) -> Result<Place> {
        let mut path = path.as_bytes().to_vec();
        for _ in 0..MAX_LINKS {
            let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
            let is_open = end < path.len();
            path.truncate(end);
            let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            let (above, name) = path.split_at(at);
            if matches!(name, b"" | b"." | b"..") {
                let dir = self.directory(&path)?;
                let stat = fs::fstat(&dir).map_err(sys::Error::of(|| "fstat(directory)".to_owned()))?;
                return Ok(Place { path: path.clone(), dir, name: ".".into(), stat: Some(stat) });
            }
            let dir = self.directory(above)?;
            let name = OsStr::from_bytes(name);
            let stat = dirfs::stat(&dir, name)?;
            if !(follow || is_open) || !stat.as_ref().is_some_and(|stat| kind(stat) == FileType::Symlink) {
                return Ok(Place { name: name.to_owned(), path, dir, stat });
            }
            let target =
                fs::readlinkat(&dir, name, vec![]).map_err(sys::Error::of(|| format!("readlinkat({name:?})")))?;
            let target = target.into_bytes();
            path = if target.starts_with(b"/") { target } else { [above, &target].concat() };
        }
        Err(Error::new(Kind::Corrupt, "", "too many levels of symbolic links"))
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// A name in a directory, or with `.` the directory itself.
#[derive(Debug)]
pub struct Place {
    /// As it was found.
    path: Vec<u8>,
    dir: OwnedFd,
    name: OsString,
    stat: Option<Stat>,
}

impl Place {
    #[must_use]
    pub fn exists(&self) -> bool {
        self.stat.is_some()
    }

    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.stat.as_ref().is_some_and(|stat| kind(stat) == FileType::Directory)
    }
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// In the tar: the first part of all names, and `.` where what is in a directory is meant.
    pub name: String,
    pub is_dir: bool,
}

impl Source {
    /// Of the path as it was written.
    ///
    /// # Errors
    /// There is nothing.
    pub fn of(place: &Place, written: &str) -> Result<Self> {
        if !place.exists() {
            return Err(sys::Error::new(format!("fstatat({:?})", place.name), Errno::NOENT).into());
        }
        let name = written.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if written.ends_with('/') && !place.is_dir() {
            return Err(sys::Error::new(format!("openat({name:?}, O_DIRECTORY)"), Errno::NOTDIR).into());
        }
        let name = if matches!(name, "" | "." | "..") { "." } else { name };
        Ok(Self { name: name.to_owned(), is_dir: place.is_dir() })
    }

    fn is_contents(&self) -> bool {
        self.name == "."
    }
}

/// Where what comes is put: in which directory, and under which name.
#[derive(Debug)]
pub struct Target {
    /// As it was found, for links in it.
    path: Vec<u8>,
    dir: OwnedFd,
    /// Instead of the first part of all names; without one they are as they are.
    name: Option<OsString>,
    /// The names' first part is the source's.
    strip: bool,
}

impl Target {
    /// docker's rules. Without a source a whole archive is put into a directory that is there.
    ///
    /// # Errors
    /// What cannot be put there.
    pub fn of(root: &Root, written: &str, source: Option<&Source>) -> Result<Self> {
        let place = root.locate(written, true)?;
        let is_open = written.ends_with('/') || written.ends_with("/.") || written == ".";
        let Some(source) = source else {
            return if place.is_dir() { place.into_dir(None, false) } else { Err(no_directory(&place)) };
        };
        match (place.exists(), place.is_dir()) {
            (true, true) if source.is_contents() => place.into_dir(None, false),
            (true, true) => place.into_dir(Some(source.name.clone().into()), true),
            (true, false) if source.is_dir => {
                Err(Error::new(Kind::Unsupported, "", "a directory cannot be copied to what is none"))
            }
            (_, false) if is_open && !source.is_dir => Err(no_directory(&place)),
            // Under a name of its own: what is there is replaced, and a directory that is not there is made.
            _ => Ok(Self { path: place.above(), dir: place.dir, name: Some(place.name), strip: !source.is_contents() }),
        }
    }
}

fn no_directory(place: &Place) -> Error {
    let why = if place.exists() { "it is no directory" } else { "there is no such directory" };
    Error::new(Kind::Missing, "", why)
}

impl Place {
    fn above(&self) -> Vec<u8> {
        let at = self.path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        self.path[..at].to_vec()
    }

    fn into_dir(self, name: Option<OsString>, strip: bool) -> Result<Target> {
        let dir = dirfs::open_dir(&self.dir, &self.name)?;
        let path = [&self.path, &b"/"[..]].concat();
        Ok(Target { path, dir, name, strip })
    }
}
