//! What is asked for, as plain data: the whole of `sampan run` after parsing.
//!
//! Invariant: each value is well formed by itself, and [`Run::check`] says whether they go together. What depends on
//! the host, the image or other containers is decided later, in resolve and plan.
//! Must not: touch the host. Relative paths and variables taken from the environment are settled by the caller.

pub mod change;
mod check;
pub mod device;
pub mod health;
pub mod limit;
pub mod log;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod process;
pub mod proxy;
pub mod secret;
pub mod security;
mod text;

use serde::{Deserialize, Serialize};
use spec::ContainerId;
use std::path::PathBuf;
use std::str::FromStr;

pub use change::Changes;
pub use device::{Device, DeviceRule};
pub use health::Health;
pub use limit::Limits;
pub use log::Log;
pub use mount::Mount;
pub use namespace::{Join, Namespaces, User};
pub use network::Network;
pub use process::{Process, Signal};
pub use security::Security;
pub use spec::unit::Invalid;

/// `sampan run`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    pub rootfs: Rootfs,
    /// How layers become its root, where that is asked for.
    pub driver: Option<crate::snapshot::Driver>,
    /// Without the proxies that docker's client would set.
    #[serde(skip)]
    pub no_proxies: bool,
    pub name: Option<ContainerId>,
    /// Remove the container when it has exited.
    pub remove: bool,
    pub process: Process,
    pub terminal: Terminal,
    pub namespaces: Namespaces,
    pub network: Network,
    pub limits: Limits,
    pub files: Files,
    pub security: Security,
    pub secrets: Vec<secret::Secret>,
    pub stop: Stop,
    pub log: Log,
    pub restart: Restart,
    pub health: Health,
    /// Containers that run before it does.
    pub requires: Vec<ContainerId>,
    /// The pod that it is in.
    pub pod: Option<crate::pods::Member>,
    /// Later ones win over earlier ones with the same key.
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    /// Absolute. Gets the container's id; must not exist.
    pub cidfile: Option<PathBuf>,
    /// Absolute. Gets the pid of the container's init in the caller's pid namespace.
    pub pidfile: Option<PathBuf>,
    /// An OCI runtime, by name in PATH or by path, instead of sampan's own.
    pub runtime: Option<String>,
    /// The pod that it is to be made in, as it was named; `new:NAME` is made for it.
    #[serde(skip)]
    pub joins: Option<String>,
    /// Do not wait for its end.
    #[serde(skip)]
    pub detach: bool,
    /// A container of this name goes first.
    #[serde(skip)]
    pub replace: bool,
    /// Print the plan as a shell script and do nothing.
    #[serde(skip)]
    pub explain: bool,
    /// Print how long each step took.
    #[serde(skip)]
    pub timings: bool,
    /// No progress on the terminal.
    #[serde(skip)]
    pub quiet: bool,
    /// How registries are reached, where the image is to be pulled.
    #[serde(skip)]
    pub access: crate::remote::Access,
}

impl Run {
    /// Whether a monitor watches the container: what nobody could do who has only its process before him. Else it has the
    /// caller's own streams, and he alone sees its end.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let Terminal { tty, interactive, .. } = self.terminal;
        // Who is on a network that a user made asks his monitor for names.
        let named = self.network.endpoints().iter().any(|endpoint| endpoint.network != network::DEFAULT);
        let asks = self.health != Health::default();
        let more = self.log.is_asked() || asks || !self.requires.is_empty() || self.pod.is_some();
        !self.remove || tty || interactive || named || self.restart != Restart::No || more
    }
}

/// When a container that has ended is started again, by its monitor and after a boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    #[default]
    No,
    /// With another code than 0, and so many times at most.
    OnFailure(Option<u32>),
    Always,
    /// As always, but not after a boot if it was stopped before.
    UnlessStopped,
}

impl FromStr for Restart {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (word, number) = text.split_once(':').map_or((text, None), |(word, number)| (word, Some(number)));
        match (word, number) {
            ("no" | "", None) => Ok(Self::No),
            ("always", None) => Ok(Self::Always),
            ("unless-stopped", None) => Ok(Self::UnlessStopped),
            ("on-failure", None) => Ok(Self::OnFailure(None)),
            ("on-failure", Some(number)) => {
                let times =
                    text::number(number).ok_or_else(|| Invalid::new(format!("{number:?} is no number of times")))?;
                // docker: 0 has no end.
                Ok(Self::OnFailure(Some(times).filter(|times| *times > 0)))
            }
            ("no" | "always" | "unless-stopped", Some(_)) => {
                Err(Invalid::new("a number of times is for on-failure only").hint("on-failure:3"))
            }
            _ => {
                Err(Invalid::new("unknown restart policy")
                    .hint("one of no, on-failure[:TIMES], always, unless-stopped"))
            }
        }
    }
}

impl Restart {
    /// docker's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// docker's count; 0 where there is none.
    #[must_use]
    pub fn times(self) -> u32 {
        match self {
            Self::OnFailure(times) => times.unwrap_or(0),
            _ => 0,
        }
    }
}

/// What the container stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// A reference as typed; resolving it is the image store's work.
    Image { reference: String, pull: Pull, platform: Option<Platform> },
    /// Absolute. `overlay`: changes go to a layer of the container's own and the directory stays as it is.
    Directory { path: PathBuf, overlay: bool },
    /// No program neither: what holds the namespaces of a pod.
    Nothing,
}

impl Default for Rootfs {
    fn default() -> Self {
        Self::Image { reference: String::new(), pull: Pull::Missing, platform: None }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pull {
    Always,
    #[default]
    Missing,
    Never,
    /// As always, but what is here will do where the registry does not answer.
    Newer,
}

impl FromStr for Pull {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "always" => Ok(Self::Always),
            "missing" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            "newer" => Ok(Self::Newer),
            _ => Err(Invalid::new("unknown pull policy").hint("one of always, missing, never, newer")),
        }
    }
}

/// `os/arch[/variant]` in Go's words: `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub variant: Option<String>,
}

impl FromStr for Platform {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("not a platform").hint("write os/architecture[/variant]: linux/arm64/v8");
        let mut parts = text.split('/');
        let os = parts.next().unwrap_or_default();
        let architecture = parts.next().ok_or_else(malformed)?;
        let variant = parts.next();
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
        if parts.next().is_some() || !word(os) || !word(architecture) || !variant.is_none_or(word) {
            return Err(malformed());
        }
        if os != "linux" {
            return Err(Invalid::new(format!("containers of {os:?} cannot run on Linux")).hint("linux/ARCHITECTURE"));
        }
        Ok(Self { architecture: architecture.to_owned(), variant: variant.map(str::to_owned) })
    }
}

impl Platform {
    /// In the words of images, with Go's names for what the kernel calls x86_64 and so on.
    #[must_use]
    pub fn of_image(&self) -> spec::image::Platform {
        let architecture = match self.architecture.as_str() {
            "x86_64" | "x8664" => "amd64",
            "aarch64" => "arm64",
            "i386" => "386",
            other => other,
        };
        let (architecture, os) = (architecture.to_owned(), "linux".to_owned());
        spec::image::Platform { architecture, os, variant: self.variant.clone(), ..Default::default() }
    }
}

/// How the caller's terminal and the container's are joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terminal {
    /// Keep standard input open.
    pub interactive: bool,
    /// Give the container a pseudo-terminal.
    pub tty: bool,
    /// The bytes that detach; none switches detaching off.
    pub detach_keys: Vec<u8>,
    /// Forward signals to the container's init.
    pub forward_signals: bool,
}

impl Default for Terminal {
    fn default() -> Self {
        // ctrl-p ctrl-q
        Self { interactive: false, tty: false, detach_keys: vec![16, 17], forward_signals: true }
    }
}

/// Files and devices beside the root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Files {
    pub read_only: bool,
    /// In the order typed: `--volume`, then `--mount`, then `--tmpfs`. No two have the same target.
    pub mounts: Vec<Mount>,
    /// Whose mounts it has, too.
    pub volumes_from: Vec<mount::From>,
    /// Of what it changes.
    pub layer_size: Option<spec::unit::Size>,
    /// Of `/dev/shm`; docker's 64m where absent.
    pub shm_size: Option<spec::unit::Size>,
    pub devices: Vec<Device>,
    /// By name: `vendor.com/class=name`.
    pub named_devices: Vec<String>,
}

/// How the container is asked to stop; what is absent is the image's, then docker's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    #[serde(with = "process::by_name")]
    pub signal: Option<process::Signal>,
    pub patience: Option<process::Patience>,
}
