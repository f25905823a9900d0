//! From decisions to classic BPF.
//!
//! Invariant: jumps go forward, as the kernel demands, because the program is written from its end: the targets of an
//! instruction are already there when it is written. A conditional jump reaches 255 instructions; what is farther is
//! reached through a `ja`, or, if it is a return, repeated nearby.
//! Must not: decide anything.

use super::Instruction;
use super::graph::{Graph, Node, NodeId, Range, Word};
use super::rule::Verdict;

// linux/bpf_common.h
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// The most exceptions that are asked one by one: a step of the search halves what is left and costs one jump too.
const MAX_EXCEPTIONS: usize = 4;

pub(super) fn assemble(graph: &Graph, entry: NodeId) -> Vec<Instruction> {
    let mut assembler = Assembler { graph, reversed: Vec::new(), placed: vec![None; graph.len()], returns: Vec::new() };
    if let Target::Return(verdict) = assembler.node(entry) {
        assembler.push(RETURN, verdict.0);
    }
    assembler.reversed.reverse();
    assembler.reversed
}

#[derive(Debug, Clone, Copy)]
enum Target {
    /// An instruction, by its distance from the program's end.
    At(usize),
    Return(Verdict),
}

struct Assembler<'g> {
    graph: &'g Graph,
    reversed: Vec<Instruction>,
    /// Where a node's code begins, by node.
    placed: Vec<Option<Target>>,
    /// The latest return of each verdict.
    returns: Vec<(Verdict, usize)>,
}

impl Assembler<'_> {
    /// Writes the node's code, unless it is there already. Fresh code begins with the instruction written last.
    fn node(&mut self, id: NodeId) -> Target {
        if let Some(target) = self.placed[id.0] {
            return target;
        }
        let target = match self.graph.node(id) {
            Node::Return(verdict) => Target::Return(*verdict),
            Node::Ranges { word, ranges } => {
                self.search(&leaves(ranges));
                self.load(*word)
            }
            Node::Masked { word, mask, value, hit, miss } => {
                let hit = self.node(*hit);
                let miss = self.node(*miss);
                if *value == 0 {
                    self.branch(JUMP_SET, *mask, miss, hit);
                } else {
                    self.branch(JUMP_EQUAL, *value, hit, miss);
                    self.push(AND, *mask);
                }
                self.load(*word)
            }
        };
        self.placed[id.0] = Some(target);
        target
    }

    /// Binary search for the leaf in which the accumulator lies.
    fn search(&mut self, leaves: &[Leaf]) -> Target {
        if let [leaf] = leaves {
            let mut rest = self.node(leaf.node);
            for (value, node) in leaf.exceptions.iter().rev() {
                let exception = self.node(*node);
                rest = self.branch(JUMP_EQUAL, *value, exception, rest);
            }
            return rest;
        }
        let (lower, upper) = leaves.split_at(leaves.len() / 2);
        let start = upper[0].start;
        let upper = self.search(upper);
        let lower = self.search(lower);
        self.branch(JUMP_GREATER_OR_EQUAL, start, upper, lower)
    }

    fn load(&mut self, word: Word) -> Target {
        self.push(LOAD_WORD, word.0)
    }

    fn branch(&mut self, code: u16, k: u32, yes: Target, no: Target) -> Target {
        // Reaching `no` may put one more instruction between here and `yes`.
        let yes = self.within_reach(yes, 1);
        let no = self.within_reach(no, 0);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        self.write(Instruction { code, jt: jt as u8, jf: jf as u8, k })
    }

    /// Where to jump for `target` with an 8-bit offset, if `more` instructions are written before the jump is.
    fn within_reach(&mut self, target: Target, more: usize) -> usize {
        let reachable = |assembler: &Self, at: usize| assembler.distance(at) + more <= usize::from(u8::MAX);
        match target {
            Target::At(at) if reachable(self, at) => at,
            Target::At(at) => {
                let k = self.distance(at) as u32;
                self.write(Instruction { code: JUMP, jt: 0, jf: 0, k });
                self.reversed.len() - 1
            }
            Target::Return(verdict) => self.near_return(verdict, |assembler, at| reachable(assembler, at)),
        }
    }

    fn near_return(&mut self, verdict: Verdict, reachable: impl Fn(&Self, usize) -> bool) -> usize {
        let known = self.returns.iter().position(|(known, _)| *known == verdict);
        if let Some((_, at)) = known.map(|known| self.returns[known]).filter(|(_, at)| reachable(self, *at)) {
            return at;
        }
        let at = self.reversed.len();
        self.push(RETURN, verdict.0);
        match known {
            Some(known) => self.returns[known].1 = at,
            None => self.returns.push((verdict, at)),
        }
        at
    }

    /// The offset of a jump to `at` from the instruction that is written next.
    fn distance(&self, at: usize) -> usize {
        self.reversed.len() - 1 - at
    }

    fn push(&mut self, code: u16, k: u32) -> Target {
        self.write(Instruction { code, jt: 0, jf: 0, k })
    }

    fn write(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target::At(self.reversed.len() - 1)
    }
}

/// A stretch of values with one decision but for single values.
struct Leaf {
    start: u32,
    node: NodeId,
    exceptions: Vec<Range<u32>>,
}

/// Between two ranges of one decision, a range of one value is an exception: one comparison instead of two.
fn leaves(ranges: &[Range<u32>]) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::with_capacity(ranges.len());
    let mut rest = ranges;
    while let [(start, node), tail @ ..] = rest {
        let mut leaf = Leaf { start: *start, node: *node, exceptions: Vec::new() };
        let mut stretch = rest;
        rest = tail;
        while let [exception, after, tail @ ..] = rest
            && after.1 == leaf.node
            && after.0 == exception.0 + 1
        {
            if leaf.exceptions.len() == MAX_EXCEPTIONS {
                // The next leaf begins in the middle of the same stretch.
                rest = stretch;
                break;
            }
            leaf.exceptions.push(*exception);
            stretch = &rest[1..];
            rest = tail;
        }
        leaves.push(leaf);
    }
    leaves
}
