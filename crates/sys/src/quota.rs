//! Project quotas: a limit for a directory and all that is made in it (quotactl(2), ioctl_xfs_fsgetxattr(2)).

use crate::{Error, Result};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct fsxattr` (linux/fs.h).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_size: u32,
    pad: [u8; 8],
}

/// `struct if_dqblk` (linux/quota.h); space in blocks of 1024 bytes, but for what is taken.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    hard: u64,
    soft: u64,
    space: u64,
    hard_files: u64,
    soft_files: u64,
    files: u64,
    block_time: u64,
    file_time: u64,
    valid: u32,
}

/// Linux has it since 5.14.
const SYS_QUOTACTL_FD: libc::c_long = 443;
const GET_ATTRIBUTES: u32 = 0x801c_581f;
const SET_ATTRIBUTES: u32 = 0x401c_5820;
/// What is made in the directory is of its project, too.
const INHERITED: u32 = 0x200;
const PROJECTS: u32 = 2;
const GET: u32 = 0x80_0007 << 8 | PROJECTS;
const SET: u32 = 0x80_0008 << 8 | PROJECTS;
const BLOCKS: u32 = 1;

fn attributes(directory: BorrowedFd<'_>, request: u32, value: &mut Attributes) -> Result<()> {
    // SAFETY: an open fd, and the structure that the request reads or writes, which lives across the call.
    let result = unsafe { libc::ioctl(directory.as_raw_fd(), request as _, std::ptr::from_mut(value)) };
    check(
        result.into(),
        if request == SET_ATTRIBUTES { "ioctl(FS_IOC_FSSETXATTR)" } else { "ioctl(FS_IOC_FSGETXATTR)" },
    )
}

fn limits(directory: BorrowedFd<'_>, command: u32, project: u32, value: &mut Limits) -> Result<()> {
    // SAFETY: an open fd, and the structure that the command reads or writes, which lives across the call.
    let result =
        unsafe { libc::syscall(SYS_QUOTACTL_FD, directory.as_raw_fd(), command, project, std::ptr::from_mut(value)) };
    check(result, if command == SET { "quotactl_fd(Q_SETQUOTA)" } else { "quotactl_fd(Q_GETQUOTA)" })
}

fn check(result: libc::c_long, call: &'static str) -> Result<()> {
    if result >= 0 {
        return Ok(());
    }
    Err(Error::new(call, Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)))
}

/// Whether nothing has this project and no limit is set for it.
///
/// # Errors
/// The kernel's; `ESRCH` where there are no project quotas.
pub fn is_free(directory: BorrowedFd<'_>, project: u32) -> Result<bool> {
    let mut found = Limits::default();
    match limits(directory, GET, project, &mut found) {
        // XFS, of one that it has never seen.
        Err(error) if error.errno == Errno::NOENT => Ok(true),
        other => other.map(|()| found.space == 0 && found.files == 0 && found.hard == 0),
    }
}

/// So many bytes at most for the project, which becomes that of the directory, with all that is made in it.
///
/// # Errors
/// The kernel's.
pub fn limit(directory: BorrowedFd<'_>, project: u32, bytes: u64) -> Result<()> {
    let mut found = Attributes::default();
    attributes(directory, GET_ATTRIBUTES, &mut found)?;
    (found.project, found.flags) = (project, found.flags | INHERITED);
    attributes(directory, SET_ATTRIBUTES, &mut found)?;
    let blocks = bytes.div_ceil(1024);
    limits(directory, SET, project, &mut Limits { hard: blocks, soft: blocks, valid: BLOCKS, ..Limits::default() })
}

/// The limit of the directory's project is none any more.
///
/// # Errors
/// The kernel's.
pub fn release(directory: BorrowedFd<'_>) -> Result<()> {
    let mut found = Attributes::default();
    attributes(directory, GET_ATTRIBUTES, &mut found)?;
    if found.project == 0 || found.flags & INHERITED == 0 {
        return Ok(());
    }
    limits(directory, SET, found.project, &mut Limits { valid: BLOCKS, ..Limits::default() })
}
