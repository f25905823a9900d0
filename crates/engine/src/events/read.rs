//! Who asks what happened.

use super::{Document, Kind};
use crate::error::{Error, Result};
use crate::filter;
use crate::logs::format::Decoded;
use crate::logs::reader::{self, Files};
use crate::logs::{Line, Stream};
use crate::paths::Paths;
use crate::time::Moment;
use serde::Deserialize;
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    pub since: Option<Moment>,
    pub until: Option<Moment>,
    pub filters: Vec<filter::Event>,
    /// Those, too, that come; from now on, if there is no `since`.
    pub stream: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub time: Moment,
    pub kind: Kind,
    pub action: String,
    pub id: String,
    pub attributes: std::collections::BTreeMap<String, String>,
    /// As it is in the log.
    pub json: String,
}

/// Tells what happened, and goes on until `until` if it is to; `None`: there is nothing more for now.
///
/// # Errors
/// The log cannot be read; what `tell` says.
pub fn read(paths: &Paths, ask: &Ask, tell: &mut dyn FnMut(Option<&Event>) -> io::Result<()>) -> Result<()> {
    let told = |error: io::Error| Error::io("cannot read the log of events", &error);
    let now = Moment::now();
    let stream = ask.stream && ask.until.is_none_or(|until| until > now);
    let begin = ask.since.or((stream && ask.until.is_none()).then_some(now));
    let log = super::log(paths);
    let watch = stream.then(runtime::watch::Watch::new).transpose()?;
    if let (Some(watch), Some(directory)) = (&watch, log.parent()) {
        // The first event may be yet to come.
        std::fs::create_dir_all(directory).map_err(told)?;
        watch.add(directory)?;
    }
    let asked = reader::Ask { since: begin, until: ask.until, tail: None, follow: stream };
    let mut files = Files::open(&log, decode, asked).map_err(told)?;
    let mut line = Line::default();
    loop {
        while files.next(&mut line).map_err(told)? {
            let event = event(&line).filter(|event| begin.is_none_or(|begin| event.time >= begin));
            if let Some(event) = event.filter(|event| filter::events(&ask.filters, event)) {
                tell(Some(&event)).map_err(told)?;
            }
        }
        tell(None).map_err(told)?;
        let left = ask.until.map(|until| Duration::from_nanos(until.0.saturating_sub(Moment::now().0)));
        match &watch {
            Some(watch) if !files.is_over() && left != Some(Duration::ZERO) => {
                watch.wait(&[], left.unwrap_or(Duration::from_secs(3600)))?;
            }
            _ => return Ok(()),
        }
    }
}

fn event(line: &Line) -> Option<Event> {
    let json = std::str::from_utf8(&line.text).ok()?.trim_end();
    let document: Document = serde_json::from_str(json).ok()?;
    Some(Event {
        time: Moment(document.nanos),
        kind: document.kind,
        action: document.action,
        id: document.actor.id,
        attributes: document.actor.attributes,
        json: json.to_owned(),
    })
}

/// To the reader of logs each is a line.
fn decode(line: &[u8]) -> Option<Decoded<'_>> {
    #[derive(Deserialize)]
    struct Time {
        #[serde(rename = "timeNano")]
        nanos: u64,
    }
    let time = Moment(serde_json::from_slice::<Time>(line).ok()?.nanos);
    Some(Decoded { time, stream: Stream::Stdout, text: Cow::Borrowed(line), complete: true })
}
