//! The parent while the container lives: terminal, signals, exit.
//!
//! One thread, one poll over at most six fds, no timer: an idle container causes no wake-up. poll and not epoll,
//! because the set changes with every byte in flight, and because it takes files and `/dev/null` too.
//!
//! Invariant: nothing that the container, the user's terminal or a signal does ends this process before its caller can
//! undo; what the container wrote to its terminal is written out before its exit is reported.
//! Must not: print, journal, or touch anything of the container but its init process and its terminal.

mod detach;
mod hold;
mod pump;
mod stop;

pub use detach::DetachKeys;
pub(crate) use detach::Matcher;
pub use hold::hold;
pub(crate) use pump::{End, prepare};
pub(crate) use stop::{Action, Policy, ignores};
pub use sys::signal::{Signal, Signals};
pub use sys::terminal::Size;

use plan::Rejected;
use pump::{Flow, Pump};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{WaitId, WaitIdOptions};
use std::time::Instant;
use sys::signal;
use sys::{Error, Result};

/// What to watch. Without a terminal the container has the caller's own stdio, and there is nothing to copy.
pub struct Container<'a> {
    /// Of the init process: a child of ours that sends SIGCHLD when it ends. It should lead a session of its own, or
    /// the kernel gives it the user's Ctrl-C a second time.
    pub pidfd: BorrowedFd<'a>,
    pub terminal: Option<Terminal<'a>>,
    /// `--sig-proxy`
    pub forward_signals: bool,
    pub beside: Option<Beside<'a>>,
}

/// Something of the caller's own, to be seen to whenever it can be read.
pub struct Beside<'a> {
    pub fd: BorrowedFd<'a>,
    pub act: &'a mut dyn FnMut(),
}

/// The container's pty, and the caller's end of it.
pub struct Terminal<'a> {
    /// Becomes non-blocking. Taken, and so hung up, when the caller's end has gone.
    pub master: &'a mut Option<OwnedFd>,
    /// None without `-i`. If it is a terminal, it is in raw mode while this is supervised.
    pub stdin: Option<BorrowedFd<'a>>,
    pub stdout: BorrowedFd<'a>,
    /// The container's end leaves newlines as they are, and the caller's terminal, if it is one, goes on as it did: a
    /// file gets what was written.
    pub plain: bool,
    pub detach_keys: DetachKeys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(Signal),
    /// The user typed the detach keys: the container runs on and is not reaped.
    Detached,
    /// Signals are not forwarded, and this one was for us: the container runs on and is not reaped.
    Interrupted(Signal),
}

/// What the user may want to be told.
#[derive(Debug)]
pub enum Event {
    /// SIGINT or SIGTERM was passed on, but pid 1 of the container ignores it. A second one kills.
    Ignored(Signal),
    /// It was the second one: SIGKILL follows.
    Killing(Signal),
    /// The kernel refused to pass it on.
    Undelivered(Signal, Error),
    /// The caller's end is gone or full, so the container's terminal was hung up, as a closed window does it.
    HungUp(Error),
}

/// docker's rule for `-i -t`.
///
/// # Errors
/// There is no terminal to read from.
pub fn check_input(tty: bool, interactive: bool, stdin: impl AsFd) -> std::result::Result<(), Rejected> {
    if tty && interactive && !sys::terminal::is_terminal(stdin) {
        let rejected = Rejected::new("cannot attach to standard input", "the input device is not a TTY");
        return Err(rejected.hint("leave out -t to feed it from a pipe or a file"));
    }
    Ok(())
}

/// Returns when the container's init has ended, and then reaps it, or when the user has left.
///
/// # Errors
/// A call failed that should not. The container may still run: the caller's undo ends it. The user's terminal has its
/// mode back, as after every return.
pub fn supervise(container: Container<'_>, signals: &Signals, tell: &mut dyn FnMut(Event)) -> Result<Exit> {
    let Container { pidfd, terminal, forward_signals, mut beside } = container;
    let mut pump = terminal.map(Pump::new).transpose()?;
    let mut policy = Policy::new(forward_signals);
    let mut running = true;
    loop {
        if !running && pump.as_mut().is_none_or(Pump::drained) {
            return reap(pidfd);
        }
        let other = beside.as_ref().map(|beside| beside.fd);
        let ready = wait(signals, running.then_some(pidfd), other, pump.as_ref())?;
        if ready.contains(&Source::Signals) {
            while let Some(signal) = signals.next()? {
                if let Some(pump) = &mut pump {
                    pump.signalled(signal)?;
                }
                match policy.decide(signal, Instant::now()) {
                    // The container has ended, and its last words have nowhere to go.
                    Action::Stop | Action::Kill | Action::Leave if !running => return reap(pidfd),
                    Action::Leave => return Ok(Exit::Interrupted(signal)),
                    action => act(action, signal, pidfd, tell)?,
                }
            }
        }
        // Before the exit: it may be the last word.
        if let Some(beside) = beside.as_mut().filter(|_| ready.contains(&Source::Beside)) {
            (beside.act)();
        }
        if ready.contains(&Source::Exit) {
            running = false;
        }
        if let Some(pump) = &mut pump {
            match pump.advance(&ready, running)? {
                Flow::Open => {}
                Flow::Detached => return Ok(Exit::Detached),
                Flow::Broken(error) => tell(Event::HungUp(error)),
            }
        }
    }
}

fn act(action: Action, signal: Signal, pidfd: BorrowedFd<'_>, tell: &mut dyn FnMut(Event)) -> Result<()> {
    match action {
        Action::Drop | Action::Leave => {}
        Action::Pass => pass(signal, pidfd, tell),
        Action::Stop => {
            // Looked up before it is sent: afterwards the process may be gone.
            let ignored = stop::ignores(pidfd, signal);
            pass(signal, pidfd, tell);
            if ignored {
                tell(Event::Ignored(signal));
            }
        }
        Action::Kill => {
            tell(Event::Killing(signal));
            send(pidfd, Signal::KILL)?;
        }
    }
    Ok(())
}

/// A signal that cannot be passed on (init has become another user) is the user's to know, not our end.
fn pass(signal: Signal, pidfd: BorrowedFd<'_>, tell: &mut dyn FnMut(Event)) {
    if let Err(error) = send(pidfd, signal) {
        tell(Event::Undelivered(signal, error));
    }
}

fn send(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<()> {
    match signal::send(pidfd, signal) {
        // Already ended: poll will say so next.
        Err(error) if error.errno == Errno::SRCH => Ok(()),
        result => result,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Exit,
    Beside,
    Stdin,
    MasterIn,
    MasterOut,
    Stdout,
}

/// What poll watches in one round; never two sources with one meaning.
type Watched<'a> = Vec<(Source, PollFd<'a>)>;

/// Sleeps until something is ready. An error or a hang-up counts as ready: the read or write that follows tells it.
fn wait(
    signals: &Signals,
    pidfd: Option<BorrowedFd<'_>>,
    beside: Option<BorrowedFd<'_>>,
    pump: Option<&Pump<'_>>,
) -> Result<Vec<Source>> {
    let mut watched: Watched<'_> = vec![(Source::Signals, PollFd::new(signals, PollFlags::IN))];
    let read = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    watched.extend(pidfd.map(|fd| (Source::Exit, read(fd))));
    watched.extend(beside.map(|fd| (Source::Beside, read(fd))));
    if let Some(pump) = pump {
        pump.watch(&mut watched);
    }
    let (sources, mut fds): (Vec<_>, Vec<_>) = watched.into_iter().unzip();
    retry_on_intr(|| rustix::event::poll(&mut fds, None)).map_err(Error::of(|| "poll(…, -1)".to_owned()))?;
    let ready = sources.into_iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|(source, _)| source).collect())
}

/// Its exit is known from the pidfd, so this does not block.
fn reap(pidfd: BorrowedFd<'_>) -> Result<Exit> {
    let status = retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED));
    let status = status.map_err(Error::of(|| "waitid(P_PIDFD, …, WEXITED)".to_owned()))?;
    let signal = status.as_ref().and_then(|status| status.terminating_signal()).and_then(Signal::from_raw);
    let code = status.as_ref().and_then(|status| status.exit_status());
    match (signal, code) {
        (Some(signal), _) => Ok(Exit::Signal(signal)),
        (_, Some(code)) => Ok(Exit::Code(code)),
        // WEXITED reports nothing else (waitid(2)).
        (None, None) => Err(Error::new("waitid(P_PIDFD, …, WEXITED)", Errno::CHILD)),
    }
}
