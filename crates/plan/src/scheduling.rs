//! What the kernel's schedulers shall make of the process, and which kernel it sees: names to numbers.

use crate::Rejected;
use spec::runtime::{IoPriority, Personality, Scheduler};

/// linux/sched.h, by number.
const POLICIES: [&str; 7] =
    ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];
/// By bit.
const FLAGS: [&str; 7] = [
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];
/// linux/ioprio.h, by number.
const CLASSES: [&str; 4] = ["IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
const CLASS_SHIFT: u32 = 13;
/// linux/personality.h.
const PER_LINUX32: u64 = 8;

/// What sched_setattr(2) takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, as the two that follow.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

fn number(what: &str, name: &str, names: &[&str]) -> Result<u32, Rejected> {
    let found = names.iter().position(|known| *known == name);
    found.map(|at| at as u32).ok_or_else(|| {
        Rejected::new(format!("cannot set the {what} {name:?}"), "there is no such").hint(names.join(", "))
    })
}

/// # Errors
/// A policy or flag that there is not.
pub(crate) fn scheduler(asked: &Scheduler) -> Result<Attributes, Rejected> {
    let flag = |flags: u64, name: &String| Ok::<_, Rejected>(flags | 1 << number("scheduler flag", name, &FLAGS)?);
    Ok(Attributes {
        policy: number("scheduler policy", &asked.policy, &POLICIES)?,
        flags: asked.flags.iter().try_fold(0, flag)?,
        nice: asked.nice,
        priority: asked.priority,
        runtime: asked.runtime,
        deadline: asked.deadline,
        period: asked.period,
    })
}

/// As ioprio_set(2) takes it.
///
/// # Errors
/// A class that there is not, a priority that is none.
pub(crate) fn io_priority(asked: &IoPriority) -> Result<u32, Rejected> {
    let class = number("I/O priority class", &asked.class, &CLASSES)?;
    match asked.priority {
        priority @ 0..=7 => Ok(class << CLASS_SHIFT | priority),
        other => Err(Rejected::new(format!("cannot set the I/O priority {other}"), "the range is from 0 to 7")),
    }
}

/// As personality(2) takes it.
///
/// # Errors
/// A domain that there is not; a flag, of which the spec has none.
pub(crate) fn personality(asked: &Personality) -> Result<u64, Rejected> {
    let refused = |what: String| Err(Rejected::new(what, "there is no such").hint("LINUX or LINUX32, and no flags"));
    match (asked.domain.as_str(), asked.flags.first()) {
        (_, Some(flag)) => refused(format!("cannot set the personality flag {flag:?}")),
        ("LINUX", None) => Ok(0),
        ("LINUX32", None) => Ok(PER_LINUX32),
        (other, None) => refused(format!("cannot set the personality {other:?}")),
    }
}
