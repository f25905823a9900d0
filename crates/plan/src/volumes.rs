//! Volumes: who opens their sources, whose ids they show, and what is done to the sources before.
//!
//! Invariant: what is done to a source is done by the parent, stays, and is refused for the system's own trees.

use crate::host::Host;
use crate::mounts::{self, Idmap, Ids, Maps, Mount, Opened, Source};
use crate::order::{Input, joined};
use crate::step::HostStep;
use crate::{Rejected, capability, ids};
use spec::runtime::{IdMapping, Linux, Mount as Spec, NamespaceKind, User};

/// The source of a bind, as far as config.json has no word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// On the host; without symbolic links where it is to be given away.
    pub source: String,
    pub target: String,
    /// It is not there: make the directory.
    pub create: bool,
    /// To the container's user, with all that is in it.
    pub give: bool,
}

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

/// What is done to the sources before they are mounted.
///
/// # Errors
/// What is not to be given away, or to nobody.
pub(crate) fn steps(input: &Input<'_>, linux: &Linux, user: &User) -> Result<Vec<HostStep>, Rejected> {
    let mut steps = Vec::new();
    for volume in &input.volumes {
        let path = volume.source.clone();
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

/// The container's user as he is on the disk; or, where that takes an ordinary user's user namespace, in that.
fn owner(input: &Input<'_>, linux: &Linux, user: &User, target: &str) -> Result<((u32, u32), bool), &'static str> {
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
