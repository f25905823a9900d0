//! Mechanism: observes the host, applies steps, watches the container, undoes.
//!
//! Invariant: the only place where plan's steps meet sys's calls. Nothing else changes the host.

pub mod apply;
pub mod observe;
pub mod supervise;
