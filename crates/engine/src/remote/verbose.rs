//! Manifests as docker's `manifest inspect --verbose` shows them: each with its name, its descriptor and its bytes.

use super::Failure;
use super::worker::first;
use registry::{Client, Fetched, Repository};
use serde_json::{Value, json};
use spec::image::{Descriptor, ImageConfig, Index, Manifest, media};

/// Of the first of these names that is there: the manifest, or all of an index.
pub(super) fn manifests(client: &Client, names: &[String]) -> Result<Value, Failure> {
    let mut failure = None;
    for name in names {
        match first(client, std::slice::from_ref(name)) {
            Ok((repository, fetched)) => return all(name, &repository, fetched),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| Failure::new("cannot inspect a manifest", "no image is named")))
}

fn all(name: &str, repository: &Repository, fetched: Fetched) -> Result<Value, Failure> {
    if !fetched.descriptor.is_index() {
        return described(name, &with_platform(repository, fetched)?);
    }
    let index: Index = read(&fetched)?;
    let one = |entry: &Descriptor| {
        let found = repository.manifest(&entry.digest.to_string())?;
        described(&format!("{name}@{}", entry.digest), &Fetched { descriptor: entry.clone(), ..found })
    };
    Ok(Value::Array(index.manifests.iter().map(one).collect::<Result<_, Failure>>()?))
}

/// A manifest alone does not say for which machine it is; its configuration does.
fn with_platform(repository: &Repository, mut fetched: Fetched) -> Result<Fetched, Failure> {
    let manifest: Manifest = read(&fetched)?;
    if matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        let text = repository.document(&manifest.config)?;
        let config: Option<ImageConfig> = serde_json::from_slice(&text).ok();
        fetched.descriptor.platform = config.map(|config| config.platform);
    }
    Ok(fetched)
}

/// docker's document of one.
pub(crate) fn described(name: &str, fetched: &Fetched) -> Result<Value, Failure> {
    let manifest: Value = read(fetched)?;
    let kind = match fetched.descriptor.media_type.as_str() {
        media::DOCKER_MANIFEST => "SchemaV2Manifest",
        _ => "OCIManifest",
    };
    Ok(json!({ "Ref": name, "Descriptor": fetched.descriptor, "Raw": fetched.raw(), kind: manifest }))
}

fn read<T: serde::de::DeserializeOwned>(fetched: &Fetched) -> Result<T, Failure> {
    let read = serde_json::from_slice(&fetched.bytes);
    read.map_err(|error| Failure::new(&format!("cannot read {}", fetched.descriptor.digest), &error.to_string()))
}
