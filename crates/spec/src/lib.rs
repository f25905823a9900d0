//! The field's nouns, as plain values. Parsing is validation: a value of one of these types is well formed.
//!
//! Invariant: nothing here touches the host. Must not: read files, environment, clock.

pub mod bus;
pub mod digest;
pub mod id;
pub mod image;
pub mod json;
pub mod reference;
pub mod runtime;
pub mod unit;

pub use digest::{ChainId, DiffId, Digest};
pub use id::ContainerId;
pub use reference::Reference;
