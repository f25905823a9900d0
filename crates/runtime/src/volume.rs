//! Volumes as they lie on the disk: making them, taking them away, what is mounted on them, and what an image puts in.
//!
//! Invariant: a volume that has its name is whole; one that is made or removed has another, and is nobody's when who made
//! or removes it is dead ([`reap`]). All of them are in one directory, whose flock says who may give and take names.

use crate::error::{Error, Result};
use crate::tree;
use plan::overlay::{self, Told};
use plan::volumes::{FILES, FRESH, RECORD};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What has no name yet, or none any more. No volume's name starts so.
const PARTIAL: &str = ".partial";

/// One that is to be.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    pub record: &'a str,
    /// A file that is there before it.
    pub claim: Option<&'a str>,
    /// Of its files.
    pub owner: Option<(u32, u32)>,
    pub quota: Option<u64>,
}

/// Make a volume; durable when this returns. `false`: there is one of this name, which stays as it is.
///
/// # Errors
/// The kernel's; a quota that it has no means for.
pub fn make(directory: &Path, new: &New<'_>) -> Result<bool> {
    let all = directory.parent().unwrap_or(Path::new("/"));
    make_directories(&all.join(PARTIAL))?;
    let lock = lock(all, FlockOperation::LockExclusive)?;
    if directory.exists() {
        return Ok(false);
    }
    if let Some(claim) = new.claim.map(Path::new) {
        make_directories(claim.parent().unwrap_or(all))?;
        File::create(claim).map_err(sys::Error::of_io(|| format!("open({claim:?}, O_CREAT)")))?;
    }
    let partial = all.join(PARTIAL).join("new");
    // Of one that was killed here: who has the lock is the only one that makes.
    sys::tree::remove_path(&partial)?;
    let made = make_in(&partial, new).and_then(|()| {
        rustix::fs::renameat_with(CWD, &partial, CWD, directory, RenameFlags::NOREPLACE)
            .map_err(sys::Error::of(|| format!("renameat2({directory:?}, RENAME_NOREPLACE)")))?;
        Ok(rustix::fs::fsync(&lock).map_err(sys::Error::of(|| format!("fsync({all:?})")))?)
    });
    if made.is_err() {
        let _ = sys::tree::remove_path(&partial);
    }
    made.map(|()| true)
}

fn make_in(partial: &Path, new: &New<'_>) -> Result<()> {
    let files = partial.join(FILES);
    make_directory(partial, 0o711)?;
    make_directory(&files, 0o755)?;
    if let Some((uid, gid)) = new.owner {
        let chown = std::os::unix::fs::chown(&files, Some(uid), Some(gid));
        chown.map_err(sys::Error::of_io(|| format!("chown({files:?}, {uid}, {gid})")))?;
    }
    if let Some(bytes) = new.quota {
        crate::quota::limit(&files, bytes)?;
    }
    write(&partial.join(FRESH), "")?;
    write(&partial.join(RECORD), new.record)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    Ok(written.map_err(sys::Error::of_io(|| format!("write({path:?})")))?)
}

/// As it is, whatever the umask is.
fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let call = || format!("mkdir({path:?}, 0{mode:o})");
    DirBuilder::new().mode(mode).create(path).map_err(sys::Error::of_io(call))?;
    let mode = std::fs::Permissions::from_mode(mode);
    Ok(std::fs::set_permissions(path, mode).map_err(sys::Error::of_io(call))?)
}

fn make_directories(path: &Path) -> Result<()> {
    // Closed to the host's users, who must not find a container's set-user-ID programs (CVE-2021-41091); but root of a
    // user namespace, who has to get through where he opens what is mounted himself, may be such a one in a container.
    let mode = if crate::observe::is_machines_root() { 0o700 } else { 0o711 };
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    Ok(made.map_err(sys::Error::of_io(|| format!("mkdir({path:?}, 0{mode:o})")))?)
}

/// Of all volumes, until it is dropped.
fn lock(all: &Path, how: FlockOperation) -> Result<File> {
    let open = || sys::Error::of_io(|| format!("open({all:?})"));
    let file = File::open(all).map_err(open())?;
    rustix::fs::flock(&file, how).map_err(sys::Error::of(|| format!("flock({all:?})")))?;
    Ok(file)
}

/// That it is about to be used; as long as it is held nobody removes it. `None`: it is not there.
///
/// # Errors
/// The kernel's.
pub fn hold(directory: &Path) -> Result<Option<OwnedFd>> {
    let file = match File::open(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(sys::Error::of_io(|| format!("open({directory:?})")))?,
    };
    rustix::fs::flock(&file, FlockOperation::LockShared)
        .map_err(sys::Error::of(|| format!("flock({directory:?}, LOCK_SH)")))?;
    // Until then it may have lost its name.
    Ok(directory.exists().then(|| file.into()))
}

/// Take a volume away, with all that is in it. `false`: somebody is about to use it. One that is not there is gone.
///
/// # Errors
/// The kernel's.
pub fn remove(directory: &Path) -> Result<bool> {
    let all = directory.parent().unwrap_or(Path::new("/"));
    let Ok(guard) = lock(all, FlockOperation::LockExclusive) else { return Ok(true) };
    let call = || format!("open({directory:?})");
    let gone = match File::open(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        file => file.map_err(sys::Error::of_io(call))?,
    };
    match rustix::fs::flock(&gone, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(false),
        locked => locked.map_err(sys::Error::of(|| format!("flock({directory:?}, LOCK_EX | LOCK_NB)")))?,
    }
    make_directories(&all.join(PARTIAL))?;
    let free = (0_u32..).map(|number| all.join(PARTIAL).join(format!("gone-{number}"))).find(|path| !path.exists());
    let partial = free.unwrap_or_default();
    rustix::fs::renameat_with(CWD, directory, CWD, &partial, RenameFlags::NOREPLACE)
        .map_err(sys::Error::of(|| format!("renameat2({partial:?}, RENAME_NOREPLACE)")))?;
    rustix::fs::fsync(&guard).map_err(sys::Error::of(|| format!("fsync({all:?})")))?;
    // What is in it takes as long as it takes; by its own lock it is known that somebody is at it.
    drop(guard);
    crate::quota::release(&partial.join(FILES));
    tree::remove(&partial.to_string_lossy(), true)?;
    Ok(true)
}

/// What those left that died while they made or removed a volume.
#[must_use]
pub fn reap(all: &Path) -> Vec<Error> {
    let Ok(left) = std::fs::read_dir(all.join(PARTIAL)) else { return Vec::new() };
    let left: Vec<PathBuf> = left.flatten().map(|entry| entry.path()).collect();
    if left.is_empty() {
        return Vec::new();
    }
    let Ok(_guard) = lock(all, FlockOperation::NonBlockingLockExclusive) else { return Vec::new() };
    let abandoned = |path: &PathBuf| {
        File::open(path).is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
    };
    let remove = |path: &PathBuf| tree::remove(&path.to_string_lossy(), true).err();
    left.iter().filter(|path| abandoned(path)).filter_map(remove).collect()
}

/// Mount what the volume is, for its first user; the file that says so is there before.
///
/// # Errors
/// The kernel's.
pub fn mount(at: &str, (users, user): (&Path, &str), fstype: &str, device: &str, options: &[String]) -> Result<()> {
    let above = users.parent().unwrap_or(Path::new("/"));
    make_directories(above)?;
    let _guard = lock(above, FlockOperation::LockExclusive)?;
    make_directories(users)?;
    let user = users.join(user);
    File::create(&user).map_err(sys::Error::of_io(|| format!("open({user:?}, O_CREAT)")))?;
    if is_mounted(at)? {
        return Ok(());
    }
    let (flags, data) = options_of(options);
    let data = (!data.is_empty()).then(|| CString::new(data.join(","))).transpose();
    let data = data.map_err(|_| sys::Error::new(format!("mount({at:?})"), Errno::INVAL))?;
    let mounted = rustix::mount::mount(device, at, fstype, flags, data.as_deref());
    Ok(mounted.map_err(sys::Error::of(|| format!("mount({device:?}, {at:?}, {fstype:?}, {options:?})")))?)
}

/// The words of mount(8) that are flags of mount(2), and the others, which are for the filesystem.
fn options_of(options: &[String]) -> (MountFlags, Vec<&str>) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options {
        let (flag, on) = match option.as_str() {
            "ro" => (MountFlags::RDONLY, true),
            "rw" => (MountFlags::RDONLY, false),
            "nosuid" => (MountFlags::NOSUID, true),
            "suid" => (MountFlags::NOSUID, false),
            "nodev" => (MountFlags::NODEV, true),
            "dev" => (MountFlags::NODEV, false),
            "noexec" => (MountFlags::NOEXEC, true),
            "exec" => (MountFlags::NOEXEC, false),
            "sync" => (MountFlags::SYNCHRONOUS, true),
            "async" => (MountFlags::SYNCHRONOUS, false),
            "noatime" => (MountFlags::NOATIME, true),
            "nodiratime" => (MountFlags::NODIRATIME, true),
            "relatime" => (MountFlags::RELATIME, true),
            "strictatime" => (MountFlags::STRICTATIME, true),
            "defaults" | "" => continue,
            other => {
                data.push(other);
                continue;
            }
        };
        flags.set(flag, on);
    }
    (flags, data)
}

fn is_mounted(at: &str) -> Result<bool> {
    let found = rustix::fs::statx(CWD, at, AtFlags::empty(), StatxFlags::empty())
        .map_err(sys::Error::of(|| format!("statx({at:?})")))?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The last user unmounts.
///
/// # Errors
/// The kernel's.
pub fn leave(at: &str, users: &Path, user: &str) -> Result<()> {
    let above = users.parent().unwrap_or(Path::new("/"));
    if !users.exists() {
        return Ok(());
    }
    let _guard = lock(above, FlockOperation::LockExclusive)?;
    let user = users.join(user);
    match std::fs::remove_file(&user) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(sys::Error::of_io(|| format!("unlink({user:?})"))(error).into());
        }
        _ => {}
    }
    if std::fs::read_dir(users).is_ok_and(|mut left| left.next().is_some()) {
        return Ok(());
    }
    crate::undo::unmount(at)?;
    match std::fs::remove_dir(users) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(sys::Error::of_io(|| format!("rmdir({users:?})"))(error).into())
        }
        _ => Ok(()),
    }
}

/// What an image has at a path.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Topmost first.
    pub layers: &'a [String],
    pub told: &'a Told,
    /// Where they may be mounted.
    pub at: &'a str,
    pub path: &'a str,
}

/// Copy that into the volume, once; what it had before stays, and nothing is added to it. `owner`: of an empty one for
/// which there is nothing. `mapped`: as root of a user namespace of the caller's.
///
/// # Errors
/// The kernel's.
pub fn fill(directory: &Path, image: &Image<'_>, owner: Option<(u32, u32)>, mapped: bool) -> Result<()> {
    let (files, fresh) = (directory.join(FILES), directory.join(FRESH));
    let Some(mark) = mark(&fresh)? else { return Ok(()) };
    let read = |call: &'static str| sys::Error::of_io(move || format!("{call}(volume)"));
    let broken_off = mark.metadata().map_err(read("fstat"))?.len() > 0;
    if broken_off {
        // Nobody has been given it since: a fill comes before the container.
        empty(&files)?;
    } else if std::fs::read_dir(&files).map_err(read("getdents64"))?.next().is_some() {
        return done(&fresh);
    }
    (&mark).write_all(b"filling\n").map_err(read("write"))?;
    if let Some((uid, gid)) = owner {
        let chown = std::os::unix::fs::chown(&files, Some(uid), Some(gid));
        chown.map_err(sys::Error::of_io(|| format!("chown({files:?}, {uid}, {gid})")))?;
    }
    let call = format!("copy({:?}, {files:?})", image.path);
    tree::apart(&call, mapped, true, || copy(&files, image, mapped))?;
    if std::fs::read_dir(&files).map_err(read("getdents64"))?.next().is_some() {
        return done(&fresh);
    }
    // There was nothing: the next image may have something.
    Ok(mark.set_len(0).map_err(read("ftruncate"))?)
}

/// Held by who fills; `None`: somebody has.
fn mark(fresh: &Path) -> Result<Option<File>> {
    let file = match File::options().read(true).append(true).open(fresh) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(sys::Error::of_io(|| format!("open({fresh:?})")))?,
    };
    rustix::fs::flock(&file, FlockOperation::LockExclusive)
        .map_err(sys::Error::of(|| format!("flock({fresh:?}, LOCK_EX)")))?;
    Ok(fresh.exists().then_some(file))
}

fn done(fresh: &Path) -> Result<()> {
    Ok(std::fs::remove_file(fresh).map_err(sys::Error::of_io(|| format!("unlink({fresh:?})")))?)
}

fn empty(files: &Path) -> Result<()> {
    let call = || format!("getdents64({files:?})");
    for entry in std::fs::read_dir(files).map_err(sys::Error::of_io(call))? {
        let path = entry.map_err(sys::Error::of_io(call))?.path();
        tree::remove(&path.to_string_lossy(), true)?;
    }
    Ok(())
}

/// In a process and a mount namespace of its own.
fn copy(files: &Path, image: &Image<'_>, mapped: bool) -> sys::Result<()> {
    use sys::Error as Failed;
    rustix::process::umask(Mode::empty());
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(Failed::of(|| "mount(\"/\", MS_SLAVE | MS_REC)".to_owned()))?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path, flags| {
        rustix::fs::open(path, flags, Mode::empty()).map_err(Failed::of(|| format!("open({path:?}, O_DIRECTORY)")))
    };
    let to = open(files, flags)?;
    let root = match (image.layers, image.told) {
        ([layer], _) => open(Path::new(layer), flags)?,
        (layers, Told::Page { from }) => {
            let options = overlay::options(layers, None, mapped, from);
            let options = CString::new(options).map_err(|_| Failed::new("mount(overlay)", Errno::INVAL))?;
            rustix::process::chdir(from.as_str()).map_err(Failed::of(|| format!("chdir({from:?})")))?;
            rustix::mount::mount("overlay", image.at, "overlay", MountFlags::RDONLY, Some(options.as_c_str()))
                .map_err(Failed::of(|| format!("mount({:?}, overlay)", image.at)))?;
            open(Path::new(image.at), flags)?
        }
        (layers, told) => sys::mount::filesystem(c"overlay", &overlay_config(layers, told, mapped)?)?,
    };
    sys::copy::fill(to.as_fd(), root.as_fd(), image.path, true).map(drop)
}

fn overlay_config(layers: &[String], told: &Told, mapped: bool) -> sys::Result<Vec<(CString, Option<CString>)>> {
    let c = |text: &str| CString::new(text).map_err(|_| sys::Error::new("fsconfig(overlay)", Errno::INVAL));
    let mut config = match told {
        Told::Each => layers.iter().map(|layer| Ok((c("lowerdir+")?, Some(c(layer)?)))).collect::<sys::Result<_>>()?,
        Told::Together | Told::Page { .. } => vec![(c("lowerdir")?, Some(c(&overlay::join(layers))?))],
    };
    if mapped {
        config.push((c("userxattr")?, None));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("sampan-volume-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    const NEW: New<'static> = New { record: "{}", claim: None, owner: None, quota: None };

    #[test]
    fn one_of_two_makes_it() {
        let all = ground("make");
        let path = all.join("data");
        assert!(make(&path, &NEW).unwrap());
        assert!(!make(&path, &NEW).unwrap());
        assert!(path.join(FILES).is_dir() && path.join(FRESH).is_file());
        let held = hold(&path).unwrap();
        assert!(!remove(&path).unwrap(), "somebody is about to use it");
        drop(held);
        assert!(remove(&path).unwrap() && !path.exists());
        assert!(remove(&path).unwrap() && hold(&path).unwrap().is_none());
        std::fs::remove_dir_all(&all).unwrap();
    }

    #[test]
    fn what_the_dead_left_goes() {
        let all = ground("reap");
        let left = all.join(PARTIAL).join("gone-0/_data/x");
        std::fs::create_dir_all(&left).unwrap();
        std::fs::create_dir_all(all.join(PARTIAL).join("gone-1")).unwrap();
        let busy = hold(&all.join(PARTIAL).join("gone-1")).unwrap();
        assert!(reap(&all).is_empty());
        assert!(!all.join(PARTIAL).join("gone-0").exists() && all.join(PARTIAL).join("gone-1").exists());
        drop(busy);
        assert!(reap(&all).is_empty() && std::fs::read_dir(all.join(PARTIAL)).unwrap().next().is_none());
        std::fs::remove_dir_all(&all).unwrap();
    }

    #[test]
    fn what_is_a_flag_and_what_is_for_the_filesystem() {
        let options = ["ro", "size=1m", "nodev", "rw", "defaults"].map(str::to_owned);
        assert_eq!(options_of(&options), (MountFlags::NODEV, vec!["size=1m"]));
    }
}
