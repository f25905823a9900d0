//! Volumes: who opens their sources, whose ids they show, and what is done to the sources before.
//!
//! Invariant: what is done to a source is done by the parent, stays, and is refused for the system's own trees.

use crate::host::Host;
use crate::mounts::{self, Idmap, Ids, Maps, Mount, Opened, Source};
use crate::order::{self, Input, joined};
use crate::overlay::{self, Told};
use crate::shell::quote;
use crate::step::{At, HostStep};
use crate::{Rejected, capability, ids};
use spec::runtime::{IdMapping, Linux, Mount as Spec, NamespaceKind, User};

/// The source of a bind, as far as config.json has no word for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// On the host; without symbolic links where it is to be given away.
    pub source: String,
    pub target: String,
    /// What is mounted of it, resolved inside of it.
    pub below: Option<String>,
    /// It is not there: make the directory.
    pub create: bool,
    /// To the container's user, with all that is in it.
    pub give: bool,
    pub object: Option<Object>,
    /// In the container's own directory, for what it writes there: to be made.
    pub directories: Vec<String>,
    /// Layers, topmost first, of which the source is to be a copy.
    pub copied: Vec<String>,
}

/// A volume that has a name: what is to be done to it before it can be mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// Its own, with its record; the files are in [`FILES`] there.
    pub directory: String,
    /// It is not there yet: make it, with this record.
    pub record: Option<String>,
    /// The file that says that it goes with this container.
    pub claim: Option<String>,
    /// It may still be empty, and is to get what the image has there.
    pub fill: bool,
    /// What is mounted on its files' directory, for all that use it.
    pub filesystem: Option<Filesystem>,
    /// So many bytes at most.
    pub quota: Option<u64>,
}

/// As mount(8) is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filesystem {
    pub fstype: String,
    pub device: String,
    pub options: Vec<String>,
    /// The directory with a file for each of those that use it, and this container's.
    pub users: String,
    pub user: String,
}

/// In a volume's directory: what is mounted.
pub const FILES: &str = "_data";
/// What is known about it.
pub const RECORD: &str = "volume.json";
/// There until what an image has was copied, or something else was written; not empty while that goes on.
pub const FRESH: &str = "fresh";

/// # Errors
/// As [`mounts::parse`]; and an id map that is not there, or that this caller may not use.
pub fn mount(spec: &Spec, linux: &Linux, host: &Host) -> Result<Mount, Rejected> {
    let mut mount = mounts::parse(spec)?;
    // Only root of the namespace that the mounts are in may copy them (open_tree(2)).
    let hands = !host.rootless() && host.owns(NamespaceKind::Mount) && host.has(capability::SYS_ADMIN);
    if let Source::Bind { opened, .. } = &mut mount.source {
        *opened = if hands { Opened::ByParent } else { Opened::ByChild };
        mount.attributes.locked = linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::User);
    }
    let Some(Idmap { maps, .. }) = &mut mount.idmap else { return Ok(mount) };
    let refuse = |why: &str, hint: &str| {
        let what = format!("cannot shift the ids of {} on {}", spec.source, spec.destination);
        Err(Rejected::new(what, why).hint(hint))
    };
    if host.kernel < (5, 12) {
        return refuse("the kernel has idmapped mounts since Linux 5.12", "U changes the owner of the files instead");
    }
    if !hands || !host.initial {
        return refuse("only root of the host may (mount_setattr(2))", "U changes the owner of the files instead");
    }
    if *maps == Maps::These(Ids::default()) {
        *maps = joined(linux, NamespaceKind::User).map_or_else(|| Maps::These(Ids::of(linux)), Maps::Of);
    }
    if let Maps::These(ids) = maps
        && (ids.uid.is_empty() || ids.gid.is_empty())
    {
        return refuse(
            "the container has no user namespace of its own to take the maps of",
            "add --uidmap and --gidmap, or write the maps: idmap=uids=0-1000-1;gids=0-1000-1",
        );
    }
    Ok(mount)
}

/// A sysfs shows a network namespace, and takes a mounter with rights in what that belongs to: root of another user
/// namespace gets the host's own, as with crun, if it is to be read only; with all below it, which cannot be left out there.
#[must_use]
pub fn host_sysfs(spec: &Spec, linux: &Linux) -> Option<Spec> {
    let find = |kind| linux.namespaces.iter().find(|namespace| namespace.kind == kind);
    let (user, network) = (find(NamespaceKind::User)?, find(NamespaceKind::Network));
    let may = match network {
        None => false,
        // It may belong to the one that is joined.
        Some(network) => network.path.is_none() || user.path.is_some(),
    };
    if may || spec.kind != "sysfs" || !spec.options.iter().any(|option| option == "ro") {
        return None;
    }
    let more = ["rbind", "rro", "rprivate"].map(str::to_owned);
    let options = spec.options.iter().cloned().chain(more).collect();
    Some(Spec { kind: "bind".to_owned(), source: "/sys".to_owned(), options, ..spec.clone() })
}

/// The part of its source that is mounted, where there is one.
pub(crate) fn narrow(mount: &mut Mount, volumes: &[Volume]) {
    let volume = volumes.iter().find(|volume| volume.target == mount.destination);
    if let (Source::Bind { below, .. }, Some(volume)) = (&mut mount.source, volume) {
        below.clone_from(&volume.below);
    }
}

/// What is done to the sources before they are mounted.
///
/// # Errors
/// What is not to be given away, or to nobody; layers that cannot be read as one.
pub(crate) fn steps(input: &Input<'_>, linux: &Linux, user: &User) -> Result<Vec<HostStep>, Rejected> {
    let mut steps = Vec::new();
    for (number, volume) in input.volumes.iter().enumerate() {
        let path = volume.source.clone();
        let root = ids::root(input.host, &linux.uid_mappings, &linux.gid_mappings);
        let directory = |path: &String| HostStep::Directory { path: path.clone(), mode: 0o755, owner: root };
        steps.extend(volume.directories.iter().map(directory));
        if !volume.copied.is_empty() {
            steps.push(HostStep::Tree {
                layers: volume.copied.clone(),
                to: path.clone(),
                ids: if input.host.rootless() { Ids::default() } else { Ids::of(linux) },
                mapped: input.host.rootless(),
            });
        }
        if let Some(object) = &volume.object {
            let same = |other: &Volume| other.object.as_ref().is_some_and(|it| it.directory == object.directory);
            let again = input.volumes[..number].iter().any(same);
            object_steps(input, linux, (volume, object), again, &mut steps)?;
        }
        if volume.create {
            steps.push(HostStep::Source {
                path: path.clone(),
                owner: ids::root(input.host, &linux.uid_mappings, &linux.gid_mappings),
            });
        }
        if volume.give {
            let refuse = |why: &str| Rejected::new(format!("cannot give {path} to the container's user"), why);
            if is_systems(&path) {
                return Err(refuse("it is one of the system's own directories")
                    .hint("leave U out, or change the owner by hand (chown)"));
            }
            let (owner, mapped) = owner(input, linux, user, &volume.target).map_err(refuse)?;
            steps.push(HostStep::Own { path, owner, mapped });
        }
    }
    Ok(steps)
}

/// `again`: it is mounted at another place, too, for which it is there already.
fn object_steps(
    input: &Input<'_>,
    linux: &Linux,
    (volume, object): (&Volume, &Object),
    again: bool,
    steps: &mut Vec<HostStep>,
) -> Result<(), Rejected> {
    let owner = ids::root(input.host, &linux.uid_mappings, &linux.gid_mappings);
    let directory = object.directory.clone();
    if let (Some(record), false) = (&object.record, again) {
        let (record, claim, quota) = (record.clone(), object.claim.clone(), object.quota);
        steps.push(HostStep::Volume { directory: directory.clone(), record, claim, owner, quota });
    }
    if let (Some(Filesystem { fstype, device, options, users, user }), false) = (&object.filesystem, again) {
        steps.push(HostStep::Filesystem {
            at: format!("{directory}/{FILES}"),
            users: users.clone(),
            user: user.clone(),
            fstype: fstype.clone(),
            device: device.clone(),
            options: options.clone(),
        });
    }
    let shifted = input
        .config
        .mounts
        .iter()
        .any(|spec| spec.destination == volume.target && spec.options.iter().any(|option| option == "idmap"));
    // One whose ids are shifted has on the disk those that the layers have there, too.
    let layers = match order::layers(input, !shifted) {
        Some(layers) if object.fill => layers,
        _ => return Ok(()),
    };
    let at = order::merged(input.data);
    let told = overlay::tell(input.host, &layers, None, &At::Root(at.clone()))?;
    let mapped = input.host.rootless();
    let path = volume.target.clone();
    steps.push(HostStep::Fill { directory, layers, told, at, path, owner, mapped });
    Ok(())
}

pub(crate) fn make_shell(
    directory: &str,
    record: &str,
    claim: Option<&str>,
    owner: Option<(u32, u32)>,
    quota: Option<u64>,
) -> String {
    let at = |name: &str| quote(&format!("{directory}/{name}"));
    let mut lines = Vec::new();
    if let Some(claim) = claim {
        let above = claim.rsplit_once('/').map_or("/", |(above, _)| above);
        lines.push(format!("mkdir -p {} && : >{}", quote(above), quote(claim)));
    }
    let mut made = format!("mkdir -p {} && printf %s {} >{}", at(FILES), quote(record), at(RECORD));
    made += &format!(" && : >{}", at(FRESH));
    made += &owner.map_or(String::new(), |(uid, gid)| format!(" && chown {uid}:{gid} {}", at(FILES)));
    lines.push(format!("[ -e {} ] || {{ {made}; }}", at(RECORD)));
    if let Some(bytes) = quota {
        let files = at(FILES);
        lines.push(format!("# no shell equivalent: a project of its own for {files}, which may have {bytes} bytes"));
    }
    lines.join("\n")
}

pub(crate) fn mount_shell(
    at: &str,
    (users, user): (&str, &str),
    fstype: &str,
    device: &str,
    options: &[String],
) -> String {
    let user = quote(&format!("{users}/{user}"));
    let options = if options.is_empty() { String::new() } else { format!(" -o {}", quote(&options.join(","))) };
    let mount = format!("mount -t {}{options} {} {}", quote(fstype), quote(device), quote(at));
    format!("mkdir -p {} && : >{user}\nmountpoint -q {} || {mount}", quote(users), quote(at))
}

pub(crate) fn fill_shell(
    directory: &str,
    (layers, told, at): (&[String], &Told, &str),
    path: &str,
    owner: Option<(u32, u32)>,
    mapped: bool,
) -> String {
    let (files, fresh) = (quote(&format!("{directory}/{FILES}")), quote(&format!("{directory}/{FRESH}")));
    let from = if let [layer] = layers { layer.as_str() } else { at };
    let source = quote(&format!("{from}{path}"));
    let mut script = match layers {
        [_] => Vec::new(),
        _ => vec![overlay::shell(layers, None, &At::Root(at.to_owned()), None, mapped, told)],
    };
    script.push(format!("[ ! -d {source} ] || {{ cp -a {source}/. {files} && rm {fresh}; }}"));
    let through = if mapped { "unshare --map-auto --map-root-user --mount" } else { "unshare --mount" };
    let given = owner.map_or(String::new(), |(uid, gid)| format!("\nchown {uid}:{gid} {files}"));
    let empty = format!("[ -e {fresh} ] && [ -z \"$(ls -A {files})\" ]");
    format!("if {empty}; then{given}\n{through} sh -ec {}\nfi", quote(&script.join("\n")))
}

/// The container's user as he is on the disk; or, where that takes an ordinary user's user namespace, in that.
pub(crate) fn owner(
    input: &Input<'_>,
    linux: &Linux,
    user: &User,
    target: &str,
) -> Result<((u32, u32), bool), &'static str> {
    if joined(linux, NamespaceKind::User).is_some() {
        return Err("the maps of the user namespace that it joins are not its own");
    }
    let mapped = input.host.rootless() && input.host.subordinate.is_some();
    let back = if mapped {
        let (uid, gid) = crate::host::rootless_maps(input.host);
        Ids { uid, gid }
    } else {
        let spec = input.config.mounts.iter().find(|mount| mount.destination == target);
        let idmap = spec.and_then(|spec| mount(spec, linux, input.host).ok()?.idmap);
        match idmap.map(|idmap| idmap.maps) {
            Some(Maps::These(ids)) => ids,
            _ => Ids::default(),
        }
    };
    let find = |id: u32, map: &[IdMapping], back: &[IdMapping]| {
        let host = if map.is_empty() { id } else { ids::on_host(map, id)? };
        if back.is_empty() { Some(host) } else { ids::inside(back, host) }
    };
    let owner = find(user.uid, &linux.uid_mappings, &back.uid).zip(find(user.gid, &linux.gid_mappings, &back.gid));
    Ok((owner.ok_or("the maps have no id for him on the disk")?, mapped))
}

/// `/`, its entries, those of /etc, /usr and /var, and all of the kernel's.
fn is_systems(path: &str) -> bool {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    match names.as_slice() {
        [] | [_] | ["etc" | "usr" | "var", _] => true,
        [first, ..] => matches!(*first, "dev" | "proc" | "sys"),
    }
}

#[cfg(test)]
mod tests {
    use super::is_systems;

    #[test]
    fn the_systems_own() {
        for path in ["/", "/home", "/usr/lib", "/var/lib/", "/etc/passwd", "/proc/1/root/srv"] {
            assert!(is_systems(path), "{path}");
        }
        for path in ["/home/me", "/srv/data", "/var/lib/data", "/tmp/x"] {
            assert!(!is_systems(path), "{path}");
        }
    }
}
