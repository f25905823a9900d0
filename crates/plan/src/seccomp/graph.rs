//! The decisions of a filter, before they are instructions.
//!
//! Invariant: a node's successors have smaller ids, so the graph has no cycles and is assembled from its end.

use super::rule::Verdict;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(pub(super) usize);

/// Offset of a 32-bit word in `struct seccomp_data` (linux/seccomp.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u32);

impl Word {
    pub(super) const NUMBER: Self = Self(0);
    pub(super) const ARCH: Self = Self(4);

    /// All our architectures are little endian.
    pub(super) fn low(arg: u8) -> Self {
        Self(16 + 8 * u32::from(arg))
    }

    pub(super) fn high(arg: u8) -> Self {
        Self(Self::low(arg).0 + 4)
    }
}

/// Where a range begins and what is decided there; it ends before the next one begins.
pub(super) type Range<T> = (T, NodeId);

pub(super) enum Node {
    Return(Verdict),
    /// By the range in which the word lies: at least two, the first begins at 0, neighbours differ.
    Ranges {
        word: Word,
        ranges: Vec<Range<u32>>,
    },
    /// By `word & mask == value`.
    Masked {
        word: Word,
        mask: u32,
        value: u32,
        hit: NodeId,
        miss: NodeId,
    },
}

#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// The same verdict is the same node, so that ranges can be joined.
    pub(super) fn verdict(&mut self, verdict: Verdict) -> NodeId {
        let known = self.nodes.iter().position(|node| matches!(node, Node::Return(other) if *other == verdict));
        known.map_or_else(|| self.add(Node::Return(verdict)), NodeId)
    }

    /// `ranges` ascends from 0; of several with one beginning the last counts.
    pub(super) fn ranges(&mut self, word: Word, ranges: impl IntoIterator<Item = Range<u32>>) -> NodeId {
        let ranges = joined(ranges);
        match ranges.as_slice() {
            [(_, only)] => *only,
            _ => self.add(Node::Ranges { word, ranges }),
        }
    }

    /// The same for a 64-bit argument: first by its high word, then, where that does not decide, by its low word.
    pub(super) fn wide_ranges(&mut self, arg: u8, ranges: impl IntoIterator<Item = Range<u64>>) -> NodeId {
        let ranges = joined(ranges);
        let mut by_high = Vec::new();
        let mut before = ranges[0].1;
        for same_high in ranges.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32) {
            let high = (same_high[0].0 >> 32) as u32;
            let lows = same_high.iter().map(|(start, node)| (*start as u32, *node));
            let by_low = self.ranges(Word::low(arg), std::iter::once((0, before)).chain(lows));
            before = same_high[same_high.len() - 1].1;
            by_high.push((high, by_low));
            by_high.extend(high.checked_add(1).map(|next| (next, before)));
        }
        self.ranges(Word::high(arg), by_high)
    }

    pub(super) fn masked(&mut self, word: Word, mask: u32, value: u32, hit: NodeId, miss: NodeId) -> NodeId {
        if mask == 0 { hit } else { self.add(Node::Masked { word, mask, value, hit, miss }) }
    }
}

fn joined<T: PartialEq>(ranges: impl IntoIterator<Item = Range<T>>) -> Vec<Range<T>> {
    let mut joined: Vec<Range<T>> = Vec::new();
    for (start, node) in ranges {
        joined.pop_if(|(last, _)| *last == start);
        if joined.last().is_none_or(|(_, last)| *last != node) {
            joined.push((start, node));
        }
    }
    joined
}
