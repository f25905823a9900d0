//! The profile's strings as types.
//!
//! Invariant: whatever could not be enforced as written is a [`Rejected`]; only syscall names that no ABI of ours has
//! are passed over, because profiles are written for newer and for other kernels too (as runc does).

use super::syscalls::{self, Call};
use crate::Rejected;
use spec::runtime::{Seccomp, SyscallArg, SyscallRule};

const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
pub(super) const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The kernel clamps larger ones (kernel/seccomp.c `MAX_ERRNO`), so the caller would see another than was asked for.
const MAX_ERRNO: u32 = 4095;

/// What a filter returns: `SECCOMP_RET_*` and its data, linux/seccomp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict(pub(super) u32);

impl Verdict {
    pub(super) const KILL_THREAD: Self = Self(0);
    pub(super) const NO_SUCH_CALL: Self = Self(Self::ERRNO | ENOSYS);

    const KILL_PROCESS: u32 = 0x8000_0000;
    const TRAP: u32 = 0x0003_0000;
    const ERRNO: u32 = 0x0005_0000;
    const NOTIFY: u32 = 0x7fc0_0000;
    const TRACE: u32 = 0x7ff0_0000;
    const LOG: u32 = 0x7ffc_0000;
    const ALLOW: u32 = 0x7fff_0000;

    fn parse(action: &str, errno: Option<u32>) -> Result<Self, Rejected> {
        let fixed = match action {
            "SCMP_ACT_ERRNO" => return Self::with_data(Self::ERRNO, errno, MAX_ERRNO),
            "SCMP_ACT_TRACE" => return Self::with_data(Self::TRACE, errno, u32::from(u16::MAX)),
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KILL_THREAD.0,
            "SCMP_ACT_KILL_PROCESS" => Self::KILL_PROCESS,
            "SCMP_ACT_TRAP" => Self::TRAP,
            "SCMP_ACT_NOTIFY" => Self::NOTIFY,
            "SCMP_ACT_LOG" => Self::LOG,
            "SCMP_ACT_ALLOW" => Self::ALLOW,
            _ => {
                return Err(rejected(format!("there is no action {action:?}"))
                    .hint("such as SCMP_ACT_ERRNO or SCMP_ACT_ALLOW; seccomp(2) explains them"));
            }
        };
        match errno {
            // config-linux.md: "the runtime MUST print and error and fail".
            Some(_) => Err(rejected(format!("{action} takes no errno"))),
            None => Ok(Self(fixed)),
        }
    }

    fn with_data(action: u32, errno: Option<u32>, max: u32) -> Result<Self, Rejected> {
        let errno = errno.unwrap_or(EPERM);
        if errno > max {
            return Err(rejected(format!("errno {errno} is larger than {max}")));
        }
        Ok(Self(action | errno))
    }

    fn is(self, action: u32) -> bool {
        self.0 & 0xffff_0000 == action
    }

    /// Whether the call may take place, so that the kernel itself says ENOSYS to what it does not know.
    pub(super) fn lets_through(self) -> bool {
        self.is(Self::ALLOW) || self.is(Self::LOG) || self.is(Self::TRACE)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    MaskedEqual { mask: u64 },
}

/// `argument[arg] op value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) arg: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
}

impl Condition {
    fn parse(arg: &SyscallArg) -> Result<Self, Rejected> {
        let index = u8::try_from(arg.index).ok().filter(|index| *index < 6);
        let index = index.ok_or_else(|| rejected(format!("a system call has no argument {}", arg.index)))?;
        let (operator, value) = match arg.op.as_str() {
            "SCMP_CMP_NE" => (Operator::NotEqual, arg.value),
            "SCMP_CMP_LT" => (Operator::Less, arg.value),
            "SCMP_CMP_LE" => (Operator::LessOrEqual, arg.value),
            "SCMP_CMP_EQ" => (Operator::Equal, arg.value),
            "SCMP_CMP_GE" => (Operator::GreaterOrEqual, arg.value),
            "SCMP_CMP_GT" => (Operator::Greater, arg.value),
            "SCMP_CMP_MASKED_EQ" => (Operator::MaskedEqual { mask: arg.value }, arg.value_two & arg.value),
            op => return Err(rejected(format!("there is no comparison {op:?}"))),
        };
        Ok(Self { arg: index, operator, value })
    }
}

/// One entry of `syscalls`.
pub(super) struct Rule {
    pub(super) calls: Vec<Call>,
    pub(super) verdict: Verdict,
    /// Matches if all conditions of one alternative hold; an empty alternative always holds.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

impl Rule {
    fn parse(rule: &SyscallRule) -> Result<Self, Rejected> {
        if rule.names.is_empty() {
            return Err(rejected("a rule names no system call"));
        }
        let verdict = Verdict::parse(&rule.action, rule.errno_ret)?;
        if verdict.is(Verdict::NOTIFY) && rule.names.iter().any(|name| name == "write") {
            return Err(rejected("SCMP_ACT_NOTIFY cannot be used for the write syscall")
                .hint("the runtime has to write the listener's descriptor after the filter is in force"));
        }
        let conditions = rule.args.iter().map(Condition::parse).collect::<Result<Vec<_>, _>>()?;
        let calls = rule.names.iter().filter_map(|name| syscalls::lookup(name)).collect();
        Ok(Self { calls, verdict, alternatives: alternatives(conditions) })
    }
}

/// All conditions have to hold, but where one argument has several, each condition by itself is enough: what runc made
/// of profiles before libseccomp could join conditions, and what they are written for.
fn alternatives(conditions: Vec<Condition>) -> Vec<Vec<Condition>> {
    let repeated = (0..6).any(|arg| conditions.iter().filter(|condition| condition.arg == arg).count() > 1);
    if repeated { conditions.into_iter().map(|condition| vec![condition]).collect() } else { vec![conditions] }
}

pub(super) struct Rules {
    pub(super) default: Verdict,
    pub(super) rules: Vec<Rule>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
}

impl Rules {
    pub(super) fn parse(profile: &Seccomp) -> Result<Self, Rejected> {
        let default = Verdict::parse(&profile.default_action, profile.default_errno_ret)?;
        if default.is(Verdict::NOTIFY) {
            return Err(rejected("SCMP_ACT_NOTIFY is no default action")
                .hint("the container could not start before the listener has answered it"));
        }
        let rules = profile.syscalls.iter().map(Rule::parse).collect::<Result<Vec<_>, _>>()?;
        let notifies = rules.iter().any(|rule| rule.verdict.is(Verdict::NOTIFY));
        if notifies && profile.listener_path.is_empty() {
            return Err(rejected("SCMP_ACT_NOTIFY needs a listenerPath"));
        }
        if profile.listener_path.is_empty() && !profile.listener_metadata.is_empty() {
            return Err(rejected("there is listenerMetadata, and no listenerPath"));
        }
        Ok(Self { default, rules, flags: flags(&profile.flags, notifies)? })
    }
}

fn flags(names: &[String], notifies: bool) -> Result<u32, Rejected> {
    let mut flags = if notifies { FLAG_NEW_LISTENER } else { 0 };
    for name in names {
        flags |= match name.as_str() {
            // The process that loads the filter has one thread.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => FLAG_SPEC_ALLOW,
            // EINVAL without a listener.
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if notifies => FLAG_WAIT_KILLABLE_RECV,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 0,
            _ => return Err(rejected(format!("there is no flag {name:?}"))),
        };
    }
    Ok(flags)
}

pub(super) fn rejected(why: impl Into<String>) -> Rejected {
    Rejected::new("cannot enforce the seccomp profile", why)
}
