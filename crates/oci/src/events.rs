//! `events`: what a container uses, and that it ran out of memory, as runc words them.

use crate::record::Record;
use crate::root::Root;
use crate::{Id, refused};
use runtime::Result;
use runtime::oom::{Watch, Woken};
use runtime::usage::{self, Places};
use serde::Serialize;
use serde_json::Value;
use spec::runtime::Status;
use std::time::{Duration, Instant};

/// One line. The order of its parts is what those who look for text expect.
#[derive(Debug, Serialize)]
pub struct Event {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// What the container uses now.
///
/// # Errors
/// It does not run.
pub fn stats(root: &Root, id: &Id) -> Result<Event> {
    Ok(of(&load(root, id)?))
}

/// That at each interval, and each time that it runs out of memory; until it ends, or `tell` says that nobody listens.
///
/// # Errors
/// It does not run; the kernel's.
pub fn watch(root: &Root, id: &Id, interval: Duration, tell: &mut dyn FnMut(&Event) -> bool) -> Result<()> {
    let record = load(root, id)?;
    let Some(process) = record.process().open()? else { return Ok(()) };
    let mut watch = Watch::new(process, record.v1("memory"), record.cgroup.as_deref())?;
    let mut due = Instant::now() + interval;
    loop {
        let event = match watch.wait(due)? {
            Woken::OutOfMemory => Event { kind: "oom", id: record.id.clone(), data: None },
            Woken::Ended => return Ok(()),
            Woken::Due => {
                due += interval;
                of(&record)
            }
        };
        if !tell(&event) {
            return Ok(());
        }
    }
}

fn load(root: &Root, id: &Id) -> Result<Record> {
    let what = format!("cannot look at the container {id}");
    let (home, record) = Record::load(root, id, &what)?;
    match record.status(&home) {
        Status::Stopped | Status::Creating => refused(what, "container not running"),
        Status::Created | Status::Running | Status::Paused => Ok(record),
    }
}

fn of(record: &Record) -> Event {
    let places = Places {
        v2: record.cgroup.as_deref(),
        v1: &record.cgroups,
        resctrl: record.resctrl.first().map(String::as_str),
        pid: record.pid,
    };
    Event { kind: "stats", id: record.id.clone(), data: Some(usage::of(places)) }
}
