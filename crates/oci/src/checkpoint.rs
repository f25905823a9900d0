//! `checkpoint`: the container's processes are saved by CRIU, and mostly gone then.
//!
//! The images' directory also has `descriptors.json`: what the first process was given as standard files, by which a
//! `restore` gives it others. As runc's and crun's, so that each restores what another has saved.

use crate::record::{Model, Record};
use crate::root::Home;
use crate::{Id, Root, io, refused};
use plan::Rejected;
use plan::cgroup::Cgroup;
use plan::checkpoint::Outside;
use runtime::criu::{self, Criu, Event, Kind, Options};
use runtime::{Error, Result};
use spec::runtime::{Linux, Mount, Namespace, Status};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use plan::checkpoint::Cgroups;

/// What saving and restoring have in common.
#[derive(Debug, Clone, Default)]
pub struct Saving {
    pub images: PathBuf,
    /// Of CRIU's log and what else it makes on the way; without, the images'.
    pub work: Option<PathBuf>,
    pub tcp_established: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub lazy_pages: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub cgroups: Cgroups,
}

#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    pub saving: Saving,
    /// Where the images of the one before are, from this one's.
    pub parent: Option<PathBuf>,
    /// Its memory only, and it goes on.
    pub pre_dump: bool,
    pub leave_running: bool,
    /// Where the pages go.
    pub page_server: Option<(String, u16)>,
    /// Gets a zero byte when lazy pages can be fetched.
    pub status_fd: Option<i32>,
}

pub(crate) const DESCRIPTORS: &str = "descriptors.json";

/// What went wrong while what was saved was deleted.
///
/// # Errors
/// It does not run; CRIU is missing, or failed: then the container goes on.
pub fn checkpoint(root: &Root, id: &Id, asked: &Checkpoint) -> Result<Vec<Error>> {
    let what = format!("cannot checkpoint the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    match record.status(&home) {
        Status::Running | Status::Paused => {}
        status => return refused(what, format!("container cannot be checkpointed in {} state", word(status))),
    }
    check_host(&what)?;
    let journal = home.lock(&what)?;
    let mut job = Job::open(&asked.saving, "dump.log", &record.annotations)?;
    dump(&mut job, &home, &record, asked).map_err(|error| job.failed(&what, &error))?;
    drop(journal);
    if asked.leave_running || asked.pre_dump {
        return Ok(Vec::new());
    }
    crate::delete(root, id, true)
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Creating => "creating",
        Status::Created => "created",
        Status::Running => "running",
        Status::Stopped => "stopped",
        Status::Paused => "paused",
    }
}

/// CRIU reads and makes what the kernel lets only root of the machine.
pub(crate) fn check_host(what: &str) -> Result<()> {
    if runtime::observe::is_machines_root() {
        return criu::check();
    }
    refused(what, "CRIU needs root of the machine, and this version has no way for others")
}

/// What every request has. The directories CRIU takes from us (/proc/PID/fd), as long as we have them open.
pub(crate) struct Job {
    pub(crate) options: Options,
    images: (PathBuf, OwnedFd),
    work: Option<(PathBuf, OwnedFd)>,
    log: PathBuf,
}

impl Job {
    pub(crate) fn open(saving: &Saving, log: &str, annotations: &BTreeMap<String, String>) -> Result<Self> {
        let images = directory(&saving.images)?;
        let work = saving.work.as_deref().map(directory).transpose()?;
        let options = Options {
            log: log.to_owned(),
            ext_unix_sk: saving.ext_unix_sk,
            tcp_established: saving.tcp_established,
            tcp_skip_in_flight: saving.tcp_skip_in_flight,
            shell_job: saving.shell_job,
            file_locks: saving.file_locks,
            link_remap: saving.link_remap,
            lazy_pages: saving.lazy_pages,
            auto_dedup: saving.auto_dedup,
            cgroups: saving.cgroups,
            config: config(annotations),
            ..Options::default()
        };
        let log = work.as_ref().unwrap_or(&images).0.join(log);
        // What an earlier one left would be taken for this one's.
        let _ = std::fs::remove_file(&log);
        let mut job = Self { options, images, work, log };
        job.number();
        Ok(job)
    }

    fn number(&mut self) {
        self.options.images = self.images.1.as_raw_fd();
        self.options.work = self.work.as_ref().map(|(_, file)| file.as_raw_fd());
    }

    /// The directories as a process in another mount namespace has them: CRIU mounts in them.
    pub(crate) fn enter(&mut self, pid: i32) -> Result<()> {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        for (path, file) in std::iter::once(&mut self.images).chain(&mut self.work) {
            *file = open(&root.join(path.strip_prefix("/").unwrap_or(path)))?;
        }
        self.number();
        Ok(())
    }

    /// With what CRIU says of it in its log.
    pub(crate) fn failed(&self, what: &str, error: &Error) -> Error {
        let Some(excerpt) = criu::excerpt(&self.log) else {
            let rejected = Rejected::new(what, error.to_string());
            return Rejected { hint: error.hint().map(str::to_owned), ..rejected }.into();
        };
        Rejected::new(what, format!("{error}\nthe end of its log {}:\n{excerpt}", self.log.display())).into()
    }
}

/// A file of settings that CRIU puts above all others, where it is there: the container's own (`org.criu.config`; empty:
/// none), else the first of these.
fn config(annotations: &BTreeMap<String, String>) -> String {
    const USUAL: [&str; 3] = ["/etc/criu/sampan.conf", "/etc/criu/crun.conf", "/etc/criu/runc.conf"];
    match annotations.get("org.criu.config") {
        Some(path) => path.clone(),
        None => USUAL.iter().find(|path| Path::new(path).exists()).map_or_else(String::new, |path| (*path).to_owned()),
    }
}

fn directory(path: &Path) -> Result<(PathBuf, OwnedFd)> {
    let cannot = || format!("cannot use the directory {}", path.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(cannot()))?;
    let path = path.canonicalize().map_err(io(cannot()))?;
    let file = open(&path)?;
    Ok((path, file))
}

fn open(path: &Path) -> Result<OwnedFd> {
    Ok(std::fs::File::open(path).map_err(io(format!("cannot use the directory {}", path.display())))?.into())
}

fn dump(job: &mut Job, home: &Home, record: &Record, asked: &Checkpoint) -> Result<()> {
    let model = Model::load(home)?;
    let parent = asked.parent.as_deref().map(|parent| check_parent(&asked.saving.images, parent)).transpose()?;
    check_features(asked)?;
    let options = &mut job.options;
    options.pid = Some(record.pid);
    options.root.clone_from(&record.rootfs);
    options.parent = parent.unwrap_or_default();
    options.leave_running = asked.leave_running;
    options.page_server.clone_from(&asked.page_server);
    options.freezer = runtime::apply::cgroup::freezer(&record.all_cgroups())?.unwrap_or_default();
    let (named, _) = plan::checkpoint::shared(&model.namespaces);
    options.external = named.into_iter().map(external).collect::<Result<_>>()?;
    if !asked.pre_dump {
        let linux = Linux { namespaces: model.namespaces, devices: model.devices, ..Linux::default() };
        let cgroup = record.placed();
        let found = outside(&model.mounts, &linux, &cgroup, Path::new(&record.rootfs))?;
        options.mounts = found.into_iter().map(|(place, _)| (place.clone(), place)).collect();
        let path = asked.saving.images.join(DESCRIPTORS);
        let text = serde_json::to_vec(&record.files).unwrap_or_default();
        std::fs::write(&path, text).map_err(io(format!("cannot write {}", path.display())))?;
    }
    let mut at = |event: Event| match (&*event.name, asked.status_fd) {
        ("status-ready", Some(fd)) => criu::tell_status(fd),
        _ => Ok(()),
    };
    let kind = if asked.pre_dump { Kind::PreDump } else { Kind::Dump };
    let criu = Criu::bare()?;
    criu.ask(kind, &job.options, &mut at).map(drop)
}

/// What not every kernel has.
fn check_features(asked: &Checkpoint) -> Result<()> {
    let tracks = asked.pre_dump || asked.parent.is_some();
    if !tracks && !asked.saving.lazy_pages {
        return Ok(());
    }
    let found = criu::features()?;
    if tracks && !found.mem_track {
        return refused(
            "cannot save what has changed in memory",
            "the kernel does not track it (CONFIG_MEM_SOFT_DIRTY)",
        );
    }
    if asked.saving.lazy_pages && !found.lazy_pages {
        return refused("cannot use --lazy-pages", "the kernel cannot do it (CONFIG_USERFAULTFD)");
    }
    Ok(())
}

/// As CRIU wants it: from the images.
fn check_parent(images: &Path, parent: &Path) -> Result<String> {
    let what = format!("cannot use --parent-path {}", parent.display());
    if parent.is_absolute() {
        return refused(what, "it is to be relative to the images' directory");
    }
    let found = images.join(parent).metadata().map_err(io(what.clone()))?;
    if found.is_dir() { Ok(parent.to_string_lossy().into_owned()) } else { refused(what, "it is no directory") }
}

fn external((namespace, name): (&Namespace, &str)) -> Result<String> {
    let path = namespace.path.clone().unwrap_or_default();
    let inode = path.metadata().map_err(io(format!("cannot use the namespace {}", path.display())))?.ino();
    Ok(format!("{}[{inode}]:{name}", plan::step::namespace_word(namespace.kind)))
}

/// The mounts of the host's files in the container: where CRIU finds them, and what of the host they are.
pub(crate) fn outside(
    mounts: &[Mount],
    linux: &Linux,
    cgroup: &Cgroup,
    rootfs: &Path,
) -> Result<Vec<(String, String)>> {
    if plan::shared_mounts::has(linux) {
        let why = "it has no mount namespace of its own, which CRIU needs";
        return refused("cannot save or restore the container", why);
    }
    let below = runtime::observe::mount::points()?;
    let mut found = Vec::new();
    for Outside { destination, source, recursive } in plan::checkpoint::outside(mounts, linux, cgroup)? {
        let place = criu::inside(rootfs, &destination)?;
        if recursive {
            let source = Path::new(&source).canonicalize().unwrap_or_else(|_| PathBuf::from(&source));
            for point in &below {
                if let Ok(rest) = Path::new(point).strip_prefix(&source)
                    && !rest.as_os_str().is_empty()
                {
                    found.push((format!("{}/{}", place.trim_end_matches('/'), rest.display()), point.clone()));
                }
            }
        }
        found.push((place, source));
    }
    Ok(found)
}
