//! Removing a directory tree that someone else may have filled, or changing its owner.
//!
//! Invariant: nothing outside the tree is touched, whatever is inside it and whoever changes it meanwhile: each step
//! is relative to an open directory and follows no link. A removal crosses no mount.

use crate::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, IFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Directories held open at a time. Deeper ones are first moved to the top, because a container can nest directories
/// deeper than a process may have files open or a stack may have frames.
const DEPTH: usize = 100;

/// Removes `dir/name` and all beneath it. Already gone is success.
///
/// Write-protected directories are opened up, immutable files are released where the caller may. A mount point inside
/// is an error (`EXDEV`), and what it holds stays.
///
/// # Errors
/// The first call that the kernel refused; what could be removed before it is gone.
pub fn remove(dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let Some(stat) = stat(dir, name)? else { return Ok(()) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return unlink(dir, name, AtFlags::empty());
    }
    let Some(top) = open(dir, name)? else { return Ok(()) };
    let mut removal = Removal { top: top.as_fd(), aside: vec![], moved: 0 };
    removal.clear(&top, 0)?;
    while let Some(deep) = removal.aside.pop() {
        removal.entry(top.as_fd(), &deep, FileType::Directory, 0)?;
    }
    unlink(dir, name, AtFlags::REMOVEDIR)
}

/// [`remove`] by path. The parent's symbolic links are followed, the last component's are not.
///
/// # Errors
/// As [`remove`]; and the parent must exist and `path` must end in a name.
pub fn remove_path(path: &Path) -> Result<()> {
    let invalid = || Error::new(format!("unlinkat({path:?})"), Errno::INVAL);
    let name = path.file_name().ok_or_else(invalid)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name)).map_err(|_| invalid())?;
    match fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => remove(parent.as_fd(), &name),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::new(format!("open({parent:?}, O_DIRECTORY)"), errno)),
    }
}

struct Removal<'a> {
    /// The tree itself.
    top: BorrowedFd<'a>,
    /// Directories that were moved out of its depth, and how many ever were.
    aside: Vec<CString>,
    moved: u32,
}

impl Removal<'_> {
    /// unlink(2) of a directory by root may corrupt some filesystems, so rmdir is decided by type, never tried.
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, kind: FileType, depth: usize) -> Result<()> {
        if kind != FileType::Directory {
            return unlink(dir, name, AtFlags::empty());
        }
        if depth == DEPTH {
            return self.move_aside(dir, name);
        }
        let Some(inner) = open(dir, name)? else { return Ok(()) };
        self.clear(&inner, depth + 1)?;
        unlink(dir, name, AtFlags::REMOVEDIR)
    }

    fn clear(&mut self, dir: &OwnedFd, depth: usize) -> Result<()> {
        let call = || "getdents64".to_owned();
        for entry in fs::Dir::read_from(dir).map_err(Error::of(call))? {
            let entry = entry.map_err(Error::of(call))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                // Some filesystems do not say.
                FileType::Unknown => match stat(dir.as_fd(), name)? {
                    Some(stat) => FileType::from_raw_mode(stat.st_mode),
                    None => continue,
                },
                kind => kind,
            };
            self.entry(dir.as_fd(), name, kind, depth)?;
        }
        Ok(())
    }

    fn move_aside(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        loop {
            let text = format!(".removing-{}", self.moved);
            self.moved += 1;
            match fs::renameat_with(dir, name, self.top, &text, fs::RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(Error::new(format!("renameat2({name:?}, {text:?})"), errno)),
                Ok(()) => {
                    self.aside.extend(CString::new(text));
                    return Ok(());
                }
            }
        }
    }
}

/// Gives `path` and all beneath it, across mounts, to this owner; of a symbolic link the link itself. What is his
/// already is not touched.
///
/// # Errors
/// The first call that the kernel refused; `ELOOP` where a part of `path` is a symbolic link.
pub fn chown(path: &Path, owner: (u32, u32)) -> Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = fs::openat2(fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .map_err(Error::of(|| format!("openat2({path:?}, RESOLVE_NO_SYMLINKS)")))?;
    let mut open = Vec::new();
    if give(top.as_fd(), c"", owner)? == Some(FileType::Directory) {
        open.push(list(top.as_fd(), c".")?);
    }
    // One descriptor a level, and no recursion: a tree too deep is EMFILE and not the end of the stack.
    while let Some(dir) = open.last_mut() {
        let Some(entry) = dir.read() else {
            open.pop();
            continue;
        };
        let entry = entry.map_err(Error::of(|| "getdents64".to_owned()))?;
        let (name, fd) = (entry.file_name(), dir.fd().map_err(Error::of(|| "dirfd".to_owned()))?);
        if !matches!(name.to_bytes(), b"." | b"..") && give(fd, name, owner)? == Some(FileType::Directory) {
            let inner = list(fd, name)?;
            open.push(inner);
        }
    }
    Ok(())
}

/// `None`: gone. An empty name is the descriptor's own file.
fn give(dir: BorrowedFd<'_>, name: &CStr, (uid, gid): (u32, u32)) -> Result<Option<FileType>> {
    let itself = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
    let outcome = fs::statat(dir, name, itself).and_then(|stat| {
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            fs::chownat(dir, name, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)), itself)?;
        }
        Ok(FileType::from_raw_mode(stat.st_mode))
    });
    match outcome {
        Ok(kind) => Ok(Some(kind)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("fchownat({name:?}, {uid}, {gid})"), errno)),
    }
}

fn list(dir: BorrowedFd<'_>, name: &CStr) -> Result<fs::Dir> {
    fs::openat(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .and_then(fs::Dir::new)
        .map_err(Error::of(|| format!("openat({name:?}, O_DIRECTORY|O_NOFOLLOW)")))
}

/// `None`: gone. A directory whose mode shuts us out is given a mode that does not: overlayfs makes its work directory
/// with mode 0, and an ordinary user has no other way in.
fn open(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let open = || fs::openat2(dir, name, flags, Mode::empty(), within);
    let result = match open() {
        Err(Errno::ACCESS) => fs::chmodat(dir, name, Mode::RWXU, AtFlags::empty()).and_then(|()| open()),
        result => result,
    };
    match result {
        Ok(fd) => {
            // Readable is not enough: entries can only be taken out of a directory that is writable and searchable.
            if !rustix::process::geteuid().is_root() {
                let _ = fs::fchmod(&fd, Mode::RWXU);
            }
            Ok(Some(fd))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => {
            Err(Error::new(format!("openat2({name:?}, O_DIRECTORY, RESOLVE_BENEATH|RESOLVE_NO_XDEV)"), errno))
        }
    }
}

fn stat(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<Stat>> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("fstatat({name:?})"), errno)),
    }
}

fn unlink(dir: BorrowedFd<'_>, name: &CStr, how: AtFlags) -> Result<()> {
    let result = match fs::unlinkat(dir, name, how) {
        Err(Errno::PERM) => {
            release(dir, name);
            fs::unlinkat(dir, name, how)
        }
        result => result,
    };
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::new(format!("unlinkat({name:?}, {how:?})"), errno)),
    }
}

/// Takes the immutable and append-only attributes off an entry and its directory (ioctl_iflags(2)). Best effort: the
/// unlink that follows has the last word.
fn release(dir: BorrowedFd<'_>, name: &CStr) {
    let plain = |fd: BorrowedFd<'_>| {
        if let Ok(flags) = fs::ioctl_getflags(fd) {
            let _ = fs::ioctl_setflags(fd, flags - IFlags::IMMUTABLE - IFlags::APPEND);
        }
    };
    plain(dir);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Opening a device may act on it, so only what is a file or a directory is opened.
    let safe = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| matches!(FileType::from_raw_mode(s.st_mode), FileType::RegularFile | FileType::Directory));
    if let (true, Ok(fd)) = (safe, fs::openat(dir, name, flags, Mode::empty())) {
        plain(fd.as_fd());
    }
}
