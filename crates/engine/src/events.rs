//! What happened, a line of JSON each, in docker's form; and who asks for it.
//!
//! Invariant: to tell costs an open and a write, waits for no disk, and fails nobody: what could not be told is known to
//! [`failure`]. The log has a bound, and each line of it is whole.

mod read;

pub use read::{Ask, Event, read};

use crate::containers::Record;
use crate::logs::files;
use crate::paths::Paths;
use crate::time::Moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// Of one file; some twenty thousand events.
const SIZE: u64 = 4 << 20;
const COUNT: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Container,
    Image,
    Network,
    Pod,
    Volume,
}

impl Kind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Pod => "pod",
            Self::Volume => "volume",
        }
    }
}

/// One thing that happened. Actions and attributes have docker's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    kind: Kind,
    action: String,
    id: String,
    attributes: BTreeMap<String, String>,
}

impl News {
    #[must_use]
    pub fn new(kind: Kind, action: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind, action: action.into(), id: id.into(), attributes: BTreeMap::new() }
    }

    /// Of a container: its labels come along, as in docker.
    #[must_use]
    pub fn of(record: &Record, action: impl Into<String>) -> Self {
        let mut news = Self::new(Kind::Container, action, &record.id);
        news.attributes.clone_from(&record.config.labels);
        news.with("image", &record.image).with("name", &record.name)
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.attributes.insert(key.to_owned(), value.to_string());
        self
    }
}

/// docker's document. The names that only small letters have are its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    #[serde(rename = "Type")]
    pub kind: Kind,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    pub scope: String,
    pub time: u64,
    #[serde(rename = "timeNano")]
    pub nanos: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// Say what happened just now, in this order. All at once is cheaper than one by one.
pub fn tell(paths: &Paths, news: impl IntoIterator<Item = News>) {
    let now = Moment::now();
    let mut text = Vec::new();
    for news in news {
        let document = Document {
            kind: news.kind,
            action: news.action,
            actor: Actor { id: news.id, attributes: news.attributes },
            scope: "local".to_owned(),
            time: now.seconds(),
            nanos: now.0,
        };
        // Texts and numbers are always JSON.
        let _ = serde_json::to_writer(&mut text, &document);
        text.push(b'\n');
    }
    if let Err(error) = append(paths, &text) {
        let _ = FAILURE.set(runtime::refused("cannot write the log of events", &error).to_string());
    }
}

static FAILURE: OnceLock<String> = OnceLock::new();

/// Why something could not be told, for whoever has a user to warn.
#[must_use]
pub fn failure() -> Option<&'static str> {
    FAILURE.get().map(String::as_str)
}

fn log(paths: &Paths) -> PathBuf {
    paths.data.join("events/log")
}

/// What comes next is not to be glued to a line that a power cut has torn.
pub(crate) fn mend(paths: &Paths) -> io::Result<()> {
    let mut file = match File::options().read(true).append(true).open(log(paths)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut last = [b'\n'];
    if file.seek(io::SeekFrom::End(0))? > 0 {
        file.seek(io::SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn append(paths: &Paths, text: &[u8]) -> io::Result<()> {
    let mut file = held(paths)?;
    file.write_all(text)?;
    // Where the write ended.
    if file.stream_position()? > SIZE { rotate(paths, &file) } else { Ok(()) }
}

/// The log, held so that it does not get its number while it is written to: a reader has gone on then.
fn held(paths: &Paths) -> io::Result<File> {
    let log = log(paths);
    for _ in 0..20 {
        let file = match files::create(&log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(paths.data.join("events"))?;
                files::create(&log)?
            }
            created => created?,
        };
        if file.try_lock_shared().is_ok() {
            if files::is_current(&log, &file)? {
                return Ok(file);
            }
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // Whoever holds it hangs. Better told to a reader of the past than not at all.
    files::create(&log)
}

/// Whoever finds that others write, too, leaves it to the last of them.
fn rotate(paths: &Paths, file: &File) -> io::Result<()> {
    let log = log(paths);
    if file.try_lock().is_err() || !files::is_current(&log, file)? {
        return Ok(());
    }
    files::number(&log, files::numbers(&log).last().map_or(1, |last| last + 1), COUNT)
}

#[cfg(test)]
mod tests;
