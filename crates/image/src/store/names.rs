//! Which entry of the index has which name.
//!
//! Invariant: a name is one entry's. An entry without one is there for an image to which no other leads, as an image stays
//! in docker when its name moves on, until it is pruned.

use super::manifest;
use crate::layout::Layout;
use spec::image::{Descriptor, Index, REF_NAME};
use spec::{Digest, Reference};

/// As it stands there, which may be a text of another tool's.
pub fn of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// The name, or the entry's digest, for a message.
pub fn text(entry: &Descriptor) -> String {
    let name = of(entry).map(|text| text.parse().map_or_else(|_| text.to_owned(), |name: Reference| name.familiar()));
    name.unwrap_or_else(|| entry.digest.to_string())
}

/// By that very name.
pub fn is_called(entry: &Descriptor, name: &Reference) -> bool {
    of(entry).is_some_and(|text| *text == name.to_string())
}

/// By digest if the name has one: then the tag is decoration.
pub fn is_named(entry: &Descriptor, name: &Reference) -> bool {
    let Some(digest) = name.digest() else { return is_called(entry, name) };
    let same_repository =
        |other: Reference| (other.registry(), other.repository()) == (name.registry(), name.repository());
    entry.digest == *digest && of(entry).is_some_and(|text| text.parse().is_ok_and(same_repository))
}

/// Takes an entry in. Who had its name stays without one. Whether that was another image.
pub fn give(layout: &Layout, index: &mut Index, entry: Descriptor) -> bool {
    let named = of(&entry).is_some();
    let (had, mut rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut index.manifests).into_iter().partition(|old| named && of(old) == of(&entry));
    let moved = had.iter().any(|old| old.digest != entry.digest);
    // One that cannot be read is no use to anyone.
    let had = had.into_iter().filter(|old| old.digest != entry.digest && image(layout, old).is_some());
    rest.extend(had.map(nameless));
    rest.push(entry);
    index.manifests = rest;
    settle(layout, index);
    moved
}

/// Takes names away; the image stays.
pub fn take(layout: &Layout, index: &mut Index, entries: &[Descriptor]) {
    for entry in &mut index.manifests {
        if entries.iter().any(|asked| is_same(entry, asked)) {
            *entry = nameless(entry.clone());
        }
    }
    settle(layout, index);
}

/// Two entries for one manifest differ in their names.
pub fn is_same(entry: &Descriptor, other: &Descriptor) -> bool {
    entry.digest == other.digest && of(entry) == of(other)
}

fn nameless(mut entry: Descriptor) -> Descriptor {
    entry.annotations.remove(REF_NAME);
    entry
}

/// Leaves out what has no name and is there twice.
fn settle(layout: &Layout, index: &mut Index) {
    if index.manifests.iter().all(|entry| of(entry).is_some()) {
        return;
    }
    let images: Vec<_> = index.manifests.iter().map(|entry| image(layout, entry)).collect();
    let named: Vec<bool> = index.manifests.iter().map(|entry| of(entry).is_some()).collect();
    let elsewhere = |at: usize| {
        let same = |other: usize| images[other].is_some() && images[other] == images[at];
        (0..images.len()).any(|other| same(other) && (named[other] || other < at))
    };
    let mut at = 0..images.len();
    index.manifests.retain(|_| at.next().is_none_or(|at| named[at] || !elsewhere(at)));
}

/// What an image is known by.
fn image(layout: &Layout, entry: &Descriptor) -> Option<Digest> {
    manifest(layout, entry, None).ok().map(|(_, manifest)| manifest.config.digest)
}
