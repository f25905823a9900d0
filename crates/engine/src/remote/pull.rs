//! An image from a registry into the store: documents first, then its layers side by side, each unpacked while it comes.

use super::documents::{self, Documents};
use super::worker::{Tell, parse};
use super::{Failure, Progress, Pull, Pulled, State};
use image::{Came, Store, Wanted, Writer};
use registry::side::by_side;
use registry::{Blob, Client, Kind, Repository, Use};
use spec::Reference;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Layers at a time. docker has three; a fourth hides the time that one takes to reach the disk.
pub(super) const WIDTH: usize = 4;
/// Between two words about the same layer.
const PAUSE: Duration = Duration::from_millis(100);

/// # Errors
/// The registry's or the store's; what came of the layers is kept for the next try.
pub fn pull(client: &Client, store: &Store, task: &Pull, tell: &Tell) -> Result<Vec<Pulled>, Failure> {
    let mut last = None;
    for name in &task.names {
        let reference = parse(name)?;
        match named(client, store, &reference, task, tell) {
            // A short name may stand for another registry's.
            Err((Some(Kind::Missing | Kind::Unauthorized), failure)) => last = last.or(Some(failure)),
            Err((_, failure)) => return Err(failure),
            Ok(pulled) => return Ok(pulled),
        }
    }
    Err(last.unwrap_or_else(|| Failure { what: "cannot pull".into(), why: "no image is named".into(), hint: None }))
}

type Refused = (Option<Kind>, Failure);

fn named(
    client: &Client,
    store: &Store,
    reference: &Reference,
    task: &Pull,
    tell: &Tell,
) -> Result<Vec<Pulled>, Refused> {
    let at_registry = |error: registry::Error| (Some(error.kind), Failure::from(error));
    if !task.all_tags {
        return one(client, store, reference, task, tell).map(|pulled| vec![pulled]);
    }
    let (_, tags) = client.first(reference, Use::Pull, Repository::tags).map_err(at_registry)?;
    let tagged = |tag: &String| {
        let name = format!("{}/{}:{tag}", reference.registry(), reference.repository());
        let reference = parse(&name).map_err(|failure| (None, failure))?;
        one(client, store, &reference, task, tell)
    };
    tags.iter().map(tagged).collect()
}

fn one(client: &Client, store: &Store, reference: &Reference, task: &Pull, tell: &Tell) -> Result<Pulled, Refused> {
    let which = which(reference);
    let (repository, top) = client
        .first(reference, Use::Pull, |repository| repository.manifest(&which))
        .map_err(|error| (Some(error.kind), error.at(format!("cannot pull {}", reference.familiar())).into()))?;
    tell.progress(Progress::Pulling { which, repository: reference.repository().to_owned() });
    let documents = documents::fetch(&repository, top, task.platform.as_ref()).map_err(|failure| (None, failure))?;
    fill(store, reference, &repository, documents, tell).map_err(|failure| (None, failure))
}

/// What the registry is asked for: the digest, else the tag.
pub(super) fn which(reference: &Reference) -> String {
    let which = reference.digest().map(ToString::to_string).or_else(|| reference.tag().map(str::to_owned));
    which.unwrap_or_default()
}

fn fill(
    store: &Store,
    reference: &Reference,
    repository: &Repository,
    documents: Documents,
    tell: &Tell,
) -> Result<Pulled, Failure> {
    let Documents { entry, bytes, manifest, config } = documents;
    let wanted = Wanted::all(&manifest.layers, &config)?;
    let writer = store.writer()?;
    let before = store.entry(reference)?.map(|entry| entry.digest);
    let mut whole = true;
    for layer in &wanted {
        whole &= writer.has(layer)?;
    }
    if !whole || before != Some(entry.digest) {
        wanted.iter().for_each(|layer| say(tell, layer, State::Waiting));
        by_side(&wanted, WIDTH, |_, layer| one_layer(&writer, repository, layer, tell))?;
    }
    let digest = entry.digest;
    let moved = writer.add(Some(reference), entry, &bytes)?;
    tell.progress(Progress::Digest(digest.to_string()));
    let newer = !whole || before != Some(digest);
    Ok(Pulled { name: reference.to_string(), digest: digest.to_string(), newer, moved })
}

fn say(tell: &Tell, layer: &Wanted, state: State) {
    let id = layer.blob.digest.hex().chars().take(12).collect();
    tell.progress(Progress::Layer { id, state });
}

fn one_layer(writer: &Writer, repository: &Repository, layer: &Wanted, tell: &Tell) -> Result<(), Failure> {
    let broken = Mutex::new(None);
    let source = |offset| Watched {
        blob: repository.blob(&layer.blob, offset),
        done: offset,
        layer,
        tell,
        said: None,
        broken: &broken,
    };
    let came = writer.fetch(layer, source);
    // The registry's own words say more than that the stream has ended.
    if let Some(error) = broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error.at(format!("cannot fetch layer {}", layer.blob.digest)).into());
    }
    let state = match came? {
        Came::There => State::There,
        Came::Unpacked => State::Done,
    };
    say(tell, layer, state);
    Ok(())
}

/// A layer's bytes on their way into the store.
struct Watched<'a> {
    blob: Blob<'a>,
    done: u64,
    layer: &'a Wanted,
    tell: &'a Tell,
    said: Option<Instant>,
    broken: &'a Mutex<Option<registry::Error>>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let total = self.layer.blob.size;
        let n = match self.blob.read(buffer) {
            Ok(n) => n,
            Err(error) => {
                let error = registry::Error::of_read(error);
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        };
        let before = self.done;
        self.done += n as u64;
        if self.done == total && before < total {
            say(self.tell, self.layer, State::Fetched);
        } else if self.said.is_none_or(|said| said.elapsed() > PAUSE) {
            self.said = Some(Instant::now());
            say(self.tell, self.layer, State::Fetching { done: self.done, total });
        }
        Ok(n)
    }
}
