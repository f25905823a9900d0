//! Images, as the commands have them.

use crate::containers;
use crate::error::{Error, Result};
use crate::paths::Paths;
use image::Store;
use spec::Reference;
use std::path::PathBuf;

/// One name of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub repository: Option<String>,
    pub tag: Option<String>,
    /// Of the configuration.
    pub id: String,
    /// Of the manifest.
    pub digest: String,
    /// Of the layers as stored, in bytes.
    pub size: u64,
}

/// Make the image `name` from this machine's own programs; the only one is busybox. The image's full name, and the
/// program that it was made of.
///
/// # Errors
/// Another name; no static busybox on this machine; a store that cannot be written.
pub fn bootstrap(paths: &Paths, name: &str) -> Result<(String, PathBuf)> {
    let reference = parse(name)?;
    if reference.repository() != "library/busybox" {
        return Err(Error::rejected(format!("cannot make an image {name}"), "sampan can make one of busybox only")
            .hint("sampan image bootstrap busybox"));
    }
    paths.ensure()?;
    let writer = Store::open(&paths.data).writer()?;
    let (_, binary) = image::bootstrap::busybox(&writer, &reference, std::env::var("PATH").ok().as_deref())?;
    Ok((reference.to_string(), binary))
}

/// # Errors
/// A store that is not whole.
pub fn list(paths: &Paths) -> Result<Vec<Listed>> {
    let images = Store::open(&paths.data).list()?;
    let listed = |image: image::Listed| {
        let name = image.name.as_deref().and_then(|name| name.parse::<Reference>().ok());
        Listed {
            repository: name.as_ref().map(familiar_repository).or(image.name),
            tag: name.as_ref().and_then(|name| name.tag().map(str::to_owned)),
            id: image.id.to_string(),
            digest: image.manifest.to_string(),
            size: image.size,
        }
    };
    Ok(images.into_iter().map(listed).collect())
}

fn familiar_repository(name: &Reference) -> String {
    let familiar = name.familiar();
    // The last colon is the tag's, unless a slash follows: then it is a registry's port.
    match familiar.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => familiar,
    }
}

/// Take a name away, and what nobody needs any more. The image's name as docker prints it.
///
/// # Errors
/// No such image; a container uses it, and `force` is not given.
pub fn remove(paths: &Paths, name: &str, force: bool) -> Result<String> {
    let reference = parse(name)?;
    let users = containers::list(paths);
    let familiar = reference.familiar();
    if let Some(user) = users.iter().find(|listed| listed.record.image == familiar)
        && !force
    {
        return Err(Error::rejected(
            format!("cannot remove image {name}"),
            format!("container {} uses it", user.record.name),
        )
        .hint("remove the container first, or use --force: its files stay as long as it does"));
    }
    let in_use: Vec<PathBuf> = users.into_iter().flat_map(|listed| listed.record.layers).collect();
    let store = Store::open(&paths.data);
    if !store.remove(&reference, &in_use)? && !force {
        return Err(Error::rejected(format!("cannot find image {name}"), "it is not in the store")
            .hint("sampan images shows what there is"));
    }
    Ok(familiar)
}

fn parse(name: &str) -> Result<Reference> {
    name.parse().map_err(|error: spec::reference::BadReference| {
        Error::rejected(format!("cannot use image {name:?}"), error.to_string())
    })
}
