//! Images of the store to a registry: blobs side by side, those that are there left out, then the manifests.

use super::parcel::{Image, Parcel};
use super::pull::WIDTH;
use super::worker::{Tell, parse};
use super::{Failure, Progress, Push, State};
use image::Store;
use registry::side::by_side;
use registry::{Client, Content, Pushed, Repository, Use};
use spec::Reference;
use spec::image::Descriptor;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// The digests that the registry gives them.
///
/// # Errors
/// The registry's, or the store's.
pub fn push(client: &Client, store: &Store, task: &Push, tell: &Tell) -> Result<Vec<String>, Failure> {
    let _hold = store.hold()?;
    let mut open = None;
    let mut digests = Vec::new();
    for (entry, to) in &task.images {
        let to = parse(to)?;
        let mut parcel = Parcel::of_stored(store, store.stored(entry)?, task.platform.as_ref())?;
        parcel.dress(&task.wish, WIDTH)?;
        // One conversation for all tags of a repository.
        let repository = match open.take() {
            Some(repository) => repository,
            None => destination(client, &to, tell)?,
        };
        digests.push(send(&parcel, store, &repository, &to, tell)?);
        open = Some(repository);
    }
    Ok(digests)
}

fn refused(to: &Reference, why: &str) -> Failure {
    Failure { what: format!("cannot push {}", to.familiar()), why: why.into(), hint: None }
}

/// # Errors
/// Nobody answers there.
pub(super) fn destination(client: &Client, to: &Reference, tell: &Tell) -> Result<Repository, Failure> {
    let (repository, ()) =
        client.first(to, Use::Push, |_| Ok(())).map_err(|error| error.at(format!("cannot push {}", to.familiar())))?;
    tell.progress(Progress::Pushing { repository: format!("{}/{}", to.registry(), to.repository()) });
    Ok(repository)
}

/// # Errors
/// The registry's; the name has no tag.
pub(super) fn send(
    parcel: &Parcel<'_>,
    store: &Store,
    repository: &Repository,
    to: &Reference,
    tell: &Tell,
) -> Result<String, Failure> {
    let tag = to.tag().filter(|_| to.digest().is_none());
    let tag = tag.ok_or_else(|| refused(to, "a tag is pushed, not a digest"))?;
    let blobs = parcel.blobs();
    blobs.iter().for_each(|(_, blob)| say(tell, blob, State::Preparing));
    let way = Way { parcel, store, repository, to, tell };
    by_side(&blobs, WIDTH, |_, (image, blob)| way.one(image, blob))?;
    for image in parcel.images.iter().filter(|_| parcel.index.is_some()) {
        let kind = image.manifest.media_type.as_ref().unwrap_or(&image.descriptor.media_type);
        repository.push_manifest(&image.descriptor.digest.to_string(), kind, &image.bytes)?;
    }
    let (entry, bytes) = parcel.top().ok_or_else(|| refused(to, "it has no manifest"))?;
    let digest = repository.push_manifest(tag, &entry.media_type, bytes)?.to_string();
    let size = bytes.len() as u64;
    tell.progress(Progress::Pushed { tag: tag.to_owned(), digest: digest.clone(), size });
    Ok(digest)
}

struct Way<'a> {
    parcel: &'a Parcel<'a>,
    store: &'a Store,
    repository: &'a Repository,
    to: &'a Reference,
    tell: &'a Tell,
}

impl Way<'_> {
    fn one(&self, image: &Image, blob: &Descriptor) -> Result<(), Failure> {
        let home = image.home.as_ref().and_then(|home| home.beside(self.repository));
        let from = match home {
            Some(name) => Some(name.to_owned()),
            None => {
                let known = self.store.repositories_with(self.to.registry(), &blob.digest)?;
                known.into_iter().find(|from| from != self.to.repository())
            }
        };
        let outgoing = Outgoing { parcel: self.parcel, image, blob, tell: self.tell };
        let state = match self.repository.push_blob(blob, from.as_deref(), &outgoing)? {
            Pushed::There => State::Known,
            Pushed::Mounted => State::Mounted,
            Pushed::Sent => State::Sent,
        };
        say(self.tell, blob, state);
        Ok(())
    }
}

fn say(tell: &Tell, blob: &Descriptor, state: State) {
    let id = blob.digest.hex().chars().take(12).collect();
    tell.progress(Progress::Layer { id, state });
}

struct Outgoing<'a> {
    parcel: &'a Parcel<'a>,
    image: &'a Image,
    blob: &'a Descriptor,
    tell: &'a Tell,
}

impl Content for Outgoing<'_> {
    fn open(&self, offset: u64) -> registry::Result<Box<dyn Read + '_>> {
        let failed = |failure: Failure| registry::Error::new(registry::Kind::Configuration, failure.why);
        let from = self.parcel.open(self.image, self.blob, offset).map_err(failed)?;
        Ok(Box::new(Watched { from, done: offset, blob: self.blob, tell: self.tell, said: None }))
    }
}

/// A blob on its way out.
struct Watched<'a> {
    from: Box<dyn Read + 'a>,
    done: u64,
    blob: &'a Descriptor,
    tell: &'a Tell,
    said: Option<Instant>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.done += n as u64;
        if self.said.is_none_or(|said| said.elapsed() > Duration::from_millis(100)) {
            self.said = Some(Instant::now());
            say(self.tell, self.blob, State::Sending { done: self.done, total: self.blob.size });
        }
        Ok(n)
    }
}
