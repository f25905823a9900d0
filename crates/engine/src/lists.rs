//! Lists of images for several platforms, made here and pushed as one: docker's and podman's `manifest`.

use crate::error::{Error, Result};
use crate::images::{candidates, destination, entry, parse, which};
use crate::paths::Paths;
use crate::remote::{self, Access, Enlist, Progress, PushList, Said, Source, Task, Wish};
use image::Store;
use image::lists::List;
use spec::image::Annotations;
use spec::{Digest, Reference};

/// Make a list. Of one that is there already nothing is changed but what `annotations` say, and only with `amend`. Its
/// whole name.
///
/// # Errors
/// It is there; the store cannot be written.
pub fn create(paths: &Paths, name: &str, amend: bool, annotations: &Annotations) -> Result<String> {
    paths.ensure()?;
    let whole = whole(name)?.to_string();
    let writer = Store::open(&paths.data).writer()?;
    writer.change_lists(|lists| {
        if lists.contains_key(&whole) && !amend {
            return Err(Error::rejected(format!("cannot make the list {name}"), "there is one of that name")
                .hint("--amend adds to it; sampan manifest rm removes it"));
        }
        lists.entry(whole.clone()).or_default().index.annotations.extend(annotations.clone());
        Ok(())
    })?;
    Ok(whole)
}

/// What is to be added to a list.
#[derive(Debug, Clone, Default)]
pub struct Add<'a> {
    /// As typed: names here or at registries, with podman's transports.
    pub images: &'a [String],
    /// Of an index all that it leads to, not only the variant that is meant.
    pub all: bool,
    pub said: Said,
}

/// Add images to a list. The digest that the list has then.
///
/// # Errors
/// There is no such list; an image is nowhere.
pub fn add(paths: &Paths, access: &Access, name: &str, add: Add<'_>) -> Result<String> {
    let list = whole(name)?.to_string();
    named(paths, name)?;
    let from = add.images.iter().map(|image| source(paths, image, add.all)).collect::<Result<_>>()?;
    let task = Task::Enlist(Enlist { list, from, all: add.all, said: add.said });
    remote::call(paths, access, task, &mut |_| {})
}

/// As podman: what is here comes first, unless a transport says where it is.
fn source(paths: &Paths, text: &str, all: bool) -> Result<Source> {
    if let Some(name) = text.strip_prefix("docker://") {
        return at_registry(name);
    }
    if let Some(name) = text.strip_prefix("containers-storage:") {
        return entry(paths, name).map(|(entry, _)| Source::Here(Box::new(entry)));
    }
    let archive = ["oci-archive:", "docker-archive:", "oci:"].iter().find_map(|transport| text.strip_prefix(transport));
    if let Some(place) = archive {
        return in_archive(text, place);
    }
    let Ok((entry, _)) = entry(paths, text) else { return at_registry(text) };
    let stored = Store::open(&paths.data).stored(&entry)?;
    // Of an index that was pulled one variant is here, and all are meant.
    match which::name(&entry) {
        Some(name) if all && entry.is_index() && !stored.whole => at_registry(&name.to_string()),
        _ => Ok(Source::Here(Box::new(entry))),
    }
}

/// `path` or `path:name`.
fn in_archive(text: &str, place: &str) -> Result<Source> {
    let (path, name) = place.split_once(':').map_or((place, None), |(path, name)| (path, Some(name.to_owned())));
    let path = std::path::absolute(path).map_err(|error| Error::io(format!("cannot add {text}"), &error))?;
    Ok(Source::Archive { path, name })
}

fn at_registry(name: &str) -> Result<Source> {
    destination(name)?;
    Ok(Source::Registry(candidates(name)?.iter().map(Reference::to_string).collect()))
}

/// Say something else of an image in a list.
///
/// # Errors
/// There is no such list, or the image is not in it.
pub fn annotate(paths: &Paths, name: &str, image: &str, said: &Said) -> Result<()> {
    change(paths, name, |list| {
        let digest = within(list, name, image)?;
        list.index.manifests.iter_mut().filter(|entry| entry.digest == digest).for_each(|entry| said.change(entry));
        Ok(())
    })
}

/// Say something of the list itself.
///
/// # Errors
/// There is no such list.
pub fn annotate_list(paths: &Paths, name: &str, annotations: &Annotations) -> Result<()> {
    change(paths, name, |list| {
        list.index.annotations.extend(annotations.clone());
        Ok(())
    })
}

/// Take an image out of a list. Its digest.
///
/// # Errors
/// As [`annotate`].
pub fn take_out(paths: &Paths, name: &str, image: &str) -> Result<String> {
    change(paths, name, |list| {
        let digest = within(list, name, image)?;
        list.remove(&digest);
        Ok(digest.to_string())
    })
}

/// Remove lists, all of them or none. What only they needed goes, too.
///
/// # Errors
/// There is none of such a name.
pub fn remove(paths: &Paths, names: &[String]) -> Result<()> {
    let whole =
        names.iter().map(|name| named(paths, name).and_then(|_| self::whole(name))).collect::<Result<Vec<_>>>()?;
    let writer = Store::open(&paths.data).writer()?;
    writer.change_lists(|lists| {
        whole.iter().for_each(|name| _ = lists.remove(&name.to_string()));
        Ok::<_, Error>(())
    })?;
    drop(writer);
    crate::images::collect(paths)
}

/// # Errors
/// The lists cannot be read.
pub fn exists(paths: &Paths, name: &str) -> Result<bool> {
    Ok(Store::open(&paths.data).lists()?.contains_key(&whole(name)?.to_string()))
}

/// A list's own index; `image`: a manifest of it, instead. `None`: there is no such list.
///
/// # Errors
/// The image is not in it.
pub fn show(paths: &Paths, name: &str, image: Option<&str>) -> Result<Option<String>> {
    let store = Store::open(&paths.data);
    let Some(list) = store.lists()?.remove(&whole(name)?.to_string()) else { return Ok(None) };
    let Some(image) = image else {
        let text = serde_json::to_string_pretty(&list.index);
        return text.map(Some).map_err(|error| Error::rejected(format!("cannot show {name}"), error.to_string()));
    };
    let digest = within(&list, name, image)?;
    let entry = list.index.manifests.iter().find(|entry| entry.digest == digest);
    let manifest = entry.map(|entry| store.listed_manifest(&list, entry)).transpose()?;
    Ok(manifest.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()))
}

/// As docker shows the images of a list with all that is known of them. `None`: there is no such list.
///
/// # Errors
/// As [`show`].
pub fn show_all(paths: &Paths, name: &str) -> Result<Option<serde_json::Value>> {
    let store = Store::open(&paths.data);
    let name = whole(name)?.to_string();
    let Some(list) = store.lists()?.remove(&name) else { return Ok(None) };
    let one = |entry: &spec::image::Descriptor| {
        let (bytes, _) = store.listed_manifest(&list, entry)?;
        let fetched = registry::Fetched { descriptor: entry.clone(), bytes };
        Ok(remote::verbose::described(&format!("{name}@{}", entry.digest), &fetched)?)
    };
    Ok(Some(list.index.manifests.iter().map(one).collect::<Result<_>>()?))
}

/// Push a list with all its images; `to`: under another name. The digest that it has there.
///
/// # Errors
/// There is no such list; the registry's.
pub fn push(
    paths: &Paths,
    access: &Access,
    name: &str,
    to: Option<&str>,
    wish: Wish,
    tell: &mut dyn FnMut(Progress),
) -> Result<String> {
    named(paths, name)?;
    let list = whole(name)?;
    let to = to.map_or_else(|| Ok(list.clone()), destination)?;
    let task = Task::PushList(PushList { list: list.to_string(), to: to.to_string(), wish });
    remote::call(paths, access, task, tell)
}

fn whole(name: &str) -> Result<Reference> {
    let whole = parse(name)?;
    if whole.digest().is_some() {
        return Err(Error::rejected(format!("cannot use the list {name}"), "a list has a tag, and no digest yet"));
    }
    Ok(whole)
}

fn named(paths: &Paths, name: &str) -> Result<List> {
    Store::open(&paths.data).lists()?.remove(&whole(name)?.to_string()).ok_or_else(|| none(name))
}

fn none(name: &str) -> Error {
    Error::rejected(format!("cannot find the list {name}"), "there is none of that name")
        .hint(format!("sampan manifest create {name}"))
}

fn change<T>(paths: &Paths, name: &str, change: impl FnOnce(&mut List) -> Result<T>) -> Result<T> {
    let whole = whole(name)?.to_string();
    named(paths, name)?;
    let writer = Store::open(&paths.data).writer()?;
    writer.change_lists(|lists| change(lists.get_mut(&whole).ok_or_else(|| none(name))?))
}

/// Which image of a list a digest means, or the name that it was added by.
fn within(list: &List, name: &str, image: &str) -> Result<Digest> {
    let refuse = |why: &str| Error::rejected(format!("cannot find {image} in the list {name}"), why);
    let has = |digest: &Digest| list.index.manifests.iter().any(|entry| entry.digest == *digest);
    let reference = parse(image.strip_prefix("docker://").unwrap_or(image)).ok();
    let digest = image.parse().ok().or_else(|| reference.as_ref().and_then(|name| name.digest().copied()));
    if let Some(digest) = digest.filter(has) {
        return Ok(digest);
    }
    let called = reference.map(|name| name.to_string());
    let mut found = list.names.iter().filter(|(_, name)| Some(*name) == called.as_ref()).map(|(digest, _)| *digest);
    match (found.next(), found.next()) {
        (Some(digest), None) => Ok(digest),
        (Some(_), Some(_)) => {
            Err(refuse("several of its images were added by that name").hint("give the digest of one"))
        }
        _ => Err(refuse("it is not in it").hint(format!("sampan manifest inspect {name} shows what is"))),
    }
}
