//! The fd-based mount API, as the parent needs it; the child has its own loop.

use crate::{Error, Result};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A copy of the mount that `path` is in, from there on, attached nowhere. `recursive`: with the mounts below. `follow`:
/// from where it leads, if it is a link.
///
/// # Errors
/// The kernel's.
pub fn tree(path: &str, recursive: bool, follow: bool) -> Result<OwnedFd> {
    let deep = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let itself = if follow { OpenTreeFlags::empty() } else { OpenTreeFlags::AT_SYMLINK_NOFOLLOW };
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | deep | itself)
        .map_err(Error::of(|| format!("open_tree({path:?}, OPEN_TREE_CLONE)")))
}

/// The same of what has the name `below` in it, resolved inside of it: whoever can write there cannot lead it out.
///
/// # Errors
/// The kernel's.
pub fn tree_below(path: &str, below: &str, recursive: bool) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let top = open(path, flags, Mode::empty()).map_err(Error::of(|| format!("open({path:?}, O_PATH)")))?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let part = openat2(&top, below, flags, Mode::empty(), inside)
        .map_err(Error::of(|| format!("openat2({path:?}, {below:?}, RESOLVE_IN_ROOT)")))?;
    let deep = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let copy = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(&part, "", copy | deep).map_err(Error::of(|| format!("open_tree({below:?}, OPEN_TREE_CLONE)")))
}

/// A new filesystem, attached nowhere; each entry is a setting, a flag without value.
///
/// # Errors
/// The kernel's.
pub fn filesystem(fstype: &CStr, config: &[(CString, Option<CString>)]) -> Result<OwnedFd> {
    made(fstype, config, MountAttrFlags::empty())
}

/// The same, to be read only: no device in it is one, and no program in it has its owner's rights.
///
/// # Errors
/// The kernel's.
pub fn readable(fstype: &CStr, config: &[(CString, Option<CString>)]) -> Result<OwnedFd> {
    let flags =
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    made(fstype, config, flags)
}

/// The same with mount(2), whose options may be a page; names in them begin at `from`, where this process is then for a
/// moment.
///
/// # Errors
/// The kernel's.
pub fn readable_page(fstype: &CStr, options: &CStr, from: &str, at: &str) -> Result<()> {
    use rustix::mount::{MountFlags, mount};
    let cwd = rustix::fs::open(".", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty());
    let cwd = cwd.map_err(Error::of(|| "open(\".\")".to_owned()))?;
    rustix::process::chdir(from).map_err(Error::of(|| format!("chdir({from:?})")))?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    let mounted = mount(fstype, at, fstype, flags, options).map_err(Error::of(|| format!("mount({at:?}, {fstype:?})")));
    rustix::process::fchdir(cwd).map_err(Error::of(|| "fchdir".to_owned()))?;
    mounted
}

fn made(fstype: &CStr, config: &[(CString, Option<CString>)], flags: MountAttrFlags) -> Result<OwnedFd> {
    use rustix::mount::{FsMountFlags, FsOpenFlags};
    use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};
    let call = |name: &str| format!("{name}({fstype:?})");
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).map_err(Error::of(|| call("fsopen")))?;
    for (key, value) in config {
        let done = match value {
            Some(value) => fsconfig_set_string(&context, key.as_c_str(), value.as_c_str()),
            None => fsconfig_set_flag(&context, key.as_c_str()),
        };
        done.map_err(Error::of(|| format!("fsconfig({fstype:?}, {key:?}, {value:?})")))?;
    }
    fsconfig_create(&context).map_err(Error::of(|| call("fsconfig")))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(Error::of(|| call("fsmount")))
}

/// Give the filesystem that is mounted there these settings, all of them flags, and no other.
///
/// # Errors
/// The kernel's.
pub fn reconfigure(at: &str, flags: &[&str]) -> Result<()> {
    use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};
    let context = fspick(CWD, at, FsPickFlags::FSPICK_CLOEXEC).map_err(Error::of(|| format!("fspick({at:?})")))?;
    let call = || format!("fsconfig({at:?}, {flags:?})");
    flags.iter().try_for_each(|flag| fsconfig_set_flag(&context, *flag)).map_err(Error::of(call))?;
    fsconfig_reconfigure(&context).map_err(Error::of(call))
}

/// Shift the ids of a [`tree`] by the maps of this user namespace: what id 0 owns on the disk is owned by the
/// namespace's root (mount_setattr(2), `MOUNT_ATTR_IDMAP`). `recursive`: with the mounts below.
///
/// # Errors
/// `EINVAL` where a filesystem of them cannot do it.
pub fn shift(tree: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: user_namespace.as_raw_fd() as u64,
    };
    set(tree, &attributes, recursive, "mount_setattr(MOUNT_ATTR_IDMAP)")
}

/// A [`tree`] with the mounts below hears of what is mounted in what it is a copy of, and tells nothing.
///
/// # Errors
/// The kernel's.
pub fn enslave(tree: BorrowedFd<'_>) -> Result<()> {
    let attributes = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: libc::MS_SLAVE, userns_fd: 0 };
    set(tree, &attributes, true, "mount_setattr(MS_SLAVE)")
}

/// Of a [`tree`] that shall be nobody's peer: its devices can be opened.
///
/// # Errors
/// The kernel's.
pub fn allow_devices(tree: BorrowedFd<'_>) -> Result<()> {
    let attributes =
        libc::mount_attr { attr_set: 0, attr_clr: libc::MOUNT_ATTR_NODEV, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    set(tree, &attributes, false, "mount_setattr(clear MOUNT_ATTR_NODEV)")
}

/// Of a [`tree`] that shall be nobody's peer, with the mounts below: nothing can be written to it.
///
/// # Errors
/// The kernel's.
pub fn read_only(tree: BorrowedFd<'_>) -> Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    set(tree, &attributes, true, "mount_setattr(MOUNT_ATTR_RDONLY)")
}

fn set(tree: BorrowedFd<'_>, attributes: &libc::mount_attr, recursive: bool, call: &'static str) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an open fd, a C string, and a struct of the size that is given, which live across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
        return Err(Error::new(call, errno));
    }
    Ok(())
}

/// Attach a [`tree`] on what the fd stands for.
///
/// # Errors
/// The kernel's.
pub fn attach_at(tree: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", to, "", flags).map_err(Error::of(|| "move_mount(MOVE_MOUNT_T_EMPTY_PATH)".into()))
}

/// Attach a [`tree`] on `to`.
///
/// # Errors
/// The kernel's.
pub fn attach(tree: BorrowedFd<'_>, to: &str) -> Result<()> {
    move_mount(tree, "", CWD, to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::of(|| format!("move_mount({to:?})")))
}

/// A mount namespace of this process's own, which the host's hears nothing of.
///
/// # Errors
/// The kernel's.
pub fn leave_host() -> Result<()> {
    // SAFETY: takes a number, and of this process's memory nothing changes.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(Error::of_io(|| "unshare(CLONE_NEWNS)".into())(std::io::Error::last_os_error()));
    }
    use rustix::mount::{MountPropagationFlags, mount_change};
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(Error::of(|| "mount(\"/\", MS_REC | MS_PRIVATE)".into()))
}
