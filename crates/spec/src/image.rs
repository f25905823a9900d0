//! The documents of an image (image-spec 1.1): descriptor, manifest, index, configuration, layout.
//!
//! Absent and `null` are the same: docker writes `null` for an empty list or map. Unknown properties are ignored, as
//! the spec asks.

use crate::digest::{DiffId, Digest};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

pub mod media {
    //! Media types (media-types.md), and the docker ones that mean the same.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// The annotation that names a manifest in an index (annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The content of the file `oci-layout` (image-layout.md).
pub const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

pub type Annotations = BTreeMap<String, String>;

/// Go writes an empty set as a map to empty structs: `{"80/tcp": {}}`.
pub type Set = BTreeMap<String, Empty>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Points to a blob. `size` in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let annotations = Annotations::new();
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: vec![],
            annotations,
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether it leads to manifests, not to one.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), media::INDEX | media::DOCKER_INDEX)
    }
}

/// Go's names: `amd64`, `linux`, variant `v8`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(rename = "os.features", default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Of the machine that this program was built for.
    #[must_use]
    pub fn native() -> Self {
        // Go's words for what Rust calls x86_64 and so on.
        let (architecture, variant) = if cfg!(target_arch = "x86_64") {
            ("amd64", None)
        } else if cfg!(target_arch = "aarch64") {
            ("arm64", Some("v8"))
        } else if cfg!(target_arch = "arm") {
            ("arm", Some("v7"))
        } else if cfg!(target_arch = "x86") {
            ("386", None)
        } else if cfg!(target_arch = "riscv64") {
            ("riscv64", None)
        } else if cfg!(target_arch = "s390x") {
            ("s390x", None)
        } else {
            ("ppc64le", None)
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: variant.map(str::to_owned),
            ..Self::default()
        }
    }

    /// How well a machine of this platform runs what is made for that one: more is better, `None` not at all. A machine
    /// runs what is made for earlier variants of its architecture.
    #[must_use]
    pub fn rank(&self, other: &Self) -> Option<(u32, u32)> {
        let ours = (self.os.as_str(), self.architecture.as_str());
        if ours != (other.os.as_str(), other.architecture.as_str()) {
            return None;
        }
        let (ours, theirs) = (self.level(), other.level());
        (theirs <= ours).then_some(theirs)
    }

    /// The best of an index's entries, the first among equals.
    #[must_use]
    pub fn pick<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let ranked = entries.iter().filter_map(|entry| Some((self.rank(entry.platform.as_ref()?)?, entry)));
        ranked.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, entry)| entry)
    }

    /// `v8.2` as numbers; where nothing is said, what everybody means.
    fn level(&self) -> (u32, u32) {
        let usual = match self.architecture.as_str() {
            "arm64" => "v8",
            "arm" => "v7",
            _ => "v1",
        };
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty()).unwrap_or(usual);
        let (major, minor) =
            variant.trim_start_matches('v').split_once('.').unwrap_or((variant.trim_start_matches('v'), "0"));
        (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
    }
}

/// `os/architecture[/variant]`.
impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().filter(|variant| !variant.is_empty()).try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// `layers` bottom first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            artifact_type: None,
            manifests: vec![],
            subject: None,
            annotations: Annotations::new(),
        }
    }
}

/// What the layers are, and how a container of them is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(flatten)]
    pub platform: Platform,
    #[serde(default, deserialize_with = "or_default")]
    pub config: Execution,
    pub rootfs: RootFs,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// Defaults for a container of the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `port`, `port/tcp`, `port/udp`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: Set,
    /// `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: Set,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Annotations,
    /// `SIGTERM`, or a number.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Instructions for a build on top of the image.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Of a build's instructions.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// docker's; handed on as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<serde_json::Value>,
}

/// `diff_ids` bottom first; `kind` is `layers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: vec![] }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_writes() {
        let text = r#"{"architecture":"arm64","variant":"v8","os":"linux","created":"2024-01-01T00:00:00Z",
            "config":{"Hostname":"","Env":["PATH=/bin"],"Cmd":["sh"],"Image":"x","Volumes":null,"Entrypoint":null,
            "Labels":null,"ExposedPorts":{"80/tcp":{}},"OnBuild":null},"history":[{"created_by":"x","empty_layer":true}],
            "rootfs":{"type":"layers","diff_ids":null}}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.platform.variant.as_deref(), Some("v8"));
        assert_eq!(config.config.cmd, ["sh"]);
        assert!(config.config.volumes.is_empty() && config.config.exposed_ports.contains_key("80/tcp"));
        let again: ImageConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }

    #[test]
    fn picks_what_the_machine_runs_best() {
        let platform = |text: &str| {
            let mut parts = text.split('/').map(str::to_owned);
            let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
            Platform { os, architecture, variant: parts.next(), ..Platform::default() }
        };
        let pick = |ours: &str, entries: &[&str]| {
            let entries: Vec<_> = entries
                .iter()
                .enumerate()
                .map(|(n, text)| {
                    let platform = Some(platform(text));
                    Descriptor { platform, ..Descriptor::new(media::MANIFEST, Digest::of(b""), n as u64) }
                })
                .collect();
            platform(ours).pick(&entries).map(|entry| entry.size)
        };
        assert_eq!(pick("linux/amd64", &["linux/arm64", "windows/amd64", "linux/amd64"]), Some(2));
        assert_eq!(pick("linux/amd64", &["linux/amd64/v3", "unknown/unknown"]), None);
        assert_eq!(pick("linux/amd64/v3", &["linux/amd64", "linux/amd64/v3", "linux/amd64/v2"]), Some(1));
        assert_eq!(pick("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"]), Some(1));
        assert_eq!(pick("linux/arm/v5", &["linux/arm", "linux/arm/v5"]), Some(1));
        assert_eq!(pick("linux/arm64", &["linux/arm64/v8", "linux/arm64"]), Some(0));
        assert_eq!(platform("linux/arm64/v8").to_string(), "linux/arm64/v8");
    }

    #[test]
    fn an_index_reads_back() {
        let mut entry = Descriptor::new(media::MANIFEST, Digest::of(b"x"), 1);
        entry.annotations.insert(REF_NAME.into(), "a".into());
        let index = Index { manifests: vec![entry], ..Index::default() };
        let text = serde_json::to_string(&index).unwrap();
        assert!(text.contains("\"schemaVersion\":2"), "{text}");
        assert_eq!(serde_json::from_str::<Index>(&text).unwrap(), index);
    }
}
