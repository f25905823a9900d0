//! What a container mounts beside what every container has: which of the host's paths, volumes and images that is, and
//! what is to be done to these before.
//!
//! Must not: make anything; what is missing is made by the plan, or refused here, before anything is touched.

pub mod driver;
pub mod object;

use crate::containers::{self, Mounted};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::request::mount::{Bind, Image, Kind, Object, Propagation};
use crate::request::{Mount, Platform, Rootfs, Run};
use crate::snapshot::Driver;
use driver::Stands;
use object::Record;
use plan::host::Host;
use plan::volumes::{FILES, FRESH, Filesystem, Volume};
use spec::runtime::NamespaceKind;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What the mounts of a request come to on this host.
#[derive(Debug, Default)]
pub struct Found {
    pub volumes: Vec<Volume>,
    /// For the container's record.
    pub mounted: Vec<Mounted>,
    /// Volumes that are to be made.
    pub new: Vec<String>,
    /// Volumes that nobody may remove until a record says who uses them.
    pub held: Vec<OwnedFd>,
    /// The same for the layers of images.
    pub hold: Option<image::store::Hold>,
}

impl Found {
    /// Where what has this target is on the host.
    pub fn at(&self, target: &str) -> Option<&Mounted> {
        self.mounted.iter().find(|mounted| mounted.mount.target == target)
    }
}

/// All mounts of a container: those that are asked for, those of other containers, and a volume for each of these paths
/// that its image names. Each volume has a name. `made`: what it had when it was started before, so that it is the same.
///
/// # Errors
/// A container that is not there; a path of the image's that is none.
pub fn settle(request: &Run, declared: &[String], made: &[Mounted], paths: &Paths) -> Result<Vec<Mount>> {
    let mut mounts = request.files.mounts.clone();
    let is_new = |mounts: &[Mount], target: &str| !mounts.iter().any(|mount| mount.target == target);
    for mount in &mut mounts {
        let before = made.iter().find(|before| before.mount.target == mount.target);
        if let (Kind::Volume(object), Some(before)) = (&mut mount.kind, before)
            && object.name.is_none()
        {
            mount.kind = before.mount.kind.clone();
        }
    }
    let inherited = if made.is_empty() { from_others(request, paths)? } else { made.to_vec() };
    for Mounted { mount, .. } in inherited {
        if is_new(&mounts, &mount.target) {
            mounts.push(mount);
        }
    }
    for path in declared {
        let target = crate::request::mount::target(path).map_err(|error| {
            Error::rejected("cannot use the image", format!("it names the volume {path:?}: {}", error.why))
        })?;
        if is_new(&mounts, &target) {
            let flags = crate::request::mount::Flags::default();
            mounts.push(Mount { target, flags, kind: Kind::Volume(Object::default()) });
        }
    }
    for mount in &mut mounts {
        if let Kind::Volume(object) = &mut mount.kind
            && object.name.is_none()
        {
            object.name = Some(object::random()?);
            object.anonymous = true;
        }
    }
    Ok(mounts)
}

/// `--volumes-from`: the first that has something at a path wins.
fn from_others(request: &Run, paths: &Paths) -> Result<Vec<Mounted>> {
    let mut inherited: Vec<Mounted> = Vec::new();
    for from in &request.files.volumes_from {
        for mut mounted in containers::find(paths, from.container.as_str())?.record.mounts {
            match &mut mounted.mount.kind {
                // It stays the other's, and keeps what it has.
                Kind::Volume(object) => {
                    (object.anonymous, object.copy, object.chown) = (false, false, false);
                }
                Kind::Bind(bind) => bind.chown = false,
                Kind::Tmpfs(_) | Kind::Image(_) | Kind::Devpts(_) => continue,
            }
            mounted.mount.flags.read_only |= from.read_only;
            if !inherited.iter().any(|other| other.mount.target == mounted.mount.target) {
                inherited.push(mounted);
            }
        }
    }
    Ok(inherited)
}

/// `lock`: they will be used, so nobody may remove them meanwhile.
///
/// # Errors
/// A source that is not there and shall not be made, that the caller cannot reach, or whose mount has not the
/// propagation that is asked for; a volume that is there with other options; an image that is not here.
pub fn find(request: &Run, paths: &Paths, host: &Host, (id, driver): (&str, Driver), lock: bool) -> Result<Found> {
    let mut found = Found::default();
    for (number, mount) in request.files.mounts.iter().enumerate() {
        let target = mount.target.as_str();
        let mut mounted = Mounted { mount: mount.clone(), ..Mounted::default() };
        match &mount.kind {
            Kind::Bind(bind) => {
                check_propagation(target, bind, host)?;
                let volume = volume(target, bind)?;
                mounted.source.clone_from(&volume.source);
                found.volumes.push(volume);
            }
            Kind::Volume(object) => {
                let name = object.name.as_deref().unwrap_or_default();
                if lock {
                    found.held.extend(runtime::volume::hold(&paths.volume(name))?);
                }
                let (volume, read_only) = named(object, name, target, paths, id)?;
                mounted.mount.flags.read_only |= read_only;
                mounted.source.clone_from(&volume.source);
                found.new.extend(is_new(&volume).then(|| name.to_owned()));
                found.volumes.push(volume);
            }
            Kind::Image(image) => {
                let store = image::Store::open(&paths.data);
                if found.hold.is_none() {
                    found.hold = store.hold()?;
                }
                mounted.layers = layers(&store, image, request)?;
                let all = paths.container(id).join("images");
                let own = all.join(number.to_string());
                let is_first = found.volumes.iter().all(|volume| volume.directories.is_empty());
                let all = Some(all).filter(|_| is_first);
                match driver {
                    Driver::Overlay if !image.writable => {}
                    // A layer alone can be mounted as it is.
                    Driver::Vfs if !image.writable && mounted.layers.len() == 1 => {}
                    Driver::Overlay => {
                        mounted.source = text(&own);
                        let directories = [own.clone(), own.join("upper"), own.join("work")];
                        let directories = all.into_iter().chain(directories).map(|path| text(&path)).collect();
                        found.volumes.push(Volume { target: target.to_owned(), directories, ..Volume::default() });
                    }
                    Driver::Vfs => {
                        check_whole(image)?;
                        (mounted.source, mounted.copied) = (text(&own), true);
                        found.volumes.push(Volume {
                            source: text(&own),
                            target: target.to_owned(),
                            directories: all.iter().map(|path| text(path)).collect(),
                            copied: mounted.layers.iter().map(|layer| text(layer)).collect(),
                            ..Volume::default()
                        });
                    }
                }
            }
            Kind::Tmpfs(_) | Kind::Devpts(_) => {}
        }
        found.mounted.push(mounted);
    }
    Ok(found)
}

fn is_new(volume: &Volume) -> bool {
    volume.object.as_ref().is_some_and(|object| object.record.is_some())
}

/// A volume of the store, there or not; and whether it can only be read.
fn named(object: &Object, name: &str, target: &str, paths: &Paths, id: &str) -> Result<(Volume, bool)> {
    let directory = paths.volume(name);
    let there = object::look(paths, name);
    if let Some(record) = &there {
        object::check_same(record, &object.driver)?;
    }
    let is_new = there.is_none();
    let record = there.unwrap_or_else(|| Record::new(name, &object.driver, object.anonymous));
    let mut made = plan::volumes::Object {
        directory: text(&directory),
        record: is_new.then(|| record.text()),
        claim: (is_new && object.anonymous).then(|| text(&object::claim(paths, id, name))),
        fill: object.copy && (is_new || directory.join(FRESH).exists()),
        ..plan::volumes::Object::default()
    };
    let (mut source, mut read_only) = (directory.join(FILES), false);
    match record.stands()? {
        Stands::Directory { quota } => made.quota = quota,
        Stands::Path { path, read_only: only } => {
            if !path.exists() {
                let what = format!("cannot mount volume {name} on {target}");
                return Err(Error::rejected(what, format!("{} is not there", path.display()))
                    .hint("make it first; the volume is nothing but another name for it"));
            }
            // It is somebody's: nothing is put in it.
            (source, read_only, made.fill) = (path, only, false);
        }
        Stands::Filesystem { fstype, device, options } => {
            object::check_mountable(name, &fstype)?;
            let users = text(&paths.volume_users().join(name));
            made.filesystem = Some(Filesystem { fstype, device, options, users, user: id.to_owned() });
        }
    }
    let volume = Volume {
        source: text(&source),
        target: target.to_owned(),
        below: object.subpath.clone(),
        give: object.chown,
        object: Some(made),
        ..Volume::default()
    };
    Ok((volume, read_only))
}

/// Of an image that is mounted, topmost first.
fn layers(store: &image::Store, image: &Image, request: &Run) -> Result<Vec<PathBuf>> {
    let platform = match &request.rootfs {
        Rootfs::Image { platform, .. } => platform.as_ref(),
        Rootfs::Directory { .. } | Rootfs::Nothing => None::<&Platform>,
    };
    let (_, found) = crate::images::find_whole(store, &image.reference, platform)?;
    let Some(subpath) = &image.subpath else { return Ok(found.layers) };
    // Nobody writes to layers, so what it leads to now it will lead to then.
    let parts = image::Rootfs::open(&found.layers)?.parts(Path::new(subpath), &found.layers)?;
    if parts.is_empty() {
        let what = format!("cannot mount {subpath} of image {}", image.reference);
        return Err(Error::rejected(what, "there is no such directory or file in it"));
    }
    Ok(parts)
}

/// The marks of a layer are known by its root.
fn check_whole(image: &Image) -> Result<()> {
    let Some(subpath) = &image.subpath else { return Ok(()) };
    let what = format!("cannot mount {subpath} of image {}", image.reference);
    Err(Error::rejected(what, "the storage driver vfs copies whole images only").hint("mount all of it"))
}

/// What is seen at a mount's target before the container is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// What the image has there: that is what will be copied.
    Image,
    Host(PathBuf),
    Unknown,
}

/// What of it can be looked into before.
#[must_use]
pub fn seen(mount: &Mount, paths: &Paths) -> Seen {
    match &mount.kind {
        Kind::Bind(bind) => Seen::Host(bind.source.clone()),
        Kind::Tmpfs(_) | Kind::Image(_) | Kind::Devpts(_) => Seen::Unknown,
        Kind::Volume(Object { name, copy, .. }) => {
            let directory = paths.volume(name.as_deref().unwrap_or_default());
            let is_fresh = !directory.exists() || directory.join(FRESH).exists();
            if is_fresh && *copy { Seen::Image } else { Seen::Host(directory.join(FILES)) }
        }
    }
}

/// As docker: what is asked for and cannot be is refused, not silently less.
fn check_propagation(target: &str, bind: &Bind, host: &Host) -> Result<()> {
    use Propagation::{RecursiveShared, RecursiveSlave, Shared, Slave};
    let Some(asked @ (Shared | RecursiveShared | Slave | RecursiveSlave)) = bind.propagation else { return Ok(()) };
    let shared = matches!(asked, Shared | RecursiveShared);
    let what = || format!("cannot mount {} on {target} as {}", bind.source.display(), asked.option());
    if shared && (host.rootless() || !host.owns(NamespaceKind::Mount)) {
        return Err(Error::rejected(what(), "what an ordinary user mounts never reaches the host")
            .hint("slave is what can be had: mounts of the host are seen in the container"));
    }
    let Some(there) = bind.source.ancestors().find(|path| path.exists()) else { return Ok(()) };
    let found = runtime::observe::mount::propagation(there).map_err(Error::from)?;
    if found.shared || found.slave && !shared {
        return Ok(());
    }
    let why =
        if shared { "on the host it is in no shared mount" } else { "on the host it is in no shared or slave mount" };
    Err(Error::rejected(what(), why).hint("findmnt -o TARGET,PROPAGATION shows them; mount --make-shared changes one"))
}

fn volume(target: &str, bind: &Bind) -> Result<Volume> {
    let what = || format!("cannot mount {} on {target}", bind.source.display());
    let create = match std::fs::metadata(&bind.source) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::NotFound && bind.create => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::rejected(what(), "there is no such file or directory on this host")
                .hint("make it first; -v SOURCE:TARGET makes a directory where none is"));
        }
        Err(error) => return Err(runtime::refused(what(), &error).into()),
    };
    // What is given away is what the path leads to now, whatever becomes of a link in it.
    let source = if bind.chown { real(&bind.source) } else { Ok(bind.source.clone()) };
    let source = source.map_err(|error| runtime::refused(what(), &error))?;
    let source = source.to_string_lossy().into_owned();
    Ok(Volume { source, target: target.to_owned(), create, give: bind.chown, ..Volume::default() })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Without symbolic links, as far as it is there.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Err(error), Some(above), Some(name)) if error.kind() == ErrorKind::NotFound => Ok(real(above)?.join(name)),
        (found, ..) => found,
    }
}
