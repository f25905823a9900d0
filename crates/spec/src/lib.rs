//! The field's nouns, as plain values. Parsing is validation: a value of one of these types is well formed.
//!
//! Invariant: nothing here touches the host. Must not: read files, environment, clock.

pub mod id;
pub mod runtime;
pub mod unit;

pub use id::ContainerId;
