//! A layer's tar (image-spec, layer.md) into a directory that overlayfs can use as a lower.
//!
//! Invariant: nothing outside the directory is touched, whatever the archive says. Each entry's parent is opened with
//! `RESOLVE_IN_ROOT`, so a symbolic link from an earlier entry leads at most to another place of the same layer; the
//! last component is created exclusively and never followed (tar extraction is CVE-2018-15664, CVE-2019-14271 and many
//! more). Must not: run beside another writer of the same directory.

use crate::entries::{self, Entry, broken as corrupt};
use crate::error::{Context, Error, Kind, Result};
use crate::fs as dirfs;
use crate::limit::{Limit, Room};
use crate::sparse::{Map, Sparse, number};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use sys::mark::{self, Marks, NAMED, OPAQUE, RECORDS, WHITEOUT, is_whiteout};
use tar::EntryType;

/// What may be kept in memory until the end: a hundred times what large images need.
const REMEMBERED: usize = 1 << 28;
const XATTR: &[u8] = b"SCHILY.xattr.";

/// What the caller's rights allow, and where overlayfs will look for its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Root of the initial user namespace: all ids, devices, `trusted.overlay.*`.
    Root,
    /// Root of another user namespace: the mapped ids, no devices, `user.overlay.*` (mount option `userxattr`).
    Mapped,
    /// An ordinary user: all files become the caller's, which is right only if the layer gives them all to root, the
    /// one id that a single-id map has. Else the layer is refused.
    User,
}

impl Rights {
    /// Of this process.
    #[must_use]
    pub fn current() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::User;
        }
        if sys::process::in_initial_user_namespace() { Self::Root } else { Self::Mapped }
    }

    /// The attribute that makes a directory opaque (overlayfs.rst).
    #[must_use]
    pub fn opaque(self) -> &'static str {
        match self {
            Self::Root => "trusted.overlay.opaque",
            Self::Mapped | Self::User => "user.overlay.opaque",
        }
    }
}

/// Unpacks the archive into `root`, which should be empty, up to the archive's end mark. The caller syncs.
///
/// Returns the device nodes that were left out for want of rights.
///
/// # Errors
/// [`Kind::Hostile`], [`Kind::Corrupt`], [`Kind::TooLarge`], [`Kind::Unsupported`] (ids without a namespace, unknown kinds
/// of entry) or [`Kind::System`]. What was unpacked stays.
pub fn unpack(root: BorrowedFd<'_>, archive: impl Read, rights: Rights, limit: Limit) -> Result<Vec<String>> {
    let mut layer = Unpacking {
        root,
        rights,
        marks: None,
        room: Room::on(root, limit),
        parent: None,
        dirs: BTreeMap::new(),
        skipped: vec![],
        remembered: 0,
        buffer: vec![0; 1 << 17],
    };
    entries::each(archive, |entry| {
        let mut name = std::mem::take(&mut entry.name);
        layer.entry(&mut name, entry).context(|| format!("cannot unpack {}", text(&name)))
    })?;
    layer.finish()?;
    Ok(layer.skipped)
}

struct Unpacking<'a> {
    root: BorrowedFd<'a>,
    rights: Rights,
    /// Which this file system has room for; asked when the first is made.
    marks: Option<Marks>,
    room: Room<'a>,
    /// The directory of the entry before: archives list a directory's files together.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Modes and times of directories, by path, set when nothing will be made in them any more.
    dirs: BTreeMap<Vec<u8>, Meta>,
    skipped: Vec<String>,
    /// Bytes that `dirs` and `skipped` take, about.
    remembered: usize,
    buffer: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Meta {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: Mode,
    mtime: Timespec,
    pub(crate) xattrs: Vec<(CString, Vec<u8>)>,
}

impl Unpacking<'_> {
    /// `name` becomes the one that the records of a sparse file have.
    fn entry<R: Read>(&mut self, name: &mut Vec<u8>, entry: &mut Entry<'_, R>) -> Result<()> {
        let kind = entry.kind;
        self.room.entry(entry.size)?;
        let (meta, mut sparse) = Meta::of(entry)?;
        if let Some(own) = sparse.name.take() {
            *name = own;
        }
        let path = components(name)?;
        let Some((last, parents)) = path.split_last() else {
            return self.root_itself(kind, meta);
        };
        if parents.contains(&NAMED.as_bytes()) {
            return Ok(());
        }
        let parents = parents.join(&b'/');
        if last.starts_with(WHITEOUT) {
            return self.whiteout(&parents, last);
        }
        self.check_ids(&meta)?;
        let link = entry.link.take();
        let target = || link.ok_or_else(|| Error::new(Kind::Corrupt, "", "the link has no target"));
        match kind {
            EntryType::Directory => self.directory(&parents, last, meta),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let old = entry.map.take();
                let map = if old.is_some() { old } else { sparse.map(entry)? };
                self.file(&parents, last, &meta, entry, map)
            }
            EntryType::Symlink => self.symlink(&parents, last, &meta, &target()?),
            EntryType::Link => self.hardlink(&parents, last, &target()?),
            EntryType::Fifo => self.node(&parents, last, &meta, FileType::Fifo, 0),
            EntryType::Char => self.node(&parents, last, &meta, FileType::CharacterDevice, device(entry)?),
            EntryType::Block => self.node(&parents, last, &meta, FileType::BlockDevice, device(entry)?),
            other => {
                Err(Error::new(Kind::Unsupported, "", format!("tar entry of type {:?}", char::from(other.as_byte()))))
            }
        }
    }

    /// `./`: attributes of the layer's root directory.
    fn root_itself(&mut self, kind: EntryType, meta: Meta) -> Result<()> {
        if kind != EntryType::Directory {
            return Err(Error::new(Kind::Hostile, "", "the root of a layer can only be a directory"));
        }
        self.check_ids(&meta)?;
        let root = dirfs::open_dir(self.root, ".")?;
        self.describe_later(&root, vec![], meta)
    }

    /// A directory's attributes at once, for they may be long; the rest when nothing will be made in it any more.
    fn describe_later(&mut self, dir: &OwnedFd, path: Vec<u8>, mut meta: Meta) -> Result<()> {
        self.set_xattrs(dir.as_fd(), &std::mem::take(&mut meta.xattrs))?;
        self.remember(path.len() + size_of::<Meta>())?;
        self.dirs.insert(path, meta);
        Ok(())
    }

    fn remember(&mut self, bytes: usize) -> Result<()> {
        self.remembered += bytes;
        if self.remembered <= REMEMBERED {
            return Ok(());
        }
        let limit = spec::unit::binary(REMEMBERED as u64);
        Err(Error::new(Kind::TooLarge, "", format!("the layer's directories have names of more than {limit}")))
    }

    fn check_ids(&self, meta: &Meta) -> Result<()> {
        if self.rights != Rights::User || (meta.uid, meta.gid) == (0, 0) {
            return Ok(());
        }
        let why =
            format!("it belongs to {}:{}, and an ordinary user can only make files of one owner", meta.uid, meta.gid);
        Err(Error::new(Kind::Unsupported, "", why).hint("give this user a range of ids in /etc/subuid and /etc/subgid"))
    }

    /// The directory `path`, made if the layer did not list it (layer.md allows that).
    fn parent(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if self.parent.as_ref().is_none_or(|(cached, _)| cached != path) {
            let fd = match dirfs::resolve_dir(self.root, OsStr::from_bytes(path)) {
                Err(error) if matches!(error.errno, Errno::NOENT | Errno::NOTDIR) => self.make_parents(path)?,
                fd => fd?,
            };
            self.parent = Some((path.to_owned(), fd));
        }
        match &self.parent {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Ok(self.root),
        }
    }

    /// Down from directory to directory, so that a deep path is walked once; only links are looked at from the root.
    fn make_parents(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut dir = dirfs::resolve_dir(self.root, OsStr::new(""))?;
        let mut so_far = Vec::new();
        for name in path.split(|b| *b == b'/') {
            if !so_far.is_empty() {
                so_far.push(b'/');
            }
            so_far.extend_from_slice(name);
            let name = OsStr::from_bytes(name);
            let stat = dirfs::stat(&dir, name)?;
            let mut hidden = stat.as_ref().is_some_and(is_whiteout);
            if hidden {
                dirfs::unlink(&dir, name)?;
            } else if stat.is_none() {
                hidden = self.unmark(&dir, name)?;
            }
            if stat.is_none() || hidden {
                dirfs::mkdir(&dir, name, 0o755)?;
                dir = dirfs::open_dir(&dir, name)?;
            } else {
                dir = dirfs::resolve_dir(self.root, OsStr::from_bytes(&so_far))?;
            }
            if hidden {
                self.mark_opaque(&dir)?;
            }
        }
        Ok(dir)
    }

    /// Takes away what an earlier entry put under this name. Whether that was a whiteout: then what comes now hides
    /// the lower layers' entry of that name entirely.
    fn vacate(&mut self, parents: &[u8], name: &[u8]) -> Result<bool> {
        let marks = self.marks;
        let dir = self.parent(parents)?;
        let os = OsStr::from_bytes(name);
        let Some(stat) = dirfs::stat(dir, os)? else {
            return unmark(marks, dir, os);
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            dirfs::unlink(dir, os)?;
            return Ok(is_whiteout(&stat));
        }
        let dir = dir.try_clone_to_owned().map_err(sys::Error::of_io(|| "fcntl(F_DUPFD_CLOEXEC)".to_owned()))?;
        let readable = dirfs::open_dir(&dir, ".")?;
        sys::tree::remove(readable.as_fd(), &cstring(name)?)?;
        // The removed tree may be where the next entry's parent was, and its attributes have no place to go.
        self.parent = None;
        let prefix = join(parents, name);
        self.dirs.retain(|path, _| path != &prefix && !(path.starts_with(&prefix) && path[prefix.len()] == b'/'));
        Ok(false)
    }

    fn directory(&mut self, parents: &[u8], name: &[u8], meta: Meta) -> Result<()> {
        let os = OsStr::from_bytes(name);
        let there = dirfs::stat(self.parent(parents)?, os)?;
        if there.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory) {
            let hidden = self.vacate(parents, name)?;
            let dir = self.parent(parents)?;
            dirfs::mkdir(dir, os, 0o700)?;
            if hidden {
                self.opaque_in(parents, name)?;
            }
        }
        let dir = dirfs::open_dir(self.parent(parents)?, os)?;
        self.describe_later(&dir, join(parents, name), meta)
    }

    fn file<R: Read>(
        &mut self,
        parents: &[u8],
        name: &[u8],
        meta: &Meta,
        content: &mut Entry<'_, R>,
        map: Option<Map>,
    ) -> Result<()> {
        self.room.fits(content.size)?;
        self.vacate(parents, name)?;
        let mut file = dirfs::create(self.parent(parents)?, OsStr::from_bytes(name), 0o600)?;
        match map {
            Some(map) => self.pieces(content, &map, &mut file)?,
            None => self.room.copy(content, &mut file, &mut self.buffer)?,
        }
        self.describe(file.as_fd(), meta)
    }

    fn pieces(&mut self, content: &mut impl Read, map: &Map, file: &mut File) -> Result<()> {
        self.room.entry(map.size)?;
        for (offset, length) in &map.pieces {
            seek(file, SeekFrom::Start(*offset))?;
            self.room.copy(&mut content.take(*length), file, &mut self.buffer)?;
            if file.stream_position().ok() != Some(offset + length) {
                return Err(Error::new(Kind::Corrupt, "", "a sparse file with less content than its map"));
            }
        }
        file.set_len(map.size).map_err(sys::Error::of_io(|| format!("ftruncate({})", map.size)))?;
        Ok(())
    }

    fn symlink(&mut self, parents: &[u8], name: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.vacate(parents, name)?;
        let rights = self.rights;
        let (dir, name) = (self.parent(parents)?, OsStr::from_bytes(name));
        let target = OsStr::from_bytes(target);
        fs::symlinkat(target, dir, name).map_err(|errno| {
            let error = Error::from(sys::Error::new(format!("symlinkat({target:?}, {name:?})"), errno));
            // symlink(2).
            let lacks = matches!(errno, Errno::PERM | Errno::OPNOTSUPP);
            if lacks {
                error.hint("this file system has no symbolic links: keep images on another (--root)")
            } else {
                error
            }
        })?;
        own_at(rights, dir, name, meta)?;
        stamp_at(dir, name, meta)
    }

    fn hardlink(&mut self, parents: &[u8], name: &[u8], target: &[u8]) -> Result<()> {
        let path = components(target)?;
        let Some((target_name, target_parents)) = path.split_last() else {
            return Err(Error::new(Kind::Hostile, "", "a hard link to the root of the layer"));
        };
        if (target_parents.join(&b'/').as_slice(), *target_name) == (parents, name) {
            return Ok(());
        }
        self.vacate(parents, name)?;
        let target_dir = dirfs::resolve_dir(self.root, OsStr::from_bytes(&target_parents.join(&b'/')))?;
        let target_name = OsStr::from_bytes(target_name);
        let (dir, name) = (self.parent(parents)?, OsStr::from_bytes(name));
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link is made to the link itself.
        fs::linkat(&target_dir, target_name, dir, name, AtFlags::empty())
            .map_err(sys::Error::of(|| format!("linkat({target_name:?}, {name:?})")))?;
        Ok(())
    }

    fn node(&mut self, parents: &[u8], name: &[u8], meta: &Meta, kind: FileType, device: u64) -> Result<()> {
        if kind == FileType::CharacterDevice && device == 0 {
            return Err(Error::new(Kind::Hostile, "", "device 0:0 is overlayfs's whiteout, not a device"));
        }
        self.vacate(parents, name)?;
        if kind != FileType::Fifo && self.rights != Rights::Root {
            let path = text(&join(parents, name));
            self.remember(path.len() + size_of::<String>())?;
            self.skipped.push(path);
            return Ok(());
        }
        let rights = self.rights;
        let (dir, name) = (self.parent(parents)?, OsStr::from_bytes(name));
        fs::mknodat(dir, name, kind, Mode::from_raw_mode(0o600), device)
            .map_err(sys::Error::of(|| format!("mknodat({name:?}, {kind:?}, {device:#x})")))?;
        own_at(rights, dir, name, meta)?;
        // It was made just now and is no link, so the call without AT_SYMLINK_NOFOLLOW follows nothing.
        fs::chmodat(dir, name, meta.mode, AtFlags::empty())
            .map_err(sys::Error::of(|| format!("fchmodat({name:?})")))?;
        stamp_at(dir, name, meta)
    }

    fn whiteout(&mut self, parents: &[u8], marker: &[u8]) -> Result<()> {
        if marker == OPAQUE {
            // The parent's own directory is the opaque one.
            self.parent(parents)?;
            let dir = dirfs::resolve_dir(self.root, OsStr::from_bytes(parents))?;
            return self.mark_opaque(&dir);
        }
        if marker.starts_with(RECORDS) {
            return Ok(());
        }
        let name = &marker[WHITEOUT.len()..];
        if matches!(name, b"" | b"." | b"..") {
            return Err(Error::new(Kind::Hostile, "", "a whiteout of no name"));
        }
        let os = OsStr::from_bytes(name);
        let marks = self.marks()?;
        let dir = self.parent(parents)?;
        match dirfs::stat(dir, os)? {
            // A whiteout is for the layers below: what this layer has under the name stays, and hides them.
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => self.opaque_in(parents, name),
            Some(_) => Ok(()),
            None if marks == Marks::Names => put_mark(dir, OsStr::from_bytes(marker)),
            // Any user may make this one device (vfs_mknod exempts WHITEOUT_DEV).
            None => fs::mknodat(dir, os, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(|errno| sys::Error::new(format!("mknodat({os:?}, S_IFCHR, 0:0)"), errno).into()),
        }
    }

    fn opaque_in(&mut self, parents: &[u8], name: &[u8]) -> Result<()> {
        let dir = dirfs::open_dir(self.parent(parents)?, OsStr::from_bytes(name))?;
        self.mark_opaque(&dir)
    }

    fn marks(&mut self) -> Result<Marks> {
        if let Some(marks) = self.marks {
            return Ok(marks);
        }
        let marks = if takes_overlays(self.root, self.rights)? { Marks::Overlay } else { Marks::Names };
        if marks == Marks::Names {
            put_mark(self.root, OsStr::new(NAMED))?;
        }
        Ok(*self.marks.insert(marks))
    }

    fn mark_opaque(&mut self, dir: &OwnedFd) -> Result<()> {
        let rights = self.rights;
        // A descriptor of O_PATH has no attributes, so the directory is opened once more.
        let dir = dirfs::open_dir(dir, ".")?;
        match self.marks()? {
            Marks::Names => put_mark(dir.as_fd(), OsStr::from_bytes(OPAQUE)),
            Marks::Overlay => Ok(set_opaque(dir.as_fd(), rights)?),
        }
    }

    fn unmark(&self, dir: &OwnedFd, name: &OsStr) -> Result<bool> {
        unmark(self.marks, dir.as_fd(), name)
    }

    /// Owner before attributes and mode: chown(2) clears capabilities and set-id bits.
    fn describe(&self, file: BorrowedFd<'_>, meta: &Meta) -> Result<()> {
        if self.rights != Rights::User {
            let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
            fs::fchown(file, Some(uid), Some(gid)).map_err(|errno| unmapped(errno, meta, "fchown"))?;
        }
        self.set_xattrs(file, &meta.xattrs)?;
        fs::fchmod(file, meta.mode).map_err(sys::Error::of(|| format!("fchmod({:#o})", meta.mode.as_raw_mode())))?;
        fs::futimens(file, &times(meta)).map_err(sys::Error::of(|| "futimens".to_owned()))?;
        Ok(())
    }

    fn set_xattrs(&self, file: BorrowedFd<'_>, xattrs: &[(CString, Vec<u8>)]) -> Result<()> {
        for (name, value) in xattrs {
            match fs::fsetxattr(file, name, value, XattrFlags::empty()) {
                // Not every filesystem has every attribute, and an image does not depend on them to start.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(Errno::PERM) if self.rights == Rights::User => {}
                Err(errno) => return Err(sys::Error::new(format!("fsetxattr({name:?})"), errno).into()),
            }
        }
        Ok(())
    }

    /// Deepest first: a parent's mode may shut an ordinary user out.
    fn finish(&mut self) -> Result<()> {
        for (path, meta) in std::mem::take(&mut self.dirs).into_iter().rev() {
            let set = || -> Result<()> {
                let dir = dirfs::resolve_dir(self.root, OsStr::from_bytes(&path))?;
                self.describe(dirfs::open_dir(&dir, ".")?.as_fd(), &meta)
            };
            set().context(|| format!("cannot unpack {}", text(&path)))?;
        }
        Ok(())
    }
}

impl Meta {
    pub(crate) fn of<R>(entry: &Entry<'_, R>) -> Result<(Self, Sparse)> {
        let Entry { header, records, .. } = entry;
        let id = |key: &[u8], header: std::io::Result<u64>| -> Result<u32> {
            let id = records.last(key).map_or_else(|| header.map_err(corrupt), number)?;
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| Error::new(Kind::Corrupt, "", "a user or group id is out of range"))
        };
        let mut meta = Self {
            uid: id(b"uid", header.uid())?,
            gid: id(b"gid", header.gid())?,
            mode: Mode::from_raw_mode(header.mode().map_err(corrupt)? & 0o7777),
            mtime: Timespec { tv_sec: i64::try_from(header.mtime().map_err(corrupt)?).unwrap_or(0), tv_nsec: 0 },
            xattrs: vec![],
        };
        let mut sparse = Sparse::default();
        for (key, value) in records.iter() {
            if sparse.record(key, value)? {
                continue;
            }
            if let Some(name) = key.strip_prefix(XATTR).filter(|name| is_kept(name)) {
                meta.xattrs.push((cstring(name)?, value.to_vec()));
                continue;
            }
            match key {
                b"mtime" => meta.mtime = pax_time(value).unwrap_or(meta.mtime),
                b"path" | b"linkpath" if value.contains(&0) => return Err(zero_byte()),
                _ => {}
            }
        }
        Ok((meta, sparse))
    }
}

/// File capabilities and users' own attributes, as docker keeps them. Never overlayfs's own: `redirect` and
/// `metacopy` from a stranger would let one layer show files of another place.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    let marks = name.starts_with(b"user.overlay.") || name.starts_with(b"user.fuseoverlayfs.");
    name == b"security.capability" || (name.starts_with(b"user.") && !marks)
}

/// `seconds.fraction` (pax(1)).
fn pax_time(value: &[u8]) -> Option<Timespec> {
    let value = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (tv_sec, tv_nsec) = (seconds.parse().ok()?, digits.parse().ok()?);
    // Before 1970 the fraction counts backwards, and a timespec's never does.
    Some(match tv_nsec {
        1.. if value.starts_with('-') => {
            Timespec { tv_sec: i64::saturating_sub(tv_sec, 1), tv_nsec: 1_000_000_000 - tv_nsec }
        }
        _ => Timespec { tv_sec, tv_nsec },
    })
}

/// The names along a path. Absolute paths are of the layer's root; a way up is nobody's honest doing.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    let names: Vec<_> = path.split(|b| *b == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&b"..".as_slice()) {
        return Err(Error::new(Kind::Hostile, "", format!("the path {} leads out of the layer", text(path))));
    }
    if path.contains(&0) {
        return Err(zero_byte());
    }
    Ok(names)
}

pub(crate) fn device<R>(entry: &Entry<'_, R>) -> Result<u64> {
    let header = &entry.header;
    let major = header.device_major().map_err(corrupt)?.unwrap_or(0);
    let minor = header.device_minor().map_err(corrupt)?.unwrap_or(0);
    Ok(fs::makedev(major, minor))
}

/// Whether overlayfs's marks can be made here: not every file system has such attributes, and overlayfs itself has no
/// such device.
fn takes_overlays(root: BorrowedFd<'_>, rights: Rights) -> Result<bool> {
    let name = OsStr::new(".wh..wh.try");
    dirfs::mkdir(root, name, 0o700)?;
    let dir = dirfs::open_dir(root, name)?;
    let device = || fs::mknodat(&dir, "x", FileType::CharacterDevice, Mode::empty(), 0);
    let takes = set_opaque(dir.as_fd(), rights).is_ok() && device().is_ok();
    sys::tree::remove(root, c".wh..wh.try")?;
    Ok(takes)
}

fn set_opaque(dir: BorrowedFd<'_>, rights: Rights) -> sys::Result<()> {
    let name = rights.opaque();
    fs::fsetxattr(dir, name, b"y", XattrFlags::empty())
        .map_err(sys::Error::of(|| format!("fsetxattr({name:?}, \"y\")")))
}

/// A mark that is a name; always the same file, so that a layer can be compared with what it is to be.
fn put_mark(dir: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    if dirfs::stat(dir, name)?.is_some() {
        return Ok(());
    }
    let file = dirfs::create(dir, name, 0o600)?;
    let then = Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = Timestamps { last_access: then, last_modification: then };
    Ok(fs::futimens(&file, &times).map_err(sys::Error::of(|| "futimens".to_owned()))?)
}

/// Whether there was one of that kind for this name.
fn unmark(marks: Option<Marks>, dir: BorrowedFd<'_>, name: &OsStr) -> Result<bool> {
    let mark = mark::whiteout(name);
    let marked = marks == Some(Marks::Names) && dirfs::stat(dir, &mark)?.is_some();
    if marked {
        dirfs::unlink(dir, &mark)?;
    }
    Ok(marked)
}

fn own_at(rights: Rights, dir: BorrowedFd<'_>, name: &OsStr, meta: &Meta) -> Result<()> {
    if rights == Rights::User {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| unmapped(errno, meta, "fchownat"))
}

fn unmapped(errno: Errno, meta: &Meta, call: &str) -> Error {
    let error = Error::from(sys::Error::new(format!("{call}({}, {})", meta.uid, meta.gid), errno));
    match errno {
        Errno::INVAL => {
            error.hint("the id is not mapped here: give this user a longer range in /etc/subuid and /etc/subgid")
        }
        _ => error,
    }
}

fn stamp_at(dir: BorrowedFd<'_>, name: &OsStr, meta: &Meta) -> Result<()> {
    fs::utimensat(dir, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| sys::Error::new(format!("utimensat({name:?})"), errno).into())
}

pub(crate) fn times(meta: &Meta) -> Timestamps {
    Timestamps { last_access: meta.mtime, last_modification: meta.mtime }
}

fn join(parents: &[u8], name: &[u8]) -> Vec<u8> {
    if parents.is_empty() { name.to_vec() } else { [parents, name].join(&b'/') }
}

fn cstring(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| zero_byte())
}

fn zero_byte() -> Error {
    Error::new(Kind::Hostile, "", "a name holds a zero byte")
}

fn seek(file: &mut File, to: SeekFrom) -> Result<()> {
    file.seek(to).map_err(sys::Error::of_io(|| format!("lseek({to:?})")))?;
    Ok(())
}

pub(crate) fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().collect()
}
