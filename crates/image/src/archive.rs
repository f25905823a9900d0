//! Images in files: one form that all read, an OCI image layout with docker's `manifest.json` beside its index, as a tar or
//! as a directory; and the older form that docker and podman write.
//!
//! Invariant: what is loaded is verified as what is pulled is. Names in an archive are never paths here.

mod load;
mod save;
mod source;

pub use load::{Input, Loaded, load, take_in};
pub use save::{Form, save};

use serde::{Deserialize, Serialize};

/// One image in docker's `manifest.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The annotation with containerd's whole name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
