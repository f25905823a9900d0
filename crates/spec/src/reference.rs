//! Names of images: `[registry/]repository[:tag][@digest]`, with docker's rules for what may be left out.
//!
//! Invariant: a value is complete. The registry is named, a repository on the default registry has its `library/`,
//! and there is a tag or a digest.

use crate::digest::Digest;
use std::fmt;
use std::str::FromStr;

/// Where a name without a registry is looked for.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The same registry under the name that old configurations use.
const OLD_DEFAULT_REGISTRY: &str = "index.docker.io";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadReference {
    pub text: String,
    pub why: &'static str,
}

impl Reference {
    /// A host name with an optional port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// If there is one, it decides, and the tag is decoration.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the text names no registry: then the caller's configuration may have a say in what it stands for.
    #[must_use]
    pub fn is_short(text: &str) -> bool {
        text.split_once('/').is_none_or(|(first, _)| !is_registry(first))
    }

    /// As a person would type it: without the default registry and its `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix(DEFAULT_REGISTRY).and_then(|rest| rest.strip_prefix('/'));
        let short = short.map(|rest| match rest.strip_prefix("library/") {
            Some(name) if !name.contains('/') => name,
            _ => rest,
        });
        // What is left may begin as a registry does, or be as long as an id: then it would be another name, or none.
        short.filter(|short| short.parse().as_ref() == Ok(self)).unwrap_or(&full).to_owned()
    }
}

/// The complete name, as it stands in an index.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        parse(text).map_err(|why| BadReference { text: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| "the digest is not sha256 and 64 hex digits")?)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if name.is_empty() {
        return Err("the name is empty");
    }
    // Docker refuses these, because they would hide the image with that id.
    if Digest::from_hex(name).is_some() {
        return Err("64 hexadecimal digits are an image id, not a name");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("a tag is up to 128 letters, digits, '_', '.' and '-', and starts with no '.' or '-'");
    }
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (first, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    if !is_host(registry) {
        return Err("the registry is not a host name with an optional port");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("a repository name must be lower case");
    }
    if !path.split('/').all(is_component) {
        return Err("a repository name is lower-case letters and digits, with '.', '_', '__', '-' or '/' between them");
    }
    let registry = if registry == OLD_DEFAULT_REGISTRY { DEFAULT_REGISTRY } else { registry };
    let library = registry == DEFAULT_REGISTRY && !path.contains('/');
    let repository = if library { format!("library/{path}") } else { path.to_owned() };
    if registry.len() + 1 + repository.len() > MAX_NAME {
        return Err("the name is longer than 255 characters");
    }
    let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None });
    Ok(Reference { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
}

/// Docker's rule for the first component: a registry has a dot, a port or a capital, or is localhost.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => (None, port.strip_prefix(':')),
            _ => return false,
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && tag.starts_with(|c: char| c != '.' && c != '-')
}

/// Letters and digits, and between them one '.', one or two '_', or any number of '-'.
fn is_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let edges = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    let mut separators = bytes.split(|b| word(*b)).filter(|run| !run.is_empty());
    edges && separators.all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

impl fmt::Display for BadReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid image name {:?}: {}", self.text, self.why)
    }
}

impl std::error::Error for BadReference {}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn completes_names() {
        assert_eq!(full("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("docker.io/busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(full("index.docker.io/a/b"), "docker.io/a/b:latest");
        assert_eq!(full("localhost/x"), "localhost/x:latest");
        assert_eq!(full("host:5000/x/y:v1.0"), "host:5000/x/y:v1.0");
        assert_eq!(full("Host/x"), "Host/x:latest");
        assert_eq!(full("[::1]:5000/x"), "[::1]:5000/x:latest");
        assert_eq!(full("a__b/c--d.e"), "docker.io/a__b/c--d.e:latest");
        assert!(Reference::is_short("a/b") && Reference::is_short("b:5000") && !Reference::is_short("h:5000/b"));
        let digest = Digest::of(b"");
        assert_eq!(full(&format!("a@{digest}")), format!("docker.io/library/a@{digest}"));
        assert_eq!(full(&format!("a:t@{digest}")), format!("docker.io/library/a:t@{digest}"));
    }

    #[test]
    fn shortens_names() {
        let id = "a".repeat(64);
        for (text, short) in [
            ("busybox", "busybox:latest"),
            ("a/b:c", "a/b:c"),
            ("quay.example/x", "quay.example/x:latest"),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest"),
            (&format!("library/{id}"), &format!("docker.io/library/{id}:latest")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().familiar(), short);
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        let hex = "a".repeat(64);
        let long = "a/".repeat(128) + "a";
        let tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            ":",
            "a:",
            "a:-t",
            "A",
            "a/B",
            "/a",
            "a/",
            "a//b",
            "a___b",
            "a..b",
            "-a",
            "a-",
            "a@sha256:0",
            "a b",
            "a.b:x/c",
            "-h.x/a",
            "../../etc",
            "[::1/a",
            &hex,
            &long,
            &tag,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
