//! Nodes of devices on the host: those that a user namespace gets by a bind.

use crate::error::{Error, Result};
use rustix::fs::{CWD, Mode};
use spec::runtime::Device;
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
