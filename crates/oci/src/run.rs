//! `run`: create and start, and for a caller that stays: watch, delete.

use crate::start::until_ready;
use crate::{Create, Id, Root};
use runtime::notify::Relay;
use runtime::supervise::{self, Beside, Container, DetachKeys, Event, Exit, Signals};
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
    // Who stays is the service, and ends as the container does.
    let main = signals.as_ref().map(|_| std::process::id().cast_signed());
    let begun = crate::start::beside(root, id, started.terminal.as_ref(), main);
    let watched = begun.and_then(|(record, relay)| match &signals {
        Some(signals) => watch(&mut started, signals, relay.as_ref()),
        None => Ok(Ended { code: 0, warnings: until_ready(&record, relay).err().into_iter().collect() }),
    });
    if signals.is_some() && !keep || watched.is_err() {
        let deleted = crate::delete(root, id, true);
        return watched.and_then(|Ended { code, mut warnings }| {
            warnings.extend(deleted?);
            Ok(Ended { code, warnings })
        });
    }
    watched
}

/// The code that it ended with, as a shell has it.
pub(crate) fn watch(
    started: &mut runtime::container::Started,
    signals: &Signals,
    relay: Option<&Relay>,
) -> Result<Ended> {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let terminal = started.terminal.is_some().then(|| supervise::Terminal {
        master: &mut started.terminal,
        stdin: Some(stdin.as_fd()),
        stdout: stdout.as_fd(),
        plain: true,
        detach_keys: DetachKeys::from_bytes(&[]),
    });
    // One of a kind is told.
    let mut warnings = Vec::new();
    let mut pass = || match relay.map_or(Ok(false), Relay::pass) {
        Err(error) if warnings.is_empty() => warnings.push(error),
        _ => {}
    };
    let beside = relay.map(|relay| Beside { fd: relay.as_fd(), act: &mut pass });
    let container = Container { pidfd: started.child.pidfd.as_fd(), terminal, forward_signals: true, beside };
    let code = match supervise::supervise(container, signals, &mut |_: Event| {})? {
        Exit::Code(code) => code as u8,
        Exit::Signal(signal) => 128 + signal.as_raw() as u8,
        Exit::Detached | Exit::Interrupted(_) => 130,
    };
    Ok(Ended { code, warnings })
}
