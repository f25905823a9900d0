//! Running a plan: journal, prepare, clone, attach, and the child's word that it worked.

use crate::error::{Error, Result};
use crate::init::{self, Stdio};
use crate::journal::Journal;
use crate::{apply, sync};
use plan::step::Plan;
use plan::undo::Verb;
use rustix::io::Errno;
use spec::runtime::NamespaceKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use sys::child::Report;
use sys::process::{Child, SingleThread};

/// A container whose command has been executed.
#[derive(Debug)]
pub struct Started {
    pub child: Child,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// What each step of the parent was for and how long it took, when asked.
    pub timings: Vec<(String, Duration)>,
}

/// Run the plan. On an error nothing is undone here: the journal says what there is to undo.
///
/// # Errors
/// The step that failed, with its shell form.
pub fn start(
    plan: &Plan,
    journal: &mut Journal,
    mut context: apply::Context,
    stdio: Stdio,
    timed: bool,
) -> Result<Started> {
    let one = SingleThread::check()?;
    let mut progress = Progress::new(plan, timed);
    for step in &plan.prepare {
        journal.write(&step.undo())?;
        progress.run(|| (step.why(), step.shell()), || apply::host(step, &mut context))?;
    }
    context.unlock();
    let (ours, theirs) = sync::pair()?;
    let compiled = init::compile(plan, &mut context, theirs.as_raw_fd(), [ours.as_raw_fd(), journal.fd()], stdio)?;
    let spawn = || clone(plan, &compiled.program, &mut context.dirs, one);
    let child = progress.run(|| (SPAWN_WHY.to_owned(), plan::script::spawn(&plan.spawn)), spawn)?;
    drop((compiled, theirs));
    match attach(plan, journal, &context, &child, &ours, &mut progress) {
        Ok(terminal) => Ok(Started { child, terminal, timings: progress.timings }),
        Err(error) => {
            end(&child);
            Err(error)
        }
    }
}

/// Dead and reaped before anything that it stands on is undone, whatever of it the journal knows.
fn end(child: &Child) {
    // ESRCH and ECHILD: it ended by itself, and its report was read.
    rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).ok();
    sys::process::wait(child).ok();
}

/// Everything after the clone; the terminal, if there is one.
fn attach(
    plan: &Plan,
    journal: &mut Journal,
    context: &apply::Context,
    child: &Child,
    sync: &OwnedFd,
    progress: &mut Progress,
) -> Result<Option<OwnedFd>> {
    // From here on a kill -9 of sampan takes the child along where it dies with its parent; where it does not, this.
    if let Some(start) = sys::process::start_time(child.pid) {
        journal.write(&[Verb::Kill { pid: child.pid, start }])?;
    }
    for step in &plan.attach {
        journal.write(&step.undo())?;
        let attached = progress.run(|| (step.why(), step.shell()), || apply::attach(step, context, child.pid, sync));
        // A child that failed meanwhile knows better why than a parent that finds it gone.
        if let Err(error) = attached {
            rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).ok();
            return Err(listen(plan, sync, child).err().filter(is_report).unwrap_or(error));
        }
    }
    progress.run(|| (INIT_WHY.to_owned(), String::new()), || listen(plan, sync, child))
}

const SPAWN_WHY: &str = "a process in new namespaces";
const INIT_WHY: &str = "the rest of what the container does itself, up to its exec";

struct Progress {
    number: usize,
    total: usize,
    timings: Vec<(String, Duration)>,
    timed: bool,
    /// How many of the steps are the parent's.
    #[cfg(debug_assertions)]
    parents: usize,
    #[cfg(debug_assertions)]
    spawn: usize,
    #[cfg(debug_assertions)]
    fault: Option<crate::fault::Fault>,
}

impl Progress {
    fn new(plan: &Plan, timed: bool) -> Self {
        let total = plan.prepare.len() + plan.attach.len() + plan.init.len() + 1;
        Self {
            number: 0,
            total,
            timed,
            timings: Vec::new(),
            #[cfg(debug_assertions)]
            spawn: plan.prepare.len() + 1,
            #[cfg(debug_assertions)]
            parents: plan.prepare.len() + 1 + plan.attach.len(),
            #[cfg(debug_assertions)]
            fault: crate::fault::Fault::asked(),
        }
    }

    fn run<T>(&mut self, words: impl Fn() -> (String, String), step: impl FnOnce() -> Result<T>) -> Result<T> {
        self.number += 1;
        let begin = Instant::now();
        #[cfg(debug_assertions)]
        let step = || self.stumble(step);
        let result = step();
        if self.timed {
            self.timings.push((words().0, begin.elapsed()));
        }
        result.map_err(|source| match source {
            // It has its own number.
            Error::Step { .. } | Error::Exec { .. } | Error::Died(_) => source,
            source => {
                let (why, shell) = words();
                Error::Step { number: self.number, total: self.total, why, shell, source: Box::new(source) }
            }
        })
    }
}

#[cfg(debug_assertions)]
impl Progress {
    /// A step of the parent; those of the child, which it waits for as one, stumble by themselves.
    fn stumble<T>(&self, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(fault) = self.fault.filter(|_| self.number <= self.parents) else { return step() };
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

fn clone(
    plan: &Plan,
    program: &sys::child::Program,
    dirs: &mut apply::cgroup::Dirs,
    one: SingleThread,
) -> Result<Child> {
    let cgroup = plan.spawn.cgroup.as_deref().map(|dir| dirs.clone_into(dir)).transpose()?;
    let flags = plan.spawn.namespaces.iter().fold(0, |flags, kind| flags | init::clone_flag(*kind));
    let Some(path) = &plan.spawn.join_pid else {
        return Ok(sys::process::spawn(one, program, flags, cgroup)?);
    };
    // Only children enter a pid namespace (setns(2)), so we point our own at it for the moment of the clone.
    let theirs = sys::process::open_namespace(path)?;
    let own = sys::process::open_namespace("/proc/self/ns/pid")?;
    sys::process::setns(theirs.as_fd(), init::clone_flag(NamespaceKind::Pid) as i32)?;
    let child = sys::process::spawn(one, program, flags, cgroup);
    let back = sys::process::setns(own.as_fd(), init::clone_flag(NamespaceKind::Pid) as i32);
    if let (Ok(child), Err(_)) = (&child, &back) {
        end(child);
    }
    back.and(child).map_err(Error::from)
}

fn is_report(error: &Error) -> bool {
    matches!(error, Error::Step { .. } | Error::Exec { .. })
}

/// Until the end of file that means that the exec worked; its terminal, if it has one.
fn listen(plan: &Plan, sync: &OwnedFd, child: &Child) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    let mut ready = false;
    while let Some((report, fd)) = sync::receive(sync)? {
        match report.kind {
            Report::CONSOLE => terminal = fd,
            Report::READY => ready = true,
            #[cfg(debug_assertions)]
            Report::HALTED => crate::fault::kill_self(),
            _ => return Err(failure(plan, report)),
        }
    }
    if ready { Ok(terminal) } else { Err(Error::Died(sys::process::wait(child)?)) }
}

fn failure(plan: &Plan, report: Report) -> Error {
    let errno = Errno::from_raw_os_error(report.errno);
    if report.step == Report::EXEC {
        return Error::Exec { command: plan.exec.args[0].clone(), errno };
    }
    at_init(plan, report.step.into(), Error::Child { call: report.call_name(), errno })
}

/// An error of the init step with this index.
pub(crate) fn at_init(plan: &Plan, index: usize, source: Error) -> Error {
    let step = &plan.init[index];
    Error::Step {
        number: plan.prepare.len() + 1 + plan.attach.len() + index + 1,
        total: plan.prepare.len() + 1 + plan.attach.len() + plan.init.len(),
        why: step.why(),
        shell: step.shell(),
        source: Box::new(source),
    }
}
