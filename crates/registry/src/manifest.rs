//! Manifests and indexes (distribution-spec, "Pulling manifests").

use crate::client::Repository;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use spec::Digest;
use spec::image::{Descriptor, media};
use ureq::http::{Method, StatusCode};

/// What an index or a manifest may weigh (distribution-spec: registries should take 4 MiB).
const LIMIT: u64 = 4 << 20;
/// Other documents: a configuration with a long history.
const DOCUMENT: u64 = 16 << 20;

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// A document as it was sent; `descriptor` is what that has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub descriptor: Descriptor,
    pub bytes: Vec<u8>,
}

impl Fetched {
    /// Its bytes, as JSON can have them.
    #[must_use]
    pub fn raw(&self) -> String {
        STANDARD.encode(&self.bytes)
    }
}

impl Repository {
    /// As messages name it.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.host.name, self.name)
    }

    pub(crate) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.name)
    }

    /// By tag or digest.
    ///
    /// # Errors
    /// There is none; it is too long, of a kind that nobody here reads, or has another digest than the one that was asked
    /// for.
    pub fn manifest(&self, which: &str) -> Result<Fetched> {
        let what = || format!("cannot get the manifest of {}{}{which}", self.full_name(), separator(which));
        self.try_manifest(which).map_err(|error| error.at(what()))
    }

    fn try_manifest(&self, which: &str) -> Result<Fetched> {
        let (path, scope) = (format!("/v2/{}/manifests/{which}", self.name), self.pull_scope());
        let headers = [("Accept", ACCEPT)];
        let request = Request { headers: &headers, ..Request::new(Method::GET, &path, &scope) };
        let mut response = self.host.send(&request)?;
        if response.status() != StatusCode::OK {
            let error = host::refusal(&mut response, "the registry has no such image: manifest unknown");
            let fix = format!("is the name right? sampan tags {} lists what there is", self.full_name());
            return Err(if error.kind == Kind::Missing { error.hint(fix) } else { error });
        }
        let kind = host::header(&response, "content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let promised = host::header(&response, "docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        let bytes = response.body_mut().with_config().limit(LIMIT).read_to_vec();
        let bytes = bytes.map_err(|error| host::explain(error, &self.host.name))?;
        let digest = Digest::of(&bytes);
        let wanted = which.parse::<Digest>().ok().or(promised);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
            return Err(Error::new(
                Kind::Corrupt,
                format!("its digest is {digest}, not {wanted}: the registry sends something else"),
            ));
        }
        let kind = media_type(&bytes, &kind)?;
        Ok(Fetched { descriptor: Descriptor::new(&kind, digest, bytes.len() as u64), bytes })
    }

    /// The digest of what the tag names, without fetching it. `None`: there is none.
    ///
    /// # Errors
    /// The registry does not answer, or refuses.
    pub fn digest(&self, which: &str) -> Result<Option<Digest>> {
        let (path, scope) = (format!("/v2/{}/manifests/{which}", self.name), self.pull_scope());
        let headers = [("Accept", ACCEPT)];
        let mut response =
            self.host.send(&Request { headers: &headers, ..Request::new(Method::HEAD, &path, &scope) })?;
        match response.status() {
            StatusCode::OK => Ok(host::header(&response, "docker-content-digest").and_then(|text| text.parse().ok())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(host::refusal(&mut response, "")),
        }
    }

    /// A small blob, whole and verified: a configuration.
    ///
    /// # Errors
    /// It is not there, longer than a document may be, or something else.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let what = || format!("cannot get {} of {}", descriptor.digest, self.full_name());
        if descriptor.size > DOCUMENT {
            let why = format!("a document of {} bytes is none that anybody has written", descriptor.size);
            return Err(Error::new(Kind::Corrupt, why).at(what()));
        }
        let mut bytes = Vec::new();
        let mut blob = self.blob(descriptor, 0);
        std::io::Read::read_to_end(&mut blob, &mut bytes).map_err(|error| Error::of_read(error).at(what()))?;
        let digest = Digest::of(&bytes);
        if digest != descriptor.digest {
            let why = format!("its digest is {digest}, not {}: the registry sends something else", descriptor.digest);
            return Err(Error::new(Kind::Corrupt, why).at(what()));
        }
        Ok(bytes)
    }
}

pub(crate) fn separator(which: &str) -> char {
    if which.contains(':') { '@' } else { ':' }
}

/// The document's own word where it has one: registries label a manifest as they like. Without both, by its shape
/// (image-spec, manifest.md: `mediaType` is optional).
fn media_type(bytes: &[u8], label: &str) -> Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| match label {
        "text/html" => Error::new(Kind::Refused, "no registry: a web server answers")
            .hint("the name before the first slash is the registry's host; is it the right one?"),
        _ => Error::new(Kind::Corrupt, format!("the registry sends no manifest ({label}): {error}")),
    })?;
    if shape.schema_version == Some(1) || label.starts_with("application/vnd.docker.distribution.manifest.v1") {
        return Err(Error::new(
            Kind::Unsupported,
            "it is of docker's schema 1, which has no digests of its layers' content",
        )
        .hint("push the image again with a docker of version 1.10 (2016) or newer, or any other tool"));
    }
    // CVE-2021-41190: a document that is both would be one thing here and another there.
    if shape.manifests.is_some() && (shape.config.is_some() || shape.layers.is_some()) {
        return Err(Error::new(Kind::Corrupt, "it claims to be an index and a manifest at once (CVE-2021-41190)"));
    }
    let known = [media::INDEX, media::MANIFEST, media::DOCKER_INDEX, media::DOCKER_MANIFEST];
    let named = shape.media_type.as_deref().or(Some(label)).filter(|name| known.contains(name));
    let is_index = shape.manifests.is_some();
    match named {
        Some(name) if matches!(name, media::INDEX | media::DOCKER_INDEX) == is_index => Ok(name.to_owned()),
        Some(name) => Err(Error::new(Kind::Corrupt, format!("it says that it is {name}, and is not (CVE-2021-41190)"))),
        None if shape.media_type.is_some() => {
            let kind = shape.media_type.unwrap_or_default();
            Err(Error::new(Kind::Unsupported, format!("it is of a kind that is not known here: {kind}")))
        }
        None => Ok(if is_index { media::INDEX } else { media::MANIFEST }.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_manifest_by_its_shape() {
        let kind = |text: &str, label: &str| media_type(text.as_bytes(), label).map_err(|error| error.kind);
        let oci = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        assert_eq!(kind(oci, "text/plain").unwrap(), media::MANIFEST);
        assert_eq!(kind(oci, media::DOCKER_MANIFEST).unwrap(), media::DOCKER_MANIFEST);
        assert_eq!(kind(oci, media::MANIFEST).unwrap(), media::MANIFEST);
        assert_eq!(kind(r#"{"schemaVersion":2,"manifests":[]}"#, "").unwrap(), media::INDEX);
        assert_eq!(kind(oci, media::INDEX), Err(Kind::Corrupt));
        assert_eq!(kind(r#"{"manifests":[],"layers":[]}"#, media::INDEX), Err(Kind::Corrupt));
        assert_eq!(kind(r#"{"schemaVersion":1,"fsLayers":[]}"#, "application/json"), Err(Kind::Unsupported));
        assert_eq!(kind(r#"{"mediaType":"application/x"}"#, ""), Err(Kind::Unsupported));
        assert_eq!(kind("<html>", "text/plain"), Err(Kind::Corrupt));
        assert_eq!(kind("<html>", "text/html"), Err(Kind::Refused));
        assert_eq!(kind(oci, "text/html").unwrap(), media::MANIFEST);
    }
}
