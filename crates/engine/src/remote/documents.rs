//! An image's documents at a registry: index, manifest, configuration.

use super::Failure;
use registry::{Fetched, Repository};
use spec::image::{Descriptor, ImageConfig, Index, Manifest, Platform, media};

/// All that an image is but its layers.
pub struct Documents {
    /// Of the index, or of the manifest where there is none; with the platform.
    pub entry: Descriptor,
    /// As they were sent.
    pub bytes: Vec<(Descriptor, Vec<u8>)>,
    pub manifest: Manifest,
    pub config: ImageConfig,
}

/// Those of the image for the platform, from its top document on.
///
/// # Errors
/// The registry's; no variant for the platform; no image at all.
pub fn fetch(repository: &Repository, top: Fetched, platform: Option<&Platform>) -> Result<Documents, Failure> {
    let native = Platform::native();
    let wanted = platform.unwrap_or(&native);
    let mut entry = top.descriptor.clone();
    let mut bytes = Vec::new();
    let fetched = if entry.is_index() {
        let index: Index = parse(&top.bytes, "index")?;
        let chosen = choose(&index, wanted, repository)?;
        let fetched = repository.manifest(&chosen.digest.to_string())?;
        if fetched.descriptor.is_index() {
            return Err(unusable(repository, "it is an index that leads to an index".to_owned()));
        }
        entry.platform = chosen.platform;
        bytes.push((top.descriptor, top.bytes));
        fetched
    } else {
        top
    };
    let manifest: Manifest = parse(&fetched.bytes, "manifest")?;
    bytes.push((fetched.descriptor, fetched.bytes));
    check(&manifest, repository)?;
    let text = repository.document(&manifest.config)?;
    let config: ImageConfig = parse(&text, "configuration")?;
    if platform.is_some() && wanted.rank(&config.platform).is_none() {
        let has = &config.platform;
        let failure = unusable(repository, format!("it is for {has} only, not for {wanted}"));
        return Err(Failure { hint: Some(format!("--platform {has} takes it as it is")), ..failure });
    }
    entry.platform.get_or_insert_with(|| config.platform.clone());
    bytes.push((manifest.config.clone(), text));
    Ok(Documents { entry, bytes, manifest, config })
}

fn choose(index: &Index, wanted: &Platform, repository: &Repository) -> Result<Descriptor, Failure> {
    if let Some(entry) = wanted.pick(&index.manifests) {
        return Ok(entry.clone());
    }
    let have = index.manifests.iter().filter_map(|entry| entry.platform.as_ref()).filter(|have| have.os != "unknown");
    let have: Vec<String> = have.map(ToString::to_string).collect();
    let why = format!("it has no variant for {wanted}, only for {}", have.join(", "));
    let failure = unusable(repository, why);
    Err(Failure { hint: Some("--platform names another".to_owned()), ..failure })
}

/// What a container cannot stand on.
fn check(manifest: &Manifest, repository: &Repository) -> Result<(), Failure> {
    let kind = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
    if !matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        return Err(unusable(repository, format!("it is no image but an artifact, of type {kind}")));
    }
    for layer in &manifest.layers {
        let kind = &layer.media_type;
        if !layer.urls.is_empty() || kind.contains("foreign") || kind.contains("nondistributable") {
            let why = "its layer is not in the registry but elsewhere (a foreign layer, as Windows images have)";
            return Err(unusable(repository, format!("{why}: {}", layer.digest)));
        }
        let base = kind.strip_suffix("+gzip").or_else(|| kind.strip_suffix("+zstd")).unwrap_or(kind);
        let base = base.strip_suffix(".gzip").or_else(|| base.strip_suffix(".zstd")).unwrap_or(base);
        if !matches!(base, media::LAYER | media::DOCKER_LAYER) {
            return Err(unusable(repository, format!("it has a layer of a type that is not known here: {kind}")));
        }
    }
    Ok(())
}

fn unusable(repository: &Repository, why: String) -> Failure {
    Failure { what: format!("cannot use the image {}", repository.full_name()), why, hint: None }
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure {
        what: format!("cannot read the image's {what}"),
        why: error.to_string(),
        hint: None,
    })
}
