//! Hooks that the runtime itself runs, in its own namespaces.
//!
//! Invariant: a hook that does not end in its time is killed; the caller's environment goes only to one that has none of
//! its own, not even an empty one, as with runc and crun.

use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::process::{Pid, PidfdFlags};
use spec::runtime::{Hook, State};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};
use sys::process::Exit;

/// The state as JSON.
pub(crate) fn state(state: &State) -> String {
    serde_json::to_string(state).unwrap_or_default()
}

/// What execv(3) takes; without any the path stands for the program's name.
pub(crate) fn arguments(hook: &Hook) -> &[String] {
    if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args }
}

/// `stage` as config.json calls it, and the place in its list.
///
/// # Errors
/// The hook that could not be called, did not end well, or not in time.
pub fn run(stage: &str, number: usize, hook: &Hook, state: &State, directory: &Path) -> Result<()> {
    let why = || plan::step::hook_failed(stage, number, &hook.path);
    call(hook, state, directory).map_err(|source| Error::Late { why: why(), source: Box::new(source) })
}

/// One after the other, up to one that fails.
///
/// # Errors
/// As [`run`].
pub fn run_all(stage: &str, hooks: &[Hook], state: &State, directory: &Path) -> Result<()> {
    hooks.iter().enumerate().try_for_each(|(number, hook)| run(stage, number, hook, state, directory))
}

fn call(hook: &Hook, state: &State, directory: &Path) -> Result<()> {
    let memory =
        rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC).map_err(sys::Error::of(|| "memfd_create".into()))?;
    let mut input = std::fs::File::from(memory);
    let write = || "write(state)".to_owned();
    input.write_all(self::state(state).as_bytes()).map_err(sys::Error::of_io(write))?;
    rustix::fs::seek(&input, SeekFrom::Start(0)).map_err(sys::Error::of(write))?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = arguments(hook).split_first() {
        command.arg0(name).args(rest);
    }
    if let Some(env) = &hook.env {
        command.env_clear().envs(env.iter().filter_map(|variable| variable.split_once('=')));
    }
    let execve = || format!("execve({:?})", hook.path);
    let mut child = command.stdin(input).current_dir(directory).spawn().map_err(sys::Error::of_io(execve))?;
    let ended = wait(&child, hook.timeout)?;
    if !ended {
        // Not reaped yet, so the number is still his.
        child.kill().map_err(sys::Error::of_io(execve))?;
    }
    let status = child.wait().map_err(sys::Error::of_io(execve))?;
    match (status.code(), status.signal()) {
        _ if !ended => Err(sys::Error::new(execve(), rustix::io::Errno::TIMEDOUT).into()),
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Error::Ended(Exit::Code(code as u8))),
        (None, signal) => Err(Error::Ended(Exit::Signal(signal.unwrap_or_default()))),
    }
}

/// Whether it has ended within its time, in seconds.
fn wait(child: &Child, timeout: Option<i64>) -> Result<bool> {
    let Some(seconds) = timeout else { return Ok(true) };
    let Some(pid) = Pid::from_raw(child.id() as i32) else { return Ok(true) };
    let call = || format!("pidfd_open({})", child.id());
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(sys::Error::of(call))?;
    let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
    loop {
        match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other.map_err(sys::Error::of(call))? > 0),
        }
    }
}
