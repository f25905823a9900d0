//! Whether two unpacked layers are the same in all that a container can see.

use crate::error::Result;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::Metadata;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The first difference in words, or `None`.
pub fn trees(is: &OwnedFd, should: &OwnedFd) -> Result<Option<String>> {
    let root = |fd: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}/.", fd.as_raw_fd()));
    let (is, should) = (root(is), root(should));
    let metadata = |path: &Path| path.metadata().map_err(sys::Error::of_io(|| format!("stat({path:?})")));
    if let Some(difference) = entry(&is, &metadata(&is)?, &should, &metadata(&should)?)? {
        return Ok(Some(format!("/ {difference}")));
    }
    let mut left = vec![PathBuf::new()];
    while let Some(path) = left.pop() {
        let (a, b) = (is.join(&path), should.join(&path));
        let (one, two) = (list(&a)?, list(&b)?);
        if let Some(extra) = one.keys().find(|name| !two.contains_key(*name)) {
            return Ok(Some(format!("/{} should not be there", path.join(extra).display())));
        }
        for (name, wanted) in &two {
            let at = path.join(name);
            let Some(found) = one.get(name) else {
                return Ok(Some(format!("/{} is missing", at.display())));
            };
            if let Some(difference) = entry(&a.join(name), found, &b.join(name), wanted)? {
                return Ok(Some(format!("/{} {difference}", at.display())));
            }
            if wanted.is_dir() {
                left.push(at);
            }
        }
    }
    Ok(None)
}

fn list(path: &Path) -> Result<BTreeMap<OsString, Metadata>> {
    let call = || format!("getdents64({path:?})");
    let mut entries = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(sys::Error::of_io(call))? {
        let entry = entry.map_err(sys::Error::of_io(call))?;
        entries.insert(entry.file_name(), entry.metadata().map_err(sys::Error::of_io(call))?);
    }
    Ok(entries)
}

fn entry(a: &Path, is: &Metadata, b: &Path, should: &Metadata) -> Result<Option<&'static str>> {
    let kind = |found: &Metadata| found.mode() & 0o170_000;
    if kind(is) != kind(should) || is.rdev() != should.rdev() {
        return Ok(Some("is of another kind"));
    }
    if is.mode() != should.mode() {
        return Ok(Some("has another mode"));
    }
    if (is.uid(), is.gid()) != (should.uid(), should.gid()) {
        return Ok(Some("has another owner"));
    }
    // A layer need not list its directories, and says no time of what it takes away: those have the time of unpacking.
    let timed = !is.is_dir() && !is_whiteout(is);
    if timed && (is.mtime(), is.mtime_nsec()) != (should.mtime(), should.mtime_nsec()) {
        return Ok(Some("has another time"));
    }
    if attributes(a)? != attributes(b)? {
        return Ok(Some("has other attributes"));
    }
    let call = || format!("read({a:?})");
    if is.is_symlink() {
        let target = |path: &Path| std::fs::read_link(path).map_err(sys::Error::of_io(call));
        return Ok((target(a)? != target(b)?).then_some("leads elsewhere"));
    }
    let same = !is.is_file() || (is.len() == should.len() && same(a, b).map_err(sys::Error::of_io(call))?);
    Ok((!same).then_some("has other content"))
}

fn is_whiteout(found: &Metadata) -> bool {
    found.mode() & 0o170_000 == 0o020_000 && found.rdev() == 0
}

fn same(a: &Path, b: &Path) -> std::io::Result<bool> {
    let (mut a, mut b) = (std::fs::File::open(a)?, std::fs::File::open(b)?);
    let (mut one, mut two) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut one)?;
        if n == 0 {
            return Ok(b.read(&mut two)? == 0);
        }
        if b.read_exact(&mut two[..n]).is_err() || one[..n] != two[..n] {
            return Ok(false);
        }
    }
}

/// All of them, but those of a file system that has none.
fn attributes(path: &Path) -> Result<BTreeMap<CString, Vec<u8>>> {
    // As long as the kernel has them (xattr(7)).
    let mut names = vec![0_u8; 1 << 16];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else { return Ok(BTreeMap::new()) };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 1 << 16];
        let text = std::ffi::OsStr::from_bytes(name);
        if let (Ok(length), Ok(name)) = (rustix::fs::lgetxattr(path, text, &mut value[..]), CString::new(name)) {
            value.truncate(length);
            found.insert(name, value);
        }
    }
    Ok(found)
}
