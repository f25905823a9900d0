//! The image `host`: this machine's own files, copy on write, without what a guest has no business reading.
//!
//! Two fences. The kernel's: the host is seen through a read-only overlay that was mounted with the file-system ids of
//! nobody, and overlayfs reads its layers with its mounter's rights; so what an ordinary user cannot read, the guest's
//! root cannot read either, at any depth and whatever appears later. The veil: whiteouts over what an ordinary user
//! could read but a guest should not (others' homes, credentials, engines' stores), and over what the first fence
//! would leave as a name that cannot be opened, where a guest's package manager would trip over it.
//!
//! Invariant: made anew for each start from what is there now; nothing is cached that could go stale.
//! Must not: mount, or write anything but [`Unit::write_veil`].
//!
//! # How a view is mounted
//! In the child, on a tmpfs of its own: overlayfs refuses layers that lie within one another, and `/` holds everything
//! else. For each unit in order: make `veil`, `upper` and `work` directories, `upper` with the attributes of the veil's
//! first entry, and fill `veil`. With a [`Reader`]: `setgroups(0)`, `setfsgid(gid)`, `setfsuid(uid)` (which drops the
//! file capabilities and keeps CAP_SYS_ADMIN, capabilities(7)), mount `inner` as overlay of `veil:lower` without an
//! upper, set the ids back to 0 (which restores the capabilities), and mount `inner` + `upper` at its place. Without
//! one: mount `veil:lower` + `upper` there. In a user namespace with `userxattr`.

mod hidden;
mod mounts;

use crate::error::{Context, Result};
use crate::fs as dirfs;
use crate::unpack::Rights;
use mounts::Mounts;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// kernel/sys.c's overflow ids: they own nothing.
const NOBODY: Reader = Reader { uid: 65534, gid: 65534 };

/// Whose view it is.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// Of the invoking user: root's own, or the user's who called sudo.
    pub uid: u32,
    pub gid: u32,
    pub home: Option<&'a Path>,
    /// sampan's store and state.
    pub own: &'a [PathBuf],
    pub rights: Rights,
    /// The container has a user namespace of its own. Then the host's mounts are locked to each other
    /// (mount_namespaces(7)), and overlayfs takes no directory that has others mounted beneath it.
    pub locked: bool,
}

/// What to mount, in this order: the frame, the units, the fresh filesystems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What the root's tmpfs itself holds; empty if the first unit is the root.
    pub frame: Vec<Frame>,
    pub units: Vec<Unit>,
    /// Places for a new tmpfs of that mode: sockets and temporary files are the host's own.
    pub fresh: Vec<(PathBuf, u32)>,
}

/// Absolute paths, parents first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Dir {
        path: PathBuf,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    /// A single file, to be bound read-only over an empty one.
    File {
        path: PathBuf,
    },
}

/// One overlay. `at` is its place in the container, and the lower on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub at: PathBuf,
    pub reader: Option<Reader>,
    /// The first is the root of the veil, with an empty path; parents before what is in them.
    pub veil: Vec<Entry>,
}

/// File-system ids (setfsuid(2)) with whose rights the lower is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    pub uid: u32,
    pub gid: u32,
}

/// Paths are relative to the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// On the way to a whiteout, with the original's attributes: overlayfs shows the topmost directory's.
    Dir { path: PathBuf, mode: u32, uid: u32, gid: u32 },
    /// `mknod(path, S_IFCHR, 0)`.
    Whiteout { path: PathBuf },
}

/// Looks at the host and says what to mount.
///
/// # Errors
/// `/proc/self/mountinfo` or the root directory cannot be read. What else cannot be read is nothing to hide.
pub fn view(guest: &Guest<'_>) -> Result<View> {
    let mounts = Mounts::read().context(|| "cannot read /proc/self/mountinfo".to_owned())?;
    let home = guest.home.and_then(|home| home.canonicalize().ok()).filter(|home| home.parent().is_some());
    let stacked = mounts.root_is_stacked();
    let hidden = hidden::list(guest, home.as_deref(), &mounts, stacked);
    let mut view = View { fresh: fresh(), ..View::default() };
    if guest.locked {
        frame(Path::new("/"), &mounts, &hidden, &mut view);
    } else {
        let places = std::iter::once(Path::new("/")).chain(mounts.real());
        let seen = |path: &&Path| path.is_dir() && !is_fresh(path) && !covers(&hidden, path) && reachable(path);
        view.units.extend(places.filter(seen).map(|at| Unit { at: at.to_owned(), reader: None, veil: vec![] }));
    }
    if guest.rights == Rights::Root && !stacked {
        view.units.iter_mut().for_each(|unit| unit.reader = Some(NOBODY));
        // Nobody cannot look into the one home that the guest may see, so it is read as its owner.
        if let Some(home) = home.filter(|home| home.is_dir() && !covers(&hidden, home) && reachable(home)) {
            let reader = Some(Reader { uid: guest.uid, gid: guest.gid }).filter(|reader| reader.uid != 0);
            view.units.push(Unit { at: home, reader, veil: vec![] });
        }
    }
    let places: Vec<PathBuf> = view.units.iter().map(|unit| unit.at.clone()).collect();
    for unit in &mut view.units {
        unit.veil = veil(&unit.at, &places, &hidden);
    }
    Ok(view)
}

impl Unit {
    /// Makes the veil in `dir`, an empty directory on a tmpfs, which becomes its root.
    ///
    /// # Errors
    /// The first call that the kernel refused. Owners that a user namespace does not have are left out: what cannot be
    /// named there cannot be owned there.
    pub fn write_veil(&self, dir: BorrowedFd<'_>) -> sys::Result<()> {
        for entry in &self.veil {
            match entry {
                Entry::Dir { path, mode, uid, gid } => write_dir(dir, path, *mode, *uid, *gid)?,
                Entry::Whiteout { path } => fs::mknodat(dir, path, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(sys::Error::of(|| format!("mknodat({path:?}, S_IFCHR, 0:0)")))?,
            }
        }
        Ok(())
    }
}

fn write_dir(dir: BorrowedFd<'_>, path: &Path, mode: u32, uid: u32, gid: u32) -> sys::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    dirfs::mkdir(dir, path.as_os_str(), 0o700)?;
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match fs::chownat(dir, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
        Err(errno) => return Err(sys::Error::new(format!("fchownat({path:?})"), errno)),
    }
    fs::chmodat(dir, path, Mode::from_raw_mode(mode), AtFlags::empty())
        .map_err(sys::Error::of(|| format!("fchmodat({path:?}, {mode:#o})")))
}

/// Hidden paths that are this unit's and no deeper one's, with the directories on the way.
fn veil(at: &Path, places: &[PathBuf], hidden: &BTreeSet<PathBuf>) -> Vec<Entry> {
    let deepest =
        |path: &Path| places.iter().filter(|place| path.starts_with(place)).max_by_key(|p| p.components().count());
    let mut entries = BTreeMap::new();
    let mut dir = |path: &Path| {
        let relative = path.strip_prefix(at).unwrap_or(path).to_owned();
        entries.entry(relative.clone()).or_insert_with(|| {
            let (mode, uid, gid) = path.metadata().map_or((0o755, 0, 0), |m| (m.mode() & 0o7777, m.uid(), m.gid()));
            Entry::Dir { path: relative, mode, uid, gid }
        });
    };
    dir(at);
    let ours: Vec<_> = hidden.iter().filter(|path| deepest(path).is_some_and(|place| place == at)).collect();
    for path in &ours {
        let up = path.ancestors().skip(1).take_while(|up| up.starts_with(at));
        up.for_each(&mut dir);
    }
    for path in ours {
        let path = path.strip_prefix(at).unwrap_or(path).to_owned();
        entries.insert(path.clone(), Entry::Whiteout { path });
    }
    entries.into_values().collect()
}

/// Splits `path` until no unit has a mount beneath it.
fn frame(path: &Path, mounts: &Mounts, hidden: &BTreeSet<PathBuf>, view: &mut View) {
    let Ok(meta) = path.symlink_metadata() else { return };
    if covers(hidden, path) {
        return;
    }
    let path = path.to_owned();
    if meta.is_symlink() {
        let target = path.read_link().unwrap_or_default();
        return view.frame.push(Frame::Link { path, target });
    }
    if meta.is_file() {
        return view.frame.push(Frame::File { path });
    }
    if !meta.is_dir() {
        return;
    }
    if path.parent().is_some() {
        view.frame.push(Frame::Dir {
            path: path.clone(),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        });
    }
    if is_fresh(&path) || mounts.is_foreign(&path) {
        return;
    }
    if !mounts.any_beneath(&path) {
        return view.units.push(Unit { at: path, reader: None, veil: vec![] });
    }
    for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
        frame(&entry.path(), mounts, hidden, view);
    }
}

/// Kernel filesystems, which every container gets its own of, and what only makes sense to the host's processes.
fn is_fresh(path: &Path) -> bool {
    ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/run", "/var/lock"].iter().any(|at| path.starts_with(at))
}

fn fresh() -> Vec<(PathBuf, u32)> {
    let places = [("/run", 0o755), ("/tmp", 0o1777), ("/var/tmp", 0o1777)];
    let real = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    places.iter().map(|(path, mode)| (PathBuf::from(path), *mode)).filter(|(path, _)| real(path)).collect()
}

fn covers(hidden: &BTreeSet<PathBuf>, path: &Path) -> bool {
    path.ancestors().any(|up| hidden.contains(up))
}

/// Whether nobody can walk there; where it cannot, the mount point would not be found.
fn reachable(path: &Path) -> bool {
    path.ancestors().skip(1).all(|up| up.metadata().is_ok_and(|meta| meta.mode() & 0o001 != 0))
}
