//! What a profile means, said as plainly as possible: no program, only the question what one call gets.

use super::abi::Abi;
use super::bpf::Call;
use super::libseccomp::{action, alternatives};
use spec::runtime::{Seccomp, SyscallArg};
use std::cmp::Reverse;

const NO: u32 = u32::MAX;

/// A call for random profiles: name, numbers on x86_64, x86, x32, aarch64, arm, and what i386 multiplexes it by.
type Pooled = (&'static str, [u32; 5], Option<(u32, u64)>);

pub const POOL: [Pooled; 17] = [
    ("accept", [43, NO, 43, 202, 285], Some((102, 5))),
    ("accept4", [288, 364, 288, 242, 366], Some((102, 18))),
    ("cacheflush", [NO, NO, NO, NO, 983_042], None),
    ("clone", [56, 120, 56, 220, 120], None),
    ("clone3", [435, 435, 435, 435, 435], None),
    ("execve", [59, 11, 520, 221, 11], None),
    ("frobnicate", [NO, NO, NO, NO, NO], None),
    ("ipc", [NO, 117, NO, NO, NO], None),
    ("mmap2", [NO, 192, NO, NO, 192], None),
    ("open", [2, 5, 2, NO, 5], None),
    ("openat", [257, 295, 257, 56, 322], None),
    ("ptrace", [101, 26, 521, 117, 26], None),
    ("read", [0, 3, 0, 63, 3], None),
    ("semget", [64, 393, 64, 190, 299], Some((117, 2))),
    ("semop", [65, NO, 65, 193, 298], Some((117, 1))),
    ("socket", [41, 359, 41, 198, 281], Some((102, 1))),
    ("socketcall", [NO, 102, NO, NO, NO], None),
];

pub fn verdict(profile: &Seccomp, native: Abi, call: &Call) -> u32 {
    let default = action(&profile.default_action, profile.default_errno_ret);
    let listed = profile.architectures.iter().map(|name| Abi::from_name(name));
    let Some(abi) = std::iter::once(native).chain(listed).find(|abi| abi.serves(call)) else {
        let skipped = native == Abi::X86_64 && call.arch == native.audit() && call.number == u32::MAX;
        return if skipped { default } else { 0 };
    };
    let lets_through = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&profile.default_action.as_str());
    let (matches, last) = matches(profile, abi, call);
    if !lets_through && last.is_some_and(|last| call.number > last) {
        return 0x0005_0026;
    }
    let always = matches.iter().find(|(conditions, _)| conditions.is_empty());
    let first = matches.iter().filter(|(conditions, _)| holds(conditions, call, abi));
    always.or_else(|| first.min_by_key(|(conditions, _)| precision(conditions))).map_or(default, |(_, action)| *action)
}

type Match = (Vec<SyscallArg>, u32);

/// The rules for the call's number, and the largest number that the profile names.
fn matches(profile: &Seccomp, abi: Abi, call: &Call) -> (Vec<Match>, Option<u32>) {
    let default = action(&profile.default_action, profile.default_errno_ret);
    let mut matches = Vec::new();
    let mut last = None;
    for rule in &profile.syscalls {
        let action = action(&rule.action, rule.errno_ret);
        for (name, conditions) in
            rule.names.iter().flat_map(|name| alternatives(&rule.args).into_iter().map(move |it| (name, it)))
        {
            for (number, first) in numbers(name, abi) {
                last = last.max(Some(number));
                if number == call.number && action != default {
                    matches.push((simplified(&conditions, first, abi), action));
                }
            }
        }
    }
    (matches, last)
}

/// The numbers that reach a call, with what the first argument then has to be.
fn numbers(name: &str, abi: Abi) -> Vec<(u32, Option<u64>)> {
    let (_, numbers, multiplexed) = POOL.iter().find(|(known, ..)| *known == name).unwrap();
    let direct = Some(numbers[abi as usize]).filter(|number| *number != NO);
    let x32 = if abi == Abi::X32 { 0x4000_0000 } else { 0 };
    let multiplexed = multiplexed.filter(|_| abi == Abi::X86).map(|(number, first)| (number, Some(first)));
    multiplexed.into_iter().chain(direct.map(|number| (number | x32, None))).collect()
}

fn width(abi: Abi) -> u64 {
    if abi.wide() { u64::MAX } else { 0xffff_ffff }
}

fn simplified(conditions: &[SyscallArg], first: Option<u64>, abi: Abi) -> Vec<SyscallArg> {
    let mut conditions = conditions.to_vec();
    if let Some(value) = first {
        conditions.retain(|condition| condition.index != 0);
        conditions.push(SyscallArg { index: 0, value, value_two: 0, op: "SCMP_CMP_EQ".into() });
    }
    conditions.retain(|condition| condition.op != "SCMP_CMP_MASKED_EQ" || condition.value & width(abi) != 0);
    conditions.sort_by_key(|condition| condition.index);
    for condition in &mut conditions {
        condition.value &= width(abi);
        condition.value_two &= condition.value;
    }
    conditions
}

fn holds(conditions: &[SyscallArg], call: &Call, abi: Abi) -> bool {
    conditions.iter().all(|condition| {
        let arg = call.args[condition.index as usize] & width(abi);
        match condition.op.as_str() {
            "SCMP_CMP_NE" => arg != condition.value,
            "SCMP_CMP_LT" => arg < condition.value,
            "SCMP_CMP_LE" => arg <= condition.value,
            "SCMP_CMP_EQ" => arg == condition.value,
            "SCMP_CMP_GE" => arg >= condition.value,
            "SCMP_CMP_GT" => arg > condition.value,
            "SCMP_CMP_MASKED_EQ" => arg & condition.value == condition.value_two,
            op => panic!("{op}"),
        }
    })
}

/// Later arguments first, then equalities, upper bounds from the lowest, lower bounds from the highest.
fn precision(conditions: &[SyscallArg]) -> Vec<(Reverse<u32>, u8, u64)> {
    let one = |condition: &SyscallArg| match condition.op.as_str() {
        "SCMP_CMP_LT" | "SCMP_CMP_LE" => (Reverse(condition.index), 1, condition.value),
        "SCMP_CMP_GT" | "SCMP_CMP_GE" => (Reverse(condition.index), 2, !condition.value),
        "SCMP_CMP_MASKED_EQ" => (Reverse(condition.index), 0, !condition.value_two),
        _ => (Reverse(condition.index), 0, !condition.value),
    };
    conditions.iter().map(one).collect()
}
