//! The logs of containers, several at once, in the order of time.

use super::format::decode;
use super::journal::Exported;
use super::reader::{Ask, Files, Line};
use super::writer::{Whose, path};
use crate::containers::{self, Record, Which};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::request::log::{Driver, Log, Named};
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// What a reader is told.
pub enum Told<'a> {
    Line(&'a Source, &'a Line),
    /// There is nothing more for now: what was told may be shown.
    Pause,
}

/// One container's log.
pub struct Source {
    /// Which of those that were asked for.
    pub number: usize,
    pub id: String,
    pub name: String,
    /// What the user asked to be told with each line.
    pub attributes: Vec<(String, String)>,
    end: End,
    ahead: Option<Line>,
}

enum End {
    Files(Box<Files>),
    Journal(Box<Exported>),
}

/// Of `request.json`, what is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Request {
    log: Log,
}

/// How this container's output is kept; `None`: it is not, its own `sampan` has it.
#[must_use]
pub fn settings(paths: &Paths, id: &str) -> Option<Log> {
    let text = std::fs::read(paths.container(id).join("request.json")).ok()?;
    serde_json::from_slice::<Request>(&text).ok().map(|request| request.log)
}

/// Tells the lines of these containers, those of all in the order of time, and goes on while one runs if it is to follow.
///
/// # Errors
/// A container that is not there or keeps no log; what `tell` says.
pub fn read(paths: &Paths, which: &[Which], ask: Ask, tell: &mut dyn FnMut(Told<'_>) -> io::Result<()>) -> Result<()> {
    let told = |error: io::Error| Error::io("cannot read the log", &error);
    let mut sources = which
        .iter()
        .enumerate()
        .map(|(number, which)| Source::open(paths, number, which, ask))
        .collect::<Result<Vec<_>>>()?;
    // Before the first look, so that nothing comes in between.
    let watch = ask.follow.then(|| watch(paths, &sources)).transpose()?;
    loop {
        // Asked before the last look: what it wrote before it ended is there now.
        let live: Vec<bool> = sources.iter().map(|source| ask.follow && is_held(paths, &source.id)).collect();
        while let Some(at) = earliest(&mut sources).map_err(told)? {
            if let Some(line) = sources[at].ahead.take() {
                tell(Told::Line(&sources[at], &line)).map_err(told)?;
                // Its buffer is used again.
                sources[at].fill(line).map_err(told)?;
            }
        }
        tell(Told::Pause).map_err(told)?;
        let mut live = live.into_iter();
        sources.retain(|source| live.next().unwrap_or(false) && !source.is_over());
        let Some(watch) = watch.as_ref().filter(|_| !sources.is_empty()) else { return Ok(()) };
        let journals = sources.iter().filter_map(Source::journal).map(|journal| journal.as_fd());
        // Whoever is killed tells nobody.
        watch.wait(&journals.collect::<Vec<_>>(), Duration::from_secs(1))?;
    }
}

/// Each has its next line ready; the one whose line is first.
fn earliest(sources: &mut [Source]) -> io::Result<Option<usize>> {
    for source in &mut *sources {
        if source.ahead.is_none() {
            source.fill(Line::default())?;
        }
    }
    let ready = sources.iter().enumerate().filter_map(|(at, source)| Some((source.ahead.as_ref()?.time, at)));
    Ok(ready.min().map(|(_, at)| at))
}

fn watch(paths: &Paths, sources: &[Source]) -> Result<runtime::watch::Watch> {
    let watch = runtime::watch::Watch::new()?;
    for source in sources {
        watch.add(&paths.journal(&source.id))?;
        if let End::Files(files) = &source.end
            && let Some(directory) = files.log().parent()
        {
            watch.add(directory)?;
        }
    }
    Ok(watch)
}

/// Whether somebody watches this container, so that more may come.
fn is_held(paths: &Paths, id: &str) -> bool {
    let Ok(file) = File::open(paths.journal(id)) else { return false };
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

impl Source {
    fn open(paths: &Paths, number: usize, which: &Which, ask: Ask) -> Result<Self> {
        let record = containers::which(paths, which)?.record;
        let cannot = |why: &str| Error::rejected(format!("cannot read the log of {}", record.name), why);
        let log = settings(paths, &record.id).ok_or_else(|| {
            cannot("none is kept: its output goes where its own sampan run has it")
                .hint("run it with -d, or with --log-driver")
        })?;
        let end = match log.driver() {
            Driver::None => return Err(cannot("its log driver is none").hint("run it with another --log-driver")),
            Driver::Journald => End::Journal(Box::new(Exported::open(&record.id, ask)?)),
            Driver::K8sFile | Driver::JsonFile => {
                let path = path(&log, &paths.container(&record.id));
                let files = Files::open(&path, decode, ask);
                let files = files.map_err(|error| Error::io(format!("cannot read {}", path.display()), &error))?;
                End::Files(Box::new(files))
            }
        };
        let attributes = whose(&record, &record.command.join(" ")).attributes(&log);
        Ok(Self { number, attributes, end, ahead: None, id: record.id, name: record.name })
    }

    fn fill(&mut self, mut line: Line) -> io::Result<()> {
        let is_there = match &mut self.end {
            End::Files(files) => files.next(&mut line)?,
            End::Journal(journal) => journal.is_ready()? && journal.next(&mut line)?,
        };
        self.ahead = is_there.then_some(line);
        Ok(())
    }

    fn is_over(&self) -> bool {
        match &self.end {
            End::Files(files) => files.is_over(),
            End::Journal(journal) => journal.is_over(),
        }
    }

    fn journal(&self) -> Option<&Exported> {
        match &self.end {
            End::Files(_) => None,
            End::Journal(journal) => Some(journal),
        }
    }
}

/// The container that a record is of, to a log.
#[must_use]
pub fn whose<'a>(record: &'a Record, command: &'a str) -> Whose<'a> {
    let named = Named { id: &record.id, name: &record.name, image: &record.image, command };
    Whose { named, labels: &record.config.labels, env: &record.config.env }
}
