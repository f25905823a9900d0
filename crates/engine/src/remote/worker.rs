//! The child's side: one order on standard input, messages on standard output, a line each.

use super::{Failure, Message, Order, Progress, Task, list, pull, push, verbose};
use crate::paths::Paths;
use crate::{commit, content, copy, images};
use image::Store;
use registry::{Client, Fetched, Repository, Use};
use spec::Reference;
use spec::image::Descriptor;
use std::ffi::OsString;
use std::io::{BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// To be called first: `None`, unless this process is a worker.
pub fn serve_if_asked(words: &[OsString]) -> Option<u8> {
    runtime::worker::is_asked(words).then(serve)
}

/// To the parent, from any thread.
pub(super) struct Tell(Mutex<std::io::Stdout>);

impl Tell {
    pub fn progress(&self, progress: Progress) {
        self.say(&Message::Progress(progress));
    }

    fn say(&self, message: &Message) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A parent that is gone takes this process with it.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

/// For what the task writes, between the messages.
struct Bytes<'a>(&'a Tell);

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut line = serde_json::to_vec(&Message::Bytes(bytes.len() as u64))?;
        line.push(b'\n');
        let mut out = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&line)?;
        out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

fn serve() -> u8 {
    let tell = Tell(Mutex::new(std::io::stdout()));
    match work(&tell) {
        Ok(value) => tell.say(&Message::Done(value)),
        Err(failure) => tell.say(&Message::Failed(failure)),
    }
    0
}

fn work(tell: &Tell) -> Result<serde_json::Value, Failure> {
    let bad = |why: String| Failure { what: "cannot read the order".to_owned(), why, hint: None };
    let mut line = String::new();
    let mut stdin = std::io::stdin().lock();
    stdin.read_line(&mut line).map_err(|error| bad(error.to_string()))?;
    let order: Order = serde_json::from_str(&line).map_err(|error| bad(error.to_string()))?;
    let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let client = Client::new(order.access, order.root, &env)?;
    let store = Store::open(&order.data);
    let value = match order.task {
        Task::Pull(task) => serde_json::to_value(pull::pull(&client, &store, &task, tell)?),
        Task::Push(task) => serde_json::to_value(push::push(&client, &store, &task, tell)?),
        Task::Enlist(task) => serde_json::to_value(list::enlist(&client, &store, &task)?),
        Task::PushList(task) => serde_json::to_value(list::push(&client, &store, &task, tell)?),
        Task::Login { host, credentials } => serde_json::to_value(client.check_login(&host, credentials)?),
        Task::Tags { name } => serde_json::to_value(client.first(&parse(&name)?, Use::Pull, Repository::tags)?.1),
        Task::Referrers { names, kind } => serde_json::to_value(referrers(&client, &names, kind.as_deref())?),
        Task::Search { host, words, limit } => serde_json::to_value(client.search(&host, &words, limit)?),
        Task::Load(task) => serde_json::to_value(images::load_in(&store, &task, &mut stdin)?),
        Task::Commit(task) => serde_json::to_value(commit::commit_in(&store, *task)?),
        Task::Import(task) => serde_json::to_value(commit::import_in(&store, *task, &mut stdin)?),
        Task::Export(task) => {
            let mut output = BufWriter::with_capacity(1 << 16, Bytes(tell));
            content::export_in(&task, &mut output)?;
            output.flush().map_err(|error| bad(error.to_string()))?;
            Ok(serde_json::Value::Null)
        }
        Task::CopyOut(task) => {
            let mut output = BufWriter::with_capacity(1 << 17, Bytes(tell));
            copy::out_in(&task, |source| tell.say(&Message::Source(source)), &mut output)?;
            output.flush().map_err(|error| bad(error.to_string()))?;
            Ok(serde_json::Value::Null)
        }
        Task::CopyIn(task) => serde_json::to_value(copy::in_in(&task, &mut stdin)?),
        Task::Fill(directory) => serde_json::to_value(image::fill::fill(&directory, &mut stdin)?),
        Task::Differ(task) => serde_json::to_value(content::differ_in(&task)?),
        Task::Check { state, repair } => {
            let paths = Paths { data: order.data, state };
            serde_json::to_value(images::check_in(&store, &paths, repair)?)
        }
        Task::Collect { state } => {
            let paths = Paths { data: order.data, state };
            serde_json::to_value(images::collect_in(&store, &paths).map(drop)?)
        }
        Task::Manifest { names } => serde_json::to_value(manifest(&client, &names)?),
        Task::Manifests { names } => Ok(verbose::manifests(&client, &names)?),
    };
    value.map_err(|error| bad(error.to_string()))
}

pub(super) fn parse(name: &str) -> Result<Reference, Failure> {
    name.parse().map_err(|error: spec::reference::BadReference| Failure {
        what: format!("cannot use the name {name}"),
        why: error.to_string(),
        hint: None,
    })
}

/// As it was sent.
fn manifest(client: &Client, names: &[String]) -> Result<String, Failure> {
    first(client, names).map(|(_, fetched)| String::from_utf8_lossy(&fetched.bytes).into_owned())
}

fn referrers(client: &Client, names: &[String], kind: Option<&str>) -> Result<Vec<Descriptor>, Failure> {
    let (repository, fetched) = first(client, names)?;
    Ok(repository.referrers(&fetched.descriptor.digest, kind)?)
}

/// The manifest of the first of the names that is there.
pub(super) fn first(client: &Client, names: &[String]) -> Result<(Repository, Fetched), Failure> {
    let mut failure = None;
    for name in names {
        let reference = parse(name)?;
        let which = pull::which(&reference);
        match client.first(&reference, Use::Pull, |repository| repository.manifest(&which)) {
            Ok(found) => return Ok(found),
            Err(error) => failure = failure.or(Some(error.at(format!("cannot inspect {}", reference.familiar())))),
        }
    }
    Err(failure
        .map_or_else(|| Failure { what: String::new(), why: "no image is named".into(), hint: None }, Failure::from))
}
