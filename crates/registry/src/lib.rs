//! The client's side of the distribution specification 1.1: names to hosts, credentials, manifests, blobs both ways.
//!
//! Invariant: the only room with HTTP and TLS, and the only one with threads; so it works in a process that makes no
//! container (ARCHITECTURE.md). What it returns as a manifest or a small blob has the digest that was asked for; a blob
//! that is streamed is verified by who stores it. Must not: print, or know the store.

mod auth;
mod blob;
mod certs;
mod client;
pub mod credentials;
mod error;
mod host;
mod manifest;
mod policy;
mod proxy;
mod push;
mod referrers;
mod resolve;
mod retry;
mod search;
pub mod side;
mod tags;
mod tls;
mod upload;

pub use blob::Blob;
pub use client::{Access, Client, Repository, Use};
pub use credentials::Credentials;
pub use error::{Error, Kind, Result};
pub use manifest::Fetched;
pub use policy::Policy;
pub use push::{Content, Pushed};
pub use retry::Retry;
pub use search::Found;
