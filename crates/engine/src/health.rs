//! Whether a container does what it is for: asked by its monitor, as docker defines it.
//!
//! Invariant: one probe at a time, and no wake-up between two. What is known is in the record of the running container.

use crate::containers::{self, Durable, Record};
use crate::error::{Error, Result};
use crate::events::{self, News};
use crate::exec::{self, Exec};
use crate::paths::Paths;
use crate::request::Run;
use crate::request::health::Check;
use crate::start;
use crate::time::Moment;
use runtime::monitor::standing::Standing;
use runtime::probe::Probe;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// So many of the last results are kept.
const KEPT: usize = 5;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl Status {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// docker's document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    pub status: Status,
    pub failing_streak: u32,
    pub log: Vec<Answer>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    pub start: String,
    pub end: String,
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    /// What an answer makes of it. `starts`: it is in the time that it has to come up.
    fn take(&mut self, answer: Answer, retries: u32, starts: bool) {
        if answer.exit_code == 0 {
            (self.status, self.failing_streak) = (Status::Healthy, 0);
        } else if !(starts && self.status == Status::Starting) {
            self.failing_streak += 1;
            if self.failing_streak >= retries {
                self.status = Status::Unhealthy;
            }
        }
        self.log.push(answer);
        self.log.drain(..self.log.len().saturating_sub(KEPT));
    }
}

/// The check of a container of this request, made of an image that may have one.
#[must_use]
pub(crate) fn check(request: &Run, record: &Record) -> Option<Check> {
    request.health.settle(record.config.healthcheck.as_ref())
}

/// In the monitor.
pub(crate) struct Watcher {
    paths: Paths,
    id: String,
    check: Check,
    health: Health,
    begun: Instant,
    next: Instant,
    probe: Option<(Probe, Instant, Moment)>,
    standing: Standing,
}

impl Watcher {
    pub fn new(paths: &Paths, id: &str, check: Check, standing: Standing) -> Self {
        let begun = Instant::now();
        let mut watcher = Self {
            paths: paths.clone(),
            id: id.to_owned(),
            check,
            health: Health::default(),
            begun,
            next: begun,
            probe: None,
            standing,
        };
        watcher.next = begun + watcher.pause();
        watcher.save();
        watcher
    }

    fn starts(&self) -> bool {
        self.begun.elapsed() < self.check.start_period
    }

    fn pause(&self) -> Duration {
        let comes_up = self.starts() && self.health.status == Status::Starting;
        if comes_up { self.check.start_interval } else { self.check.interval }
    }

    pub fn watched(&self) -> Vec<BorrowedFd<'_>> {
        self.probe.as_ref().map_or(Vec::new(), |(probe, ..)| probe.fds().to_vec())
    }

    pub fn due(&self) -> Instant {
        self.probe.as_ref().map_or(self.next, |(_, began, _)| *began + self.check.timeout)
    }

    /// Whether it has become unhealthy just now. `frozen`: nothing in it could answer.
    pub fn turn(&mut self, now: Instant, frozen: bool) -> bool {
        let Some((mut probe, began, start)) = self.probe.take() else {
            if now >= self.next {
                if frozen {
                    self.next = now + self.pause();
                } else {
                    self.ask(now);
                }
            }
            return false;
        };
        let (code, output) = match probe.turn() {
            Some(code) => (code, probe.said()),
            None if now < began + self.check.timeout => {
                self.probe = Some((probe, began, start));
                return false;
            }
            None => {
                probe.kill();
                (-1, format!("Health check exceeded timeout ({:?})", self.check.timeout))
            }
        };
        self.answered(start, code, output)
    }

    fn ask(&mut self, now: Instant) {
        let (data, state) = (self.paths.data.as_os_str(), self.paths.state.as_os_str());
        let globals =
            [OsStr::new("--root"), data, OsStr::new("--state"), state, OsStr::new("exec"), OsStr::new(&self.id)];
        let words = globals.into_iter().chain(self.check.command.iter().map(OsStr::new));
        self.standing.give_up();
        let started = Probe::start(words);
        self.standing.resume();
        match started {
            Ok(probe) => self.probe = Some((probe, now, Moment::now())),
            Err(error) => _ = self.answered(Moment::now(), -1, format!("cannot ask: {error}")),
        }
    }

    fn answered(&mut self, start: Moment, exit_code: i32, output: String) -> bool {
        let text = |moment: Moment| moment.text().map(char::from).iter().collect::<String>();
        let answer = Answer { start: text(start), end: text(Moment::now()), exit_code, output };
        let before = self.health.status;
        self.health.take(answer, self.check.retries, self.starts());
        self.next = Instant::now() + self.pause();
        let record = self.save();
        let status = self.health.status;
        if let (Some(record), true) = (record, status != before) {
            events::tell(&self.paths, [News::of(&record, format!("health_status: {}", status.word()))]);
        }
        status == Status::Unhealthy && before != Status::Unhealthy
    }

    fn save(&self) -> Option<Record> {
        let path = self.paths.running(&self.id);
        let record = Record { health: Some(self.health.clone()), ..containers::load(&path)? };
        // A full state directory does not end the container; the next answer is told again.
        let _ = containers::write(&self.paths, &record, Durable::No);
        Some(record)
    }
}

/// `healthcheck run`: ask once, whatever is due. Whether it is well.
///
/// # Errors
/// It does not run, or has no check.
pub fn ask(paths: &Paths, word: &str) -> Result<bool> {
    let found = containers::find(paths, word)?;
    let refuse = |why: &str| Error::rejected(format!("cannot check the health of container {word}"), why);
    let request = start::load(paths, &found.record)?;
    let check = check(&request, &found.record).ok_or_else(|| {
        refuse("it has no health check").hint("make it with --health-cmd, or of an image with a HEALTHCHECK")
    })?;
    if !found.running {
        return Err(refuse("it is not running"));
    }
    let container = containers::Which::Named(found.record.id);
    let asked = Exec { container, command: check.command, ..Exec::default() };
    Ok(exec::exec(&asked, paths, &mut |_| {})? == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(codes: &[i32], starts: bool) -> (Status, u32) {
        let mut health = Health::default();
        codes.iter().for_each(|code| health.take(Answer { exit_code: *code, ..Answer::default() }, 3, starts));
        assert!(health.log.len() <= KEPT);
        (health.status, health.failing_streak)
    }

    #[test]
    fn three_in_a_row_are_too_many() {
        assert_eq!(after(&[], false), (Status::Starting, 0));
        assert_eq!(after(&[1, 1], false), (Status::Starting, 2));
        assert_eq!(after(&[1, 1, 1], false), (Status::Unhealthy, 3));
        assert_eq!(after(&[0, 1, 1], false), (Status::Healthy, 2));
        assert_eq!(after(&[0, 1, 1, 1, 1, 1, 1], false), (Status::Unhealthy, 6));
        assert_eq!(after(&[1, 1, 1, 0], false), (Status::Healthy, 0));
        assert_eq!(after(&[1, 1, 1, 1], true), (Status::Starting, 0));
        assert_eq!(after(&[0, 1, 1, 1], true), (Status::Unhealthy, 3));
    }
}
