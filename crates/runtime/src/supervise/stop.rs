//! What a signal to us means for the container.
//!
//! Invariant: a second SIGINT or SIGTERM always kills: pid 1 of a pid namespace ignores what it has no handler for
//! (pid_namespaces(7)), so that the first may do nothing at all.

use rustix::fd::{AsRawFd, BorrowedFd};
use std::fs;
use std::time::{Duration, Instant};
use sys::signal::Signal;

/// Two within this time are one wish: timeout(1) and some shells send to the process and again to its group.
const ECHO: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Not for the container.
    Drop,
    Pass,
    /// Pass on: the first wish to stop.
    Stop,
    Kill,
    /// It is for us.
    Leave,
}

pub struct Policy {
    forward: bool,
    asked: Option<Instant>,
}

impl Policy {
    pub fn new(forward: bool) -> Self {
        Self { forward, asked: None }
    }

    pub fn decide(&mut self, signal: Signal, now: Instant) -> Action {
        match signal {
            // The pty tells the container of its window itself.
            Signal::WINCH => Action::Drop,
            Signal::CONT | Signal::TSTP | Signal::URG if !self.forward => Action::Drop,
            _ if !self.forward => Action::Leave,
            Signal::INT | Signal::TERM => match self.asked {
                None => {
                    self.asked = Some(now);
                    Action::Stop
                }
                Some(first) if now.duration_since(first) < ECHO => Action::Pass,
                Some(_) => Action::Kill,
            },
            _ => Action::Pass,
        }
    }
}

/// Whether the process would do nothing on `signal`: it ignores it, or is pid 1 and has neither a handler nor, waiting
/// in sigwait(3) or on a signalfd as inits do, blocked it. False if `/proc` does not tell.
pub fn ignores(pidfd: BorrowedFd<'_>, signal: Signal) -> bool {
    let read = |path: String| fs::read_to_string(path).ok();
    let fields = read(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()));
    let status = fields.and_then(|fields| read(format!("/proc/{}/status", field(&fields, "Pid:")?)));
    let Some(status) = status else { return false };
    let has = |set| {
        let mask = field(&status, set).and_then(|mask| u64::from_str_radix(mask, 16).ok());
        mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
    };
    let is_init = field(&status, "NSpid:").and_then(|pids| pids.split_whitespace().last()) == Some("1");
    has("SigIgn:") || is_init && !has("SigCgt:") && !has("SigBlk:")
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_wish_to_stop_kills() {
        let mut policy = Policy::new(true);
        let start = Instant::now();
        let later = start + ECHO;
        assert_eq!(policy.decide(Signal::USR1, start), Action::Pass);
        assert_eq!(policy.decide(Signal::TERM, start), Action::Stop);
        assert_eq!(policy.decide(Signal::TERM, start + ECHO / 2), Action::Pass);
        assert_eq!(policy.decide(Signal::HUP, later), Action::Pass);
        assert_eq!(policy.decide(Signal::WINCH, later), Action::Drop);
        assert_eq!(policy.decide(Signal::INT, later), Action::Kill);
        assert_eq!(policy.decide(Signal::INT, later), Action::Kill);
    }

    #[test]
    fn unforwarded_signals_are_for_us() {
        let mut policy = Policy::new(false);
        assert_eq!(policy.decide(Signal::TERM, Instant::now()), Action::Leave);
        assert_eq!(policy.decide(Signal::CONT, Instant::now()), Action::Drop);
        assert_eq!(policy.decide(Signal::WINCH, Instant::now()), Action::Drop);
    }
}
