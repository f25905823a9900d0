//! At which step a start is: for the numbers in messages, and for where the time goes.
//!
//! Invariant: the parent's steps before the clone, the clone, and the child's steps follow each other without a gap, so
//! their times add up to that of the start. The parent's steps after the clone run beside the child's.

use crate::error::{Error, Result};
use crate::remedy;
use plan::Plan;
use plan::step::{AttachStep, HostStep, InitStep};
use std::time::Duration;
use sys::child::{Trace, now};

/// A step of the plan as it is being done.
#[derive(Debug, Clone, Copy)]
pub enum Doing<'a> {
    Host(&'a HostStep),
    Spawn(&'a plan::step::Spawn),
    Attach(&'a AttachStep),
    Init(&'a InitStep),
}

impl Doing<'_> {
    fn why(self) -> String {
        match self {
            Self::Host(step) => step.why(),
            Self::Spawn(_) => "a process in new namespaces".to_owned(),
            Self::Attach(step) => step.why(),
            Self::Init(step) => step.why(),
        }
    }

    fn shell(self) -> String {
        match self {
            Self::Host(step) => step.shell(),
            Self::Spawn(spawn) => plan::script::spawn(spawn),
            Self::Attach(step) => step.shell(),
            Self::Init(step) => step.shell(),
        }
    }
}

/// How long a step took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// As in the message of one that fails.
    pub number: usize,
    pub why: String,
    pub took: Duration,
}

/// Where the time of a start went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings {
    /// The parent's, up to the child's first step.
    pub before: Vec<Timed>,
    /// The child's, up to its exec; that is part of the last.
    pub child: Vec<Timed>,
    /// The parent's, while the child runs.
    pub beside: Vec<Timed>,
}

pub(crate) struct Progress {
    number: usize,
    total: usize,
    /// The end of the last step, and all that are done; where times are asked for.
    timed: Option<(Duration, Vec<Timed>)>,
    #[cfg(debug_assertions)]
    spawn: usize,
    #[cfg(debug_assertions)]
    fault: Option<crate::fault::Fault>,
}

impl Progress {
    pub(crate) fn new(plan: &Plan, timed: bool) -> Self {
        Self {
            number: 0,
            total: parents(plan) + plan.init.len(),
            timed: timed.then(|| (now(), Vec::new())),
            #[cfg(debug_assertions)]
            spawn: plan.prepare.len() + 1,
            #[cfg(debug_assertions)]
            fault: crate::fault::Fault::asked(),
        }
    }

    /// Of steps without a child.
    pub(crate) fn of(steps: usize) -> Self {
        Self {
            number: 0,
            total: steps,
            timed: None,
            #[cfg(debug_assertions)]
            spawn: 0,
            #[cfg(debug_assertions)]
            fault: crate::fault::Fault::asked(),
        }
    }

    /// A step of the parent.
    pub(crate) fn run<T>(&mut self, doing: Doing<'_>, step: impl FnOnce() -> Result<T>) -> Result<T> {
        self.number += 1;
        #[cfg(debug_assertions)]
        let step = || self.stumble(step);
        let result = step();
        if let Some((last, done)) = &mut self.timed {
            let end = now();
            done.push(Timed { number: self.number, why: doing.why(), took: end.saturating_sub(*last) });
            *last = end;
        }
        result.map_err(|source| failed(doing, self.number, self.total, source))
    }

    /// To be called when the child has executed its command.
    pub(crate) fn timings(self, plan: &Plan, trace: &Trace) -> Option<Timings> {
        let executed = now();
        let (last, mut before) = self.timed?;
        let beside = before.split_off(plan.prepare.len() + 1);
        let (begun, ends) = trace.times();
        if let Some(spawn) = before.last_mut() {
            let returned = last.saturating_sub(beside.iter().map(|step| step.took).sum());
            spawn.took = (spawn.took + begun).saturating_sub(returned);
        }
        let mut last = begun;
        let ends = ends.into_iter().chain([executed]);
        let child = plan.init.iter().zip(ends).enumerate().map(|(at, (step, end))| {
            let took = end.saturating_sub(std::mem::replace(&mut last, end));
            let more = if at + 1 == plan.init.len() { "; then the exec" } else { "" };
            Timed { number: parents(plan) + at + 1, why: step.why() + more, took }
        });
        Some(Timings { before, child: child.collect(), beside })
    }
}

/// How many steps come before the child's.
fn parents(plan: &Plan) -> usize {
    plan.prepare.len() + 1 + plan.attach.len()
}

/// A step of the child that failed.
pub(crate) fn child_failed(plan: &Plan, at: usize, source: Error) -> Error {
    match plan.init.get(at) {
        Some(step) => failed(Doing::Init(step), parents(plan) + at + 1, parents(plan) + plan.init.len(), source),
        None => source,
    }
}

fn failed(doing: Doing<'_>, number: usize, total: usize, source: Error) -> Error {
    let hint = remedy::hint(doing, &source);
    Error::Step { number, total, why: doing.why(), shell: doing.shell(), hint, source: Box::new(source) }
}

#[cfg(debug_assertions)]
impl Progress {
    fn stumble<T>(&self, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(fault) = self.fault else { return step() };
        fault.before(self.number);
        if self.number == self.spawn {
            // A clone that fails has made no child.
            fault.fail(self.number)?;
        }
        let done = step()?;
        fault.after(self.number)?;
        Ok(done)
    }
}
