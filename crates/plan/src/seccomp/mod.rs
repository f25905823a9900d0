//! Seccomp: from the OCI profile to the classic BPF program that the kernel loads.
//!
//! Invariant: a program gives the verdicts that runc and libseccomp give for the same profile (a differential test
//! holds it to that). Decisions on the syscall number alone use only loads of `nr` and `arch`, jumps and returns, so
//! that the kernel can answer them from its per-filter bitmap without running the program (Linux 5.11).
//! Must not: know the host's kernel; which calls exist is the table in `syscalls`, which the profile allows is policy.
//!
//! The way of a profile: [`profile`] gives the built-in one and [`file`] reads a user's; `rule` turns its strings into
//! types and rejects what cannot be enforced; `decide` finds, for each ABI, one decision for each range of syscall
//! numbers; `assemble` writes the decisions down as instructions.

mod abi;
mod assemble;
mod compile;
mod decide;
mod file;
mod graph;
mod profile;
mod rule;
mod syscalls;

pub use abi::Arch;
pub use compile::compile;
pub use file::parse;
pub use profile::default_profile;

/// One instruction of classic BPF, `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// What seccomp(2) `SECCOMP_SET_MODE_FILTER` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub instructions: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

impl Program {
    /// Whether loading yields a file descriptor, which has to be sent to the profile's `listenerPath`.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.flags & rule::FLAG_NEW_LISTENER != 0
    }
}
