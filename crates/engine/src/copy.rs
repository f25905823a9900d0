//! `sampan cp`: files into a container and out of it, whether it runs or not.
//!
//! The container's end is a process of its own, which has gone where the files are as the container has them, with its
//! root's rights and no more; the host's end is the caller. What is between them is a tar.

use crate::containers::{self, Listed, Mounted, Record, Which};
use crate::error::{Error, Result};
use crate::ground::HOST;
use crate::paths::Paths;
use crate::remote::{self, Failure, Stream};
use crate::request::Rootfs;
use crate::snapshot::{self, Driver};
use crate::start;
pub use image::copy::Received as Copied;
use image::copy::{Owner, Root, Rules, Source, Target, receive, send};
use image::difference::Own;
use runtime::inside::{self, Layers};
use runtime::journal::Journal;
use runtime::process::Process;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Container(Which, String),
    Host(String),
    /// A tar, at the standard input or output.
    Stream,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub from: End,
    pub to: End,
    /// Files keep their owners.
    pub archive: bool,
    /// What a link at the end of the source leads to, instead of the link.
    pub follow: bool,
}

/// Where a container's files are.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Inside {
    Running { pid: i32, start: u64 },
    Layers(Box<Stopped>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stopped {
    lower: Vec<PathBuf>,
    /// Its own layer, and overlayfs's directory.
    upper: Option<(PathBuf, PathBuf)>,
    ids: image::Ids,
    scratch: PathBuf,
    mounts: Vec<(String, PathBuf, bool)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CopyOut {
    what: String,
    inside: Inside,
    from: String,
    follow: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CopyIn {
    what: String,
    inside: Inside,
    to: String,
    /// A whole archive without it.
    source: Option<Source>,
    archive: bool,
}

impl CopyOut {
    /// The worker has the caller's ids, not those of his store.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.inside, Inside::Running { .. })
    }
}

impl CopyIn {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.inside, Inside::Running { .. })
    }
}

/// # Errors
/// No such container or file; what cannot be put where it is to be; the kernel's.
pub fn copy(asked: &Copy, paths: &Paths) -> Result<Copied> {
    let leases = &mut Leases::default();
    match (&asked.from, &asked.to) {
        (End::Container(from, path), to) => {
            let listed = containers::which(paths, from)?;
            let what = format!("cannot copy {}:{path}", listed.record.name);
            let task = CopyOut {
                inside: inside(paths, &listed, &what, leases)?,
                what,
                from: path.clone(),
                follow: asked.follow,
            };
            let (mut stream, source) = remote::copy_out(paths, task)?;
            match to {
                End::Container(which, path) => {
                    let mut write = |output: &mut dyn Write| {
                        std::io::copy(&mut stream, output).map(drop).map_err(|error| cannot_send(&error))
                    };
                    let copied = to_container(asked, paths, leases, (which, path), Some(source), &mut write);
                    // The first end knows better why it broke off.
                    stream.finish().and(copied)
                }
                End::Host(path) => to_host(asked, path, &source, stream),
                End::Stream => to_stream(stream),
            }
        }
        (End::Host(path), End::Container(which, to)) => {
            let what = || format!("cannot copy {path}");
            let root = Root::of_host()?;
            let place = at(what(), root.locate(path, asked.follow))?;
            let source = at(what(), Source::of(&place, path))?;
            let mut write = |output: &mut dyn Write| {
                let sent = send(&place, &source, &image::Ids::default(), output);
                at(what(), sent)
            };
            to_container(asked, paths, leases, (which, to), Some(source.clone()), &mut write)
        }
        (End::Stream, End::Container(which, to)) => {
            let mut write = |output: &mut dyn Write| {
                std::io::copy(&mut std::io::stdin().lock(), output).map(drop).map_err(|error| cannot_send(&error))
            };
            to_container(asked, paths, leases, (which, to), None, &mut write)
        }
        _ => Err(Error::rejected("cannot copy", "neither the source nor the destination is in a container")
            .hint("write CONTAINER:PATH for one of them")),
    }
}

fn cannot_send(error: &std::io::Error) -> Error {
    Error::io("cannot send the archive", error)
}

fn at<T>(what: String, done: Result<T, image::Error>) -> Result<T> {
    done.map_err(|error| image::Error { what, ..error }.into())
}

fn to_container(
    asked: &Copy,
    paths: &Paths,
    leases: &mut Leases,
    (which, to): (&Which, &str),
    source: Option<Source>,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<Copied> {
    let listed = containers::which(paths, which)?;
    let what = format!("cannot copy to {}:{to}", listed.record.name);
    let inside = inside(paths, &listed, &what, leases)?;
    let task = CopyIn { what, inside, to: to.to_owned(), source, archive: asked.archive };
    remote::copy_in(paths, task, write)
}

fn to_host(asked: &Copy, path: &str, source: &Source, mut stream: Stream) -> Result<Copied> {
    let what = || format!("cannot copy to {path}");
    let root = Root::of_host()?;
    let target = at(what(), Target::of(&root, path, Some(source)))?;
    // Of a stranger's files nothing gets the caller's rights that he has not asked for.
    let owner = if asked.archive { Owner::Archived(image::Ids::default()) } else { Owner::Caller };
    let rules = Rules { owner, trusted: asked.archive };
    let received = receive(&root, &target, &mut stream, &rules);
    // Its own end knows better why it broke off.
    stream.finish()?;
    at(what(), received)
}

fn to_stream(mut stream: Stream) -> Result<Copied> {
    let copied = std::io::copy(&mut stream, &mut std::io::stdout().lock());
    stream.finish()?;
    let bytes = copied.map_err(|error| Error::io("cannot write the output", &error))?;
    Ok(Copied { bytes, ..Copied::default() })
}

/// As long as the layers of a container are mounted here nobody may start it: overlayfs does not allow for two
/// (overlayfs.rst, "Sharing and copying layers").
#[derive(Default)]
struct Leases(Vec<(String, Option<Journal>)>);

impl Leases {
    /// Whether it does not run.
    fn take(&mut self, paths: &Paths, record: &Record, what: &str) -> Result<bool> {
        if self.0.iter().any(|(id, _)| *id == record.id) {
            return Ok(true);
        }
        let leased = start::lease_for(paths, record, what)?;
        let is_free = leased.is_some();
        self.0.extend(leased.map(|(journal, _)| (record.id.clone(), Some(journal))));
        Ok(is_free)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        for journal in self.0.iter_mut().filter_map(|(_, journal)| journal.take()) {
            // One that stays is a dead one's to the next command.
            let _ = journal.remove();
        }
    }
}

fn inside(paths: &Paths, listed: &Listed, what: &str, leases: &mut Leases) -> Result<Inside> {
    let record = &listed.record;
    let ended = containers::first(paths, record, what).is_err();
    if ended && !leases.take(paths, record, what)? {
        return Err(Error::rejected(what, "it is being started").hint("try again"));
    }
    if let Ok(Process { pid, start }) = containers::first(paths, record, what) {
        return Ok(Inside::Running { pid, start });
    }
    if record.image == HOST {
        return Err(Error::rejected(what, "it stands on this machine itself, and nothing of what it changed was kept"));
    }
    let home = paths.container(&record.id);
    let own = match snapshot::own(paths, &record.id) {
        // It was never started.
        None if is_layered(paths, record) => Some(begin(paths, record, what)?),
        own => own,
    };
    let (lower, upper) = match own {
        Some(Own::Upper(upper)) => (record.layers.clone(), Some((upper, home.join("work")))),
        Some(Own::Tree(tree)) => (vec![tree], None),
        None => (record.layers.clone(), None),
    };
    Ok(Inside::Layers(Box::new(Stopped {
        lower,
        upper,
        ids: record.ids.clone(),
        scratch: home,
        mounts: Mounted::binds(&record.mounts),
    })))
}

/// The files that it will have of its own.
fn begin(paths: &Paths, record: &Record, what: &str) -> Result<Own> {
    let (home, host) = (paths.container(&record.id), runtime::observe::host()?);
    let request = start::load(paths, record)?;
    match snapshot::choose(paths, &host, request.driver)? {
        Driver::Overlay => {
            let (upper, work) = (home.join("upper"), home.join("work"));
            let root = record.ids.outside(0, 0)?;
            let made = make(&upper, 0o755, root).and_then(|()| make(&work, 0o700, root));
            made.map_err(|error| Error::io(what, &error))?;
            Ok(Own::Upper(upper))
        }
        Driver::Vfs => {
            let tree = plan::order::tree(&home.to_string_lossy());
            let layers: Vec<String> = record.layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
            let ids = plan::mounts::Ids { uid: record.ids.uid.clone(), gid: record.ids.gid.clone() };
            runtime::snapshot::copy(&layers, &tree, &ids, host.rootless())?;
            Ok(Own::Tree(tree.into()))
        }
    }
}

/// Of an image, or of a directory that shall stay as it is.
pub(crate) fn is_layered(paths: &Paths, record: &Record) -> bool {
    let of_image = record.layers.iter().any(|layer| layer.starts_with(&paths.data));
    of_image
        || start::load(paths, record)
            .is_ok_and(|request| !matches!(request.rootfs, Rootfs::Directory { overlay: false, .. }))
}

fn make(path: &Path, mode: u32, (uid, gid): (u32, u32)) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)?;
    if runtime::observe::is_machines_root() { chown(path, Some(uid), Some(gid)) } else { Ok(()) }
}

/// In the worker: from here on it is in there.
fn enter(inside: &Inside) -> Result<(OwnedFd, image::Ids), runtime::Error> {
    match inside {
        Inside::Running { pid, start } => {
            Ok((inside::of_running(Process { pid: *pid, start: *start })?, image::Ids::default()))
        }
        Inside::Layers(it) => {
            let layers = Layers {
                lower: it.lower.clone(),
                upper: it.upper.clone(),
                uid: it.ids.uid.clone(),
                gid: it.ids.gid.clone(),
                scratch: it.scratch.clone(),
                mounts: it.mounts.clone(),
            };
            Ok((inside::of_layers(&layers)?, it.ids.clone()))
        }
    }
}

/// In the worker. `found` hears what it is before it comes.
pub(crate) fn out_in(task: &CopyOut, found: impl FnOnce(Source), output: impl Write) -> Result<(), Failure> {
    let (root, ids) = enter(&task.inside).map_err(|error| failure(&task.what, &error.to_string()))?;
    let sent = || {
        let root = Root::inside(root);
        let place = root.locate(&task.from, task.follow)?;
        let source = Source::of(&place, &task.from)?;
        found(source.clone());
        send(&place, &source, &ids, output)
    };
    sent().map_err(|error| image::Error { what: task.what.clone(), ..error }.into())
}

/// In the worker.
pub(crate) fn in_in(task: &CopyIn, input: impl Read) -> Result<Copied, Failure> {
    let (root, ids) = enter(&task.inside).map_err(|error| failure(&task.what, &error.to_string()))?;
    let received = || {
        let root = Root::inside(root);
        let target = Target::of(&root, &task.to, task.source.as_ref())?;
        let owner = if task.archive {
            Owner::Archived(ids)
        } else {
            let (uid, gid) = ids.outside(0, 0)?;
            Owner::These(uid, gid)
        };
        receive(&root, &target, input, &Rules { owner, trusted: true })
    };
    received().map_err(|error| image::Error { what: task.what.clone(), ..error }.into())
}

fn failure(what: &str, why: &str) -> Failure {
    Failure::new(what, why)
}
