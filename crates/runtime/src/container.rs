//! Running a plan: journal, prepare, clone, attach, and the child's word that it worked.

use crate::error::{Error, Result};
use crate::init::{self, Inherited, Stdio};
use crate::journal::Journal;
use crate::progress::{Doing, Progress, Timings};
use crate::{apply, progress, sync};
use plan::step::InitStep;
use plan::step::Plan;
use plan::undo::Verb;
use rustix::io::Errno;
use spec::runtime::NamespaceKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::child::{Report, Trace};
use sys::process::{Child, SingleThread};

/// A container whose command has been executed.
#[derive(Debug)]
pub struct Started {
    pub child: Child,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// When asked.
    pub timings: Option<Timings>,
}

/// Run the plan. `ready` is called with the pid when every step is done, and the command waits for it. On an error nothing
/// is undone here: the journal says what there is to undo.
///
/// # Errors
/// The step that failed, with its shell form; that of `ready`.
pub fn start(
    plan: &Plan,
    journal: &mut Journal,
    mut context: apply::Context,
    stdio: Stdio,
    timed: bool,
    ready: &mut dyn FnMut(i32) -> Result<()>,
) -> Result<Started> {
    let one = SingleThread::check()?;
    let mut progress = Progress::new(plan, timed);
    for step in &plan.prepare {
        journal.write(&step.undo())?;
        progress.run(Doing::Host(step), || apply::host(step, &mut context))?;
    }
    context.unlock();
    let (ours, theirs) = sync::pair()?;
    let trace = Trace::new(plan.init.len(), timed)?;
    let parents = [ours.as_raw_fd(), journal.fd()];
    let inherited = Inherited { sync: theirs.as_raw_fd(), parents, stdio, trace: &trace };
    let compiled = init::compile(plan, &mut context, inherited)?;
    let child = progress.run(Doing::Spawn(&plan.spawn), || clone(plan, &compiled.program, &mut context.dirs, one))?;
    drop((compiled, theirs));
    match attach(plan, journal, &context, &child, &ours, &mut progress, ready) {
        Ok(terminal) => Ok(Started { child, terminal, timings: progress.timings(plan, &trace) }),
        Err(error) => {
            end(&child);
            Err(match (error, trace.step()) {
                (error @ Error::Died(_), Some(at)) => progress::child_failed(plan, at, error),
                (error, _) => error,
            })
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
    ready: &mut dyn FnMut(i32) -> Result<()>,
) -> Result<Option<OwnedFd>> {
    // From here on a kill -9 of sampan takes the child along where it dies with its parent; where it does not, this.
    if let Some(start) = sys::process::start_time(child.pid) {
        journal.write(&[Verb::Kill { pid: child.pid, start }])?;
    }
    for step in &plan.attach {
        journal.write(&step.undo())?;
        let attached = progress.run(Doing::Attach(step), || apply::attach(step, context, child.pid, sync));
        // A child that failed meanwhile knows better why than a parent that finds it gone.
        if let Err(error) = attached {
            rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).ok();
            return Err(listen(plan, sync, child, ready).err().filter(is_report).unwrap_or(error));
        }
    }
    listen(plan, sync, child, ready)
}

fn clone(
    plan: &Plan,
    program: &sys::child::Program<'_>,
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
fn listen(
    plan: &Plan,
    sync: &OwnedFd,
    child: &Child,
    ready: &mut dyn FnMut(i32) -> Result<()>,
) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    let mut is_ready = false;
    while let Some((report, fd)) = sync::receive(sync)? {
        match report.kind {
            Report::CONSOLE => terminal = fd,
            Report::READY => {
                ready(child.pid)?;
                sync::go(sync)?;
                is_ready = true;
            }
            #[cfg(debug_assertions)]
            Report::HALTED => crate::fault::kill_self(),
            _ => return Err(failure(plan, report)),
        }
    }
    if is_ready { Ok(terminal) } else { Err(Error::Died(sys::process::wait(child)?)) }
}

fn failure(plan: &Plan, report: Report) -> Error {
    let errno = Errno::from_raw_os_error(report.errno);
    if report.step == Report::EXEC {
        return Error::Exec { command: plan.exec.args[0].clone(), source: sys::Error::new("execve", errno) };
    }
    let at = match report.step {
        Report::REAPER => plan.init.iter().position(|step| matches!(step, InitStep::Reaper)).unwrap_or_default(),
        step => usize::from(step),
    };
    progress::child_failed(plan, at, Error::Child { call: report.call_name(), errno })
}
