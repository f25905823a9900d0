//! A tar into a tree that is there already, and in which others may be at work.
//!
//! Invariant: a name's directories are opened from the target's, without links in between, or in a container from its root;
//! its last part is made exclusively and never followed. Nothing but files of that name is taken away.

use super::{Root, Target};
use crate::entries::{self, Entry};
use crate::error::{Context, Error, Kind, Result};
use crate::fs as dirfs;
use crate::pack::Ids;
use crate::sparse::Map;
use crate::unpack::{Meta, components, device, text, times};
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use tar::EntryType;

/// Whose the new files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// As the archive has it, in the container's own numbers, which are these outside.
    Archived(Ids),
    These(u32, u32),
    /// Whoever makes them.
    Caller,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub owner: Owner,
    /// Devices, and what gives rights to who executes it. Of a stranger's files not without being asked for: as the caller's
    /// own they would be his rights.
    pub trusted: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub bytes: u64,
    /// Devices that were left out.
    pub skipped: Vec<String>,
}

/// # Errors
/// [`Kind::Hostile`] and [`Kind::Corrupt`] of the archive; the kernel's. What was made until then stays.
pub fn receive(root: &Root, target: &Target, archive: impl Read, rules: &Rules) -> Result<Received> {
    // What is no file gets its mode when it is made: later it could be another that is asked for by its name.
    let _umask = Umask::none();
    let mut receiver = Receiver {
        root,
        target,
        rules,
        dirs: BTreeMap::new(),
        received: Received::default(),
        buffer: vec![0; 1 << 17],
    };
    entries::each(archive, |entry| {
        let name = std::mem::take(&mut entry.name);
        receiver.entry(&name, entry).context(|| format!("cannot copy {}", text(&name)))
    })?;
    receiver.finish()?;
    Ok(receiver.received)
}

/// The caller's, which comes back.
struct Umask(Mode);

impl Umask {
    fn none() -> Self {
        Self(rustix::process::umask(Mode::empty()))
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        rustix::process::umask(self.0);
    }
}

struct Receiver<'a> {
    root: &'a Root,
    target: &'a Target,
    rules: &'a Rules,
    /// Set when nothing will be made in them any more.
    dirs: BTreeMap<Vec<OsString>, Meta>,
    received: Received,
    buffer: Vec<u8>,
}

impl Receiver<'_> {
    fn entry<R: Read>(&mut self, name: &[u8], entry: &mut Entry<'_, R>) -> Result<()> {
        let (meta, mut sparse) = Meta::of(entry)?;
        let own = sparse.name.take();
        let path = self.path(own.as_deref().unwrap_or(name))?;
        // The target itself, which keeps what it has.
        let Some((last, parents)) = path.split_last() else { return Ok(()) };
        let dir = self.directory(parents, true)?;
        let link = entry.link.take();
        let link = || link.ok_or_else(|| Error::new(Kind::Corrupt, "", "the link has no target"));
        match entry.kind {
            EntryType::Directory => {
                let there = dirfs::stat(&dir, last)?;
                match there.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                    Some(FileType::Directory) => {}
                    Some(_) => return Err(in_the_way("a file", "a directory")),
                    None => drop(dirfs::mkdir(&dir, last, 0o700)?),
                }
                self.dirs.insert(path, meta);
                Ok(())
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let old = entry.map.take();
                let map = if old.is_some() { old } else { sparse.map(entry)? };
                let mut file = make_way(&dir, last, true)?.map_or_else(|| dirfs::create(&dir, last, 0o600), Ok)?;
                self.content(entry, map, &mut file)?;
                self.describe(file.as_fd(), &meta)
            }
            EntryType::Symlink => {
                let to = link()?;
                let to = OsStr::from_bytes(&to);
                make_way(&dir, last, false)?;
                fs::symlinkat(to, &dir, last.as_os_str())
                    .map_err(sys::Error::of(|| format!("symlinkat({to:?}, {last:?})")))?;
                self.describe_at(&dir, last, &meta)
            }
            EntryType::Link => {
                let from = self.path(&link()?)?;
                let Some((from_name, parents)) = from.split_last() else {
                    return Err(Error::new(Kind::Hostile, "", "a hard link to the target itself"));
                };
                if from == path {
                    return Ok(());
                }
                let from = self.directory(parents, false)?;
                make_way(&dir, last, false)?;
                fs::linkat(&from, from_name.as_os_str(), &dir, last.as_os_str(), AtFlags::empty())
                    .map_err(sys::Error::of(|| format!("linkat({from_name:?}, {last:?})")))?;
                Ok(())
            }
            EntryType::Fifo => self.node(&dir, last, &meta, FileType::Fifo, 0),
            EntryType::Char | EntryType::Block if !self.rules.trusted => {
                self.received.skipped.push(text(name));
                Ok(())
            }
            EntryType::Char => self.node(&dir, last, &meta, FileType::CharacterDevice, device(entry)?),
            EntryType::Block => self.node(&dir, last, &meta, FileType::BlockDevice, device(entry)?),
            other => {
                Err(Error::new(Kind::Unsupported, "", format!("tar entry of type {:?}", char::from(other.as_byte()))))
            }
        }
    }

    /// Below the target's directory.
    fn path(&self, name: &[u8]) -> Result<Vec<OsString>> {
        let names = components(name)?.into_iter().map(|name| OsStr::from_bytes(name).to_owned());
        let own = self.target.name.clone().into_iter();
        Ok(own.chain(names.skip(usize::from(self.target.strip))).collect())
    }

    /// `make`: what an archive does not list of it.
    fn directory(&self, names: &[OsString], make: bool) -> Result<OwnedFd> {
        let mut dir = dirfs::open_dir(&self.target.dir, ".")?;
        for (at, name) in names.iter().enumerate() {
            let straight = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let open = |dir: &OwnedFd| {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                fs::openat2(dir, name.as_os_str(), flags, Mode::empty(), straight)
            };
            dir = match open(&dir) {
                Err(Errno::NOENT) if make => {
                    dirfs::mkdir(&dir, name, 0o755)?;
                    open(&dir).map_err(sys::Error::of(|| format!("openat2({name:?}, RESOLVE_NO_SYMLINKS)")))?
                }
                // A link of the container's own (/bin, mostly), which leads nowhere but in it.
                Err(Errno::LOOP) if !self.root.is_host() => {
                    let below = names[..=at].iter().map(|name| name.as_bytes()).collect::<Vec<_>>().join(&b'/');
                    dirfs::open_dir(self.root.directory(&[&self.target.path, below.as_slice()].concat())?, ".")?
                }
                other => other.map_err(sys::Error::of(|| format!("openat2({name:?}, RESOLVE_NO_SYMLINKS)")))?,
            };
        }
        Ok(dir)
    }

    fn content<R: Read>(&mut self, entry: &mut Entry<'_, R>, map: Option<Map>, file: &mut File) -> Result<()> {
        let Some(map) = map else { return self.pour(entry, file) };
        for (offset, length) in &map.pieces {
            file.seek(SeekFrom::Start(*offset)).map_err(sys::Error::of_io(|| format!("lseek({offset})")))?;
            self.pour(&mut entry.take(*length), file)?;
        }
        file.set_len(map.size).map_err(sys::Error::of_io(|| format!("ftruncate({})", map.size)))?;
        Ok(())
    }

    fn pour(&mut self, content: &mut impl Read, file: &mut File) -> Result<()> {
        loop {
            let n = entries::read(content, &mut self.buffer)?;
            if n == 0 {
                return Ok(());
            }
            file.write_all(&self.buffer[..n]).map_err(sys::Error::of_io(|| "write(file)".to_owned()))?;
            self.received.bytes += n as u64;
        }
    }

    fn node(&self, dir: &OwnedFd, name: &OsStr, meta: &Meta, kind: FileType, device: u64) -> Result<()> {
        make_way(dir, name, false)?;
        fs::mknodat(dir, name, kind, self.mode(meta), device)
            .map_err(sys::Error::of(|| format!("mknodat({name:?})")))?;
        self.describe_at(dir, name, meta)
    }

    fn owner(&self, meta: &Meta) -> Result<Option<(Uid, Gid)>> {
        let (uid, gid) = match &self.rules.owner {
            Owner::Archived(ids) => ids.outside(meta.uid, meta.gid)?,
            Owner::These(uid, gid) => (*uid, *gid),
            Owner::Caller => return Ok(None),
        };
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }

    fn mode(&self, meta: &Meta) -> Mode {
        if self.rules.trusted { meta.mode } else { meta.mode - (Mode::SUID | Mode::SGID) }
    }

    /// The owner first: to give a file away takes its set-user-ID bit, and its capabilities.
    fn describe(&self, file: BorrowedFd<'_>, meta: &Meta) -> Result<()> {
        if let Some((uid, gid)) = self.owner(meta)? {
            fs::fchown(file, Some(uid), Some(gid)).map_err(sys::Error::of(|| format!("fchown({uid:?}, {gid:?})")))?;
        }
        fs::fchmod(file, self.mode(meta)).map_err(sys::Error::of(|| "fchmod()".to_owned()))?;
        for (name, value) in &meta.xattrs {
            let gives = name.as_bytes() == b"security.capability";
            match fs::fsetxattr(file, name.as_c_str(), value, XattrFlags::empty()) {
                _ if gives && !self.rules.trusted => {}
                Err(Errno::OPNOTSUPP) => {}
                set => set.map_err(sys::Error::of(|| format!("fsetxattr({name:?})")))?,
            }
        }
        fs::futimens(file, &times(meta)).map_err(sys::Error::of(|| "futimens()".to_owned()))?;
        Ok(())
    }

    fn describe_at(&self, dir: &OwnedFd, name: &OsStr, meta: &Meta) -> Result<()> {
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = self.owner(meta)? {
            fs::chownat(dir, name, Some(uid), Some(gid), itself)
                .map_err(sys::Error::of(|| format!("fchownat({name:?}, {uid:?}, {gid:?})")))?;
        }
        fs::utimensat(dir, name, &times(meta), itself).map_err(sys::Error::of(|| format!("utimensat({name:?})")))?;
        Ok(())
    }

    /// Deepest first: a parent's mode may shut an ordinary user out.
    fn finish(&mut self) -> Result<()> {
        for (names, meta) in std::mem::take(&mut self.dirs).into_iter().rev() {
            let dir = self.directory(&names, false)?;
            self.describe(dir.as_fd(), &meta).context(|| format!("cannot copy {names:?}"))?;
        }
        Ok(())
    }
}

/// For a new file, whatever has its name is taken away, unless it is a directory. What is mounted there cannot be: a
/// regular file is then written anew as it is (`content`), a container's /etc/hosts for example.
fn make_way(dir: &OwnedFd, name: &OsStr, content: bool) -> Result<Option<File>> {
    let Some(stat) = dirfs::stat(dir, name)? else { return Ok(None) };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(in_the_way("a directory", "a file"));
    }
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::BUSY) if content && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = fs::openat(dir, name, flags, Mode::empty());
            Ok(Some(file.map_err(sys::Error::of(|| format!("openat({name:?}, O_WRONLY|O_TRUNC)")))?.into()))
        }
        Err(errno) => Err(sys::Error::new(format!("unlinkat({name:?})"), errno).into()),
    }
}

fn in_the_way(what: &str, of: &str) -> Error {
    Error::new(Kind::Unsupported, "", format!("there is {what} of this name, which {of} does not replace"))
}
