//! For a worker: to go where a container's files are as the container has them, and not come back.
//!
//! Invariant: the process has one thread, and nothing to keep from the host but its pipes. It cannot be looked into from
//! the container, whoever it is there (ptrace(2), "undumpable").

use crate::apply::Context;
use crate::error::{Error, Result};
use crate::observe;
use crate::process::Process;
use plan::mounts::{Ids, Maps};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::process::DumpableBehavior;
use rustix::thread::{Gid, Uid};
use spec::runtime::{IdMapping, NamespaceKind};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// The files of one that has ended.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// Top first; of a container without a layer of its own: the one directory.
    pub lower: Vec<PathBuf>,
    /// Its own, and overlayfs's.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Its user namespace's, where root has given it one.
    pub uid: Vec<IdMapping>,
    pub gid: Vec<IdMapping>,
    /// A directory that nobody needs in this mount namespace.
    pub scratch: PathBuf,
    /// What is mounted in it, those above first: where, from where, and whether nothing can be written to it.
    pub mounts: Vec<(String, PathBuf, bool)>,
}

/// Into the namespaces of users and mounts that this process is in, as their root. Its root directory.
///
/// # Errors
/// It is gone; the kernel's.
pub fn of_running(first: Process) -> Result<OwnedFd> {
    shut()?;
    let pidfd = first.open()?.ok_or(Error::Gone(first.pid))?;
    let foreign = observe::foreign_namespaces(first.pid);
    let groups = observe::may_set_groups(&first.pid.to_string());
    let users = foreign.contains(&NamespaceKind::User);
    let wanted =
        [(users, sys::process::CLONE_NEWUSER), (foreign.contains(&NamespaceKind::Mount), sys::process::CLONE_NEWNS)];
    let flags = wanted.into_iter().filter(|(is, _)| *is).fold(0, |flags, (_, flag)| flags | flag);
    if flags != 0 {
        sys::process::setns(pidfd.as_fd(), flags)?;
    }
    if users {
        become_root(groups)?;
    }
    root("/")
}

/// To layers put together again, in a mount namespace of this process's own.
///
/// # Errors
/// The kernel's.
pub fn of_layers(layers: &Layers) -> Result<OwnedFd> {
    shut()?;
    sys::mount::leave_host()?;
    let Some((upper, work)) = &layers.upper else {
        let path = layers.lower.first().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        return mounted(root(&path)?, &layers.mounts);
    };
    // By descriptors, as the scratch may cover them, and so that no name is too long for fsconfig(2).
    let (upper, work) = (root(&upper.to_string_lossy())?, root(&work.to_string_lossy())?);
    let mut context = Context::default();
    let shifted = !layers.uid.is_empty();
    let maps = Maps::These(Ids { uid: layers.uid.clone(), gid: layers.gid.clone() });
    let mut trees = Vec::new();
    for lower in &layers.lower {
        let lower = lower.to_string_lossy();
        let tree = sys::mount::tree(&lower, false, true)?;
        if shifted {
            context.shift(tree.as_fd(), &lower, &maps, false)?;
        }
        trees.push(tree);
    }
    let scratch = layers.scratch.to_string_lossy();
    sys::mount::attach(sys::mount::filesystem(c"tmpfs", &[])?.as_fd(), &scratch)?;
    rustix::process::chdir(&*scratch).map_err(sys::Error::of(|| format!("chdir({scratch:?})")))?;
    let names: Vec<String> = (0..trees.len()).map(|number| number.to_string()).collect();
    for (name, tree) in names.iter().zip(&trees) {
        directory(name)?;
        sys::mount::attach(tree.as_fd(), name)?;
    }
    let text = |text: String| CString::new(text).map_err(|_| Error::Nul("a path".to_owned()));
    let by_descriptor = |fd: &OwnedFd| text(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let mut config = vec![
        (c"lowerdir".to_owned(), Some(text(names.join(":"))?)),
        (c"upperdir".to_owned(), Some(by_descriptor(&upper)?)),
        (c"workdir".to_owned(), Some(by_descriptor(&work)?)),
    ];
    if !observe::is_machines_root() {
        config.push((c"userxattr".to_owned(), None));
    }
    let overlay = sys::mount::filesystem(c"overlay", &config)?;
    directory("root")?;
    sys::mount::attach(overlay.as_fd(), "root")?;
    mounted(root("root")?, &layers.mounts)
}

fn mounted(root: OwnedFd, mounts: &[(String, PathBuf, bool)]) -> Result<OwnedFd> {
    for (target, source, read_only) in mounts {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let relative = target.trim_start_matches('/');
        let Ok(at) = rustix::fs::openat2(&root, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within) else {
            // Where it never ran, or what it was mounted on was removed.
            continue;
        };
        let tree = sys::mount::tree(&source.to_string_lossy(), true, true)?;
        if *read_only {
            sys::mount::read_only(tree.as_fd())?;
        }
        sys::mount::attach_at(tree.as_fd(), at.as_fd())?;
    }
    Ok(root)
}

fn shut() -> Result<()> {
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(sys::Error::of(|| "prctl(PR_SET_DUMPABLE, 0)".to_owned()))?)
}

fn become_root(groups: bool) -> Result<()> {
    if groups {
        rustix::thread::set_thread_groups(&[]).map_err(sys::Error::of(|| "setgroups([])".to_owned()))?;
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .map_err(sys::Error::of(|| "setresgid(0)".to_owned()))?;
    Ok(rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .map_err(sys::Error::of(|| "setresuid(0)".to_owned()))?)
}

fn directory(name: &str) -> Result<()> {
    Ok(rustix::fs::mkdir(name, Mode::from(0o700)).map_err(sys::Error::of(|| format!("mkdir({name:?})")))?)
}

fn root(path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(sys::Error::of(|| format!("open({path:?})")))?)
}
