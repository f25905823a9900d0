//! The pure heart: from a request and the observed host to a list of typed steps.
//!
//! Invariant: a function of plain values; the same input gives the same plan, byte for byte. Everything that can be
//! wrong with a request is a [`Rejected`] here, before anything was touched.
//! Must not: look at clock, environment, files, network, processes or chance (a tidy test greps for it).

pub mod affinity;
pub mod capability;
pub mod cgroup;
pub mod checkpoint;
pub mod host;
pub mod ids;
pub mod invalid;
pub mod join;
mod label;
mod list;
pub mod memory;
pub mod mounts;
pub mod network;
pub mod notify;
pub mod order;
pub mod overlay;
pub mod scheduling;
pub mod script;
pub mod seccomp;
pub mod secrets;
pub mod shared_mounts;
pub mod shell;
pub mod step;
pub mod sysctl;
mod time;
pub mod undo;
mod unsupported;
pub mod volumes;

mod rejected;
pub use order::{Bundle, Input, Rootfs, plan};
pub use rejected::Rejected;
pub use step::Plan;
