//! The kernel's calls, and the only unsafe code.
//!
//! Invariant: every error prints the call with its arguments and the errno's name. Raw fds only in [`child`].
//! Must not: hold policy, call NSS, start threads.

pub mod bpf;
pub mod cgroup;
pub mod child;
pub mod copy;
pub mod entry;
pub mod mark;
pub mod mount;
pub mod netlink;
pub mod nft;
pub mod process;
pub mod quota;
pub mod signal;
pub mod terminal;
pub mod tree;

mod error;
pub use error::{Error, Result, errno_name, errno_words, remedy};
