//! Files into a tar, in the form of a layer (image-spec, layer.md): what [`crate::unpack`] reads back as it was.
//!
//! Invariant: the same files with the same times give the same bytes: no name of this machine's, no inode, no time of
//! access or change.

use crate::error::{Context, Error, Kind, Result};
use crate::stack;
use crate::unpack;
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use spec::runtime::IdMapping;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::mark::{self, OPAQUE};
use tar::{Builder, EntryType, Header};

/// A name in a header has so many bytes.
const NAME: usize = 100;
const XATTR: &str = "SCHILY.xattr.";

/// Whose a container's files are, where root has given it a user namespace: by what ids of the host it knows its own. Empty:
/// the files are as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ids {
    pub uid: Vec<IdMapping>,
    pub gid: Vec<IdMapping>,
}

impl Ids {
    /// # Errors
    /// [`Kind::Unsupported`] for an id that the container has not.
    pub fn inside(&self, stat: &Stat) -> Result<Stat> {
        let inside = |map: &[IdMapping], id: u32| {
            let range = map.iter().find(|range| id >= range.host_id && id - range.host_id < range.size);
            let found = range.map(|range| range.container_id + (id - range.host_id));
            found.or(map.is_empty().then_some(id)).ok_or_else(|| {
                Error::new(Kind::Unsupported, "", format!("it belongs to {id}, an id that the container has not"))
            })
        };
        let mut own = *stat;
        own.st_uid = inside(&self.uid, stat.st_uid)?;
        own.st_gid = inside(&self.gid, stat.st_gid)?;
        Ok(own)
    }

    /// # Errors
    /// As [`Ids::inside`].
    pub fn outside(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        let outside = |map: &[IdMapping], id: u32| {
            let range = map.iter().find(|range| id >= range.container_id && id - range.container_id < range.size);
            let found = range.map(|range| range.host_id + (id - range.container_id));
            found.or(map.is_empty().then_some(id)).ok_or_else(|| {
                Error::new(Kind::Unsupported, "", format!("it belongs to {id}, an id that the container has not"))
            })
        };
        Ok((outside(&self.uid, uid)?, outside(&self.gid, gid)?))
    }
}

pub struct Packer<W: Write> {
    tar: Builder<W>,
    /// Files that have several names, by device and inode: the first of them.
    linked: HashMap<(u64, u64), OsString>,
}

impl<W: Write> Packer<W> {
    pub fn new(output: W) -> Self {
        Self { tar: Builder::new(output), linked: HashMap::new() }
    }

    /// `dir/name`, under the name `path`. A socket is nothing without its program, and tar has no form for it.
    pub fn entry(&mut self, dir: &OwnedFd, name: &OsStr, path: &Path, stat: &Stat) -> Result<()> {
        self.try_entry(dir, name, path, stat).context(|| format!("cannot pack {path:?}"))
    }

    fn try_entry(&mut self, dir: &OwnedFd, name: &OsStr, path: &Path, stat: &Stat) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut entry = New::of(path, stat);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let first = self.linked.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.into());
            if first.as_os_str() != path.as_os_str() {
                entry.header.set_entry_type(EntryType::Link);
                entry.link = Some(first.as_bytes().to_vec());
                return self.append(entry, &mut std::io::empty());
            }
        }
        match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = fs::openat(dir, name, flags, Mode::empty());
                let file: File = file.map_err(sys::Error::of(|| format!("openat({name:?})")))?.into();
                stack::is_here(&file, name)?;
                entry.xattrs = attributes(file.as_fd())?;
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                entry.header.set_size(size);
                // As many bytes as the header says, whatever the file has by now: one that is being written to must not
                // spoil the rest.
                return self.append(entry, &mut file.chain(std::io::repeat(0)).take(size));
            }
            FileType::Directory => {
                entry.header.set_entry_type(EntryType::Directory);
                entry.path.push(b'/');
                entry.xattrs = attributes(crate::fs::open_dir(dir, name)?.as_fd())?;
            }
            FileType::Symlink => {
                let target = fs::readlinkat(dir, name, vec![]);
                let target = target.map_err(sys::Error::of(|| format!("readlinkat({name:?})")))?;
                entry.header.set_entry_type(EntryType::Symlink);
                entry.link = Some(target.into_bytes());
            }
            FileType::Fifo => entry.header.set_entry_type(EntryType::Fifo),
            FileType::CharacterDevice | FileType::BlockDevice => {
                let char = kind == FileType::CharacterDevice;
                entry.header.set_entry_type(if char { EntryType::Char } else { EntryType::Block });
                let written = |error: std::io::Error| Error::new(Kind::Unsupported, "", error.to_string());
                entry.header.set_device_major(fs::major(stat.st_rdev)).map_err(written)?;
                entry.header.set_device_minor(fs::minor(stat.st_rdev)).map_err(written)?;
            }
            FileType::Socket | FileType::Unknown => return Ok(()),
        }
        self.append(entry, &mut std::io::empty())
    }

    /// Below, this layer takes `path` away.
    pub fn whiteout(&mut self, path: &Path) -> Result<()> {
        self.mark(&path.with_file_name(mark::whiteout(path.file_name().unwrap_or_default())))
    }

    /// Of what is below in this directory, nothing is seen any more.
    pub fn opaque(&mut self, path: &Path) -> Result<()> {
        self.mark(&path.join(OsStr::from_bytes(OPAQUE)))
    }

    fn mark(&mut self, path: &Path) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(0);
        let entry = New { header, path: path.as_os_str().as_bytes().to_vec(), ..New::default() };
        self.append(entry, &mut std::io::empty())
    }

    pub fn finish(self) -> Result<W> {
        let mut output = self.tar.into_inner().map_err(written)?;
        output.flush().map_err(written)?;
        Ok(output)
    }

    fn append(&mut self, mut entry: New, content: &mut dyn Read) -> Result<()> {
        let mut records = std::mem::take(&mut entry.xattrs);
        // Names are written as they are: what the tar crate makes of a path is another text for the same place.
        records.extend(long("path", &entry.path, &mut entry.header.as_old_mut().name));
        if let Some(link) = &entry.link {
            records.extend(long("linkpath", link, &mut entry.header.as_old_mut().linkname));
        }
        records.extend(entry.time.take());
        if !records.is_empty() {
            let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.tar.append_pax_extensions(records).map_err(written)?;
        }
        entry.header.set_cksum();
        self.tar.append(&entry.header, content).map_err(written)
    }
}

/// An entry on its way.
struct New {
    header: Header,
    path: Vec<u8>,
    link: Option<Vec<u8>>,
    time: Option<(String, Vec<u8>)>,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Default for New {
    fn default() -> Self {
        Self { header: Header::new_gnu(), path: vec![], link: None, time: None, xattrs: vec![] }
    }
}

impl New {
    fn of(path: &Path, stat: &Stat) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_size(0);
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        let time = pax_time(stat.st_mtime, stat.st_mtime_nsec as i64).map(|time| ("mtime".to_owned(), time.into()));
        Self { header, path: path.as_os_str().as_bytes().to_vec(), time, ..Self::default() }
    }
}

/// What the header has no room for: parts of a second, and times before 1970. The fraction counts forward from the
/// second before.
fn pax_time(seconds: i64, nanoseconds: i64) -> Option<String> {
    match (seconds, nanoseconds) {
        (0.., 0) => None,
        (_, 0) => Some(seconds.to_string()),
        (0.., _) => Some(format!("{seconds}.{nanoseconds:09}")),
        (-1, _) => Some(format!("-0.{:09}", 1_000_000_000 - nanoseconds)),
        _ => Some(format!("{}.{:09}", seconds + 1, 1_000_000_000 - nanoseconds)),
    }
}

/// Into the header as far as it goes; the record that says all of it, where that is not enough.
fn long(key: &str, text: &[u8], field: &mut [u8; NAME]) -> Option<(String, Vec<u8>)> {
    let fits = text.len() <= NAME;
    let length = text.len().min(NAME);
    field[..length].copy_from_slice(&text[..length]);
    (!fits).then(|| (key.to_owned(), text.to_vec()))
}

/// Those that layers have, of a file or directory.
pub(crate) fn attributes_of(dir: &OwnedFd, name: &OsStr) -> Result<Vec<(String, Vec<u8>)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(dir, name, flags, Mode::empty());
    attributes(file.map_err(sys::Error::of(|| format!("openat({name:?})")))?.as_fd())
}

/// In their order.
fn attributes(file: BorrowedFd<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0_u8; 1 << 16];
    let length = match fs::flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(vec![]),
        Err(errno) => return Err(sys::Error::new("flistxattr", errno).into()),
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| unpack::is_kept(name)) {
        let text = std::str::from_utf8(name)
            .ok()
            // The name is a PAX record's key, which ends there (pax(1)).
            .filter(|text| !text.contains('='))
            .ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                let why = format!("no layer can hold its attribute {name:?}: the name has a '=', or is no UTF-8");
                Error::new(Kind::Unsupported, "", why)
            })?;
        let mut value = vec![0_u8; 1 << 16];
        match fs::fgetxattr(file, text, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(sys::Error::new(format!("fgetxattr({text:?})"), errno).into()),
        }
        found.push((format!("{XATTR}{text}"), without_root(text, value)));
    }
    found.sort();
    Ok(found)
}

/// Capabilities that root of a user namespace has given a file name that root, an id of this host (capabilities(7)); in a
/// layer they are the container's root's, as without (revision 2).
fn without_root(name: &str, mut value: Vec<u8>) -> Vec<u8> {
    if name == "security.capability" && value.len() == 24 && value[3] == 3 {
        value.truncate(20);
        value[3] = 2;
    }
    value
}

fn written(error: std::io::Error) -> Error {
    sys::Error::of_io(|| "write(tar)".to_owned())(error).into()
}

#[cfg(test)]
mod tests {
    use super::pax_time;

    #[test]
    fn times_that_a_header_has_no_room_for() {
        assert_eq!(pax_time(7, 0), None);
        assert_eq!(pax_time(7, 5).as_deref(), Some("7.000000005"));
        assert_eq!(pax_time(-7, 0).as_deref(), Some("-7"));
        // -0.25 and -1.25 seconds.
        assert_eq!(pax_time(-1, 750_000_000).as_deref(), Some("-0.250000000"));
        assert_eq!(pax_time(-2, 750_000_000).as_deref(), Some("-1.250000000"));
    }
}
