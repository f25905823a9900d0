//! Which image of the store a word stands for: a name, or an id or its start.

use super::{absent, candidates, parse};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::request;
use image::Store;
use spec::image::Descriptor;
use spec::{Digest, Reference};

/// An image, and those of its entries in the index that a word stands for: the one of that name, or by its id all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub id: Digest,
    /// One at least.
    pub entries: Vec<Descriptor>,
}

impl Found {
    fn of(matching: &[&image::Listed]) -> Option<Self> {
        let entries = matching.iter().map(|listed| listed.entry.clone()).collect();
        Some(Self { id: matching.first()?.id, entries })
    }

    pub fn names(&self) -> Vec<Reference> {
        self.entries.iter().filter_map(name).collect()
    }
}

pub(crate) fn name(entry: &Descriptor) -> Option<Reference> {
    entry.annotations.get(spec::image::REF_NAME)?.parse().ok()
}

/// Of an entry that says no more than that.
pub(crate) fn has_name(entry: &Descriptor, word: &str) -> bool {
    name(entry).is_some_and(|name| word.parse().is_ok_and(|asked: Reference| asked == name))
}

pub(crate) fn find(all: &[image::Listed], word: &str) -> Result<Option<Found>> {
    if let Ok(asked) = word.parse::<Reference>() {
        let named = |fits: &dyn Fn(&Reference, &image::Listed) -> bool| {
            all.iter().find(|listed| name(&listed.entry).is_some_and(|name| fits(&name, listed)))
        };
        let by_name =
            named(&|name, _| *name == asked).or_else(|| named(&|name, listed| stands_for(&asked, name, listed)));
        if let Some(listed) = by_name {
            return Ok(Found::of(&[listed]));
        }
    }
    let hex = word.strip_prefix("sha256:").unwrap_or(word);
    let matching: Vec<_> = all.iter().filter(|listed| !hex.is_empty() && listed.id.hex().starts_with(hex)).collect();
    if matching.iter().any(|listed| listed.id != matching[0].id) {
        return Err(Error::rejected(format!("cannot tell which image {word} is"), "the id of more than one starts so")
            .hint("sampan images --no-trunc shows the whole ids"));
    }
    Ok(Found::of(&matching))
}

/// If there is a digest, it decides, as in the store.
fn stands_for(asked: &Reference, name: &Reference, listed: &image::Listed) -> bool {
    let same_repository = (asked.registry(), asked.repository()) == (name.registry(), name.repository());
    asked.digest().map_or(asked == name, |digest| *digest == listed.manifest && same_repository)
}

/// The image that a word stands for, also one that only a setting of registries.conf makes a whole name of.
pub(crate) fn here(paths: &Paths, word: &str) -> Result<Found> {
    let (all, damaged) = Store::open(&paths.data).look()?;
    let mut found = find(&all, word)?;
    if found.is_none() && word.parse::<Reference>().is_ok() {
        for name in candidates(word)? {
            found = found.or(find(&all, &name.to_string())?);
        }
    }
    let damaged = damaged.into_iter().find(|damaged| has_name(&damaged.entry, word));
    found.ok_or_else(|| damaged.map_or_else(|| absent(word), |damaged| damaged.why.into()))
}

/// Its entry, with its name if it has one.
pub(crate) fn entry(paths: &Paths, word: &str) -> Result<(Descriptor, Digest)> {
    let Found { id, mut entries } = here(paths, word)?;
    Ok((entries.swap_remove(0), id))
}

/// An image of the store that a container can stand on, and what a person calls it.
///
/// # Errors
/// [`Error::NoImage`] where a pull may help.
pub(crate) fn find_whole(
    store: &Store,
    text: &str,
    platform: Option<&request::Platform>,
) -> Result<(String, image::Image)> {
    let platform = platform.map(request::Platform::of_image);
    let usual = match parse(text) {
        Ok(name) => name,
        Err(error) => return by_id(store, text, platform.as_ref())?.ok_or(error),
    };
    if let Some(image) = store.resolve(&usual, platform.as_ref()).map_err(Error::NoImage)? {
        return Ok((usual.familiar(), image));
    }
    // Only now: most names need no look at the configuration, or at all images.
    for name in candidates(text)?.into_iter().filter(|name| *name != usual) {
        if let Some(image) = store.resolve(&name, platform.as_ref()).map_err(Error::NoImage)? {
            return Ok((name.familiar(), image));
        }
    }
    if let Some(found) = by_id(store, text, platform.as_ref())? {
        return Ok(found);
    }
    let image = store.require(&usual, platform.as_ref()).map_err(Error::NoImage)?;
    Ok((usual.familiar(), image))
}

/// An id is hexadecimal, and most names are not.
fn by_id(
    store: &Store,
    text: &str,
    platform: Option<&spec::image::Platform>,
) -> Result<Option<(String, image::Image)>> {
    if !text.strip_prefix("sha256:").unwrap_or(text).bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let Some(Found { id, entries }) = find(&store.list()?, text)? else { return Ok(None) };
    let name = entries.iter().find_map(name).map(|name| name.familiar());
    let image = entries.first().map(|entry| store.image(entry, platform)).transpose()?;
    Ok(image.map(|image| (name.unwrap_or_else(|| id.hex().chars().take(12).collect()), image)))
}
