//! Steps to syscalls.

pub mod cgroup;
pub mod device;
pub mod network;

use crate::error::{Error, Result};
use plan::mounts::{Ids, Maps};
use plan::overlay::Told;
use plan::step::{AttachStep, HostStep, map_words};
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::Signal;
use spec::runtime::IdMapping;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the steps of one container hand on to each other.
#[derive(Debug, Default)]
pub struct Context {
    pub(crate) dirs: cgroup::Dirs,
    network: network::Context,
    /// For mounts with shifted ids: the container's own does not exist yet.
    user_namespaces: Vec<(Maps, OwnedFd)>,
    /// Of the networks' state; taken before it was observed, and let go when the last step that relies on it is done.
    lock: Option<network::Lock>,
}

impl Context {
    pub(crate) fn take_resolver(&mut self) -> Option<crate::resolver::Sockets> {
        self.network.take_resolver()
    }

    #[must_use]
    pub fn new(lock: Option<network::Lock>) -> Self {
        Self { lock, ..Self::default() }
    }

    /// `what` is for the message.
    pub(crate) fn shift(&mut self, tree: BorrowedFd<'_>, what: &str, maps: &Maps, recursive: bool) -> Result<()> {
        if !self.user_namespaces.iter().any(|(known, _)| known == maps) {
            let namespace = match maps {
                Maps::These(ids) => user_namespace(ids)?,
                Maps::Of(path) => sys::process::open_namespace(path)?,
            };
            self.user_namespaces.push((maps.clone(), namespace));
        }
        let known = self.user_namespaces.iter().find(|(known, _)| known == maps);
        let shifted = known.map_or(Ok(()), |(_, namespace)| sys::mount::shift(tree, namespace.as_fd(), recursive));
        shifted.map_err(|error| match error.errno {
            Errno::INVAL => plan::Rejected::new(
                format!("cannot shift the ids of {what}"),
                format!("its file system has no idmapped mounts, or they are shifted already: {error}"),
            )
            .into(),
            _ => error.into(),
        })
    }

    /// No step that follows is about networks.
    pub(crate) fn unlock(&mut self) {
        self.lock = None;
    }
}

/// One step of the parent, before the clone.
///
/// # Errors
/// What the kernel refused.
pub fn host(step: &HostStep, context: &mut Context) -> Result<()> {
    match step {
        HostStep::Home { path, mode, owner, .. } | HostStep::Directory { path, mode, owner } => {
            directory(path, *mode, *owner)
        }
        HostStep::Kept { path, mode, owner } => {
            let call = || format!("chmod({path:?}, 0{mode:o})");
            let permissions = std::fs::Permissions::from_mode(*mode);
            std::fs::set_permissions(path, permissions).map_err(sys::Error::of_io(call))?;
            own(path, *owner)
        }
        HostStep::MountPoint { path, .. } => directory(path, 0o755, None),
        HostStep::File { path, mode, owner, content } => {
            let call = || format!("write({path:?})");
            let mut file = std::fs::OpenOptions::new();
            let mut file = file.write(true).create_new(true).mode(*mode).open(path).map_err(sys::Error::of_io(call))?;
            std::io::Write::write_all(&mut file, content.as_bytes()).map_err(sys::Error::of_io(call))?;
            own(path, *owner)
        }
        HostStep::Fifo { path, mode } => {
            let call = || format!("mknod({path:?}, S_IFIFO | 0{mode:o})");
            let made = rustix::fs::mknodat(CWD, path.as_str(), FileType::Fifo, Mode::from(*mode), 0);
            Ok(made.map_err(sys::Error::of(call))?)
        }
        HostStep::Node { path, device, owner } => device::make(path, device, *owner),
        HostStep::Source { path, owner } => {
            let call = || format!("mkdir({path:?}, 0755)");
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(sys::Error::of_io(call))?;
            own(path, *owner)
        }
        HostStep::Own { path, owner, mapped } => crate::tree::chown(path, *owner, *mapped),
        HostStep::Quota { paths: [one, other], bytes } => {
            crate::quota::limit_all(&[Path::new(one), Path::new(other)], *bytes, "containers")
        }
        HostStep::Volume { directory, record, claim, owner, quota } => {
            let new = crate::volume::New { record, claim: claim.as_deref(), owner: *owner, quota: *quota };
            crate::volume::make(Path::new(directory), &new).map(drop)
        }
        HostStep::Filesystem { at, users, user, fstype, device, options } => {
            crate::volume::mount(at, (Path::new(users), user), fstype, device, options)
        }
        HostStep::Fill { directory, layers, told, at, path, owner, mapped } => {
            let image = crate::volume::Image { layers, told, at, path };
            crate::volume::fill(Path::new(directory), &image, *owner, *mapped)
        }
        HostStep::Secrets { path, owner, .. } => directory(path, 0o700, *owner),
        HostStep::Secret { from, to, mode, owner, mapped } => crate::secret::copy(from, to, *mode, *owner, *mapped),
        HostStep::Idmapped { from, to, ids, recursive } => {
            let tree = sys::mount::tree(from, *recursive, true)?;
            context.shift(tree.as_fd(), from, &Maps::These(ids.clone()), *recursive)?;
            Ok(sys::mount::attach(tree.as_fd(), to)?)
        }
        HostStep::Layers { lower, at, userxattr, told } => layers(lower, at, *userxattr, told),
        HostStep::Tree { layers, to, ids, mapped } => crate::snapshot::copy(layers, to, ids, *mapped),
        HostStep::Affinity(cpus) => Ok(sys::process::set_affinity(&cpus.mask)?),
        HostStep::Cgroup(step) => Ok(cgroup::apply(step, &mut context.dirs)?),
        HostStep::Network(step) => {
            let lock = context.lock.as_ref().ok_or_else(|| Error::Unknown("lock on the networks".to_owned()))?;
            Ok(network::apply_host(step, &mut context.network, lock)?)
        }
    }
}

fn layers(lower: &[String], at: &str, userxattr: bool, told: &Told) -> Result<()> {
    if let Told::Page { from } = told {
        let options = crate::init::c(&plan::overlay::options(lower, None, userxattr, from))?;
        return Ok(sys::mount::readable_page(c"overlay", &options, from, at)?);
    }
    let mut config = crate::init::layers(lower, told)?;
    config.extend(userxattr.then(|| (c"userxattr".to_owned(), None)));
    let tree = sys::mount::readable(c"overlay", &config)?;
    Ok(sys::mount::attach(tree.as_fd(), at)?)
}

/// One step of the parent, after the clone.
///
/// # Errors
/// What the kernel or a program that was called refused.
pub fn attach(step: &AttachStep, context: &mut Context, pid: i32, sync: &OwnedFd) -> Result<()> {
    match step {
        AttachStep::IdMaps { uid, gid, helpers } => id_maps(pid, uid, gid, *helpers),
        AttachStep::OomScoreAdj(value) => oom_score_adj(pid, *value),
        AttachStep::Cgroup(step) => attach_cgroup(step, context, pid),
        AttachStep::Network(step) => Ok(network::apply_attach(step, &mut context.network, pid.cast_unsigned())?),
        AttachStep::Go | AttachStep::Attached => crate::sync::go(sync),
    }
}

pub(crate) fn attach_cgroup(step: &plan::cgroup::AttachStep, context: &mut Context, pid: i32) -> Result<()> {
    match step {
        plan::cgroup::AttachStep::Scope(scope) => crate::systemd::start(scope, pid),
        plan::cgroup::AttachStep::Enter(enter) => crate::systemd::enter(enter, pid),
        plan::cgroup::AttachStep::Host(step) => Ok(cgroup::apply(step, &mut context.dirs)?),
    }
}

fn directory(path: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    let call = || format!("mkdir({path:?}, 0{mode:o})");
    std::fs::DirBuilder::new().mode(mode).create(path).map_err(sys::Error::of_io(call))?;
    // The umask took its part of the mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(sys::Error::of_io(call))?;
    own(path, owner)
}

fn own(path: &str, owner: Option<(u32, u32)>) -> Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .map_err(sys::Error::of_io(|| format!("chown({path:?}, {uid}, {gid})")))?;
    Ok(())
}

pub(crate) fn id_maps(pid: i32, uid: &[IdMapping], gid: &[IdMapping], helpers: bool) -> Result<()> {
    if helpers {
        // Only a set-uid program may map ids that are not the caller's own (user_namespaces(7)).
        newidmap("newuidmap", pid, uid)?;
        return newidmap("newgidmap", pid, gid);
    }
    let lines = |maps: &[IdMapping]| maps.iter().map(map_words).collect::<Vec<_>>().join("\n");
    // Without CAP_SETGID the kernel takes a gid map only after setgroups was given up (user_namespaces(7)).
    if rustix::process::geteuid().as_raw() != 0 {
        write(&format!("/proc/{pid}/setgroups"), "deny")?;
    }
    write(&format!("/proc/{pid}/uid_map"), &lines(uid))?;
    write(&format!("/proc/{pid}/gid_map"), &lines(gid))
}

fn newidmap(program: &str, pid: i32, maps: &[IdMapping]) -> Result<()> {
    let words = maps.iter().flat_map(|map| [map.container_id, map.host_id, map.size]).map(|word| word.to_string());
    let words: Vec<String> = std::iter::once(pid.to_string()).chain(words).collect();
    let what = || format!("cannot map ids with {program} {}", words.join(" "));
    let output = Command::new(program).args(&words).stdin(Stdio::null()).output().map_err(|error| {
        plan::Rejected::new(what(), error.to_string()).hint("install uidmap (Fedora: shadow-utils)")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(plan::Rejected::new(what(), why).hint("compare the caller's lines in /etc/subuid and /etc/subgid").into())
}

/// A user namespace that lives as long as the fd. Somebody has to be in it while the maps are written.
fn user_namespace(ids: &Ids) -> Result<OwnedFd> {
    let one = sys::process::SingleThread::check()?;
    let (ours, theirs) = crate::sync::pair()?;
    let wait = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
        u8::from(rustix::net::recv(&theirs, &mut [0u8; 1], RecvFlags::empty()).is_err())
    };
    let child = sys::process::fork(one, sys::process::CLONE_NEWUSER as u64, wait)?;
    let namespace = id_maps(child.pid, &ids.uid, &ids.gid, false)
        .and_then(|()| Ok(sys::process::open_namespace(&format!("/proc/{}/ns/user", child.pid))?));
    crate::sync::go(&ours)?;
    sys::process::wait(&child)?;
    namespace
}

fn oom_score_adj(pid: i32, value: i32) -> Result<()> {
    let path = format!("/proc/{pid}/oom_score_adj");
    match write(&path, &value.to_string()) {
        // Lowering needs CAP_SYS_RESOURCE, which is often not there; to be killed sooner than asked is no loss of
        // isolation, and runc and crun go on as well.
        Err(Error::Sys(error)) if error.errno == Errno::ACCESS => Ok(()),
        other => other,
    }
}

fn write(path: &str, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text).map_err(sys::Error::of_io(|| format!("write({path:?}, {text:?})")))?)
}
