//! Policy: containers, images, networks. No syscalls of its own.

pub mod request;

pub use plan::Rejected;
