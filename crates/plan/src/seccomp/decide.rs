//! From rules to decisions: for one ABI, which verdict for which syscall number and arguments.
//!
//! Invariant: where rules overlap, the outcome is the one that libseccomp aims at. A rule with the default action is no
//! rule. The first rule without conditions is the only one that counts for its call. Of rules with conditions any may
//! match; those on later arguments are asked first, then equalities before upper before lower bounds, the narrower
//! bound first. (libseccomp 2.5 itself misses matches where it goes back from one rule to the next; we do not.)
//! Must not: write instructions.

use super::abi::{Abi, X32_BIT};
use super::graph::{Graph, NodeId, Range, Word};
use super::rule::{Condition, Operator, Rules, Verdict};
use std::cmp::Reverse;

/// One way to match a rule, on one ABI.
struct Match {
    /// By argument; none is tested twice.
    conditions: Vec<Condition>,
    verdict: Verdict,
}

/// The decisions on the syscall numbers of `abi`, ascending from its first number.
pub(super) fn by_number(graph: &mut Graph, rules: &Rules, abi: Abi) -> Vec<Range<u32>> {
    let default = graph.verdict(rules.default);
    let first = if abi == Abi::X32 { X32_BIT } else { 0 };
    let mut ranges = vec![(first, default)];
    let (mut matches, last) = matches(rules, abi);
    matches.sort_by_key(|(number, _)| *number);
    for same_call in matches.chunk_by_mut(|a, b| a.0 == b.0) {
        let number = same_call[0].0;
        ranges.push((number, call(graph, same_call, default, abi)));
        ranges.push((number + 1, default));
    }
    // Programs try a new call and go back to the old one on ENOSYS, not on EPERM. What is newer than anything that the
    // profile knows cannot be there on purpose.
    if let Some(last) = last.filter(|_| !rules.default.lets_through()) {
        let newer = graph.verdict(Verdict::NO_SUCH_CALL);
        ranges.push((last + 1, newer));
    }
    ranges
}

/// What the rules say of each number, in their order, and the largest number that the profile names.
fn matches(rules: &Rules, abi: Abi) -> (Vec<(u32, Match)>, Option<u32>) {
    let mut matches = Vec::with_capacity(512);
    let mut last = None;
    for rule in &rules.rules {
        let verdict = rule.verdict;
        let alternatives: Vec<_> = rule.alternatives.iter().map(|conditions| on_abi(conditions, abi)).collect();
        for call in &rule.calls {
            let number = call.number(abi);
            let multiplexed = call.multiplexed(abi);
            last = last.max(number).max(multiplexed.map(|(number, _)| number));
            if verdict == rules.default {
                continue;
            }
            for conditions in &alternatives {
                matches.extend(multiplexed.map(|(number, call)| {
                    let conditions = through_multiplexer(conditions, call);
                    (number, Match { conditions, verdict })
                }));
                matches.extend(number.map(|number| (number, Match { conditions: conditions.clone(), verdict })));
            }
        }
    }
    (matches, last)
}

/// The conditions as the ABI can test them, without those that always hold.
fn on_abi(conditions: &[Condition], abi: Abi) -> Vec<Condition> {
    let width = if abi.wide() { u64::MAX } else { u64::from(u32::MAX) };
    let narrow = |condition: &Condition| {
        let operator = match condition.operator {
            Operator::MaskedEqual { mask } if mask & width == width => Operator::Equal,
            Operator::MaskedEqual { mask } => Operator::MaskedEqual { mask: mask & width },
            operator => operator,
        };
        Condition { arg: condition.arg, operator, value: condition.value & width }
    };
    let mut conditions: Vec<Condition> = conditions.iter().map(narrow).collect();
    conditions.retain(|condition| condition.operator != Operator::MaskedEqual { mask: 0 });
    conditions.sort_by_key(|condition| condition.arg);
    conditions
}

/// The arguments proper are behind a pointer, where no filter can look; the first tells which call is meant.
fn through_multiplexer(conditions: &[Condition], call: u32) -> Vec<Condition> {
    let which = Condition { arg: 0, operator: Operator::Equal, value: u64::from(call) };
    std::iter::once(which).chain(conditions.iter().copied().filter(|condition| condition.arg != 0)).collect()
}

fn call(graph: &mut Graph, matches: &mut [(u32, Match)], default: NodeId, abi: Abi) -> NodeId {
    if let Some((_, always)) = matches.iter().find(|(_, one)| one.conditions.is_empty()) {
        return graph.verdict(always.verdict);
    }
    matches.sort_by_key(|(_, one)| one.conditions.iter().map(precision).collect::<Vec<_>>());
    let mut miss = default;
    for group in matches.chunk_by(|(_, a), (_, b)| bound(a).is_some() && bound(a) == bound(b)).rev() {
        miss = match bound(&group[0].1) {
            Some(arg) => bounds(graph, arg, group, miss, abi),
            None => conjunction(graph, &group[0].1, miss, abi),
        };
    }
    miss
}

/// Smaller is asked earlier.
fn precision(condition: &Condition) -> (Reverse<u8>, u8, u64) {
    let (class, order) = match condition.operator {
        Operator::Equal | Operator::NotEqual | Operator::MaskedEqual { .. } => (0, !condition.value),
        Operator::Less | Operator::LessOrEqual => (1, condition.value),
        Operator::Greater | Operator::GreaterOrEqual => (2, !condition.value),
    };
    (Reverse(condition.arg), class, order)
}

/// The argument, if it is the only one tested and is compared as a number.
fn bound(one: &Match) -> Option<u8> {
    match one.conditions.as_slice() {
        [Condition { operator: Operator::MaskedEqual { .. }, .. }] => None,
        [condition] => Some(condition.arg),
        _ => None,
    }
}

/// Several comparisons of one argument are one decision on its value.
fn bounds(graph: &mut Graph, arg: u8, group: &[(u32, Match)], miss: NodeId, abi: Abi) -> NodeId {
    let sets: Vec<(Verdict, Vec<(u64, bool)>)> =
        group.iter().map(|(_, one)| (one.verdict, values(&one.conditions[0], abi))).collect();
    let mut starts: Vec<u64> = sets.iter().flat_map(|(_, set)| set.iter().map(|(start, _)| *start)).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut ranges = Vec::with_capacity(starts.len());
    for start in starts {
        let verdict = sets.iter().find(|(_, set)| contains(set, start)).map(|(verdict, _)| *verdict);
        ranges.push((start, verdict.map_or(miss, |verdict| graph.verdict(verdict))));
    }
    argument(graph, arg, ranges, abi)
}

fn contains(set: &[(u64, bool)], value: u64) -> bool {
    set.iter().rev().find(|(start, _)| *start <= value).is_some_and(|(_, inside)| *inside)
}

/// The values for which the condition holds, as ranges that begin inside or outside of them.
fn values(condition: &Condition, abi: Abi) -> Vec<(u64, bool)> {
    let max = if abi.wide() { u64::MAX } else { u64::from(u32::MAX) };
    let value = condition.value;
    let after = value.checked_add(1).filter(|after| *after <= max);
    let (below, at, above) = match condition.operator {
        Operator::NotEqual => (true, false, true),
        Operator::Less => (true, false, false),
        Operator::LessOrEqual => (true, true, false),
        Operator::Equal | Operator::MaskedEqual { .. } => (false, true, false),
        Operator::GreaterOrEqual => (false, true, true),
        Operator::Greater => (false, false, true),
    };
    [(0, below), (value, at)].into_iter().chain(after.map(|after| (after, above))).collect()
}

fn conjunction(graph: &mut Graph, one: &Match, miss: NodeId, abi: Abi) -> NodeId {
    let mut hit = graph.verdict(one.verdict);
    for condition in one.conditions.iter().rev() {
        hit = match condition.operator {
            Operator::MaskedEqual { mask } => masked(graph, condition, mask, hit, miss),
            _ => {
                let pick = |(start, inside)| (start, if inside { hit } else { miss });
                argument(graph, condition.arg, values(condition, abi).into_iter().map(pick).collect(), abi)
            }
        };
    }
    hit
}

fn masked(graph: &mut Graph, condition: &Condition, mask: u64, hit: NodeId, miss: NodeId) -> NodeId {
    let value = condition.value;
    let low = graph.masked(Word::low(condition.arg), mask as u32, value as u32, hit, miss);
    graph.masked(Word::high(condition.arg), (mask >> 32) as u32, (value >> 32) as u32, low, miss)
}

fn argument(graph: &mut Graph, arg: u8, ranges: Vec<Range<u64>>, abi: Abi) -> NodeId {
    if abi.wide() {
        graph.wide_ranges(arg, ranges)
    } else {
        graph.ranges(Word::low(arg), ranges.into_iter().map(|(start, node)| (start as u32, node)))
    }
}
