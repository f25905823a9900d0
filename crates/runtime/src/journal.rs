//! The journal of one container: what must be undone, written before it is done.
//!
//! One file is lease and list at once: the process that watches the container holds its flock, so a journal that can be
//! locked is that of a dead one. It comes into being locked (O_TMPFILE, flock, linkat), so no reaper can meet it
//! half made. It stands on tmpfs: written is flushed as far as a kill -9 is concerned, and a reboot, which empties the
//! kernel of all that the verbs name, empties the directory as well. docs/adr/0003-journal.md.

use crate::error::Result;
use plan::undo::{VERSION, Verb};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use sys::Error;

#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// A new journal, held by this process.
    ///
    /// # Errors
    /// `EEXIST` when there is one of that name.
    pub fn create(path: &Path) -> Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let file = rustix::fs::open(
            directory,
            OFlags::TMPFILE | OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC,
            Mode::from(0o600),
        )
        .map_err(|errno| cannot_write(path, &errno.into()))?;
        let mut file = File::from(file);
        lock(&file, path)?;
        append(&mut file, &format!("{VERSION}\n"), path)?;
        let from = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        rustix::fs::linkat(CWD, from, CWD, path, AtFlags::SYMLINK_FOLLOW)
            .map_err(|errno| cannot_write(path, &errno.into()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The journal of a holder that is dead; `None` when it is held, or gone.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take_over(path: &Path) -> Result<Option<Self>> {
        let file = match rustix::fs::open(path, OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => File::from(other.map_err(Error::of(|| format!("open({path:?}, O_RDWR)")))?),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            other => other.map_err(Error::of(|| format!("flock({path:?}, LOCK_EX | LOCK_NB)")))?,
        }
        // Between our open and our flock its holder may have finished and removed it.
        let links = rustix::fs::fstat(&file).map_err(Error::of(|| format!("fstat({path:?})")))?.st_nlink;
        Ok((links > 0).then(|| Self { file, path: path.to_owned() }))
    }

    /// That which the last program of this process has held, by its file.
    #[must_use]
    pub fn inherit(file: std::os::fd::OwnedFd, path: &Path) -> Self {
        Self { file: File::from(file), path: path.to_owned() }
    }

    /// For [`Journal::inherit`]: the same open file, and so the same lease.
    ///
    /// # Errors
    /// The kernel's.
    pub fn file(&self) -> Result<std::os::fd::OwnedFd> {
        Ok(self.file.try_clone().map_err(Error::of_io(|| "fcntl(F_DUPFD_CLOEXEC)".to_owned()))?.into())
    }

    /// All is undone, and the lease is still held.
    ///
    /// # Errors
    /// The kernel's.
    pub fn empty(&mut self) -> Result<()> {
        let call = || format!("ftruncate({:?})", self.path);
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(Error::of_io(call))?;
        append(&mut self.file, &format!("{VERSION}\n"), &self.path)
    }

    /// More to undo, for whoever holds the journal: to be called before the step.
    ///
    /// # Errors
    /// There is none; the kernel's.
    pub fn add(path: &Path, verbs: &[Verb]) -> Result<()> {
        let mut file = File::options().append(true).open(path).map_err(|error| cannot_write(path, &error))?;
        append(&mut file, &verbs.iter().map(Verb::line).collect::<String>(), path)
    }

    /// A child has a copy of it, and with it the lock, until it closes it.
    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.file)
    }

    /// Write verbs down; to be called before the step that makes them necessary.
    ///
    /// # Errors
    /// The kernel's: then the step must not run.
    pub fn write(&mut self, verbs: &[Verb]) -> Result<()> {
        if verbs.is_empty() {
            return Ok(());
        }
        // One write, so that a crash tears at most the last line.
        let lines: String = verbs.iter().map(Verb::line).collect();
        append(&mut self.file, &lines, &self.path)
    }

    /// The verbs, in the order in which they are to be replayed: the last first. A last line without its newline was
    /// torn by a crash, and its step has not run.
    ///
    /// # Errors
    /// When a line is of a newer version of sampan.
    pub fn verbs(&mut self) -> Result<Vec<Verb>> {
        let mut text = String::new();
        let call = || format!("read({:?})", self.path);
        self.file.rewind().map_err(Error::of_io(call))?;
        self.file.read_to_string(&mut text).map_err(Error::of_io(call))?;
        let mut lines = text.split_inclusive('\n');
        let foreign = |line: &str| {
            plan::Rejected::new(
                format!("cannot undo {}", self.path.display()),
                format!("{:?} is no line of this version of sampan, which writes {VERSION:?}", line.trim_end()),
            )
            .hint("a newer sampan wrote it: let that one clean up")
        };
        match lines.next() {
            None => return Ok(Vec::new()),
            Some(first) if first.trim_end() == VERSION => {}
            Some(first) => return Err(foreign(first).into()),
        }
        let mut verbs = Vec::new();
        for line in lines {
            let Some(line) = line.strip_suffix('\n') else { continue };
            verbs.push(Verb::parse(line).ok_or_else(|| foreign(line))?);
        }
        verbs.reverse();
        Ok(verbs)
    }

    /// The container is undone: nothing is left to say.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => Ok(other.map_err(Error::of_io(|| format!("unlink({:?})", self.path)))?),
        }
    }
}

fn lock(file: &File, path: &Path) -> Result<()> {
    Ok(rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
        .map_err(Error::of(|| format!("flock({path:?}, LOCK_EX)")))?)
}

fn append(file: &mut File, text: &str, path: &Path) -> Result<()> {
    Ok(file.write_all(text.as_bytes()).map_err(|error| cannot_write(path, &error))?)
}

/// Without it nothing is begun, so nothing is to be undone.
fn cannot_write(path: &Path, error: &std::io::Error) -> plan::Rejected {
    crate::error::refused(format!("cannot write the journal {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sampan-journal-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_held_journal_is_not_taken_and_a_torn_line_is_left_out() {
        let directory = directory("held");
        let path = directory.join("x");
        let mut journal = Journal::create(&path).unwrap();
        let verbs = [Verb::RemoveFile { path: "/a".into() }, Verb::Unmount { path: "/b".into() }];
        journal.write(&verbs).unwrap();
        assert!(Journal::take_over(&path).unwrap().is_none());
        assert!(Journal::create(&path).is_err());
        append(&mut journal.file, "remove-file /never", &path).unwrap();
        drop(journal);
        let mut journal = Journal::take_over(&path).unwrap().unwrap();
        let [a, b] = verbs;
        assert_eq!(journal.verbs().unwrap(), [b, a]);
        journal.remove().unwrap();
        assert!(Journal::take_over(&path).unwrap().is_none());
        std::fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn a_line_of_another_version_stops_the_undo() {
        let directory = directory("foreign");
        let path = directory.join("x");
        let mut journal = Journal::create(&path).unwrap();
        append(&mut journal.file, "melt /everything\n", &path).unwrap();
        assert!(journal.verbs().is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
