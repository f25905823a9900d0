//! Images, as the commands have them.

use crate::error::{Error, Result};
use crate::events::{self, Kind, News};
use crate::paths::Paths;
use crate::remote::{self, Access, Progress, Pull, Pulled, Push, Task};
use crate::{containers, filter, ground, mounts};
use image::Store;
use image::archive::{self, Form};
pub use image::check::{Checked, Finding};
use serde::{Deserialize, Serialize};
use spec::{Digest, Reference};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

pub(crate) mod which;
use which::{Found, find, name};
pub(crate) use which::{entry, find_whole};

/// One name of one image, or an image without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub repository: Option<String>,
    pub tag: Option<String>,
    /// Of the configuration.
    pub id: String,
    /// Of the manifest.
    pub digest: String,
    /// Seconds since the epoch; `None` where the image does not say.
    pub created: Option<u64>,
    /// Of the layers as stored, in bytes.
    pub size: u64,
    pub labels: spec::image::Annotations,
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

/// Those that all filters let through, the newest first, as docker has them; of the same age by name.
///
/// # Errors
/// A store that is not whole; a filter that names an image that is not there.
pub fn list(paths: &Paths, filters: &[filter::Image]) -> Result<Vec<Listed>> {
    Ok(look(paths, filters)?.0)
}

/// The same, and why others cannot be read.
///
/// # Errors
/// As [`list`].
pub fn look(paths: &Paths, filters: &[filter::Image]) -> Result<(Vec<Listed>, Vec<String>)> {
    let (all, damaged) = Store::open(&paths.data).look()?;
    let made = |word: &str| {
        let Found { id, .. } = find(&all, word)?.ok_or_else(|| absent(word))?;
        Ok(all.iter().find(|listed| listed.id == id).and_then(|listed| seconds(listed.created.as_deref()?)))
    };
    let mut left = filter::images(filters, all.iter().cloned().map(listed).collect(), made)?;
    left.sort_by_cached_key(|image| (std::cmp::Reverse(image.created), image.repository.clone(), image.tag.clone()));
    let why = |damaged: image::store::Damaged| {
        let image::Error { what, why, hint, .. } = damaged.why;
        format!("{what}: {why}; {}", hint.unwrap_or_default())
    };
    Ok((left, damaged.into_iter().map(why).collect()))
}

/// Of these containers those whose image's name stands for another one by now, or for none: by their ids.
///
/// # Errors
/// The index cannot be read.
pub fn renamed(paths: &Paths, listed: &[containers::Listed]) -> Result<BTreeSet<String>> {
    let mut names: BTreeMap<Reference, Vec<&containers::Record>> = BTreeMap::new();
    for record in listed.iter().map(|listed| &listed.record).filter(|record| !record.image_id.is_empty()) {
        // What is the beginning of its id was typed so.
        let by_id = record.image_id.trim_start_matches("sha256:").starts_with(&record.image);
        if let (false, Ok(name)) = (by_id, record.image.parse()) {
            names.entry(name).or_default().push(record);
        }
    }
    let references: Vec<Reference> = names.keys().cloned().collect();
    let ids = Store::open(&paths.data).ids(&references)?;
    let other = |(records, ids): (Vec<&containers::Record>, Vec<Digest>)| {
        let ids: Vec<String> = ids.iter().map(Digest::to_string).collect();
        let moved = records.into_iter().filter(|record| !ids.contains(&record.image_id));
        moved.map(|record| record.id.clone()).collect::<Vec<_>>()
    };
    Ok(names.into_values().zip(ids).flat_map(other).collect())
}

/// What containers are looked for by. An image that is gone is still a name in their records.
pub(crate) fn ancestor(paths: &Paths, word: &str) -> Result<filter::Ancestor> {
    let store = Store::open(&paths.data);
    let _hold = store.hold()?;
    let Some(found) = find(&store.list()?, word)? else {
        let name = word.parse::<Reference>().map_or_else(|_| word.to_owned(), |name| name.familiar());
        return Ok(filter::Ancestor { names: vec![word.to_owned(), name], top: None });
    };
    let image = found.entries.first().map(|entry| store.image(entry, None)).transpose()?;
    let top = image.and_then(|image| image.layers.into_iter().next());
    Ok(filter::Ancestor { names: found.names().iter().map(Reference::familiar).collect(), top })
}

pub(crate) fn listed(image: image::Listed) -> Listed {
    let name = image.name.as_deref().and_then(|name| name.parse::<Reference>().ok());
    Listed {
        repository: name.as_ref().map(familiar_repository).or(image.name),
        tag: name.as_ref().and_then(|name| name.tag().map(str::to_owned)),
        id: image.id.to_string(),
        digest: image.manifest.to_string(),
        created: image.created.as_deref().and_then(seconds),
        size: image.size,
        labels: image.labels,
    }
}

/// RFC 3339 to seconds since the epoch (image-spec, config.md). What is no time, or Go's zero time of the year 1, says
/// nothing.
pub(crate) fn seconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

fn familiar_repository(name: &Reference) -> String {
    let familiar = name.familiar();
    let familiar = familiar.split('@').next().unwrap_or_default().to_owned();
    // The last colon is the tag's, unless a slash follows: then it is a registry's port.
    match familiar.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => familiar,
    }
}

/// What a removal took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// As a person would type them.
    pub names: Vec<String>,
    /// Of the image, when none of its names is left.
    pub id: Option<String>,
}

impl Removed {
    fn told(&self, id: &Digest) -> Vec<News> {
        let deleted = self.id.as_ref().map(|text| of_image("delete", id, text));
        self.names.iter().map(|name| of_image("untag", id, name)).chain(deleted).collect()
    }
}

/// Take an image's name away, and what nobody needs any more. `word` is a name, or an id or its start, which stands for
/// all of that image. With `force` it may be a container's, have several names, or not be there.
///
/// # Errors
/// No such image; a container uses it; the id has several names, or is that of several images.
pub fn remove(paths: &Paths, word: &str, force: bool) -> Result<Removed> {
    let store = Store::open(&paths.data);
    let (all, damaged) = store.look()?;
    let found = match find(&all, word)? {
        Some(found) => found,
        None if damaged.iter().any(|damaged| which::has_name(&damaged.entry, word)) => {
            return remove_damaged(paths, &store, damaged, word);
        }
        None if force => return Ok(Removed::default()),
        None => return Err(absent(word)),
    };
    let last = all.iter().filter(|listed| listed.id == found.id).count() == found.entries.len();
    if !force {
        check_removable(word, &found, last, &containers::list(paths))?;
        if last && mounts::has(paths, &found.id.to_string()) {
            return Err(Error::rejected(format!("cannot remove image {word}"), "it is mounted")
                .hint(format!("sampan image unmount {word}")));
        }
    }
    match own_or_mapped(paths, store.remove(&found.entries, &|| in_use(paths)).map(drop)) {
        // Its name is gone; its files go when what the damaged one needs is known again, or that is gone, too.
        Err(Error::Image(error)) if error.kind == image::Kind::Corrupt && !damaged.is_empty() => {}
        done => done?,
    }
    let names = found.names().iter().map(Reference::familiar).collect();
    let removed = Removed { names, id: last.then(|| found.id.to_string()) };
    events::tell(paths, removed.told(&found.id));
    Ok(removed)
}

/// All of them, by what [`remove`] takes.
///
/// # Errors
/// The index cannot be read.
pub fn words(paths: &Paths) -> Result<Vec<String>> {
    let word = |image: image::Listed| name(&image.entry).map_or_else(|| image.id.to_string(), |name| name.to_string());
    Ok(Store::open(&paths.data).list()?.into_iter().map(word).collect())
}

/// One whose documents nobody can read: all that is known is its name.
fn remove_damaged(paths: &Paths, store: &Store, damaged: Vec<image::store::Damaged>, word: &str) -> Result<Removed> {
    let entries = damaged.into_iter().map(|damaged| damaged.entry).filter(|entry| which::has_name(entry, word));
    let entries: Vec<_> = entries.collect();
    own_or_mapped(paths, store.remove(&entries, &|| in_use(paths)).map(drop))?;
    let names = entries.iter().filter_map(name).map(|name| name.familiar()).collect();
    Ok(Removed { names, id: None })
}

fn of_image(action: &str, id: &Digest, name: &str) -> News {
    News::new(Kind::Image, action, id.to_string()).with("name", name)
}

/// What came from a registry or went there has the name that it has there.
fn of_name(action: &str, name: &str) -> News {
    let name = name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar());
    News::new(Kind::Image, action, &name).with("name", &name)
}

/// The layers of all containers, of the images that are mounted in them, and of those that are mounted here.
pub(crate) fn in_use(paths: &Paths) -> Vec<PathBuf> {
    let containers = containers::list(paths);
    let layers = containers.iter().flat_map(|listed| listed.record.all_layers());
    layers.chain(mounts::layers(paths)).collect()
}

/// After the removal of a container that stood on these layers: those of them that no image needs any more.
///
/// # Errors
/// A store that is not whole, or something that cannot be removed.
pub(crate) fn sweep(paths: &Paths, layers: &[PathBuf]) -> Result<()> {
    let store = Store::open(&paths.data);
    if layers.iter().any(|layer| layer.starts_with(store.root())) {
        collect(paths)?;
    }
    Ok(())
}

/// Removes what no image and no container needs.
pub(crate) fn collect(paths: &Paths) -> Result<()> {
    own_or_mapped(paths, image::gc::collect(&Store::open(&paths.data), &|| in_use(paths)).map(drop))
}

/// Once more as root of a user namespace where an ordinary user could not: a layer's directories may be his subordinate
/// ids'.
fn own_or_mapped(paths: &Paths, done: Result<(), image::Error>) -> Result<()> {
    match done {
        Err(error) if error.kind == image::Kind::System && runtime::observe::euid() != 0 => {
            let task = Task::Collect { state: paths.state.clone() };
            remote::call(paths, &Access::default(), task, &mut |_| {})
        }
        done => Ok(done?),
    }
}

/// In the child.
pub(crate) fn check_in(store: &Store, paths: &Paths, repair: bool) -> Result<Checked, image::Error> {
    image::check::check(store, repair, &|| in_use(paths))
}

/// In the child.
pub(crate) fn load_in(store: &Store, task: &remote::Load, rest: &mut dyn Read) -> Result<Vec<Loaded>, image::Error> {
    let tag = task.tag.as_ref().and_then(|tag| tag.parse().ok());
    let input = match &task.directory {
        Some(path) => archive::Input::Directory(path),
        None => archive::Input::Stream(rest),
    };
    let loaded = archive::load(store, input, tag.as_ref())?;
    let told = |loaded: archive::Loaded| Loaded {
        name: loaded.name.as_ref().map(Reference::familiar),
        id: loaded.id.to_string(),
        moved: loaded.moved,
    };
    Ok(loaded.into_iter().map(told).collect())
}

/// In the child.
pub(crate) fn collect_in(store: &Store, paths: &Paths) -> Result<bool, image::Error> {
    image::gc::collect(store, &|| in_use(paths))
}

fn check_removable(word: &str, found: &Found, last: bool, users: &[containers::Listed]) -> Result<()> {
    let names: Vec<String> = found.names().iter().map(Reference::familiar).collect();
    let what = || format!("cannot remove image {word}");
    if names.len() > 1 {
        return Err(Error::rejected(what(), format!("it has several names: {}", names.join(", ")))
            .hint("remove one by its name, or all with --force"));
    }
    // As docker: a name can go as long as the image has another.
    match users.iter().find(|user| last && uses(user, &found.id, &names)) {
        None => Ok(()),
        Some(user) => Err(Error::rejected(what(), format!("container {} uses it", user.record.name))
            .hint("remove the container first, or use --force: its files stay as long as it does")),
    }
}

/// Whether a container stands on the image. `names`: for one that was made when records said only that.
pub(crate) fn uses(user: &containers::Listed, id: &Digest, names: &[String]) -> bool {
    let record = &user.record;
    if record.image_id.is_empty() { names.contains(&record.image) } else { record.image_id == id.to_string() }
}

/// Fetch images: `name` as typed. Whether something had to be fetched is said of each.
///
/// # Errors
/// The registry's or the store's.
pub fn pull(
    paths: &Paths,
    access: &Access,
    name: &str,
    pull: Pull,
    tell: &mut dyn FnMut(Progress),
) -> Result<Vec<Pulled>> {
    if name == ground::HOST {
        return Err(Error::rejected("cannot pull host", "the image of that name is this machine itself"));
    }
    paths.ensure()?;
    let names = candidates(name)?.iter().map(Reference::to_string).collect();
    let pulled: Vec<Pulled> = remote::call(paths, access, Task::Pull(Pull { names, ..pull }), tell)?;
    events::tell(paths, pulled.iter().map(|pulled| of_name("pull", &pulled.name)));
    // What a name stood for before stays, but not the documents of the same image.
    if pulled.iter().any(|pulled| pulled.moved) {
        collect(paths)?;
    }
    Ok(pulled)
}

/// Send an image of the store to a registry; `to`: under another name. The digest that it has there.
///
/// # Errors
/// No such image; the registry's.
pub fn push(
    paths: &Paths,
    access: &Access,
    name: &str,
    to: Option<&str>,
    push: Push,
    tell: &mut dyn FnMut(Progress),
) -> Result<String> {
    let (entry, _) = entry(paths, name)?;
    let to = match to {
        Some(to) => destination(to)?,
        None => self::name(&entry).ok_or_else(|| {
            Error::rejected(format!("cannot push image {name}"), "it has no name")
                .hint(format!("sampan push {name} NAME says where it goes"))
        })?,
    };
    let push = Push { images: vec![(entry, to.to_string())], ..push };
    let digests: Vec<String> = remote::call(paths, access, Task::Push(push), tell)?;
    events::tell(paths, [of_name("push", &to.to_string())]);
    Ok(digests.into_iter().last().unwrap_or_default())
}

/// Send all images of the store that have a tag of the repository. Their digests.
///
/// # Errors
/// As [`push`]; the name has a tag.
pub fn push_all(
    paths: &Paths,
    access: &Access,
    name: &str,
    push: Push,
    tell: &mut dyn FnMut(Progress),
) -> Result<Vec<String>> {
    let whole = destination(name)?;
    let what = || format!("cannot push all tags of {name}");
    if name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        return Err(
            Error::rejected(what(), "the name has one").hint("give the repository alone, or push without --all-tags")
        );
    }
    let same = |other: &Reference| {
        other.tag().is_some()
            && (other.registry(), other.repository()) == (whole.registry(), whole.repository())
            && other.digest().is_none()
    };
    let all = Store::open(&paths.data).list()?;
    let named = all.into_iter().filter_map(|listed| Some((self::name(&listed.entry)?, listed.entry)));
    let images: Vec<_> = named.filter(|(name, _)| same(name)).map(|(name, entry)| (entry, name.to_string())).collect();
    if images.is_empty() {
        return Err(Error::rejected(what(), "the store has none").hint("sampan images shows what there is"));
    }
    let told: Vec<News> = images.iter().map(|(_, name)| of_name("push", name)).collect();
    let digests = remote::call(paths, access, Task::Push(Push { images, ..push }), tell)?;
    events::tell(paths, told);
    Ok(digests)
}

/// A name at a registry, with podman's `docker://` before it or without.
///
/// # Errors
/// It is no name, or it is a place that is no registry.
pub(crate) fn destination(text: &str) -> Result<Reference> {
    let transports = ["containers-storage:", "dir:", "docker-archive:", "docker-daemon:", "oci-archive:", "oci:"];
    if let Some(transport) = transports.iter().find(|transport| text.starts_with(**transport)) {
        let what = format!("cannot push to {text}");
        return Err(Error::rejected(what, format!("{} is no registry", transport.trim_end_matches(':')))
            .hint("sampan save --format oci-dir, oci-archive or docker-archive writes files"));
    }
    parse(text.strip_prefix("docker://").unwrap_or(text))
}

/// One more name for an image.
///
/// # Errors
/// No such image; no name.
pub fn tag(paths: &Paths, source: &str, target: &str) -> Result<()> {
    let target = parse(target)?;
    if target.digest().is_some() || target.tag().is_none() {
        return Err(Error::rejected(format!("cannot tag {source}"), "a name with a digest is no tag"));
    }
    let store = Store::open(&paths.data);
    let writer = store.writer()?;
    let (mut entry, id) = entry(paths, source)?;
    entry.annotations.clear();
    let moved = writer.add(Some(&target), entry, &[])?;
    drop(writer);
    events::tell(paths, [of_image("tag", &id, &target.familiar())]);
    if moved {
        collect(paths)?;
    }
    Ok(())
}

/// Take names of an image away; without `names` all. The image stays, as podman has it.
///
/// # Errors
/// No such image; a name that it has not.
pub fn untag(paths: &Paths, source: &str, names: &[String]) -> Result<()> {
    let store = Store::open(&paths.data);
    let writer = store.writer()?;
    let (_, id) = entry(paths, source)?;
    let names: Vec<Reference> = names.iter().map(|name| parse(name)).collect::<Result<_>>()?;
    let own: Vec<_> = store.list()?.into_iter().filter(|listed| listed.id == id).map(|listed| listed.entry).collect();
    let is_own = |other: &Reference| own.iter().any(|entry| name(entry).as_ref() == Some(other));
    if let Some(other) = names.iter().find(|name| !is_own(name)) {
        return Err(Error::rejected(
            format!("cannot untag {source}"),
            format!("{} is no name of it", other.familiar()),
        ));
    }
    let asked =
        |entry: &spec::image::Descriptor| name(entry).is_some_and(|own| names.is_empty() || names.contains(&own));
    let asked: Vec<_> = own.into_iter().filter(asked).collect();
    writer.untag(&asked)?;
    events::tell(paths, asked.iter().filter_map(name).map(|name| of_image("untag", &id, &name.familiar())));
    Ok(())
}

pub(crate) fn absent(word: &str) -> Error {
    Error::rejected(format!("cannot find image {word}"), "it is not in the store")
        .hint("sampan images shows what there is")
}

/// All tags of a repository.
///
/// # Errors
/// The registry's.
pub fn tags(paths: &Paths, access: &Access, name: &str) -> Result<Vec<String>> {
    let name = candidates(name)?.swap_remove(0).to_string();
    remote::call(paths, access, Task::Tags { name }, &mut |_| {})
}

/// What has an image as its subject at its registry, signatures for example; `kind`: of that artifact type only.
///
/// # Errors
/// The registry's.
pub fn referrers(
    paths: &Paths,
    access: &Access,
    name: &str,
    kind: Option<&str>,
) -> Result<Vec<spec::image::Descriptor>> {
    let names = candidates(name)?.iter().map(Reference::to_string).collect();
    let task = Task::Referrers { names, kind: kind.map(str::to_owned) };
    remote::call(paths, access, task, &mut |_| {})
}

/// The repositories of a host for these words, with whole names unless they are docker.io's; the host itself stands before
/// the first slash.
///
/// # Errors
/// The registry's.
pub fn search(paths: &Paths, access: &Access, word: &str, limit: usize) -> Result<Vec<remote::Found>> {
    let (host, words) = match word.split_once('/') {
        Some((host, words)) if !Reference::is_short(word) => (host, words),
        _ => ("docker.io", word),
    };
    let task = Task::Search { host: host.to_owned(), words: words.to_owned(), limit };
    let mut found: Vec<remote::Found> = remote::call(paths, access, task, &mut |_| {})?;
    if host != "docker.io" {
        found.iter_mut().for_each(|found| found.name = format!("{host}/{}", found.name));
    }
    Ok(found)
}

/// The document that a name stands for at its registry, as it is there.
///
/// # Errors
/// The registry's.
pub fn manifest(paths: &Paths, access: &Access, name: &str) -> Result<String> {
    let names = candidates(name)?.iter().map(Reference::to_string).collect();
    remote::call(paths, access, Task::Manifest { names }, &mut |_| {})
}

/// The same with its descriptor and bytes, as docker shows it; of an index all that it leads to.
///
/// # Errors
/// The registry's.
pub fn manifests(paths: &Paths, access: &Access, name: &str) -> Result<serde_json::Value> {
    let names = candidates(name)?.iter().map(Reference::to_string).collect();
    remote::call(paths, access, Task::Manifests { names }, &mut |_| {})
}

/// Write images to a tar (`output`), or to a directory.
///
/// # Errors
/// One is not in the store; the output cannot be written.
pub fn save(paths: &Paths, words: &[String], directory: Option<&Path>, output: &mut dyn Write) -> Result<()> {
    let entries = words.iter().map(|word| entry(paths, word).map(|(entry, _)| entry)).collect::<Result<Vec<_>>>()?;
    let form = match directory {
        Some(path) => Form::Directory(path.to_owned()),
        None => Form::Tar(output),
    };
    archive::save(&Store::open(&paths.data), &entries, form)?;
    let word =
        |(entry, word): (&spec::image::Descriptor, &String)| name(entry).map_or(word.clone(), |name| name.to_string());
    events::tell(paths, entries.iter().zip(words).map(word).map(|name| of_name("save", &name)));
    Ok(())
}

/// Where images are read from.
pub enum Archive<'a> {
    Directory(&'a Path),
    Stream(&'a mut dyn Read),
}

/// Read images from a tar or a directory, in a child: of an ordinary user's images, too, each file has its owner.
///
/// # Errors
/// It holds none, or not what it says.
pub fn load(paths: &Paths, from: Archive<'_>, tag: Option<&str>) -> Result<Vec<Loaded>> {
    paths.ensure()?;
    let tag = tag.map(parse).transpose()?.map(|tag| tag.to_string());
    let (directory, input) = match from {
        Archive::Directory(path) => {
            let path = std::path::absolute(path).map_err(|error| Error::io("cannot load images", &error))?;
            (Some(path), None)
        }
        Archive::Stream(stream) => (None, Some(stream)),
    };
    let task = Task::Load(remote::Load { directory, tag });
    let loaded: Vec<Loaded> = remote::call_with(paths, &Access::default(), task, input, &mut |_| {})?;
    if loaded.iter().any(|loaded| loaded.moved) {
        collect(paths)?;
    }
    let name = |loaded: &Loaded| of_name("load", loaded.name.as_ref().unwrap_or(&loaded.id));
    events::tell(paths, loaded.iter().map(name));
    Ok(loaded)
}

/// An image that came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// As a person would type it.
    pub name: Option<String>,
    pub id: String,
    moved: bool,
}

/// What a prune took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub images: Vec<Removed>,
    /// Bytes of the disk.
    pub freed: u64,
}

/// Remove what nobody needs: of broken-off pulls, images without a name; with `all` those that have one, too. What a
/// container stands on stays.
///
/// # Errors
/// As [`remove`].
pub fn prune(paths: &Paths, all: bool, filters: &[filter::Image]) -> Result<Pruned> {
    let store = Store::open(&paths.data);
    let before = image::usage::of(store.root());
    let mut listed = store.list()?;
    listed.retain(|listed| !mounts::has(paths, &listed.id.to_string()));
    let (going, mut staying) = pruned(&listed, &containers::list(paths), all);
    let chosen = if filters.is_empty() { None } else { Some(list(paths, filters)?) };
    let is_chosen =
        |image: &&image::Listed| chosen.as_ref().is_none_or(|chosen| chosen.contains(&self::listed((*image).clone())));
    let (going, kept): (Vec<_>, Vec<_>) = going.into_iter().partition(is_chosen);
    staying.extend(kept);
    let mut images = Vec::<(Digest, Removed)>::new();
    for listed in &going {
        let last = !staying.iter().any(|other| other.id == listed.id);
        let names = name(&listed.entry).map(|name| name.familiar());
        match images.iter_mut().find(|(id, _)| *id == listed.id) {
            Some((_, removed)) => removed.names.extend(names),
            None => {
                let id = last.then(|| listed.id.to_string());
                images.push((listed.id, Removed { names: names.into_iter().collect(), id }));
            }
        }
    }
    let entries: Vec<_> = going.into_iter().map(|listed| listed.entry.clone()).collect();
    if !entries.is_empty() {
        own_or_mapped(paths, store.remove(&entries, &|| in_use(paths)).map(drop))?;
    }
    own_or_mapped(paths, image::gc::collect_all(&store, &|| in_use(paths)).map(drop))?;
    let freed = before.saturating_sub(image::usage::of(store.root()));
    let told = News::new(Kind::Image, "prune", "").with("reclaimed", freed);
    events::tell(paths, images.iter().flat_map(|(id, removed)| removed.told(id)).chain([told]));
    Ok(Pruned { images: images.into_iter().map(|(_, removed)| removed).collect(), freed })
}

/// What a prune takes, and what it leaves. The image of a container keeps the name that the container was made by, or all
/// that it has.
fn pruned<'a>(
    all: &'a [image::Listed],
    users: &[containers::Listed],
    named: bool,
) -> (Vec<&'a image::Listed>, Vec<&'a image::Listed>) {
    let familiar = |listed: &image::Listed| name(&listed.entry).map(|name| name.familiar());
    let made_by = |user: &containers::Listed, id: &Digest| {
        all.iter().any(|listed| listed.id == *id && familiar(listed).as_ref() == Some(&user.record.image))
    };
    let keeps = |user: &containers::Listed, listed: &image::Listed| {
        let own = familiar(listed);
        uses(user, &listed.id, own.as_slice())
            && (own.as_ref() == Some(&user.record.image) || !made_by(user, &listed.id))
    };
    all.iter().partition(|listed| (named || listed.name.is_none()) && !users.iter().any(|user| keeps(user, listed)))
}

/// Prove that the store holds what it says; with `repair`, fetch again what it does not.
///
/// # Errors
/// The store cannot be read at all.
pub fn check(paths: &Paths, access: &Access, repair: bool, tell: &mut dyn FnMut(Progress)) -> Result<Checked> {
    let look = |tell: &mut dyn FnMut(Progress)| -> Result<Checked> {
        remote::call(paths, access, Task::Check { state: paths.state.clone(), repair }, tell)
    };
    let mut checked = look(tell)?;
    // What came is looked at as well, and what was hidden behind it: an index, a manifest, a configuration, a layer.
    for _ in 0..LEVELS {
        let names: BTreeSet<String> =
            checked.findings.iter().filter(|finding| finding.fetch).map(|finding| finding.image.clone()).collect();
        if names.is_empty() {
            break;
        }
        let failed = names.iter().filter_map(|name| fetch_again(paths, access, name, tell).err()).collect::<Vec<_>>();
        let again = look(tell)?;
        for finding in checked.findings.iter_mut().filter(|finding| finding.fetch) {
            finding.mended = !again.findings.iter().any(|left| left.what == finding.what);
            finding.fetch = false;
        }
        let known =
            |left: &Finding| checked.findings.iter().any(|finding| finding.what == left.what && !finding.mended);
        let new: Vec<Finding> = again.findings.into_iter().filter(|left| !known(left)).collect();
        checked.findings.extend(new);
        (checked.images, checked.layers) = (again.images, again.layers);
        if !failed.is_empty() {
            checked.findings.iter_mut().for_each(|finding| finding.fetch = false);
            checked.findings.extend(failed);
            return Ok(checked);
        }
    }
    if repair {
        // What only an image had that could not be mended.
        collect(paths)?;
    }
    Ok(checked)
}

/// Documents that lead to documents, and layers at last.
const LEVELS: usize = 5;

fn fetch_again(paths: &Paths, access: &Access, name: &str, tell: &mut dyn FnMut(Progress)) -> Result<(), Finding> {
    let task = Task::Pull(Pull { names: vec![name.to_owned()], ..Pull::default() });
    let pulled: Result<Vec<Pulled>> = remote::call(paths, access, task, tell);
    pulled.map(drop).map_err(|error| Finding {
        image: name.to_owned(),
        what: format!("cannot fetch it again: {error}"),
        mended: false,
        fetch: false,
    })
}

/// All that is known about an image, and its names and digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    pub id: String,
    /// Of the index, or of the manifest where there is none.
    pub entry: spec::image::Descriptor,
    pub names: Vec<Reference>,
    pub size: u64,
    /// Unpacked, top first.
    pub layers: Vec<PathBuf>,
    pub manifest: spec::image::Manifest,
    pub config: spec::image::ImageConfig,
}

/// # Errors
/// No such image.
pub fn inspect(paths: &Paths, word: &str) -> Result<Inspected> {
    let store = Store::open(&paths.data);
    let (entry, id) = entry(paths, word)?;
    let stored = store.stored(&entry)?;
    let all = store.list()?;
    let names = all.iter().filter(|listed| listed.id == id).filter_map(|listed| name(&listed.entry));
    let (_, _, manifest) = stored.manifest().ok_or_else(|| absent(word))?;
    Ok(Inspected {
        id: id.to_string(),
        names: names.collect(),
        size: manifest.layers.iter().map(|layer| layer.size).sum(),
        layers: store.layers(&stored),
        manifest: manifest.clone(),
        entry: stored.entry,
        config: stored.config,
    })
}

/// What a name as typed may stand for, in order. One without a registry: the image of docker's, unless registries.conf has
/// an alias or a search list.
///
/// # Errors
/// It is no name, or registries.conf cannot be used.
pub(crate) fn candidates(text: &str) -> Result<Vec<Reference>> {
    let usual = parse(text)?;
    if !Reference::is_short(text) {
        return Ok(vec![usual]);
    }
    let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let policy = remote::Policy::load(env).map_err(|error| Error::from(remote::Failure::from(error)))?;
    let expanded = policy.expand(text);
    if expanded.is_empty() { Ok(vec![usual]) } else { expanded.iter().map(|name| parse(name)).collect() }
}

pub(crate) fn parse(name: &str) -> Result<Reference> {
    name.parse().map_err(|error: spec::reference::BadReference| {
        Error::rejected(format!("cannot use image {name:?}"), error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn reads_the_time_that_an_image_carries() {
        assert_eq!(seconds("2024-01-01T00:00:00Z"), Some(1_704_067_200));
        assert_eq!(seconds("2024-01-01T01:30:00.123456789+01:30"), Some(1_704_067_200));
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(["0001-01-01T00:00:00Z", "yesterday", ""].map(seconds), [None; 3]);
    }
}
