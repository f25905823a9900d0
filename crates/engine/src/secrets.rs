//! Secrets: kept under a name, given to containers as files or variables.
//!
//! Invariant: what is secret is read by `runtime` only, when a container starts; no record, plan or message has it.

use crate::containers;
use crate::durable;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::request::Run;
use crate::request::secret::Way;
use plan::secrets::{File, Secrets, Variable};
use serde::{Deserialize, Serialize};
use spec::image::Annotations;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// podman's bound.
const MOST: usize = 512_000;

/// The line before the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub id: String,
    pub name: String,
    pub labels: Annotations,
    /// Seconds since the epoch.
    pub created: u64,
    pub updated: u64,
}

/// What becomes of one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Refuse,
    Replace,
    Ignore,
}

/// The id.
///
/// # Errors
/// One of this name; nothing, or too much; the kernel's.
pub fn create(paths: &Paths, name: &str, labels: Annotations, secret: &[u8], there: There) -> Result<String> {
    let what = || format!("cannot keep the secret {name}");
    if secret.is_empty() || secret.len() > MOST {
        let why = format!("it has {} bytes, and can have from 1 to {MOST}", secret.len());
        return Err(Error::rejected(what(), why));
    }
    paths.ensure()?;
    let bytes = runtime::observe::random()?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).take(13).collect();
    let now = containers::now();
    let old = look(paths, name);
    if let (Some(old), There::Ignore) = (&old, there) {
        return Ok(old.id.clone());
    }
    let created = old.as_ref().map_or(now, |old| old.created);
    let record = Record { id: id[..25].to_owned(), name: name.to_owned(), labels, created, updated: now };
    let line = serde_json::to_string(&record).map_err(|error| Error::rejected(what(), error.to_string()))?;
    let path = paths.secrets().join(name);
    if old.is_some() && there == There::Replace {
        std::fs::remove_file(&path).map_err(|error| Error::io(what(), &error))?;
    }
    if runtime::secret::keep(&path, &line, secret)? {
        return Ok(record.id);
    }
    Err(Error::rejected(what(), "there is one of this name")
        .hint(format!("sampan secret rm {name} removes it; --replace puts this in its place")))
}

fn load(path: &Path) -> Option<Record> {
    let mut line = String::new();
    BufReader::new(std::fs::File::open(path).ok()?).read_line(&mut line).ok()?;
    let record: Record = serde_json::from_str(&line).ok()?;
    path.file_name().is_some_and(|name| name == record.name.as_str()).then_some(record)
}

fn look(paths: &Paths, name: &str) -> Option<Record> {
    load(&paths.secrets().join(name))
}

/// By name.
#[must_use]
pub fn list(paths: &Paths) -> Vec<Record> {
    let entries = std::fs::read_dir(paths.secrets()).into_iter().flatten().flatten();
    let mut all: Vec<Record> = entries.filter_map(|entry| load(&entry.path())).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// By name, id or the start of an id.
///
/// # Errors
/// There is none, or more than one.
pub fn find(word: &str, paths: &Paths) -> Result<Record> {
    if let Some(record) = crate::request::secret::name(word).ok().and_then(|name| look(paths, &name)) {
        return Ok(record);
    }
    let mut matching = list(paths).into_iter().filter(|record| !word.is_empty() && record.id.starts_with(word));
    match (matching.next(), matching.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => {
            Err(Error::rejected(format!("cannot tell which secret {word} is"), "the id of more than one starts so"))
        }
        (None, _) => Err(Error::rejected(format!("cannot find secret {word}"), "no secret has this name or id")
            .hint("sampan secret ls shows which there are")),
    }
}

/// Containers that run have theirs still; those that are started again do not find it. The id.
///
/// # Errors
/// There is none; the kernel's.
pub fn remove(paths: &Paths, word: &str) -> Result<String> {
    let record = find(word, paths)?;
    let removed = durable::remove(&paths.secrets().join(&record.name));
    removed.map_err(|error| Error::io(format!("cannot remove secret {word}"), &error))?;
    Ok(record.id)
}

/// Where those of a container are kept.
///
/// # Errors
/// One that is not there.
pub(crate) fn of(request: &Run, paths: &Paths, id: &str) -> Result<Secrets> {
    let mut secrets = Secrets { directory: text(&paths.given_secrets(id)), ..Secrets::default() };
    for (number, secret) in request.secrets.iter().enumerate() {
        let record = find(&secret.name, paths)?;
        let from = text(&paths.secrets().join(&record.name));
        match &secret.way {
            Way::File { uid, gid, mode, .. } => {
                let name = number.to_string();
                secrets.files.push(File { from, name, mode: *mode, uid: *uid, gid: *gid });
            }
            Way::Variable(name) => secrets.variables.push(Variable { name: name.clone(), from }),
        }
    }
    Ok(secrets)
}

/// Their files: in the container, and on this host.
pub(crate) fn mounts(request: &Run, paths: &Paths, id: &str) -> Vec<(String, String)> {
    let directory = paths.given_secrets(id);
    let one = |(number, secret): (usize, &crate::request::secret::Secret)| match &secret.way {
        Way::File { target, .. } => Some((target.clone(), text(&directory.join(number.to_string())))),
        Way::Variable(_) => None,
    };
    request.secrets.iter().enumerate().filter_map(one).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
