//! File calls on directory descriptors, with errors that print the call.
//!
//! Invariant: no call here follows a symbolic link in its last component, and none leaves the directory it was given.

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::{Error, Result};

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// By path: for the roots that everything else is relative to.
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::of(|| format!("open({path:?}, O_DIRECTORY)")))
}

pub fn open_dir(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd> {
    let name = name.as_ref();
    fs::openat(dir, name, DIR, Mode::empty()).map_err(Error::of(|| format!("openat({name:?}, O_DIRECTORY|O_NOFOLLOW)")))
}

/// `path` under `root` as a process chrooted there would see it (openat2(2), `RESOLVE_IN_ROOT`). Magic links and other
/// mounts are errors: an unpacked layer has neither.
pub fn resolve_dir(root: impl AsFd, path: &OsStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let path = if path.is_empty() { OsStr::new(".") } else { path };
    fs::openat2(root, path, flags, Mode::empty(), within)
        .map_err(Error::of(|| format!("openat2({path:?}, O_DIRECTORY, RESOLVE_IN_ROOT)")))
}

pub fn stat(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<Option<Stat>> {
    let name = name.as_ref();
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("fstatat({name:?})"), errno)),
    }
}

/// Whether it had to be made.
pub fn mkdir(dir: impl AsFd, name: impl AsRef<OsStr>, mode: u32) -> Result<bool> {
    let name = name.as_ref();
    match fs::mkdirat(dir, name, Mode::from_raw_mode(mode)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(Error::new(format!("mkdirat({name:?}, {mode:#o})"), errno)),
    }
}

pub fn create(dir: impl AsFd, name: impl AsRef<OsStr>, mode: u32) -> Result<File> {
    let name = name.as_ref();
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = fs::openat(dir, name, flags, Mode::from_raw_mode(mode));
    fd.map(File::from).map_err(Error::of(|| format!("openat({name:?}, O_CREAT|O_EXCL|O_WRONLY, {mode:#o})")))
}

/// For reading and appending; made if it is not there.
pub fn open_or_create(dir: impl AsFd, name: &str, mode: u32) -> Result<File> {
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = fs::openat(dir, name, flags, Mode::from_raw_mode(mode));
    fd.map(File::from).map_err(Error::of(|| format!("openat({name:?}, O_CREAT|O_RDWR, {mode:#o})")))
}

/// A plain file, for reading; `None` if there is none.
pub fn open(dir: impl AsFd, name: &str) -> Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(File::from(fd))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::new(format!("openat({name:?}, O_RDONLY)"), errno)),
    }
}

/// Whether that name is this open file's still.
pub fn is_named(dir: impl AsFd, name: &str, file: impl AsFd) -> Result<bool> {
    let ours = fs::fstat(file).map_err(Error::of(|| format!("fstat({name:?})")))?;
    Ok(stat(dir, name)?.is_some_and(|named| (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)))
}

pub fn unlink(dir: impl AsFd, name: impl AsRef<OsStr>) -> Result<()> {
    let name = name.as_ref();
    fs::unlinkat(dir, name, AtFlags::empty()).map_err(Error::of(|| format!("unlinkat({name:?})")))
}

pub fn rename(from: impl AsFd, name: &str, to: impl AsFd, new: &str) -> Result<()> {
    fs::renameat(from, name, to, new).map_err(Error::of(|| format!("renameat({name:?}, {new:?})")))
}

/// After a rename, of the directory that got the name: else a power cut may forget it.
pub fn sync_dir(dir: impl AsFd) -> Result<()> {
    fs::fsync(dir).map_err(Error::of(|| "fsync(directory)".to_owned()))
}

/// A lock that dies with the open file. `false` if it is another's and `wait` is not set.
pub fn lock(file: impl AsFd, exclusive: bool, wait: bool) -> Result<bool> {
    let operation = match (exclusive, wait) {
        (true, true) => FlockOperation::LockExclusive,
        (true, false) => FlockOperation::NonBlockingLockExclusive,
        (false, true) => FlockOperation::LockShared,
        (false, false) => FlockOperation::NonBlockingLockShared,
    };
    match fs::flock(file, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(Error::new(format!("flock({operation:?})"), errno)),
    }
}

/// The whole file, or `None` if there is none. A device or pipe in its place is an error, not a wait.
pub fn read(dir: impl AsFd, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(mut file) = open(dir, name)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(Error::of_io(|| format!("read({name:?})")))?;
    Ok(Some(bytes))
}

/// What a document (index, manifest, configuration) may weigh: registries take 4 MiB.
const DOCUMENT: u64 = 16 << 20;

/// A whole document, which somebody else may have written.
pub fn read_document(file: File, name: &str) -> crate::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(DOCUMENT + 1).read_to_end(&mut bytes).map_err(Error::of_io(|| format!("read({name:?})")))?;
    if bytes.len() as u64 <= DOCUMENT {
        return Ok(bytes);
    }
    let why = format!("{name} is longer than {}, and no document is", spec::unit::binary(DOCUMENT));
    Err(crate::Error::new(crate::Kind::TooLarge, "", why))
}

/// A new file with this content, on disk when the call returns.
pub fn write_synced(dir: impl AsFd, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = create(dir, name, 0o644)?;
    file.write_all(bytes).map_err(Error::of_io(|| format!("write({name:?})")))?;
    file.sync_all().map_err(Error::of_io(|| format!("fsync({name:?})")))
}

pub fn names(dir: impl AsFd) -> Result<Vec<std::ffi::CString>> {
    let call = || "getdents64".to_owned();
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir).map_err(Error::of(call))? {
        let entry = entry.map_err(Error::of(call))?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// The text for one name out of a directory, whatever its bytes.
pub fn os(name: &std::ffi::CStr) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}
