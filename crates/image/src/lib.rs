//! The image store: an OCI image layout with the layers unpacked beside it by chainID, and what is asked of a root
//! filesystem before a container of it exists.
//!
//! Invariant: whatever is under its final name is complete, verified and on disk; readers take no lock.
//! Must not: fetch, mount, or know what a container is.

pub mod archive;
pub mod bootstrap;
pub mod check;
pub mod commit;
mod compare;
pub mod convert;
pub mod copy;
pub mod difference;
mod elf;
mod entries;
mod error;
pub mod fill;
mod fs;
pub mod gc;
pub mod host;
mod layer;
mod layout;
pub mod limit;
pub mod lists;
mod pack;
mod partial;
mod pax;
mod pipe;
pub mod program;
pub mod rootfs;
mod sparse;
mod stack;
pub mod store;
mod temp;
pub mod unpack;
pub mod usage;
pub mod user;

pub use error::{Error, Kind, Result};
pub use layer::{Expected, Layer};
pub use pack::Ids;
pub use rootfs::Rootfs;
pub use store::{Came, Image, Listed, Put, Store, Stored, Wanted, Writer};
