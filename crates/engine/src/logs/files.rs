//! A log's files: the one that is written to has the log's name, those before it are numbered in the order in which they
//! were full, `ctr.log.1` before `ctr.log.2`.
//!
//! Invariant: a file that has its number is complete, and never gets another; so a reader that has one open finds the
//! next by its inode, or, if it is gone, takes the oldest that is there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The numbers that are there, in order.
pub fn numbers(log: &Path) -> Vec<u64> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let number = |entry: std::fs::DirEntry| {
        let found = entry.file_name();
        let digits = found.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

pub fn numbered(log: &Path, number: u64) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(format!(".{number}"));
    path.into()
}

/// To append to; what it has already stays.
pub fn create(log: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).read(true).create(true).mode(0o640).open(log)
}

/// Those that are there, oldest first. The last is the one that is being written to, unless that has just got its number.
pub fn open(log: &Path) -> io::Result<Vec<File>> {
    // This one first: if it gets its number meanwhile it is found twice, and no file in between is missed.
    let current = match File::open(log) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for number in numbers(log) {
        match File::open(numbered(log, number)) {
            Ok(file) if current.as_ref().is_some_and(|current| is_same(current, &file)) => break,
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    files.extend(current);
    Ok(files)
}

/// The files after this one, oldest first, if it is no longer the one that is written to. It is complete then.
pub fn after(log: &Path, file: &File) -> io::Result<Option<Vec<File>>> {
    let mut files = open(log)?;
    match files.iter().position(|other| is_same(other, file)) {
        Some(last) if last + 1 == files.len() => Ok(None),
        Some(at) => Ok(Some(files.split_off(at + 1))),
        None if files.is_empty() => Ok(None),
        // So many were filled since that it is gone, and so are perhaps some after it.
        None => Ok(Some(files)),
    }
}

/// Give the file that was written to its number, and remove what is more than so many files, the next one included. One
/// that is gone was somebody's to take away.
pub fn number(log: &Path, number: u64, count: usize) -> io::Result<()> {
    gone(if count > 1 { std::fs::rename(log, numbered(log, number)) } else { std::fs::remove_file(log) })?;
    let numbers = numbers(log);
    let more = numbers.len().saturating_sub(count.saturating_sub(1));
    numbers.into_iter().take(more).try_for_each(|number| gone(std::fs::remove_file(numbered(log, number))))
}

fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Whether this file still has the log's name.
pub fn is_current(log: &Path, file: &File) -> io::Result<bool> {
    let (named, opened) = match (std::fs::metadata(log), file.metadata()?) {
        (Ok(named), opened) => (named, opened),
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        (Err(error), _) => return Err(error),
    };
    Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino()))
}

fn is_same(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
