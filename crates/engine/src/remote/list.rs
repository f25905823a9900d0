//! Lists of images: what is added to them, from here, from registries and from archives, and how they are pushed.

use super::parcel::{Image, Parcel};
use super::pull::{WIDTH, which};
use super::push::{destination, send};
use super::worker::{Tell, parse};
use super::{Enlist, Failure, PushList, Said, Source};
use image::archive::{self, Input};
use image::lists::{Abroad, List, Listable};
use image::{Store, Writer};
use registry::{Client, Fetched, Repository, Use};
use spec::Reference;
use spec::image::{Descriptor, ImageConfig, Index, Manifest, Platform, media};
use std::collections::HashMap;
use std::path::Path;

/// The digest of the list as it is then.
///
/// # Errors
/// One of the images is not there; there is no such list.
pub fn enlist(client: &Client, store: &Store, task: &Enlist) -> Result<String, Failure> {
    let writer = store.writer()?;
    let adding = Adding { client, store, writer: &writer, task };
    let mut found = Vec::new();
    for source in &task.from {
        found.extend(adding.all_of(source)?);
    }
    let digest = writer.change_lists(|lists| {
        let list = lists.get_mut(&task.list).ok_or_else(|| absent(&task.list))?;
        found.into_iter().for_each(|image| list.add(task.said.about(image)));
        Ok::<_, Failure>(spec::Digest::of(&list.bytes()?))
    })?;
    Ok(digest.to_string())
}

fn absent(list: &str) -> Failure {
    let hint = Some(format!("sampan manifest create {list}"));
    Failure { what: format!("cannot find the list {list}"), why: "there is none of that name".into(), hint }
}

fn unusable(name: &str, why: String) -> Failure {
    Failure { what: format!("cannot add {name}"), why, hint: None }
}

impl Said {
    fn about(&self, mut image: Listable) -> Listable {
        self.change(&mut image.entry);
        image
    }

    pub(crate) fn change(&self, entry: &mut Descriptor) {
        let mut platform = entry.platform.clone().unwrap_or_default();
        let set = |to: &mut String, said: &Option<String>| said.iter().for_each(|said| to.clone_from(said));
        set(&mut platform.os, &self.os);
        set(&mut platform.architecture, &self.architecture);
        platform.variant = self.variant.clone().or(platform.variant);
        platform.os_version = self.os_version.clone().or(platform.os_version);
        if !self.os_features.is_empty() {
            platform.os_features.clone_from(&self.os_features);
        }
        // An artifact has none.
        if platform != Platform::default() {
            entry.platform = Some(platform);
        }
        entry.annotations.extend(self.annotations.clone());
    }

    /// Which of an image's variants is meant.
    fn wanted(&self) -> Platform {
        let native = Platform::native();
        let variant = if self.architecture.is_some() { None } else { native.variant };
        Platform {
            os: self.os.clone().unwrap_or(native.os),
            architecture: self.architecture.clone().unwrap_or(native.architecture),
            variant: self.variant.clone().or(variant),
            ..Platform::default()
        }
    }
}

struct Adding<'a> {
    client: &'a Client,
    store: &'a Store,
    writer: &'a Writer,
    task: &'a Enlist,
}

impl Adding<'_> {
    fn all_of(&self, source: &Source) -> Result<Vec<Listable>, Failure> {
        match source {
            Source::Here(entry) => self.here(entry),
            Source::Registry(names) => self.remote(names),
            Source::Archive { path, name } => self.archive(path, name.as_deref()),
        }
    }

    fn archive(&self, path: &Path, name: Option<&str>) -> Result<Vec<Listable>, Failure> {
        let refuse = |why: String| unusable(&path.display().to_string(), why);
        let mut loaded = if path.is_dir() {
            archive::take_in(self.writer, Input::Directory(path))?
        } else {
            let mut file = std::fs::File::open(path).map_err(|error| refuse(error.to_string()))?;
            archive::take_in(self.writer, Input::Stream(&mut file))?
        };
        if let Some(name) = name {
            let wanted = parse(name)?;
            loaded.retain(|image| image.name.as_ref() == Some(&wanted));
        }
        if loaded.is_empty() {
            return Err(refuse("there is no image of that name in it".into()));
        }
        let images =
            loaded.iter().map(|image| self.variants(&image.entry, image.name.as_ref().map(Reference::to_string)));
        images.collect::<Result<Vec<_>, _>>().map(|all| all.concat())
    }

    fn here(&self, entry: &Descriptor) -> Result<Vec<Listable>, Failure> {
        self.variants(entry, crate::images::which::name(entry).map(|name| name.to_string()))
    }

    /// Those that are here.
    fn variants(&self, entry: &Descriptor, name: Option<String>) -> Result<Vec<Listable>, Failure> {
        let stored = self.store.stored(entry)?;
        let wanted = self.task.said.wanted();
        let variants: Vec<Descriptor> = stored.manifests.iter().map(|(entry, ..)| entry.clone()).collect();
        // The first is what a container of the image stands on.
        let chosen = wanted.pick(&variants).or(variants.first()).map(|entry| entry.digest);
        let entry = |entry: Descriptor| {
            let platform = entry.platform.clone().or_else(|| Some(stored.config.platform.clone()));
            let described = Descriptor::new(&entry.media_type, entry.digest, entry.size);
            let listed = Descriptor { platform, artifact_type: entry.artifact_type, ..described };
            Listable { entry: listed, abroad: None, name: name.clone() }
        };
        Ok(variants.into_iter().filter(|entry| self.task.all || Some(entry.digest) == chosen).map(entry).collect())
    }

    fn remote(&self, names: &[String]) -> Result<Vec<Listable>, Failure> {
        let (reference, repository, top) = self.first(names)?;
        let name = reference.to_string();
        let home = format!("{}/{}", reference.registry(), reference.repository());
        let listable = |entry, bytes: Vec<u8>| {
            let manifest = String::from_utf8(bytes).map_err(|error| unusable(&name, error.to_string()))?;
            Ok(Listable { entry, abroad: Some(Abroad { home: home.clone(), manifest }), name: Some(name.clone()) })
        };
        if !top.descriptor.is_index() {
            let platform = platform(&repository, &top.bytes, &name)?;
            return listable(Descriptor { platform, ..top.descriptor }, top.bytes).map(|one| vec![one]);
        }
        let index: Index = serde_json::from_slice(&top.bytes).map_err(|error| unusable(&name, error.to_string()))?;
        let wanted = self.task.said.wanted();
        let one = || {
            let chosen = wanted.pick(&index.manifests).cloned();
            let why = || unusable(&name, format!("it has no variant for {wanted}"));
            let hint = "--arch names another one, --all takes all of them";
            Ok::<_, Failure>(vec![chosen.ok_or_else(|| Failure { hint: Some(hint.into()), ..why() })?])
        };
        let chosen = if self.task.all { index.manifests.clone() } else { one()? };
        let variant = |entry: Descriptor| {
            let fetched = repository.manifest(&entry.digest.to_string())?;
            if fetched.descriptor.is_index() {
                return Err(unusable(&name, "it is an index that leads to an index".into()));
            }
            listable(entry, fetched.bytes)
        };
        chosen.into_iter().map(variant).collect()
    }

    fn first(&self, names: &[String]) -> Result<(Reference, Repository, Fetched), Failure> {
        let mut failure = None;
        for name in names {
            let reference = parse(name)?;
            let which = which(&reference);
            match self.client.first(&reference, Use::Pull, |repository| repository.manifest(&which)) {
                Ok((repository, top)) => return Ok((reference, repository, top)),
                Err(error) => failure = failure.or(Some(error.at(format!("cannot add {}", reference.familiar())))),
            }
        }
        Err(failure.map_or_else(|| unusable("", "no image is named".into()), Failure::from))
    }
}

/// As its configuration says; an artifact is for none.
fn platform(repository: &Repository, manifest: &[u8], name: &str) -> Result<Option<Platform>, Failure> {
    let failed = |error: serde_json::Error| unusable(name, error.to_string());
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(failed)?;
    if !matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        return Ok(None);
    }
    let config: ImageConfig = serde_json::from_slice(&repository.document(&manifest.config)?).map_err(failed)?;
    Ok(Some(config.platform))
}

/// With all images; what another repository of the registry has goes from there, what another registry has through here.
///
/// # Errors
/// An image of the list is not where it was; the registry's.
pub fn push(client: &Client, store: &Store, task: &PushList, tell: &Tell) -> Result<String, Failure> {
    let _hold = store.hold()?;
    let list = store.lists()?.remove(&task.list).ok_or_else(|| absent(&task.list))?;
    let bytes = list.bytes()?;
    let kind = list.index.media_type.as_deref().unwrap_or(media::INDEX);
    let top = Descriptor::new(kind, spec::Digest::of(&bytes), bytes.len() as u64);
    let images = images(client, store, &list)?;
    let mut parcel = Parcel::of_list(store, (top, bytes, list.index), images);
    parcel.dress(&task.wish, WIDTH)?;
    let to = parse(&task.to)?;
    let repository = destination(client, &to, tell)?;
    send(&parcel, store, &repository, &to, tell)
}

fn images(client: &Client, store: &Store, list: &List) -> Result<Vec<Image>, Failure> {
    let mut homes: HashMap<&str, Repository> = HashMap::new();
    let mut images = Vec::new();
    for entry in &list.index.manifests {
        let (bytes, manifest) = store.listed_manifest(list, entry)?;
        let home = match list.abroad.get(&entry.digest).map(|abroad| abroad.home.as_str()) {
            None => None,
            Some(name) => match homes.get(name) {
                Some(known) => Some(known.clone()),
                None => {
                    let which = entry.digest.to_string();
                    let reference = parse(&format!("{name}@{which}"))?;
                    let found = client.first(&reference, Use::Pull, |repository| repository.manifest(&which));
                    let (found, _) = found.map_err(|error| error.at(format!("cannot push {name}@{which}")))?;
                    Some(homes.entry(name).or_insert(found).clone())
                }
            },
        };
        images.push(Image { descriptor: entry.clone(), bytes, manifest, home });
    }
    Ok(images)
}
