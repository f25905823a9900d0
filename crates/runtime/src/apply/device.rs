//! Nodes of devices on the host: those that a user namespace gets by a bind.

use crate::error::{Error, Result};
use crate::observe;
use plan::ids::{self, OVERFLOW};
use plan::step::{InitStep, Node, Plan};
use rustix::fs::{CWD, Mode};
use spec::runtime::{Device, IdMapping, Linux, NamespaceKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use sys::process::{S_IFBLK, S_IFCHR, S_IFIFO};

/// The type, as mknod(2) takes it.
///
/// # Errors
/// There is no such type.
pub(crate) fn kind(device: &Device) -> Result<u32> {
    match device.kind.as_str() {
        "c" | "u" => Ok(S_IFCHR),
        "b" => Ok(S_IFBLK),
        "p" => Ok(S_IFIFO),
        other => Err(Error::Unknown(format!("device type {other}"))),
    }
}

pub(crate) fn number(device: &Device) -> u64 {
    sys::process::device_number(device.major as u32, device.minor as u32)
}

/// # Errors
/// What the kernel refused.
pub(super) fn make(path: &str, device: &Device, owner: (u32, u32)) -> Result<()> {
    let (kind, mode) = (kind(device)?, device.file_mode.unwrap_or(0o666));
    let call = || format!("mknod({path:?}, {} {}:{})", device.kind, device.major, device.minor);
    let kind = rustix::fs::FileType::from_raw_mode(kind);
    rustix::fs::mknodat(CWD, path, kind, Mode::from(mode), number(device)).map_err(sys::Error::of(call))?;
    super::own(path, Some(owner))?;
    // After the owner, and without the umask.
    let call = || format!("chmod({path:?}, 0{mode:o})");
    Ok(rustix::fs::chmod(path, Mode::from(mode)).map_err(sys::Error::of(call))?)
}

/// That what the host has at the path is this device. That there is nothing the child finds out.
///
/// # Errors
/// It is another one.
pub(crate) fn check(device: &Device) -> Result<()> {
    let Ok(found) = std::fs::metadata(&device.path) else { return Ok(()) };
    let kind = if found.file_type().is_char_device() {
        S_IFCHR
    } else if found.file_type().is_block_device() {
        S_IFBLK
    } else {
        0
    };
    if (kind, found.rdev()) == (self::kind(device)?, number(device)) {
        return Ok(());
    }
    let Device { path, kind, major, minor, .. } = device;
    let why = "only root of the machine can make a node for a user namespace, and the host has something else there";
    Err(Error::Rejected(plan::Rejected::new(format!("cannot give the container {path} ({kind} {major}:{minor})"), why)))
}

/// Of devices that are the host's own nodes: each whose owner or mode, as the container will see it, is another than
/// config.json names.
#[must_use]
pub fn kept(plan: &Plan, linux: &Linux) -> Vec<String> {
    let of_the_host = plan.init.iter().filter_map(|step| match step {
        InitStep::Device { device, node: Node::Host } => Some(device),
        _ => None,
    });
    of_the_host.filter_map(|device| differs(device, linux)).collect()
}

fn differs(device: &Device, linux: &Linux) -> Option<String> {
    let found = std::fs::metadata(&device.path).ok()?;
    let same = |wanted: Option<u32>, is: Option<u32>| wanted.is_none() || wanted == is;
    let mode = found.mode() & 0o7777;
    let uid = seen(linux, &linux.uid_mappings, "uid_map", found.uid());
    let gid = seen(linux, &linux.gid_mappings, "gid_map", found.gid());
    if same(device.file_mode, Some(mode)) && same(device.uid, uid) && same(device.gid, gid) {
        return None;
    }
    let show = |id: Option<u32>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
    let owner = format!("{}:{}", show(uid), show(gid));
    let path = &device.path;
    Some(format!("{path} is the host's node, and keeps its owner and mode ({owner}, {mode:#o} in the container)"))
}

/// The id of the host's in the container; none where that cannot be told.
fn seen(linux: &Linux, map: &[IdMapping], file: &str, id: u32) -> Option<u32> {
    let inside = |map: &[IdMapping]| Some(ids::inside(map, id).unwrap_or(OVERFLOW));
    if !map.is_empty() {
        return inside(map);
    }
    let joined = linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::User);
    let Some(path) = joined.and_then(|namespace| namespace.path.as_ref()) else { return Some(id) };
    // Another name says nothing of the process whose maps these are.
    let process = path.to_str()?.strip_suffix("/ns/user")?;
    inside(&observe::map(&format!("{process}/{file}")).ok()?)
}
