//! Where an archive's files are: a tar is put into a temporary directory first, for its list may be at its end. Each file
//! lies there under a number.

use crate::error::{Error, Kind, Result};
use crate::fs;
use crate::temp::Temp;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Links that lead to links.
const DEPTH: usize = 8;

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
        let mut names = HashMap::new();
        let mut archive = BufReader::with_capacity(1 << 17, archive);
        let head = archive.fill_buf().map_err(broken)?;
        let unpacked: Box<dyn Read + '_> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(&mut archive))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::Decoder::with_buffer(&mut archive).map_err(broken)?)
        } else {
            Box::new(&mut archive)
        };
        let mut tar = tar::Archive::new(unpacked);
        for entry in tar.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = clean(&String::from_utf8_lossy(&entry.path_bytes()), "");
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let number = names.len().to_string();
                let mut file = fs::create(&temp, &number, 0o600)?;
                std::io::copy(&mut entry, &mut file).map_err(broken)?;
                names.insert(name, Place::File(number));
            } else if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = String::from_utf8_lossy(&target).into_owned();
                let from = if kind.is_symlink() { name.rsplit_once('/').map_or("", |(dir, _)| dir) } else { "" };
                names.insert(name.clone(), Place::Link(clean(&target, from)));
            }
        }
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
        let Some(file) = self.open(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(16 << 20).read_to_end(&mut bytes).map_err(broken)?;
        Ok(Some(bytes))
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

pub fn broken(error: std::io::Error) -> Error {
    match rustix::io::Errno::from_io_error(&error) {
        Some(errno) => sys::Error::new("read(archive)", errno).into(),
        None => Error::new(Kind::Corrupt, "", error.to_string()),
    }
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
