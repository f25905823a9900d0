//! Policy: containers, images, networks. No syscalls of its own.
//!
//! Invariant: whatever a command acknowledges is on disk, and whatever it leaves undone a journal names.

pub mod attach;
pub mod cdi;
pub mod commit;
pub mod containers;
pub mod content;
pub mod control;
pub mod copy;
pub mod doctor;
pub mod events;
pub mod exec;
pub mod filter;
pub mod health;
pub mod history;
pub mod images;
pub mod info;
pub mod inspect;
pub mod lists;
pub mod logs;
pub mod monitor;
pub mod mounts;
pub mod networks;
pub mod pause;
pub mod pods;
pub mod port;
pub mod remote;
pub mod request;
pub mod run;
pub mod secrets;
pub mod snapshot;
pub mod start;
pub mod startup;
pub mod state;
pub mod stats;
pub mod time;
pub mod top;
pub mod update;
pub mod usage;
pub mod volumes;

mod config;
mod durable;
mod error;
mod ground;
mod lsm;
mod model;
mod names;
mod net;
mod paths;
mod targets;
mod users;

pub use error::{Error, Result};
pub use paths::Paths;
pub use plan::Rejected;
pub use runtime::entry;
pub use runtime::progress::{Timed, Timings as StartTimings};
pub use runtime::{Error as RuntimeError, Told, refused};
