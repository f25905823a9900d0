//! A step that fails, or at which sampan or the container dies, on demand: how the unwind test proves that nothing is
//! left of a container wherever its start breaks off.
//!
//! `SAMPAN_FAULT=fail:7` in the environment of a debug build; a release build has none of it. The number is that of the
//! error's `step 7/31`. Must not do anything that the step itself, the kernel or a `kill -9` could not do.

use crate::error::Result;
use plan::step::Plan;
use rustix::io::Errno;
use rustix::process::Signal;
use sys::child;

/// What the environment asks for.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    kind: Kind,
    step: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The step reports an error after it was done.
    Fail,
    /// `kill -9` of sampan.
    KillBefore,
    KillAfter,
    /// The container's first process ends without a word after its step; at a step of sampan's nothing happens.
    Die,
}

impl Fault {
    #[must_use]
    pub fn asked() -> Option<Self> {
        let text = std::env::var("SAMPAN_FAULT").ok()?;
        let (kind, step) = text.split_once(':')?;
        let kind = match kind {
            "fail" => Kind::Fail,
            "kill-before" => Kind::KillBefore,
            "kill-after" => Kind::KillAfter,
            "die" => Kind::Die,
            _ => return None,
        };
        Some(Self { kind, step: step.parse().ok()? })
    }

    /// In the parent, before its step.
    pub(crate) fn before(self, step: usize) {
        if self.kind == Kind::KillBefore && self.step == step {
            kill_self();
        }
    }

    /// In the parent, after its step.
    pub(crate) fn after(self, step: usize) -> Result<()> {
        if self.kind == Kind::KillAfter && self.step == step {
            kill_self();
        }
        self.fail(step)
    }

    pub(crate) fn fail(self, step: usize) -> Result<()> {
        if self.kind == Kind::Fail && self.step == step {
            return Err(sys::Error::new("SAMPAN_FAULT", Errno::IO).into());
        }
        Ok(())
    }

    /// The child's part of it. It cannot kill sampan, which it does not see; it stops and lets that kill itself.
    pub(crate) fn of_child(self, plan: &Plan) -> Option<child::Fault> {
        let step = self.step.checked_sub(plan.prepare.len() + 1 + plan.attach.len() + 1)? as u16;
        Some(match self.kind {
            Kind::Fail => child::Fault::Fail { step },
            Kind::KillBefore => child::Fault::HaltBefore { step },
            Kind::KillAfter => child::Fault::HaltAfter { step },
            Kind::Die => child::Fault::Die { step },
        })
    }
}

/// As `kill -9` does it: no destructor, no handler.
pub(crate) fn kill_self() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
}
