//! What is mounted by name: volumes and images; and the mounts of other containers.

use super::{Idmap, Invalid, Relabel};
use serde::{Deserialize, Serialize};
use spec::ContainerId;

/// A volume: a directory that has a name of its own, and outlives the containers that use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Object {
    /// Absent: it gets one when the container does.
    pub name: Option<String>,
    /// Nobody chose the name, so it goes with the container where that is asked for (`--rm`, `rm -v`).
    pub anonymous: bool,
    /// While it is empty, what the image has there goes into it.
    pub copy: bool,
    /// The part of it that is mounted: relative, and resolved inside the volume.
    pub subpath: Option<String>,
    /// For one that is not there yet.
    pub driver: Driver,
    pub relabel: Option<Relabel>,
    pub chown: bool,
    pub idmap: Option<Idmap>,
}

impl Default for Object {
    fn default() -> Self {
        Self {
            name: None,
            anonymous: false,
            copy: true,
            subpath: None,
            driver: Driver::default(),
            relabel: None,
            chown: false,
            idmap: None,
        }
    }
}

/// How a volume is made; by the local driver, the only one there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driver {
    /// `type`, `device` and `o`, as mount(8) has them.
    pub options: Vec<(String, String)>,
    pub labels: Vec<(String, String)>,
}

/// The files of an image, without a container of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    pub reference: String,
    /// What is written goes with the container.
    pub writable: bool,
    pub subpath: Option<String>,
}

/// `--volumes-from CONTAINER[:OPTIONS]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct From {
    pub container: ContainerId,
    pub read_only: bool,
}

/// # Errors
/// [`Invalid`] for what is no name of a container, or no option.
pub fn from(text: &str) -> Result<From, Invalid> {
    let (container, options) = text.split_once(':').unwrap_or((text, ""));
    let container = ContainerId::parse(container)
        .map_err(|error| Invalid::new(error.to_string()).hint("name a container: --volumes-from db:ro"))?;
    let mut read_only = None;
    for word in options.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => super::once(&mut read_only, true, word)?,
            "rw" => super::once(&mut read_only, false, word)?,
            // As the mount has it in that container.
            "z" => {}
            _ => return Err(Invalid::new(format!("unknown option {word:?}")).hint("ro, rw or z")),
        }
    }
    Ok(From { container, read_only: read_only == Some(true) })
}

/// docker's rule for names of volumes, which makes one a file's name.
///
/// # Errors
/// [`Invalid`] for a name with other characters, or one that is too long.
pub fn name(text: &str) -> Result<String, Invalid> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && text.len() <= 255 && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    Err(Invalid::new(format!("{text:?} is no name of a volume"))
        .hint("a letter or digit, then letters, digits, _, . and -; for a directory write its path: ./NAME"))
}

/// # Errors
/// [`Invalid`] for one that leads out of where it is looked up.
pub(super) fn subpath(text: &str) -> Result<String, Invalid> {
    let parts = || text.split('/').filter(|part| !matches!(*part, "" | "."));
    if text.starts_with('/') || parts().any(|part| part == "..") {
        return Err(Invalid::new(format!("the path {text:?} is not relative, or has a .."))
            .hint("write it as it is inside: data/mysql"));
    }
    let path = parts().collect::<Vec<_>>().join("/");
    if path.is_empty() { Err(Invalid::new("an empty path")) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["a", "A.b-c_d", "0", &"x".repeat(255)] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in ["", ".a", "-a", "a/b", "a b", "ä", &"x".repeat(256)] {
            assert!(name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_inside() {
        assert_eq!(subpath("a//b/./").as_deref(), Ok("a/b"));
        for text in ["/a", "..", "a/../b", "", "."] {
            assert!(subpath(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mounts_of_others() {
        let read = |text: &str| from(text).map(|from| (from.container.to_string(), from.read_only));
        assert_eq!(read("db"), Ok(("db".into(), false)));
        assert_eq!(read("db:ro,z"), Ok(("db".into(), true)));
        assert_eq!(read("db:rw"), Ok(("db".into(), false)));
        for text in ["", ":ro", "db:ro,rw", "db:x"] {
            assert!(from(text).is_err(), "{text}");
        }
    }
}
