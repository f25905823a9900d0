//! Running a plan: journal, prepare, clone, attach, and the child's word that it worked.

use crate::error::{Error, Result};
use crate::init::{self, Inherited, Stdio};
use crate::journal::Journal;
use crate::progress::{Doing, Progress, Timings};
use crate::{apply, progress, sync};
use plan::step::Plan;
use plan::step::{AttachStep, HostStep, InitStep};
use plan::undo::Verb;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
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
    /// Where it asks for names: to be answered by whoever watches it.
    pub resolver: Option<crate::resolver::Sockets>,
}

/// Where the container waits for its caller.
#[derive(Debug)]
pub enum Stage {
    /// Its hooks may run in the host's namespaces ([`InitStep::AwaitHooks`]); only where there are some.
    Hooks,
    /// Its filter is in force, and this is what it asks by (seccomp_unotify(2)). It does not wait for more than an answer.
    Listener(OwnedFd),
    /// Every step is done; the command, or the wait for its start, comes next.
    Ready,
}

pub type At<'a> = dyn FnMut(Stage, i32, &mut Option<OwnedFd>) -> Result<()> + 'a;

/// What the caller gives along.
pub struct Call<'a> {
    pub stdio: Stdio,
    /// So many of the caller's files after these go on to the container.
    pub passed: u32,
    pub timed: bool,
    /// To be done at the stage, with the pid, and with the terminal, if it has one by then.
    pub at: &'a mut At<'a>,
}

/// Run the plan; without a journal one that changes nothing of the host. On an error nothing is undone here: the journal
/// says what there is to undo.
///
/// # Errors
/// The step that failed, with its shell form; that of `at`.
pub fn start(
    plan: &Plan,
    mut journal: Option<&mut Journal>,
    mut context: apply::Context,
    call: Call<'_>,
) -> Result<Started> {
    let Call { stdio, passed, timed, at } = call;
    let one = SingleThread::check()?;
    let mut progress = Progress::new(plan, timed);
    // Nobody else need wait while a volume is filled.
    let networked = plan.prepare.iter().rposition(|step| matches!(step, HostStep::Network(_)));
    for (at, step) in plan.prepare.iter().enumerate() {
        if networked.is_none_or(|last| at > last) {
            context.unlock();
        }
        write(&mut journal, &step.undo())?;
        progress.run(Doing::Host(step), || apply::host(step, &mut context))?;
    }
    context.unlock();
    let (ours, theirs) = sync::pair()?;
    let trace = Trace::new(plan.init.len(), timed)?;
    let parents = [ours.as_raw_fd(), journal.as_ref().map_or(-1, |journal| journal.fd())];
    let inherited = Inherited { sync: theirs.as_raw_fd(), parents, stdio, passed, trace: &trace };
    let compiled = init::compile(plan, &mut context, inherited)?;
    let child = progress.run(Doing::Spawn(&plan.spawn), || clone(plan, &compiled.program, &mut context.dirs, one))?;
    drop((compiled, theirs));
    match attach(plan, &mut journal, &mut context, &child, &ours, &mut progress, at) {
        Ok(terminal) => {
            let (timings, resolver) = (progress.timings(plan, &trace), context.take_resolver());
            Ok(Started { child, terminal, timings, resolver })
        }
        Err(error) => {
            end(&child);
            Err(match (error, trace.step()) {
                (error @ Error::Died(_), Some(at)) => progress::child_failed(plan, at, error),
                (error, _) => error,
            })
        }
    }
}

/// The steps before the clone, of a container that is not made by one.
///
/// # Errors
/// The step that failed.
pub fn prepare(steps: &[HostStep], journal: &mut Journal) -> Result<()> {
    let mut context = apply::Context::default();
    let mut progress = Progress::of(steps.len());
    steps.iter().try_for_each(|step| {
        journal.write(&step.undo())?;
        progress.run(Doing::Host(step), || apply::host(step, &mut context))
    })
}

/// The steps after the clone that are about its cgroup, of a process that becomes another program.
///
/// # Errors
/// The step that failed.
pub fn attach_cgroup(plan: &Plan, journal: &mut Journal, pid: i32) -> Result<()> {
    let mut context = apply::Context::default();
    let cgroup = |step: &AttachStep| match step {
        AttachStep::Cgroup(step) => Some(step.clone()),
        _ => None,
    };
    plan.attach.iter().filter_map(cgroup).try_for_each(|step| {
        journal.write(&step.undo())?;
        apply::attach_cgroup(&step, &mut context, pid)
    })
}

/// A child of ours that another program made, and its terminal. It may have ended, as long as nobody has reaped it.
///
/// # Errors
/// The kernel's.
pub fn adopt(pid: i32, terminal: Option<OwnedFd>) -> Result<Started> {
    let number = Pid::from_raw(pid).ok_or(Error::Gone(pid))?;
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())
        .map_err(sys::Error::of(|| format!("pidfd_open({pid})")))?;
    Ok(Started { child: Child { pid, pidfd }, terminal, timings: None, resolver: None })
}

/// Nothing is written of a process that is the container's to undo.
fn write(journal: &mut Option<&mut Journal>, verbs: &[Verb]) -> Result<()> {
    journal.as_mut().map_or(Ok(()), |journal| journal.write(verbs))
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
    journal: &mut Option<&mut Journal>,
    context: &mut apply::Context,
    child: &Child,
    sync: &OwnedFd,
    progress: &mut Progress,
    at: &mut At<'_>,
) -> Result<Option<OwnedFd>> {
    // From here on a kill -9 of sampan takes the child along where it dies with its parent; where it does not, this.
    if let Some(start) = sys::process::start_time(child.pid) {
        write(journal, &[Verb::Kill { pid: child.pid, start }])?;
    }
    for step in &plan.attach {
        write(journal, &step.undo())?;
        let attached = progress.run(Doing::Attach(step), || apply::attach(step, context, child.pid, sync));
        // A child that failed meanwhile knows better why than a parent that finds it gone.
        if let Err(error) = attached {
            rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).ok();
            return Err(listen(plan, context, sync, child, at).err().filter(is_report).unwrap_or(error));
        }
    }
    listen(plan, context, sync, child, at)
}

fn clone(
    plan: &Plan,
    program: &sys::child::Program<'_>,
    dirs: &mut apply::cgroup::Dirs,
    one: SingleThread,
) -> Result<Child> {
    let cgroup = plan.spawn.cgroup.as_deref().map(|dir| dirs.clone_into(dir)).transpose()?;
    let flags = plan.spawn.namespaces.iter().fold(0, |flags, kind| flags | init::clone_flag(*kind));
    if !plan.spawn.through.is_empty() {
        let open = |(kind, path): &(NamespaceKind, String)| {
            Ok((sys::process::open_namespace(path)?, init::clone_flag(*kind) as i32))
        };
        let through = plan.spawn.through.iter().map(open).collect::<Result<Vec<_>>>()?;
        return Ok(sys::process::spawn_through(one, program, &through, flags, cgroup)?);
    }
    let Some(path) = &plan.spawn.join_pid else {
        return Ok(sys::process::spawn(one, program, flags, cgroup)?);
    };
    // Only children enter a pid namespace (setns(2)), so we point our own at it for the moment of the clone.
    let theirs = sys::process::open_namespace(path)?;
    let own = sys::process::open_namespace("/proc/self/ns/pid")?;
    sys::process::setns(theirs.as_fd(), init::clone_flag(NamespaceKind::Pid) as i32)?;
    let child = sys::process::spawn(one, program, flags, cgroup);
    let back = match sys::process::setns(own.as_fd(), init::clone_flag(NamespaceKind::Pid) as i32) {
        // Root of a user namespace only may enter what belongs to it, but not go back to what does not. Nobody needs to
        // who only enters: no other child follows.
        Err(error) if error.errno == Errno::PERM && plan.spawn.namespaces.is_empty() => Ok(()),
        back => back,
    };
    if let (Ok(child), Err(_)) = (&child, &back) {
        end(child);
    }
    back.and(child).map_err(Error::from)
}

fn is_report(error: &Error) -> bool {
    matches!(error, Error::Step { .. } | Error::Exec { .. })
}

/// Until the end of file that means that the exec worked, or that the child waits for its start; its terminal, if it has one.
fn listen(
    plan: &Plan,
    context: &mut apply::Context,
    sync: &OwnedFd,
    child: &Child,
    at: &mut At<'_>,
) -> Result<Option<OwnedFd>> {
    let mut terminal = None;
    let mut is_ready = false;
    while let Some((report, fd)) = sync::receive(sync)? {
        match report.kind {
            Report::CONSOLE => terminal = fd,
            Report::SHIFT => {
                let at = usize::from(report.step);
                shift(plan, context, at, fd).map_err(|error| progress::child_failed(plan, at, error))?;
                sync::go(sync)?;
            }
            Report::HOOKS => {
                at(Stage::Hooks, child.pid, &mut terminal)?;
                sync::go(sync)?;
            }
            Report::LISTENER => at(Stage::Listener(listener(child, report, fd)?), child.pid, &mut terminal)?,
            Report::READY => {
                at(Stage::Ready, child.pid, &mut terminal)?;
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

fn listener(child: &Child, report: Report, sent: Option<OwnedFd>) -> Result<OwnedFd> {
    let take = |number: u32| sys::process::take(child, number.cast_signed());
    Ok(sent.map_or_else(|| take(report.call), Ok)?)
}

/// The ids of a tree that the child has opened. It may have no right to it: the filesystem is not of its user namespace
/// (mount_setattr(2)).
fn shift(plan: &Plan, context: &mut apply::Context, at: usize, tree: Option<OwnedFd>) -> Result<()> {
    match (plan.init.get(at), tree) {
        (Some(InitStep::Mount(plan::mounts::Mount { idmap: Some(idmap), destination, .. })), Some(tree)) => {
            context.shift(tree.as_fd(), destination, &idmap.maps, idmap.recursive)
        }
        _ => Ok(()),
    }
}

fn failure(plan: &Plan, report: Report) -> Error {
    let finds = matches!(plan.init.get(usize::from(report.step)), Some(InitStep::FindCommand));
    if report.step == Report::EXEC || finds {
        let (command, errno) = (plan.exec.args[0].clone(), Errno::from_raw_os_error(report.errno));
        // In these words, by which engines know it: they end with 127 then.
        let searched = finds && errno == Errno::NOENT && !command.contains('/');
        let call = if searched { "executable file not found in $PATH" } else { "execve" };
        return Error::Exec { command, source: sys::Error::new(call, errno) };
    }
    let at = match report.step {
        Report::REAPER => plan.init.iter().position(|step| matches!(step, InitStep::Reaper { .. })).unwrap_or_default(),
        step => usize::from(step),
    };
    match plan.init.get(at) {
        Some(step @ InitStep::Hook { .. }) => {
            Error::Late { why: step.failed(), source: Box::new(Error::of_child(report)) }
        }
        _ => progress::child_failed(plan, at, Error::of_child(report)),
    }
}
