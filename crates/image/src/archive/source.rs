//! Where an archive's files are: a tar is put into a temporary directory first, for its list may be at its end. Each file
//! lies there under a number.

use crate::entries::{self, Entry, broken};
use crate::error::{Error, Kind, Result};
use crate::fs;
use crate::limit::{Limit, Room};
use crate::temp::Temp;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Links that lead to links.
const DEPTH: usize = 8;
/// Files of an archive: a thousand images have fewer.
const NAMES: usize = 100_000;

pub enum Source {
    Tar { temp: Temp, names: HashMap<String, Place> },
    Directory(OwnedFd),
}

pub enum Place {
    File(String),
    /// docker writes a layer that it has twice as a link.
    Link(String),
}

impl Source {
    pub fn directory(path: &Path) -> Result<Self> {
        Ok(Self::Directory(fs::open_root(path)?))
    }

    pub fn tar(temp: Temp, archive: impl Read) -> Result<Self> {
        let room = Room::on(temp.as_fd(), Limit(u64::MAX));
        let mut files = Files { names: HashMap::new(), temp: &temp, room, buffer: vec![0; 1 << 17], count: 0 };
        let mut archive = BufReader::with_capacity(1 << 17, archive);
        let head = archive.fill_buf().map_err(broken)?;
        let unpacked: Box<dyn Read + '_> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(&mut archive))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::Decoder::with_buffer(&mut archive).map_err(broken)?)
        } else {
            Box::new(&mut archive)
        };
        entries::each(unpacked, |entry| files.entry(entry))?;
        let names = files.names;
        Ok(Self::Tar { temp, names })
    }

    /// `None`: there is no such file.
    pub fn open(&self, name: &str) -> Result<Option<File>> {
        match self {
            Self::Tar { temp, names } => {
                let mut name = clean(name, "");
                for _ in 0..DEPTH {
                    match names.get(&name) {
                        Some(Place::File(number)) => return Ok(fs::open(temp, number)?),
                        Some(Place::Link(target)) => name.clone_from(target),
                        None => return Ok(None),
                    }
                }
                Err(Error::new(Kind::Hostile, "", format!("links that lead in a circle: {name}")))
            }
            Self::Directory(root) => {
                let path = clean(name, "");
                let (dir, file) = path.rsplit_once('/').unwrap_or(("", &path));
                match fs::resolve_dir(root, std::ffi::OsStr::new(dir)) {
                    Ok(dir) => Ok(fs::open(dir, file)?),
                    Err(error) if error.errno == rustix::io::Errno::NOENT => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// A document, which is never long.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.open(name)?.map(|file| fs::read_document(file, name)).transpose()
    }
}

/// A tar's files on their way into a directory.
struct Files<'a> {
    names: HashMap<String, Place>,
    temp: &'a Temp,
    room: Room<'a>,
    buffer: Vec<u8>,
    count: usize,
}

impl Files<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        let name = clean(&String::from_utf8_lossy(&entry.name), "");
        let kind = entry.kind;
        if self.names.len() == NAMES {
            return Err(Error::new(Kind::TooLarge, "", format!("it has more than {NAMES} files")));
        }
        let place = if kind.is_file() {
            self.room.fits(entry.size)?;
            let number = self.count.to_string();
            self.count += 1;
            let mut file = fs::create(self.temp, &number, 0o600)?;
            self.room.copy(entry, &mut file, &mut self.buffer)?;
            Place::File(number)
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link.take().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            let from = if kind.is_symlink() { name.rsplit_once('/').map_or("", |(dir, _)| dir) } else { "" };
            Place::Link(clean(&target, from))
        } else if kind.is_gnu_sparse() {
            return Err(Error::new(Kind::Unsupported, "", format!("{name} is a sparse file")));
        } else {
            return Ok(());
        };
        // As tar(1) has it, the last of a name is the one.
        if let Some(Place::File(earlier)) = self.names.insert(name, place) {
            fs::unlink(self.temp, earlier)?;
        }
        Ok(())
    }
}

/// `dir/../x` as names, for a comparison of names only: the way up ends at the top.
fn clean(name: &str, from: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let from = if name.starts_with('/') { "" } else { from };
    for part in from.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn names_stay_below_the_top() {
        assert_eq!(clean("./a//b/", ""), "a/b");
        assert_eq!(clean("../b/layer.tar", "a"), "b/layer.tar");
        assert_eq!(clean("../../../x", "a"), "x");
        assert_eq!(clean("/x", "a"), "x");
    }
}
