//! cgroupfs files by directory fd.
//!
//! Invariant: a name that is opened, made or removed is a single component under a [`Dir`], and no link is followed.
//! Must not: know a controller.

use crate::{Error, Result};
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory of a cgroup hierarchy. Good for `CLONE_INTO_CGROUP` (clone(2) takes an `O_PATH` fd).
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// For messages.
    path: String,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// # Errors
    /// open(2).
    pub fn open(path: &str) -> Result<Self> {
        let fd = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())
            .map_err(Error::of(|| format!("open({path:?}, O_PATH | O_DIRECTORY)")))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// # Errors
    /// openat(2): `ENOENT` if there is none.
    pub fn below(&self, name: &CStr) -> Result<Self> {
        let path = format!("{}/{}", self.path, name.to_string_lossy());
        let fd = rustix::fs::openat(&self.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map_err(Error::of(|| format!("open({path:?}, O_PATH | O_DIRECTORY)")))?;
        Ok(Self { fd, path })
    }

    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is new. One that exists is as good: shared directories are made by whoever comes first.
    ///
    /// # Errors
    /// mkdir(2): `ENOENT` if this directory itself was removed meanwhile.
    pub fn mkdir(&self, name: &CStr) -> Result<bool> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::new(format!("mkdir(\"{}/{}\")", self.path, name.to_string_lossy()), errno)),
        }
    }

    /// # Errors
    /// rmdir(2): `EBUSY` while it holds processes or cgroups.
    pub fn rmdir(&self, name: &CStr) -> Result<()> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
            .map_err(Error::of(|| format!("rmdir(\"{}/{}\")", self.path, name.to_string_lossy())))
    }

    /// An empty extended attribute of the directory itself, which goes with it.
    ///
    /// # Errors
    /// openat(2), fsetxattr(2): `EPERM`, `EOPNOTSUPP` as xattr(7) has it for the name's class.
    pub fn set_attribute(&self, name: &str) -> Result<()> {
        let set = |fd: OwnedFd| rustix::fs::fsetxattr(fd, name, &[], XattrFlags::empty());
        self.readable().and_then(set).map_err(Error::of(|| format!("fsetxattr({:?}, {name:?})", self.path)))
    }

    /// What most calls want instead of an `O_PATH` fd.
    fn readable(&self) -> std::result::Result<OwnedFd, Errno> {
        rustix::fs::openat(&self.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.fd, name, Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// By the effective ids; a read-only mount counts. `.` is the directory itself.
    #[must_use]
    pub fn may_write(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.fd, name, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    /// To another owner; `.` is the directory itself.
    ///
    /// # Errors
    /// fchownat(2).
    pub fn give(&self, name: &str, uid: u32) -> Result<()> {
        let owner = Some(rustix::process::Uid::from_raw(uid));
        rustix::fs::chownat(&self.fd, name, owner, None, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::of(|| format!("fchownat(\"{}/{name}\", {uid})", self.path)))
    }

    /// # Errors
    /// openat(2), read(2).
    pub fn read(&self, file: &str) -> Result<String> {
        let fd = self.file(file, OFlags::RDONLY)?;
        read_all(fd.as_fd()).map_err(Error::of(|| format!("read(\"{}/{file}\")", self.path)))
    }

    /// # Errors
    /// openat(2), write(2).
    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        let fd = self.file(file, OFlags::WRONLY)?;
        self.put(fd.as_fd(), file, value)
    }

    /// Several values to one file, each by a write of its own.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_each<'a>(&self, file: &str, values: impl Iterator<Item = &'a str>) -> Result<()> {
        let fd = self.file(file, OFlags::WRONLY)?;
        values.into_iter().try_for_each(|value| self.put(fd.as_fd(), file, value))
    }

    /// What the file says after it was written.
    ///
    /// # Errors
    /// As [`Self::write`] and [`Self::read`].
    pub fn write_and_read(&self, file: &str, value: &str) -> Result<String> {
        let fd = self.file(file, OFlags::RDWR)?;
        self.put(fd.as_fd(), file, value)?;
        read_all(fd.as_fd()).map_err(Error::of(|| format!("read(\"{}/{file}\")", self.path)))
    }

    /// For somebody else to write: the kernel judges the write by who opened the file (CVE-2021-4197).
    ///
    /// # Errors
    /// openat(2).
    pub fn writer(&self, file: &str) -> Result<OwnedFd> {
        self.file(file, OFlags::WRONLY)
    }

    /// To be read again and again.
    ///
    /// # Errors
    /// openat(2).
    pub fn reader(&self, file: &str) -> Result<File> {
        Ok(File { fd: self.file(file, OFlags::RDONLY)?, path: format!("{}/{file}", self.path) })
    }

    /// Names of the cgroups below this one: bytes, as a container may choose them.
    ///
    /// # Errors
    /// openat(2), getdents64(2).
    pub fn children(&self) -> Result<Vec<CString>> {
        let failed = |errno| Error::new(format!("getdents64({:?})", self.path), errno);
        let fd = self.readable().map_err(failed)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The processes of this cgroup alone, by their numbers in our pid namespace; those outside of it are left out.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn processes(&self) -> Result<Vec<i32>> {
        let text = self.read("cgroup.procs")?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect())
    }

    /// SIGKILL to each process of this cgroup alone. A fork may have escaped: call again.
    ///
    /// # Errors
    /// As [`Self::read`]; pidfd_send_signal(2).
    pub fn kill_once(&self) -> Result<()> {
        let before = self.processes()?;
        let open = |pid: i32| Some((pid, rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?));
        let handles: Vec<(i32, OwnedFd)> = before.iter().filter_map(|pid| open(*pid)).collect();
        // A number may have passed to a stranger before we had its handle. One that is listed still did not.
        let after = self.processes()?;
        for (pid, handle) in handles.iter().filter(|(pid, _)| after.contains(pid)) {
            match rustix::process::pidfd_send_signal(handle, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(Error::new(format!("pidfd_send_signal({pid}, SIGKILL)"), errno)),
            }
        }
        Ok(())
    }

    fn file(&self, file: &str, mode: OFlags) -> Result<OwnedFd> {
        rustix::fs::openat(&self.fd, file, mode | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
            .map_err(Error::of(|| format!("open(\"{}/{file}\")", self.path)))
    }

    fn put(&self, fd: BorrowedFd<'_>, file: &str, value: &str) -> Result<()> {
        // The kernel takes a value whole or not at all.
        rustix::io::write(fd, value.as_bytes())
            .map(|_| ())
            .map_err(Error::of(|| format!("write(\"{}/{file}\", {value:?})", self.path)))
    }
}

/// An open file of a cgroup.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    /// For messages.
    path: String,
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl File {
    /// # Errors
    /// read(2): `ENODEV` when its cgroup is gone.
    pub fn read(&self) -> Result<String> {
        read_all(self.fd.as_fd()).map_err(Error::of(|| format!("read({:?})", self.path)))
    }
}

fn read_all(fd: BorrowedFd<'_>) -> std::result::Result<String, Errno> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        // By offset: the same fd may have been written to.
        let n = rustix::io::pread(fd, &mut buffer, text.len() as u64)?;
        if n == 0 {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        text.extend_from_slice(&buffer[..n]);
    }
}

/// By path: of the many directories that are asked most are of others, and are not opened for it.
#[must_use]
pub fn has_attribute(path: &str, name: &str) -> bool {
    rustix::fs::lgetxattr(path, name, &mut [0; 0]).is_ok()
}
