//! One filter for all ABIs of a profile.

use super::abi::{Abi, Arch, X32_BIT, is_foreign};
use super::graph::{Graph, NodeId, Range, Word};
use super::rule::{Rules, Verdict, rejected};
use super::{Program, assemble, decide};
use crate::Rejected;
use spec::runtime::Seccomp;

/// `BPF_MAXINSNS` of linux/bpf_common.h.
const MAX_INSTRUCTIONS: usize = 4096;

/// What a syscall through an ABI that the profile does not list gets, as from libseccomp.
const BAD_ARCH: Verdict = Verdict::KILL_THREAD;

/// The filter that enforces `profile` on a host of `host_arch`. The host's own ABI is always filtered, others only if
/// `architectures` lists them.
///
/// # Errors
/// A word of the profile that neither the runtime-spec nor the kernel knows, and a profile too large for the kernel.
pub fn compile(profile: &Seccomp, host_arch: Arch) -> Result<Program, Rejected> {
    let rules = Rules::parse(profile)?;
    let abis = abis(&profile.architectures, host_arch)?;
    let mut graph = Graph::default();
    let entry = by_arch(&mut graph, &rules, &abis);
    let instructions = assemble::assemble(&graph, entry);
    if instructions.len() > MAX_INSTRUCTIONS {
        let why = format!("it takes {} instructions and the kernel allows {MAX_INSTRUCTIONS}", instructions.len());
        return Err(rejected(why));
    }
    Ok(Program { instructions, flags: rules.flags })
}

/// The host's own first.
fn abis(names: &[String], host_arch: Arch) -> Result<Vec<Abi>, Rejected> {
    let mut abis = vec![host_arch.native()];
    for name in names {
        match Abi::from_name(name) {
            Some(abi) if abis.contains(&abi) => {}
            Some(abi) if host_arch.compat().contains(&abi) => abis.push(abi),
            // Of another machine: there can be no such call here.
            Some(_) => {}
            None if is_foreign(name) => {}
            None => return Err(rejected(format!("there is no architecture {name:?}"))),
        }
    }
    Ok(abis)
}

fn by_arch(graph: &mut Graph, rules: &Rules, abis: &[Abi]) -> NodeId {
    let bad = graph.verdict(BAD_ARCH);
    let mut archs: Vec<Range<u32>> = Vec::new();
    for abi in abis.iter().filter(|abi| **abi != Abi::X32) {
        let mut numbers = decide::by_number(graph, rules, *abi);
        if *abi == Abi::X86_64 {
            numbers.extend(x32(graph, rules, abis.contains(&Abi::X32)));
        }
        archs.push((abi.audit(), graph.ranges(Word::NUMBER, numbers)));
    }
    archs.sort_unstable_by_key(|(audit, _)| *audit);
    let around = archs.into_iter().flat_map(|(audit, node)| [(audit, node), (audit + 1, bad)]);
    graph.ranges(Word::ARCH, std::iter::once((0, bad)).chain(around))
}

/// The upper half of x86_64's numbers.
fn x32(graph: &mut Graph, rules: &Rules, listed: bool) -> Vec<Range<u32>> {
    if listed {
        return decide::by_number(graph, rules, Abi::X32);
    }
    // A tracer skips a call by making its number -1, and the filter sees that too (seccomp(2), since Linux 4.8).
    vec![(X32_BIT, graph.verdict(BAD_ARCH)), (u32::MAX, graph.verdict(rules.default))]
}
