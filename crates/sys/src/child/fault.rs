//! The child's part of a fault that a test asked for. Debug builds only.

use super::{Report, run};
use libc::c_long;
use std::os::fd::RawFd;

/// At which step the child stumbles. A step without operations of its own is met with the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Report `EIO` after the step.
    Fail {
        step: u16,
    },
    /// Say `HALTED` and go no further.
    HaltBefore {
        step: u16,
    },
    HaltAfter {
        step: u16,
    },
    /// Exit without a word after the step.
    Die {
        step: u16,
    },
}

impl Fault {
    pub(super) fn before(self, sync: RawFd, step: u16) {
        if matches!(self, Self::HaltBefore { step: at } if step >= at) {
            halt(sync);
        }
    }

    /// `next`: the step of the next operation.
    pub(super) fn after(self, sync: RawFd, next: Option<u16>) -> Result<(), (c_long, i32)> {
        let done = |at: u16| next.is_none_or(|next| next > at);
        match self {
            Self::Fail { step } if done(step) => return Err((0, libc::EIO)),
            Self::HaltAfter { step } if done(step) => halt(sync),
            // Not by SIGKILL: pid 1 of a namespace is deaf to its own (pid_namespaces(7)).
            // SAFETY: ends this process.
            Self::Die { step } if done(step) => unsafe { libc::_exit(137) },
            _ => {}
        }
        Ok(())
    }
}

fn halt(sync: RawFd) {
    run::send(sync, Report { kind: Report::HALTED, step: 0, call: 0, errno: 0 });
    loop {
        // SAFETY: no argument.
        unsafe { libc::pause() };
    }
}
