//! The loop between clone and exec.
//!
//! The parent compiles the container's set-up into a [`Program`] of plain data (C strings, fds, BPF bytes); the child
//! runs it with raw syscalls only. Invariant: after the clone nothing here allocates, locks, logs or unwinds, so that
//! the loop is sound in a copy of any process. On failure the child sends the number of the operation, the syscall and
//! the errno, and exits; the parent, which holds the same list, writes the message.
//!
//! This is the only room with raw fds: they are the numbers that the clone copied.

#[cfg(debug_assertions)]
mod fault;
mod op;
mod run;
mod trace;

#[cfg(debug_assertions)]
pub use fault::Fault;
pub use op::{
    Attributes, Console, Destination, Exec, Flags, Hook, Listener, Mount, Op, Place, Scheduler, Slot, Source, Strings,
    Target,
};
pub use run::{REAPER, reap, run};
pub use trace::{Trace, now};

use std::os::fd::RawFd;

/// What the child does, in order, and then executes.
#[derive(Debug)]
pub struct Program<'a> {
    /// Each operation with the number of the step it belongs to.
    pub ops: Vec<(u16, Op)>,
    pub exec: Exec,
    /// The child's end of the sync socket (`runtime::sync` has the protocol).
    pub sync: RawFd,
    /// Closed first: the parent's end of the sync socket, whose end of file says that the parent is gone, and its
    /// journal, whose lock says that it lives.
    pub parents: [RawFd; 2],
    /// SIGKILL for the child when its parent dies, so that a `kill -9` of sampan ends a foreground container.
    pub die_with_parent: bool,
    /// So many of the caller's files after standard error go on to the container.
    pub passed: u32,
    pub trace: &'a Trace,
    /// For tests of the undoing.
    #[cfg(debug_assertions)]
    pub fault: Option<Fault>,
}

/// One message of the child. Native byte order: both ends are the same binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Report {
    pub kind: u16,
    /// Step that failed; `EXEC` for the exec itself.
    pub step: u16,
    /// Number of the syscall that failed.
    pub call: u32,
    pub errno: i32,
}

impl Report {
    pub const SIZE: usize = 12;
    /// A step failed; the child is gone.
    pub const FAILED: u16 = 1;
    /// Every step is done; the next thing is to wait for the start, if the program does, and the exec.
    pub const READY: u16 = 2;
    /// The container's terminal: its fd is in the message.
    pub const CONSOLE: u16 = 3;
    /// The child goes no further: a fault that a test asked for.
    #[cfg(debug_assertions)]
    pub const HALTED: u16 = 4;
    /// All is there but the change of the root: what the parent waits for to run its hooks.
    pub const HOOKS: u16 = 5;
    /// The filter's listener: `call` is its number in the child, if it is not in the message.
    pub const LISTENER: u16 = 6;
    /// A tree of which the parent shall shift the ids: its fd is in the message; `step` is its mount's.
    pub const SHIFT: u16 = 7;
    /// `call` of a hook that did not end well; `errno` is its status as wait(2) has it.
    pub const ENDED: u32 = u32::MAX;
    /// `step` of a pid 1 that could not become the reaper.
    pub const REAPER: u16 = u16::MAX - 1;
    /// `step` of a failed exec.
    pub const EXEC: u16 = u16::MAX;

    #[must_use]
    pub fn bytes(self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        out[0..2].copy_from_slice(&self.kind.to_ne_bytes());
        out[2..4].copy_from_slice(&self.step.to_ne_bytes());
        out[4..8].copy_from_slice(&self.call.to_ne_bytes());
        out[8..12].copy_from_slice(&self.errno.to_ne_bytes());
        out
    }

    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
        if bytes.len() != Self::SIZE {
            return None;
        }
        Some(Self {
            kind: half(0)?,
            step: half(2)?,
            call: u32::from_ne_bytes(word(4)?),
            errno: i32::from_ne_bytes(word(8)?),
        })
    }

    /// The failed call by name, for the parent's message.
    #[must_use]
    pub fn call_name(self) -> &'static str {
        run::call_name(i64::from(self.call))
    }
}
