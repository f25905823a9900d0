//! What a container stands on: an image, a directory, or this host; and what that says about its first process.
//! Looks at the layers as they lie there, so that a missing user, program or interpreter is found before anything is
//! touched.

use crate::containers::{Mounted, Record};
use crate::error::{Error, Result};
use crate::images;
use crate::paths::Paths;
use crate::request::{Mount, Rootfs as Asked, Run, User as Mode};
use crate::snapshot::Driver;
use crate::users;
use crate::volumes::{self, Seen};
use plan::Rootfs;
use plan::host::Host;
use plan::order::{Frame, Unit, View};
use plan::step::Veil;
use spec::runtime::{Device, IdMapping, User};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Ground {
    pub rootfs: Rootfs,
    /// The image's name, or the directory.
    pub name: String,
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub user: User,
    pub home: String,
    /// Files of /etc (name, content) that know the caller, where he keeps his ids and the image does not know him.
    pub accounts: Vec<(String, String)>,
    /// All that is mounted, by the request, other containers and the image; volumes have names.
    pub mounts: Vec<Mount>,
    /// Directories that get a tmpfs.
    pub fresh: Vec<String>,
    /// `PORT/PROTOCOL`, as the image has it.
    pub exposed: Vec<String>,
    /// As an image of the container would have it.
    pub config: spec::image::Execution,
    /// Where the layers are.
    pub layers: Vec<PathBuf>,
    /// Empty where there is no image.
    pub image_id: String,
    /// Keeps them there until a record says who uses them.
    pub hold: Option<image::store::Hold>,
}

impl Ground {
    /// Whether it belongs to ids that a user namespace with this map does not have. Only root can do something about
    /// that (mount_setattr(2)).
    #[must_use]
    pub fn is_foreign(&self, host: &Host, map: &[IdMapping]) -> bool {
        let has = |id: u32| map.iter().any(|range| id >= range.host_id && id - range.host_id < range.size);
        let foreign = |layer: &PathBuf| std::fs::metadata(layer).is_ok_and(|found| !has(found.uid()));
        !matches!(self.rootfs, Rootfs::Host(_))
            && !host.rootless()
            && !map.is_empty()
            && self.layers.iter().any(foreign)
    }
}

/// The image of this name is the machine itself.
pub(crate) const HOST: &str = "host";

/// `made`: of a container that is there already: its image is the one that it was made of, whatever has its name by now.
///
/// # Errors
/// No such image, user or program; a program that cannot be executed here.
pub fn find(
    request: &Run,
    paths: &Paths,
    host: &Host,
    (id, driver): (&str, Driver),
    made: Option<&Record>,
) -> Result<Ground> {
    let data = paths.container(id).to_string_lossy().into_owned();
    let limit = request.files.layer_size.map(spec::unit::Size::bytes);
    driver.check_limit(limit)?;
    let stacked = |layers: &[PathBuf]| driver.root(layers, &data, request.remove, limit);
    let had = made.map_or(&[][..], |record| &record.mounts);
    match &request.rootfs {
        Asked::Directory { path, overlay } => {
            check_directory(path)?;
            let layers = [path.clone()];
            let rootfs = if *overlay { stacked(&layers) } else { Rootfs::Directory(text(path)) };
            let basis = Basis { rootfs, layers: layers.into(), name: text(path), ..Basis::default() };
            settle(request, (paths, had), host, basis)
        }
        Asked::Nothing => Ok(nothing()),
        Asked::Image { reference, .. } if reference == HOST => of_host(request, (paths, had), host),
        Asked::Image { reference, platform, .. } => {
            let store = image::Store::open(&paths.data);
            let hold = store.hold()?;
            if let Some(Record { layers, config, image, image_id, .. }) = made {
                let rootfs = stacked(layers);
                let (layers, name, execution) = (layers.clone(), image.clone(), config.clone());
                let basis = Basis { rootfs, layers, name, execution, ..Basis::default() };
                let image_id = image_id.clone();
                return Ok(Ground { hold, image_id, ..settle(request, (paths, had), host, basis)? });
            }
            let (name, image) = images::find_whole(&store, reference, platform.as_ref())?;
            let rootfs = stacked(&image.layers);
            let image_id = image.id.to_string();
            let execution = image.config.config;
            let basis = Basis { rootfs, layers: image.layers, name, execution, ..Basis::default() };
            Ok(Ground { hold, image_id, ..settle(request, (paths, had), host, basis)? })
        }
    }
}

/// What never looks at it.
fn nothing() -> Ground {
    Ground {
        rootfs: Rootfs::Host(View::default()),
        name: String::new(),
        args: vec!["sampan-init".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: User::default(),
        home: "/".to_owned(),
        accounts: Vec::new(),
        mounts: Vec::new(),
        fresh: Vec::new(),
        exposed: Vec::new(),
        config: spec::image::Execution::default(),
        layers: Vec::new(),
        image_id: String::new(),
        hold: None,
    }
}

fn of_host(request: &Run, (paths, had): (&Paths, &[Mounted]), host: &Host) -> Result<Ground> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let names = &request.namespaces;
    let mapped = !names.uid_map.is_empty() || !names.gid_map.is_empty();
    let user_namespace = !host.is_machines_root() || mapped || !matches!(names.user, None | Some(Mode::Host));
    let seen = image::host::view(&image::host::Guest {
        uid: host.euid,
        gid: host.egid,
        home: home.as_deref(),
        own: &[paths.data.clone(), paths.state.clone()],
        rights: image::unpack::Rights::current(),
        locked: user_namespace,
    })?;
    let execution = spec::image::Execution { cmd: vec!["sh".to_owned()], ..spec::image::Execution::default() };
    let fresh = seen.fresh.iter().map(|(path, _)| text(path)).collect();
    let view =
        View { frame: seen.frame.into_iter().map(frame).collect(), units: seen.units.into_iter().map(unit).collect() };
    let basis = Basis { rootfs: Rootfs::Host(view), layers: vec!["/".into()], name: HOST.to_owned(), execution, fresh };
    settle(request, (paths, had), host, basis)
}

fn frame(frame: image::host::Frame) -> Frame {
    match frame {
        image::host::Frame::Dir { path, mode, uid, gid } => {
            Frame::Directory(Veil::Directory { path: text(&path), mode, uid, gid })
        }
        image::host::Frame::Link { path, target } => Frame::Link { path: text(&path), to: text(&target) },
        image::host::Frame::File { path } => Frame::File { path: text(&path) },
    }
}

fn unit(unit: image::host::Unit) -> Unit {
    // Below the unit, with a slash first.
    let under = |path: &Path| if path.as_os_str().is_empty() { String::new() } else { format!("/{}", text(path)) };
    let veil = |entry: image::host::Entry| match entry {
        image::host::Entry::Dir { path, mode, uid, gid } => Veil::Directory { path: under(&path), mode, uid, gid },
        image::host::Entry::Whiteout { path } => Veil::Whiteout { path: under(&path) },
    };
    Unit {
        at: text(&unit.at),
        reader: unit.reader.map(|reader| (reader.uid, reader.gid)),
        veil: unit.veil.into_iter().map(veil).collect(),
    }
}

/// What [`settle`] starts from.
struct Basis {
    rootfs: Rootfs,
    layers: Vec<PathBuf>,
    name: String,
    execution: spec::image::Execution,
    fresh: Vec<String>,
}

impl Default for Basis {
    fn default() -> Self {
        Self {
            rootfs: Rootfs::Directory(String::new()),
            layers: Vec::new(),
            name: String::new(),
            execution: spec::image::Execution::default(),
            fresh: Vec::new(),
        }
    }
}

/// `had`: what is mounted in a container that was made before.
fn settle(request: &Run, (paths, had): (&Paths, &[Mounted]), host: &Host, basis: Basis) -> Result<Ground> {
    let Basis { rootfs, layers, name, execution, fresh } = basis;
    let args = command(request, &execution);
    if args.first().is_none_or(String::is_empty) {
        return Err(Error::rejected("no command to run", format!("{name} has neither a command nor an entrypoint"))
            .hint("name one after the image"));
    }
    let mut view = image::Rootfs::open(&layers)?;
    if matches!(rootfs, Rootfs::Overlay { .. }) {
        Driver::Overlay.check(&view, &name)?;
    }
    let declared: Vec<String> = execution.volumes.keys().cloned().collect();
    let mounts = volumes::settle(request, &declared, had, paths)?;
    for mount in &mounts {
        view = match volumes::seen(mount, paths) {
            Seen::Image => view,
            Seen::Host(source) => view.mounted(Path::new(&mount.target), Some(&source)),
            Seen::Unknown => view.mounted(Path::new(&mount.target), None),
        };
    }
    for at in &fresh {
        view = view.mounted(Path::new(at), None);
    }
    let asked = request.process.user.as_ref().map(|asked| match &asked.group {
        Some(group) => format!("{}:{group}", asked.user),
        None => asked.user.clone(),
    });
    // As podman: the caller's ids go before the image's user.
    let kept = users::kept(request, host).filter(|_| asked.is_none());
    let asked = kept.map_or(asked, |(uid, gid)| Some(format!("{uid}:{gid}")));
    let user = image::user::resolve(&view, asked.as_deref().unwrap_or(&execution.user), &request.process.groups)?;
    let accounts = match kept {
        Some(ids) if ids == (host.euid, host.egid) => {
            image::user::introduce(&view, ids, &runtime::observe::account(host.euid))?
        }
        _ => Vec::new(),
    };
    let config = crate::commit::configured(request, &execution);
    let cwd = request.process.workdir.clone().unwrap_or(execution.working_dir);
    let cwd = if cwd.is_empty() { "/".to_owned() } else { cwd };
    check_workdir(&view, &cwd)?;
    let path = path(request, &execution.env);
    if let Err(refusal) = image::program::find(&view, &args[0], Path::new(&cwd), path.as_deref(), &user)? {
        return Err(Error::Refused(refusal));
    }
    Ok(Ground {
        rootfs,
        name,
        args,
        env: execution.env,
        cwd,
        user: User { uid: user.uid, gid: user.gid, umask: None, additional_gids: user.additional_gids },
        home: user.home,
        accounts,
        mounts,
        fresh,
        exposed: execution.exposed_ports.into_keys().collect(),
        config,
        layers,
        image_id: String::new(),
        hold: None,
    })
}

/// One that is not there is made; what only the container will have is left to it.
fn check_workdir(view: &image::Rootfs, cwd: &str) -> Result<()> {
    let why = match view.find(Path::new(cwd)) {
        Ok(image::rootfs::Found::Node(node)) if !node.is_directory() => "it is no directory there".to_owned(),
        Ok(_) => return Ok(()),
        Err(error) => error.why,
    };
    Err(Error::rejected(format!("cannot start in {cwd}"), why).hint("name a directory with --workdir"))
}

/// docker's rule: an entrypoint given on the command line takes the image's command away, too.
fn command(request: &Run, execution: &spec::image::Execution) -> Vec<String> {
    let given = &request.process.command;
    let (entrypoint, default) = match &request.process.entrypoint {
        Some(entrypoint) => (entrypoint, &Vec::new()),
        None => (&execution.entrypoint, &execution.cmd),
    };
    let command = if given.is_empty() { default } else { given };
    [entrypoint.as_slice(), command.as_slice()].concat()
}

fn path(request: &Run, image: &[String]) -> Option<String> {
    let asked = request.process.env.iter().rev().find(|var| var.name == "PATH");
    match asked {
        Some(var) => var.value.clone(),
        None => image.iter().rev().find_map(|var| var.strip_prefix("PATH=")).map(str::to_owned),
    }
}

/// Root of the container's user namespace has to get at the container's own directory: on this host he is nobody much,
/// but root over what belongs to ids of the namespace (capabilities(7)).
///
/// # Errors
/// A directory on the way is closed to him.
pub fn check_way(paths: &Paths, uid_map: &[IdMapping], gid_map: &[IdMapping]) -> Result<()> {
    let root = plan::ids::on_host(uid_map, 0).zip(plan::ids::on_host(gid_map, 0));
    let Some((uid, gid)) = root else { return Ok(()) };
    let is_closed = |path: &&Path| {
        std::fs::metadata(path).is_ok_and(|found| {
            let bit = match (found.uid() == uid, found.gid() == gid) {
                (true, _) => 0o100,
                (_, true) => 0o010,
                _ => 0o001,
            };
            let has = |map: &[IdMapping], id| plan::ids::inside(map, id).is_some();
            found.mode() & bit == 0 && !(has(uid_map, found.uid()) && has(gid_map, found.gid()))
        })
    };
    let Some(closed) = paths.data.ancestors().find(is_closed) else { return Ok(()) };
    let closed = closed.display();
    let why = format!("its root, user {uid} of this host, may not go through {closed}");
    Err(Error::rejected("cannot make a user namespace for the container", why)
        .hint(format!("chmod o+x {closed}, or keep the containers elsewhere (--root)")))
}

fn check_directory(path: &Path) -> Result<()> {
    let what = || format!("cannot use {} as a root file system", path.display());
    match std::fs::metadata(path) {
        Err(error) => Err(Error::io(what(), &error)),
        Ok(found) if !found.is_dir() => Err(Error::rejected(what(), "it is not a directory")),
        Ok(_) => Ok(()),
    }
}

/// The devices of `--device`, as they are on the host; a directory stands for those in it.
///
/// # Errors
/// What is no device.
pub fn devices(request: &Run) -> Result<Vec<Device>> {
    let one = |device: &crate::request::Device| {
        let what = || format!("cannot give the container {}", device.host.display());
        let found = std::fs::metadata(&device.host).map_err(|error| Error::io(what(), &error))?;
        let kind = if found.file_type().is_char_device() {
            "c"
        } else if found.file_type().is_block_device() {
            "b"
        } else {
            return Err(Error::rejected(what(), "it is no device").hint("--volume is for files and directories"));
        };
        Ok(Device {
            path: device.container.clone(),
            kind: kind.to_owned(),
            major: i64::from(runtime::observe::device_number(&found).0),
            minor: i64::from(runtime::observe::device_number(&found).1),
            file_mode: Some(found.mode() & 0o777),
            uid: Some(found.uid()),
            gid: Some(found.gid()),
        })
    };
    request.files.devices.iter().map(one).collect()
}

/// Major and minor of the block devices that limits name; what is none is left out, for the configuration to refuse.
#[must_use]
pub fn disks(request: &Run) -> Vec<(PathBuf, u32, u32)> {
    let limits = &request.limits;
    let sizes = limits.device_read_bps.iter().chain(&limits.device_write_bps).map(|rate| &rate.device);
    let operations = limits.device_read_iops.iter().chain(&limits.device_write_iops).map(|rate| &rate.device);
    let weights = limits.blkio_weight_device.iter().map(|weight| &weight.device);
    let number = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok().filter(|found| found.file_type().is_block_device())?;
        let (major, minor) = runtime::observe::device_number(&found);
        Some((path.clone(), major, minor))
    };
    sizes.chain(operations).chain(weights).filter_map(number).collect()
}

/// The profile of `--security-opt seccomp=FILE`.
///
/// # Errors
/// It cannot be read.
pub fn seccomp(request: &Run) -> Result<Option<String>> {
    let crate::request::security::Seccomp::File(path) = &request.security.seccomp else { return Ok(None) };
    let what = || format!("cannot read the seccomp profile {}", path.display());
    std::fs::read_to_string(path).map(Some).map_err(|error| Error::io(what(), &error))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
