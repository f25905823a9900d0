//! `run`: create and start, and for a caller that stays: watch, delete.

use crate::{Create, Id, Root};
use runtime::supervise::{self, Container, DetachKeys, Event, Exit, Signals};
use runtime::{Error, Result};
use std::os::fd::AsFd;

/// How it ended; of a container that was left alone: 0.
#[derive(Debug, Default)]
pub struct Ended {
    pub code: u8,
    /// What went wrong while it was deleted.
    pub warnings: Vec<Error>,
}

/// `keep`: not deleted when it has ended.
///
/// # Errors
/// As of [`crate::create`] and [`crate::start`]; nothing is left of it.
pub fn run(root: &Root, id: &Id, create: &Create, keep: bool, warn: &mut dyn FnMut(&str)) -> Result<Ended> {
    // Blocked before the clone: from here on a signal is read, not suffered.
    let signals = create.foreground.then(Signals::take).transpose()?;
    let mut started = crate::create(root, id, create, warn)?;
    let watched = crate::start::beside(root, id, started.terminal.as_ref()).and_then(|()| match &signals {
        Some(signals) => watch(&mut started, signals),
        None => Ok(0),
    });
    if signals.is_some() && !keep || watched.is_err() {
        let deleted = crate::delete(root, id, true);
        return watched.and_then(|code| Ok(Ended { code, warnings: deleted? }));
    }
    watched.map(|code| Ended { code, warnings: Vec::new() })
}

/// The code that it ended with, as a shell has it.
pub(crate) fn watch(started: &mut runtime::container::Started, signals: &Signals) -> Result<u8> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let terminal = started.terminal.is_some().then(|| supervise::Terminal {
        master: &mut started.terminal,
        stdin: Some(stdin.as_fd()),
        stdout: stdout.as_fd(),
        plain: true,
        detach_keys: DetachKeys::from_bytes(&[]),
    });
    let container = Container { pidfd: started.child.pidfd.as_fd(), terminal, forward_signals: true };
    Ok(match supervise::supervise(container, signals, &mut |_: Event| {})? {
        Exit::Code(code) => code as u8,
        Exit::Signal(signal) => 128 + signal.as_raw() as u8,
        Exit::Detached | Exit::Interrupted(_) => 130,
    })
}
