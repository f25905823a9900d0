//! How a container's root is made of its image's layers, and where what it writes is (docs/adr/0017-snapshots.md).
//!
//! Invariant: of a container that has files of its own these say which driver it has; it is never asked for again.

use crate::error::{Error, Result};
use crate::ground::HOST;
use crate::paths::Paths;
use crate::request::mount::Kind;
use crate::request::{Rootfs as Asked, Run};
use image::difference::Own;
use plan::host::Host;
use plan::step::Upper;
use plan::{Rejected, Rootfs};
use runtime::snapshot::Trial;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The kernel's: a layer of the container's own over the image's.
    #[default]
    Overlay,
    /// A copy of the image for each container.
    Vfs,
}

impl Driver {
    /// As docker and podman call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Vfs => "vfs",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "overlay" | "overlay2" => Some(Self::Overlay),
            "vfs" => Some(Self::Vfs),
            _ => None,
        }
    }

    pub(crate) fn root(self, layers: &[PathBuf], data: &str, volatile: bool, limit: Option<u64>) -> Rootfs {
        let lower = layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
        match self {
            Self::Overlay => {
                let (upper, work) = (format!("{data}/upper"), format!("{data}/work"));
                Rootfs::Overlay { lower, upper: Upper { upper, work, volatile, limit } }
            }
            Self::Vfs => Rootfs::Copy { lower, tree: plan::order::tree(data) },
        }
    }

    /// # Errors
    /// A limit of what a container changes, where its files are not kept apart from the image's.
    pub(crate) fn check_limit(self, limit: Option<u64>) -> Result<()> {
        match (self, limit) {
            (Self::Vfs, Some(_)) => {
                let why = "the storage driver vfs gives each a copy of its image, which would count, too";
                Err(Error::rejected("cannot limit what the container changes", why)
                    .hint("leave --storage-opt size out, or keep containers where overlayfs works (--root)"))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// Layers that this driver cannot read.
    pub(crate) fn check(self, view: &image::Rootfs, name: &str) -> Result<()> {
        match self {
            Self::Overlay if view.has_names_for_marks() => {
                let why = "its layers were unpacked where overlayfs cannot work, and have marks that it does not know";
                Err(Error::rejected(format!("cannot stack the layers of {name}"), why)
                    .hint("use --storage-driver vfs, or have them unpacked anew here: sampan system check --repair"))
            }
            Self::Overlay | Self::Vfs => Ok(()),
        }
    }
}

/// A container's own files; `None` until it was started.
#[must_use]
pub fn own(paths: &Paths, id: &str) -> Option<Own> {
    let home = paths.container(id);
    let (upper, tree) = (home.join("upper"), PathBuf::from(plan::order::tree(&home.to_string_lossy())));
    if upper.is_dir() { Some(Own::Upper(upper)) } else { tree.is_dir().then_some(Own::Tree(tree)) }
}

/// Which one that has none yet gets: the one that it asks for, or overlay where that works.
///
/// # Errors
/// It asks for one that does not work here.
pub(crate) fn driver(request: &Run, paths: &Paths, host: &Host, id: &str) -> Result<Driver> {
    match own(paths, id) {
        Some(Own::Upper(_)) => return Ok(Driver::Overlay),
        Some(Own::Tree(_)) => return Ok(Driver::Vfs),
        None => {}
    }
    let images = || request.files.mounts.iter().any(|mount| matches!(mount.kind, Kind::Image(_)));
    let layered = match &request.rootfs {
        Asked::Image { reference, .. } => reference != HOST,
        Asked::Directory { overlay, .. } => *overlay,
        Asked::Nothing => false,
    };
    if !layered && !images() { Ok(Driver::Overlay) } else { choose(paths, host, request.driver) }
}

/// # Errors
/// As [`driver`].
pub(crate) fn choose(paths: &Paths, host: &Host, asked: Option<Driver>) -> Result<Driver> {
    Ok(match asked {
        Some(Driver::Vfs) => Driver::Vfs,
        None => unfit(paths, host)?.map_or(Driver::Overlay, |_| Driver::Vfs),
        Some(Driver::Overlay) => match unfit(paths, host)? {
            None => Driver::Overlay,
            Some(why) => return Err(why.into()),
        },
    })
}

/// Why overlayfs cannot write where containers are kept; `None`: it can. Asked once a boot; then it is a stat.
///
/// # Errors
/// The kernel's.
pub fn unfit(paths: &Paths, host: &Host) -> Result<Option<Rejected>> {
    let known = paths.overlay();
    match std::fs::metadata(&known) {
        Ok(found) if found.len() == 0 => return Ok(None),
        Ok(_) => {
            let text = std::fs::read(&known).ok();
            if let Some(Said { what, why, hint }) = text.and_then(|text| serde_json::from_slice(&text).ok()) {
                return Ok(Some(Rejected { what, why, hint }));
            }
        }
        Err(_) => {}
    }
    if !paths.data.is_dir() {
        return Ok(None);
    }
    // What cannot be remembered is asked again.
    Ok(match runtime::snapshot::try_overlayfs(&paths.data, !host.is_machines_root())? {
        Trial::Fit => {
            let _ = remember(&known, None);
            None
        }
        Trial::Unfit { why, lasting } => {
            if lasting {
                let _ = remember(&known, Some(&why));
            }
            Some(why)
        }
        Trial::Unknown => None,
    })
}

#[derive(Serialize, Deserialize)]
struct Said {
    what: String,
    why: String,
    hint: Option<String>,
}

fn remember(known: &Path, unfit: Option<&Rejected>) -> std::io::Result<()> {
    let text = match unfit {
        None => vec![],
        Some(Rejected { what, why, hint }) => {
            serde_json::to_vec(&Said { what: what.clone(), why: why.clone(), hint: hint.clone() })?
        }
    };
    let new = known.with_extension(format!("{}", std::process::id()));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, known)
}
