//! A container's root where overlayfs cannot write: a copy of the layers as one; and whether that is so.
//!
//! Invariant: a copy that has its name is whole.

use crate::error::Result;
use crate::lock::Lock;
use crate::{observe, tree};
use plan::mounts::Ids;
use plan::{Rejected, order};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::DirBuilder;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// What `layers` show as one, to the new directory `to`. `mapped`: as root of a user namespace of the caller's.
///
/// # Errors
/// The kernel's; an owner that the maps have not.
pub fn copy(layers: &[String], to: &str, ids: &Ids, mapped: bool) -> Result<()> {
    let partial = order::partial(to);
    // Of one that was killed here.
    tree::remove(&partial, true)?;
    let copy = || {
        rustix::process::umask(Mode::empty());
        let made = DirBuilder::new().mode(0o700).create(&partial);
        made.map_err(sys::Error::of_io(|| format!("mkdir({partial:?}, 0700)")))?;
        let owners = |uid, gid| {
            let on_host = |map: &[_], id| if map.is_empty() { Some(id) } else { plan::ids::on_host(map, id) };
            on_host(&ids.uid, uid).zip(on_host(&ids.gid, gid))
        };
        sys::copy::merge(Path::new(&partial), layers, &owners)
    };
    tree::apart(&format!("copy({to:?})"), mapped, false, copy)?;
    Ok(rustix::fs::rename(&partial, to).map_err(sys::Error::of(|| format!("rename({partial:?}, {to:?})")))?)
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    Fit,
    /// `lasting`: whoever tries, as long as this kernel runs.
    Unfit {
        why: Rejected,
        lasting: bool,
    },
    /// It failed for what has nothing to do with overlayfs: who makes a container will hear of it.
    Unknown,
}

/// Whether overlayfs can write in this directory. `mapped`: in a user namespace. What is made for that goes.
///
/// # Errors
/// The kernel's; there are no ids to map.
pub fn try_overlayfs(directory: &Path, mapped: bool) -> Result<Trial> {
    let at = directory.join(TRIAL);
    // A full or a read-only file system says so to who makes a container.
    let Ok(_alone) = alone(&at) else { return Ok(Trial::Unknown) };
    let what = || format!("cannot keep containers in {} with overlayfs", directory.display());
    let kind = || observe::mount::kind(directory).unwrap_or_else(|_| "unknown".to_owned());
    let tried = tree::apart(&format!("mount({at:?}, overlay)"), mapped, true, || try_overlay(&at, mapped));
    tree::remove(&at.to_string_lossy(), true)?;
    let error = match tried {
        Ok(()) => return Ok(Trial::Fit),
        Err(crate::Error::Sys(error)) => error,
        Err(error) => return Err(error),
    };
    let other = "use --storage-driver vfs";
    let lasting = !matches!(error.errno, Errno::PERM | Errno::ACCESS);
    let why = match error.errno {
        Errno::NODEV => Rejected::new(what(), "the kernel has no overlayfs")
            .hint(format!("modprobe overlay, as root; or {other}, which copies images")),
        Errno::PERM | Errno::ACCESS => {
            Rejected::new(what(), format!("this kernel does not let the caller mount it: {error}"))
                .hint(format!("{other}, which copies images, or run as root"))
        }
        // See `try_overlay`.
        Errno::INVAL | Errno::OPNOTSUPP => {
            let why = match error.errno {
                Errno::INVAL => format!("overlayfs does not write to its file system ({})", kind()),
                _ => format!("its file system ({}) has no room for overlayfs's marks (extended attributes)", kind()),
            };
            Rejected::new(what(), why)
                .hint(format!("keep them on ext4, xfs, btrfs or tmpfs (--root), or {other}, which copies images"))
        }
        _ => return Ok(Trial::Unknown),
    };
    Ok(Trial::Unfit { why, lasting })
}

/// What one left that was killed while it tried, or that a power cut ended.
///
/// # Errors
/// The kernel's.
pub fn forget_trial(directory: &Path) -> Result<()> {
    let at = directory.join(TRIAL);
    // Whoever tries now takes it away himself, before he lets go.
    let Some(_alone) = Lock::take_existing(&at)? else { return Ok(()) };
    tree::remove(&at.to_string_lossy(), true)
}

/// The directory, made and empty, and the lock on it.
fn alone(at: &Path) -> Result<Lock> {
    loop {
        let lock = Lock::take(at)?;
        if std::fs::read_dir(at).is_ok_and(|mut entries| entries.next().is_none()) {
            return Ok(lock);
        }
        // Of one that was killed here.
        tree::remove(&at.to_string_lossy(), true)?;
    }
}

/// One tries at a time: a name with a number of the process's is somebody else's after a boot.
const TRIAL: &str = ".overlay-trial";

/// `EOPNOTSUPP`: it can be mounted, but not all be done with it.
fn try_overlay(at: &Path, mapped: bool) -> sys::Result<()> {
    let make = |path: &Path| {
        DirBuilder::new().mode(0o700).create(path).map_err(sys::Error::of_io(|| format!("mkdir({path:?})")))
    };
    for name in ["lower", "lower/d", "upper", "work"] {
        make(&at.join(name))?;
    }
    let text = |path: &Path| {
        CString::new(path.as_os_str().as_bytes()).map_err(|_| sys::Error::new("fsconfig(overlay)", Errno::INVAL))
    };
    // Relative, as its own name may be too long for fsconfig(2).
    rustix::process::chdir(at).map_err(sys::Error::of(|| format!("chdir({at:?})")))?;
    let mut config = vec![
        (c"lowerdir".to_owned(), Some(text(Path::new("lower"))?)),
        (c"upperdir".to_owned(), Some(text(Path::new("upper"))?)),
        (c"workdir".to_owned(), Some(text(Path::new("work"))?)),
    ];
    config.extend(mapped.then(|| (c"userxattr".to_owned(), None)));
    let root = sys::mount::filesystem(c"overlay", &config)?;
    // What a container does when it replaces a directory of its image: a whiteout, then an opaque directory.
    let replace = || -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&root, "d", AtFlags::REMOVEDIR)?;
        rustix::fs::mkdirat(&root, "d", Mode::from(0o700))?;
        let upper =
            rustix::fs::open("upper/d", rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC, Mode::empty())?;
        let marked = sys::mark::Marks::Overlay.is_opaque(upper.as_fd());
        if marked { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    };
    replace().map_err(|_| sys::Error::new("mkdir(overlay)", Errno::OPNOTSUPP))?;
    // As a layer's own whiteouts.
    let device = rustix::fs::mknodat(rustix::fs::CWD, "lower/w", FileType::CharacterDevice, Mode::empty(), 0);
    device.map_err(|_| sys::Error::new("mknod(whiteout)", Errno::OPNOTSUPP))
}
