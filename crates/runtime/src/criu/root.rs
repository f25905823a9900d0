//! The root of a container as CRIU wants it: a mount point, with everything there that is mounted on.
//!
//! Invariant: it is in a mount namespace of CRIU's own, so the host's mounts stay as they are, whatever happens. What is
//! in the root is found inside it, by `openat2(RESOLVE_IN_ROOT)`.

use crate::error::{Error, Result};
use plan::Rejected;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use sys::process::{CLONE_NEWNS, Child, SingleThread};

/// The root, and where it is to be mounted.
#[derive(Debug, Clone)]
pub struct Root {
    pub path: String,
    pub at: String,
}

/// What is to be there to be mounted on.
#[derive(Debug, Clone)]
pub struct Target {
    pub path: String,
    /// What will be mounted there of the host; what comes after may be inside.
    pub source: Option<String>,
}

/// A child, with namespaces of its own, for what ends in an exec, or in nothing. `attach` is ours to do before it works;
/// it has got there when this returns.
pub(super) fn fork(
    namespaces: u64,
    attach: &mut dyn FnMut(i32) -> Result<()>,
    work: impl FnOnce() -> Result<()>,
) -> Result<Child> {
    let one = SingleThread::check()?;
    let pipe = || std::io::pipe().map_err(sys::Error::of_io(|| "pipe2(O_CLOEXEC)".into()));
    let (mut reader, mut writer) = pipe()?;
    let (mut gate, go) = pipe()?;
    let mut go = Some(go);
    let child = sys::process::fork(one, namespaces, || {
        drop(go.take());
        // Nothing comes where its parent has given up.
        if gate.read_exact(&mut [0]).is_err() {
            return 1;
        }
        let Err(error) = work() else { return 0 };
        let _ = writer.write_all(error.to_string().as_bytes());
        1
    })?;
    drop(writer);
    let mut attached = attach(child.pid);
    if attached.is_ok() {
        let written = go.as_mut().map_or(Ok(()), |go| go.write_all(&[1]));
        attached = written.map_err(|error| sys::Error::of_io(|| "write(pipe)".into())(error).into());
    }
    drop(go);
    let mut why = String::new();
    let read = reader.read_to_string(&mut why).map_err(sys::Error::of_io(|| "read(pipe)".into()));
    if attached.is_ok() && why.is_empty() {
        return read.map(|_| child).map_err(Error::from);
    }
    sys::process::wait(&child)?;
    attached?;
    Err(Rejected::new("cannot prepare for criu", why).into())
}

/// To be called in a mount namespace of its own.
fn mount(root: &Root) -> Result<()> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(sys::Error::of(|| "mount(\"/\", MS_SLAVE | MS_REC)".into()))?;
    let tree = sys::mount::tree(&root.path, true, true)?;
    Ok(sys::mount::attach(tree.as_fd(), &root.at)?)
}

impl Root {
    /// What is missing to be mounted on is made, and stays, as it does when a container is made.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(&self, targets: &[Target]) -> Result<()> {
        let child = fork(CLONE_NEWNS as u64, &mut |_| Ok(()), || {
            mount(self)?;
            let root = open_root(Path::new(&self.at))?;
            targets.iter().try_for_each(|target| make(&root, target))
        })?;
        sys::process::wait(&child).map(drop).map_err(Error::from)
    }

    /// For [`super::Criu::start`], with [`NAMESPACES`](Self::NAMESPACES).
    ///
    /// # Errors
    /// The kernel's.
    pub fn mount(&self) -> Result<()> {
        mount(self)
    }

    pub const NAMESPACES: u64 = CLONE_NEWNS as u64;
}

fn make(root: &OwnedFd, target: &Target) -> Result<()> {
    let is_file = target.source.as_ref().is_some_and(|source| Path::new(source).is_file());
    let names = names(&target.path);
    for (above, name) in (0..names.len()).map(|depth| (join(&names[..depth]), names[depth])) {
        let path = format!("{above}/{name}");
        match open(root, &path, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            found => {
                found.map_err(sys::Error::of(|| format!("openat2({path:?})")))?;
                continue;
            }
        }
        let call = || format!("mkdir({path:?})");
        let above = open(root, &above, OFlags::PATH | OFlags::DIRECTORY).map_err(sys::Error::of(call))?;
        if is_file && path.trim_start_matches("./") == join(&names).trim_start_matches("./") {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(&above, name, flags, Mode::from(0o644)).map_err(sys::Error::of(call))?;
        } else {
            rustix::fs::mkdirat(&above, name, Mode::from(0o755)).map_err(sys::Error::of(call))?;
        }
    }
    let Some(source) = &target.source else { return Ok(()) };
    let at =
        open(root, &join(&names), OFlags::PATH).map_err(sys::Error::of(|| format!("openat2({:?})", target.path)))?;
    let tree = sys::mount::tree(source, true, true)?;
    Ok(sys::mount::attach_at(tree.as_fd(), at.as_fd())?)
}

fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !matches!(*name, "" | ".")).collect()
}

fn join(names: &[&str]) -> String {
    std::iter::once(".").chain(names.iter().copied()).collect::<Vec<_>>().join("/")
}

fn open_root(path: &Path) -> Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(sys::Error::of(|| format!("open({path:?}, O_PATH)")))?)
}

fn open(root: &OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), inside)
}

/// Where a path of a root leads, links followed as far as it is there: what CRIU knows a mount by.
///
/// # Errors
/// There is no such root.
pub fn inside(root: &Path, path: &str) -> Result<String> {
    let root = open_root(root)?;
    let link = |fd: &OwnedFd| {
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        std::fs::read_link(&link).map_err(sys::Error::of_io(|| format!("readlink({link:?})")))
    };
    let top = link(&root)?;
    let names = names(path);
    for there in (0..=names.len()).rev() {
        let Ok(found) = open(&root, &join(&names[..there]), OFlags::PATH) else { continue };
        let found = link(&found)?;
        let rest: Vec<&str> = names[there..].to_vec();
        let found = found.strip_prefix(&top).unwrap_or(&found).join(rest.join("/"));
        return Ok(format!("/{}", found.to_string_lossy().trim_matches('/')));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{inside, make, open_root};
    use crate::criu::Target;

    #[test]
    fn links_lead_inside_and_what_is_missing_is_made() {
        let dir = std::env::temp_dir().join(format!("sampan-criu-root-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("real/conf")).unwrap();
        std::os::unix::fs::symlink("/real/conf", dir.join("conf")).unwrap();
        std::os::unix::fs::symlink("../../../real", dir.join("up")).unwrap();
        for (path, found) in [
            ("/conf", "/real/conf"),
            ("/conf/more/deep", "/real/conf/more/deep"),
            ("/up/conf/", "/real/conf"),
            ("/none", "/none"),
            ("/", "/"),
        ] {
            assert_eq!(inside(&dir, path).unwrap(), found);
        }
        let root = open_root(&dir).unwrap();
        make(&root, &Target { path: "/up/new/below".into(), source: None }).unwrap();
        assert!(dir.join("real/new/below").is_dir());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
