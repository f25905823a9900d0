//! An image of the store to a registry: its blobs side by side, those that are there left out, then its manifests.

use super::pull::WIDTH;
use super::worker::{Tell, parse};
use super::{Failure, Progress, Push, State};
use image::{Store, Stored};
use registry::side::by_side;
use registry::{Client, Content, Pushed, Repository, Use};
use spec::Reference;
use spec::image::{Descriptor, Manifest};
use std::collections::HashSet;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

/// The digest that the registry gives it.
///
/// # Errors
/// The registry's, or the store's.
pub fn push(client: &Client, store: &Store, task: &Push, tell: &Tell) -> Result<String, Failure> {
    let (name, to) = (parse(&task.name)?, parse(&task.to)?);
    let refuse = |why: &str| Failure { what: format!("cannot push {}", to.familiar()), why: why.into(), hint: None };
    let tag = to.tag().filter(|_| to.digest().is_none()).ok_or_else(|| refuse("a tag is pushed, not a digest"))?;
    let _hold = store.hold()?;
    let stored = store.stored(&name)?.ok_or_else(|| refuse("it is not in the store"))?;
    let (repository, ()) =
        client.first(&to, Use::Push, |_| Ok(())).map_err(|error| error.at(format!("cannot push {}", to.familiar())))?;
    tell.progress(Progress::Pushing { repository: format!("{}/{}", to.registry(), to.repository()) });
    // Of an index only what is here whole can be handed on; else the variant that is.
    let whole = stored.whole && stored.entry.is_index();
    let manifests = if whole { &stored.manifests[..] } else { stored.manifests.get(..1).unwrap_or_default() };
    let blobs = blobs(manifests.iter().map(|(_, _, manifest)| manifest));
    blobs.iter().for_each(|blob| say(tell, blob, State::Preparing));
    by_side(&blobs, WIDTH, |_, blob| one(store, &repository, &to, blob, tell))?;
    for (descriptor, bytes, manifest) in manifests.iter().filter(|_| whole) {
        let kind = manifest.media_type.as_ref().unwrap_or(&descriptor.media_type);
        repository.push_manifest(&descriptor.digest.to_string(), kind, bytes)?;
    }
    let (kind, bytes) = top(&stored, whole).ok_or_else(|| refuse("it has no manifest"))?;
    let digest = repository.push_manifest(tag, kind, bytes)?.to_string();
    let size = bytes.len() as u64;
    tell.progress(Progress::Pushed { tag: tag.to_owned(), digest: digest.clone(), size });
    Ok(digest)
}

/// What the tag will name.
fn top(stored: &Stored, whole: bool) -> Option<(&str, &[u8])> {
    if whole {
        return Some((&stored.entry.media_type, &stored.top));
    }
    stored.manifest().map(|(descriptor, bytes, _)| (descriptor.media_type.as_str(), bytes.as_slice()))
}

/// Each once, configurations last.
fn blobs<'a>(manifests: impl Iterator<Item = &'a Manifest> + Clone) -> Vec<Descriptor> {
    let layers = manifests.clone().flat_map(|manifest| &manifest.layers);
    let all = layers.chain(manifests.map(|manifest| &manifest.config));
    let mut seen = HashSet::new();
    all.filter(|blob| seen.insert(blob.digest)).cloned().collect()
}

fn one(store: &Store, repository: &Repository, to: &Reference, blob: &Descriptor, tell: &Tell) -> Result<(), Failure> {
    let from = store.repositories_with(to.registry(), &blob.digest)?;
    let from = from.iter().find(|from| *from != to.repository());
    let state = match repository.push_blob(blob, from.map(String::as_str), &Outgoing { store, blob, tell })? {
        Pushed::There => State::Known,
        Pushed::Mounted => State::Mounted,
        Pushed::Sent => State::Sent,
    };
    say(tell, blob, state);
    Ok(())
}

fn say(tell: &Tell, blob: &Descriptor, state: State) {
    let id = blob.digest.hex().chars().take(12).collect();
    tell.progress(Progress::Layer { id, state });
}

struct Outgoing<'a> {
    store: &'a Store,
    blob: &'a Descriptor,
    tell: &'a Tell,
}

impl Content for Outgoing<'_> {
    fn open(&self, offset: u64) -> registry::Result<Box<dyn Read + '_>> {
        let failed =
            |error: &dyn std::fmt::Display| registry::Error::new(registry::Kind::Configuration, error.to_string());
        let mut file = self.store.blob(&self.blob.digest).map_err(|error| failed(&error))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
        Ok(Box::new(Watched { file, done: offset, blob: self.blob, tell: self.tell, said: None }))
    }
}

/// A blob on its way out.
struct Watched<'a> {
    file: std::fs::File,
    done: u64,
    blob: &'a Descriptor,
    tell: &'a Tell,
    said: Option<Instant>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.done += n as u64;
        if self.said.is_none_or(|said| said.elapsed() > Duration::from_millis(100)) {
            self.said = Some(Instant::now());
            say(self.tell, self.blob, State::Sending { done: self.done, total: self.blob.size });
        }
        Ok(n)
    }
}
