//! What is done with registries: an order to a child of ours, which has the threads, and what it tells meanwhile.
//!
//! Invariant: this process stays single-threaded, and secrets go through a pipe, never into arguments.

mod documents;
mod list;
pub mod login;
mod parcel;
mod pull;
mod push;
mod stream;
pub(crate) mod verbose;
mod worker;

use crate::copy::{CopyIn, CopyOut};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::{commit, content};
pub use image::convert::{Documents, Packing, Wish};
pub(crate) use registry::Policy;
pub use registry::{Access, Credentials, Found, Retry};
use runtime::worker::{Worker, start, start_as_caller};
use serde::{Deserialize, Serialize};
use spec::image::{Annotations, Descriptor, Platform};
use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
pub(crate) use stream::{Stream, copy_in, copy_out};
pub use worker::serve_if_asked;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    access: Access,
    /// Of the machine: the child may be root of a user namespace.
    root: bool,
    data: PathBuf,
    task: Task,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    Pull(Pull),
    Push(Push),
    Enlist(Enlist),
    PushList(PushList),
    /// Whether the host knows them.
    Login {
        host: String,
        credentials: Credentials,
    },
    Tags {
        name: String,
    },
    /// Of the first name that is there: what has it as its subject.
    Referrers {
        names: Vec<String>,
        kind: Option<String>,
    },
    Search {
        host: String,
        words: String,
        limit: usize,
    },
    Manifest {
        names: Vec<String>,
    },
    /// With all that it leads to.
    Manifests {
        names: Vec<String>,
    },
    /// Nothing of a registry: removes what is not needed, as one who may.
    Collect {
        state: PathBuf,
    },
    /// The same, for who looks at all of them.
    Check {
        state: PathBuf,
        repair: bool,
    },
    /// From a directory, or from what follows the order.
    Load(Load),
    Commit(Box<commit::Commit>),
    /// Of what follows the order.
    Import(Box<commit::Import>),
    Export(content::Export),
    /// Into this directory, of what follows the order.
    Fill(PathBuf),
    Differ(content::Differ),
    CopyOut(Box<CopyOut>),
    /// Of what follows the order.
    CopyIn(Box<CopyIn>),
}

impl Task {
    /// Who has it done: the caller as he is, or as root of the ids that his store has.
    fn start(&self) -> Result<Worker> {
        Ok(match self {
            Self::CopyOut(task) if task.is_running() => start_as_caller()?,
            Self::CopyIn(task) if task.is_running() => start_as_caller()?,
            _ => start()?,
        })
    }
}

/// Images of the store, to one repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Push {
    /// Of the store's index, and the whole reference that each gets.
    pub images: Vec<(Descriptor, String)>,
    pub platform: Option<Platform>,
    pub wish: Wish,
}

/// Images for a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Enlist {
    /// Its whole name.
    pub list: String,
    pub from: Vec<Source>,
    pub all: bool,
    pub said: Said,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Source {
    /// By its entry in the index.
    Here(Box<Descriptor>),
    /// Whole references; the first that is there counts.
    Registry(Vec<String>),
    /// An OCI layout, as a file or as a directory, or docker's archive; of several images the one of that name.
    Archive { path: PathBuf, name: Option<String> },
}

/// What a list says of an image that is not what the image says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub os: Option<String>,
    pub architecture: Option<String>,
    pub variant: Option<String>,
    pub os_version: Option<String>,
    pub os_features: Vec<String>,
    pub annotations: Annotations,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PushList {
    /// Whole references.
    pub list: String,
    pub to: String,
    pub wish: Wish,
}

/// An image, or all tags of a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pull {
    /// Whole references; the first that is there counts.
    pub names: Vec<String>,
    pub all_tags: bool,
    pub platform: Option<Platform>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub directory: Option<PathBuf>,
    pub tag: Option<String>,
}

/// An image that is here now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// The whole reference.
    pub name: String,
    /// Of the index, or of the manifest where there is none.
    pub digest: String,
    /// Something had to be fetched.
    pub newer: bool,
    /// The name stood for another image before.
    pub moved: bool,
}

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// A tag or a digest, and the repository's name.
    Pulling { which: String, repository: String },
    /// A layer, by the beginning of its digest.
    Layer { id: String, state: State },
    /// Of what the tag names.
    Digest(String),
    /// The repository, with its registry.
    Pushing { repository: String },
    /// A tag that the registry has now.
    Pushed { tag: String, digest: String, size: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Waiting,
    /// Nothing has to be done.
    There,
    /// Bytes.
    Fetching {
        done: u64,
        total: u64,
    },
    /// All bytes are here; the last of them are being unpacked and written to the disk.
    Fetched,
    Done,
    /// To be sent, if it is not there.
    Preparing,
    Sending {
        done: u64,
        total: u64,
    },
    Sent,
    /// The registry has it.
    Known,
    /// The registry has it from another repository of its own.
    Mounted,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Progress(Progress),
    /// What is going to come.
    Source(image::copy::Source),
    /// So many bytes follow, which are no message.
    Bytes(u64),
    Done(serde_json::Value),
    Failed(Failure),
}

/// An error of the child, on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    what: String,
    why: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: &str, why: &str) -> Self {
        Self { what: what.to_owned(), why: why.to_owned(), hint: None }
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        Self { what: error.what, why: error.why, hint: error.hint }
    }
}

impl From<image::Error> for Failure {
    fn from(error: image::Error) -> Self {
        Self { what: error.what, why: error.why, hint: error.hint }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Self::rejected(failure.what, failure.why);
        match failure.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Has the task done. What it comes to is of the task's own type.
///
/// # Errors
/// The child's, or that there is none.
pub(crate) fn call<T: serde::de::DeserializeOwned>(
    paths: &Paths,
    access: &Access,
    task: Task,
    tell: &mut dyn FnMut(Progress),
) -> Result<T> {
    call_with(paths, access, task, None, tell)
}

/// As [`call`] for a task that writes.
///
/// # Errors
/// As [`call`]; the output cannot be written.
pub(crate) fn call_for(paths: &Paths, task: Task, output: &mut dyn Write) -> Result<()> {
    exchange(paths, &Access::default(), task, None, output, &mut |_| {})
}

/// As [`call`], with `input` behind the order.
///
/// # Errors
/// As [`call`]; the input cannot be read.
pub(crate) fn call_with<T: serde::de::DeserializeOwned>(
    paths: &Paths,
    access: &Access,
    task: Task,
    input: Option<&mut (dyn Read + '_)>,
    tell: &mut dyn FnMut(Progress),
) -> Result<T> {
    exchange(paths, access, task, input, &mut std::io::sink(), tell)
}

/// A worker, and what it is to be told.
fn engage(paths: &Paths, access: &Access, task: Task) -> Result<(Worker, Vec<u8>)> {
    let worker = task.start()?;
    let root = runtime::observe::is_machines_root();
    let order = Order { access: access.clone(), root, data: paths.data.clone(), task };
    let order = serde_json::to_vec(&order);
    let mut order = order.map_err(|error| Error::rejected("cannot order a task", error.to_string()))?;
    order.push(b'\n');
    Ok((worker, order))
}

fn exchange<T: serde::de::DeserializeOwned>(
    paths: &Paths,
    access: &Access,
    task: Task,
    input: Option<&mut (dyn Read + '_)>,
    output: &mut dyn Write,
    tell: &mut dyn FnMut(Progress),
) -> Result<T> {
    let what = || "cannot ask a registry".to_owned();
    let (mut worker, order) = engage(paths, access, task)?;
    // One that is gone already says why by how it ended.
    let _ = worker.input.write_all(&order);
    let fed = input.map_or(Ok(0), |input| std::io::copy(input, &mut worker.input));
    worker.close_input();
    let mut answer = None;
    let messages = &mut worker.output;
    let mut line = String::new();
    while messages.read_line(&mut line).map_err(|error| Error::io(what(), &error))? > 0 {
        match serde_json::from_str(&line) {
            Ok(Message::Progress(progress)) => tell(progress),
            Ok(Message::Source(_)) => {}
            Ok(Message::Bytes(count)) => {
                let copied = std::io::copy(&mut messages.take(count), output);
                copied.map_err(|error| Error::io("cannot write the output", &error))?;
            }
            Ok(Message::Done(value)) => answer = Some(Ok(value)),
            Ok(Message::Failed(failure)) => answer = Some(Err(failure)),
            Err(error) => return Err(Error::rejected(what(), format!("its worker says {line:?}: {error}"))),
        }
        line.clear();
    }
    let exit = worker.wait()?;
    match fed {
        // It has said why it reads no more.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Error::io("cannot read the input", &error));
        }
        _ => {}
    }
    let answer = answer.ok_or_else(|| Error::rejected(what(), format!("its worker died: {exit:?}")))?;
    serde_json::from_value(answer?).map_err(|error| Error::rejected(what(), error.to_string()))
}
