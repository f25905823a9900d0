//! Copying a directory's content, or that of layers as one, with owners, modes, times, extended attributes and names that
//! stand for one file. Where the file system can it shares the blocks (copy_file_range(2)).
//!
//! Invariant: nothing outside of the two directories is touched or read, whatever is in the first: each step is relative
//! to an open directory and follows no link.

use crate::mark::{Marks, Seen};
use crate::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories open at a time.
const DEPTH: usize = 100;
const OPEN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Copies into the directory `to` what the directory `path` holds, which is resolved inside `root`. `like`: it gets the
/// owner and mode of that, too. Whether there is such a directory: one that is not there holds nothing.
///
/// # Errors
/// The first call that the kernel refused.
pub fn fill(to: BorrowedFd<'_>, root: BorrowedFd<'_>, path: &str, like: bool) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let from = match fs::openat2(root, path.trim_start_matches('/'), flags, Mode::empty(), inside) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        from => from.map_err(Error::of(|| format!("openat2({path:?}, RESOLVE_IN_ROOT)")))?,
    };
    // A detached mount's root is opened by O_PATH only.
    let to =
        fs::openat(to, c".", flags, Mode::empty()).map_err(Error::of(|| "openat(\".\", O_DIRECTORY)".to_owned()))?;
    let mut copy = Copy { top: &to, owners: &|uid, gid| Some((uid, gid)), names: HashMap::new() };
    let from = [Part { dir: from, marks: Marks::Overlay }];
    copy.all(&from, &to, &mut PathBuf::new(), 0)?;
    if like {
        copy.itself(&from, &to)?;
    }
    Ok(true)
}

/// Copies into the directory `to`, which is empty, what layers, topmost first, show as one; it gets the owner and mode of
/// their root, too. `owners`: who gets what belongs to that user and group.
///
/// # Errors
/// As [`fill`]; `EOVERFLOW` where nobody gets it.
pub fn merge<P: AsRef<Path>>(to: &Path, layers: &[P], owners: Owners<'_>) -> Result<()> {
    let open = |path: &Path| {
        fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::of(|| format!("open({path:?}, O_DIRECTORY)")))
    };
    let part = |layer: &P| {
        let dir = open(layer.as_ref())?;
        Ok(Part { marks: Marks::of(&dir)?, dir })
    };
    let from = layers.iter().map(part).collect::<Result<Vec<_>>>()?;
    let to = open(to)?;
    let mut copy = Copy { top: &to, owners, names: HashMap::new() };
    copy.all(&from, &to, &mut PathBuf::new(), 0)?;
    copy.itself(&from, &to)
}

/// User and group to user and group.
pub type Owners<'a> = &'a dyn Fn(u32, u32) -> Option<(u32, u32)>;

/// A directory of one layer.
struct Part {
    dir: OwnedFd,
    marks: Marks,
}

struct Copy<'a> {
    top: &'a OwnedFd,
    owners: Owners<'a>,
    /// Of files that have several names, the first that was copied, by device and inode.
    names: HashMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    /// `from`: the parts that show through, topmost first; `at`: where that is below the top.
    fn all(&mut self, from: &[Part], to: &OwnedFd, at: &mut PathBuf, depth: usize) -> Result<()> {
        if depth == DEPTH {
            return Err(Error::new("openat()", Errno::NAMETOOLONG));
        }
        let mut settled = HashSet::new();
        for (number, part) in from.iter().enumerate() {
            for (name, seen) in part.marks.list(&part.dir)? {
                if settled.contains(&name) {
                    continue;
                }
                if let Seen::Entry(found) = seen {
                    at.push(&name);
                    self.entry(&from[number..], to, (&name, &found), at, depth)?;
                    at.pop();
                }
                // The last need not be remembered.
                if number + 1 < from.len() {
                    settled.insert(name);
                }
            }
        }
        Ok(())
    }

    /// What the first of them has, and of a directory also the others.
    fn entry(
        &mut self,
        from: &[Part],
        to: &OwnedFd,
        (name, found): (&OsStr, &Stat),
        at: &mut PathBuf,
        depth: usize,
    ) -> Result<()> {
        let call = |call: &'static str| move || format!("{call}({name:?})");
        let first = &from[0].dir;
        let kind = FileType::from_raw_mode(found.st_mode);
        if kind != FileType::Directory && found.st_nlink > 1 {
            if let Some(first) = self.names.get(&(found.st_dev, found.st_ino)) {
                return fs::linkat(self.top, first, to, name, AtFlags::empty()).map_err(Error::of(call("linkat")));
            }
            self.names.insert((found.st_dev, found.st_ino), at.clone());
        }
        match kind {
            FileType::Directory => {
                fs::mkdirat(to, name, Mode::from(0o700)).map_err(Error::of(call("mkdirat")))?;
                let (from, to) = (inner(from, name)?, open_dir(to, name)?);
                self.all(&from, &to, at, depth + 1)?;
                self.look_like(&to, Some(&from[0].dir), found)
            }
            FileType::RegularFile => {
                let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let from = fs::openat(first, name, OPEN, Mode::empty()).map_err(Error::of(call("openat")))?;
                let to = fs::openat(to, name, new, Mode::from(0o600)).map_err(Error::of(call("openat")))?;
                let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
                std::io::copy(&mut from, &mut to).map_err(Error::of_io(call("copy")))?;
                self.look_like(&to, Some(from.as_fd()), found)
            }
            FileType::Symlink => {
                let target = fs::readlinkat(first, name, Vec::new()).map_err(Error::of(call("readlinkat")))?;
                fs::symlinkat(&target, to, name).map_err(Error::of(call("symlinkat")))?;
                self.own_entry(to, name, found)
            }
            // One that nobody listens at.
            FileType::Socket => Ok(()),
            _ => {
                let mode = Mode::from_raw_mode(found.st_mode);
                fs::mknodat(to, name, kind, mode, found.st_rdev).map_err(Error::of(call("mknodat")))?;
                self.own_entry(to, name, found)?;
                // The umask took its part of the mode.
                fs::chmodat(to, name, mode, AtFlags::empty()).map_err(Error::of(call("fchmodat")))
            }
        }
    }

    fn itself(&self, from: &[Part], to: &OwnedFd) -> Result<()> {
        let Some(top) = from.first() else { return Ok(()) };
        let found = fs::fstat(&top.dir).map_err(Error::of(|| "fstat()".to_owned()))?;
        self.look_like(to, Some(&top.dir), &found)
    }

    fn owner(&self, found: &Stat) -> Result<(Option<fs::Uid>, Option<fs::Gid>)> {
        let owner = (self.owners)(found.st_uid, found.st_gid);
        let (uid, gid) = owner.ok_or_else(|| {
            Error::new(format!("fchown({}, {}) in the container", found.st_uid, found.st_gid), Errno::OVERFLOW)
        })?;
        Ok((Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid))))
    }

    fn own_entry(&self, to: &OwnedFd, name: &OsStr, found: &Stat) -> Result<()> {
        let (uid, gid) = self.owner(found)?;
        fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| fs::utimensat(to, name, &times(found), AtFlags::SYMLINK_NOFOLLOW))
            .map_err(Error::of(|| format!("fchownat({name:?})")))
    }

    /// The owner first: to give a file away takes its set-user-ID bit and its capabilities. The times last.
    fn look_like(&self, to: impl AsFd, from: Option<impl AsFd>, found: &Stat) -> Result<()> {
        let (uid, gid) = self.owner(found)?;
        fs::fchown(&to, uid, gid).map_err(Error::of(|| "fchown()".to_owned()))?;
        fs::fchmod(&to, Mode::from_raw_mode(found.st_mode)).map_err(Error::of(|| "fchmod()".to_owned()))?;
        if let Some(from) = from {
            let root = (self.owners)(0, 0).map_or(0, |(uid, _)| uid);
            attributes(from.as_fd(), to.as_fd(), root)?;
        }
        fs::futimens(&to, &times(found)).map_err(Error::of(|| "futimens()".to_owned()))
    }
}

fn open_dir(at: &OwnedFd, name: &OsStr) -> Result<OwnedFd> {
    fs::openat(at, name, OPEN | OFlags::DIRECTORY, Mode::empty()).map_err(Error::of(|| format!("openat({name:?})")))
}

/// overlayfs.rst, "Merging": down to the first that is opaque or no directory. The first of `from` has one.
fn inner(from: &[Part], name: &OsStr) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for Part { dir, marks } in from {
        match marks.look(dir, name)? {
            Seen::Nothing => continue,
            Seen::Entry(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {}
            Seen::Hidden | Seen::Entry(_) => break,
        }
        let part = Part { dir: open_dir(dir, name)?, marks: *marks };
        let last = marks.is_opaque(&part.dir);
        parts.push(part);
        if last {
            break;
        }
    }
    if parts.is_empty() { Err(Error::new(format!("openat({name:?})"), Errno::NOENT)) } else { Ok(parts) }
}

fn times(found: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec as _),
        last_modification: time(found.st_mtime, found.st_mtime_nsec as _),
    }
}

/// What a file carries wherever it lies: not overlayfs's marks, nor the label that its place gives it.
fn is_kept(name: &[u8]) -> bool {
    let marks = name.starts_with(b"user.overlay.") || name.starts_with(b"user.fuseoverlayfs.");
    let user = name.starts_with(b"user.") && !marks;
    user || name == b"security.capability" || name.starts_with(b"system.posix_acl_")
}

/// As cp(1) does: where they are going to there may be none. `root`: for whom a file's capabilities are.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, root: u32) -> Result<()> {
    let mut names = vec![0_u8; 1 << 16];
    let length = match fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(Error::new("flistxattr()", errno)),
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let name = Path::new(OsStr::from_bytes(name));
        let mut value = vec![0_u8; 1 << 16];
        let length = match fs::fgetxattr(from, name, &mut value[..]) {
            Err(Errno::NODATA) => continue,
            length => length.map_err(Error::of(|| format!("fgetxattr({name:?})")))?,
        };
        value.truncate(length);
        if root != 0 && name.as_os_str() == "security.capability" && length == 20 && value[3] == 2 {
            // Else they count in no user namespace (capabilities(7), "Namespaced file capabilities").
            value[3] = 3;
            value.extend(root.to_le_bytes());
        }
        match fs::fsetxattr(to, name, &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(Error::new(format!("fsetxattr({name:?})"), errno)),
        }
    }
    Ok(())
}
