//! Copying a directory's content, with owners, modes, times, extended attributes and names that stand for one file.
//!
//! Invariant: nothing outside of the two directories is touched or read, whatever is in the first: each step is relative
//! to an open directory and follows no link.

use crate::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CStr;
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
    let mut copy = Copy { top: &to, names: HashMap::new() };
    copy.all(&from, &to, &mut PathBuf::new(), 0)?;
    if like {
        look_like(&to, Some(&from), &fs::fstat(&from).map_err(Error::of(|| "fstat()".to_owned()))?)?;
    }
    Ok(true)
}

struct Copy<'a> {
    top: &'a OwnedFd,
    /// Of files that have several names, the first that was copied, by device and inode.
    names: HashMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    /// `at`: where that is below the top.
    fn all(&mut self, from: &OwnedFd, to: &OwnedFd, at: &mut PathBuf, depth: usize) -> Result<()> {
        let call = || "getdents64".to_owned();
        if depth == DEPTH {
            return Err(Error::new("openat()", Errno::NAMETOOLONG));
        }
        for entry in fs::Dir::read_from(from).map_err(Error::of(call))? {
            let entry = entry.map_err(Error::of(call))?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                at.push(OsStr::from_bytes(name.to_bytes()));
                self.entry(from, to, name, at, depth)?;
                at.pop();
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, at: &mut PathBuf, depth: usize) -> Result<()> {
        let call = |call: &'static str| move || format!("{call}({name:?})");
        let found = match fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => found.map_err(Error::of(call("fstatat")))?,
        };
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
                let open = |at: &OwnedFd| fs::openat(at, name, OPEN | OFlags::DIRECTORY, Mode::empty());
                let (from, to) =
                    (open(from).map_err(Error::of(call("openat")))?, open(to).map_err(Error::of(call("openat")))?);
                self.all(&from, &to, at, depth + 1)?;
                look_like(&to, Some(&from), &found)
            }
            FileType::RegularFile => {
                let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let from = fs::openat(from, name, OPEN, Mode::empty()).map_err(Error::of(call("openat")))?;
                let to = fs::openat(to, name, new, Mode::from(0o600)).map_err(Error::of(call("openat")))?;
                let (mut from, mut to) = (std::fs::File::from(from), std::fs::File::from(to));
                std::io::copy(&mut from, &mut to).map_err(Error::of_io(call("copy")))?;
                look_like(&to, Some(from.as_fd()), &found)
            }
            FileType::Symlink => {
                let target = fs::readlinkat(from, name, Vec::new()).map_err(Error::of(call("readlinkat")))?;
                fs::symlinkat(&target, to, name).map_err(Error::of(call("symlinkat")))?;
                own_entry(to, name, &found)
            }
            // One that nobody listens at.
            FileType::Socket => Ok(()),
            _ => {
                let mode = Mode::from_raw_mode(found.st_mode);
                fs::mknodat(to, name, kind, mode, found.st_rdev).map_err(Error::of(call("mknodat")))?;
                own_entry(to, name, &found)?;
                // The umask took its part of the mode.
                fs::chmodat(to, name, mode, AtFlags::empty()).map_err(Error::of(call("fchmodat")))
            }
        }
    }
}

fn own_entry(to: &OwnedFd, name: &CStr, found: &Stat) -> Result<()> {
    let (uid, gid) = (fs::Uid::from_raw(found.st_uid), fs::Gid::from_raw(found.st_gid));
    fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .and_then(|()| fs::utimensat(to, name, &times(found), AtFlags::SYMLINK_NOFOLLOW))
        .map_err(Error::of(|| format!("fchownat({name:?})")))
}

/// The owner first: to give a file away takes its set-user-ID bit and its capabilities. The times last.
fn look_like(to: impl AsFd, from: Option<impl AsFd>, found: &Stat) -> Result<()> {
    let (uid, gid) = (fs::Uid::from_raw(found.st_uid), fs::Gid::from_raw(found.st_gid));
    fs::fchown(&to, Some(uid), Some(gid)).map_err(Error::of(|| "fchown()".to_owned()))?;
    fs::fchmod(&to, Mode::from_raw_mode(found.st_mode)).map_err(Error::of(|| "fchmod()".to_owned()))?;
    if let Some(from) = from {
        attributes(from.as_fd(), to.as_fd())?;
    }
    fs::futimens(&to, &times(found)).map_err(Error::of(|| "futimens()".to_owned()))
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
    let user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    user || name == b"security.capability" || name.starts_with(b"system.posix_acl_")
}

/// As cp(1) does: where they are going to there may be none.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
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
        match fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(Error::new(format!("fsetxattr({name:?})"), errno)),
        }
    }
    Ok(())
}
