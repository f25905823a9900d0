//! Mechanism: observes the host, applies steps, watches the container, undoes.
//!
//! Invariant: the only place where plan's steps meet sys's calls. Nothing else changes the host.

pub mod apply;
pub mod attach;
mod backlog;
pub mod console;
pub mod container;
pub mod criu;
#[cfg(debug_assertions)]
pub mod fault;
pub mod gate;
pub mod hook;
pub mod init;
pub mod inside;
pub mod join;
pub mod journal;
pub mod lock;
pub mod monitor;
pub mod notify;
pub mod observe;
pub mod oom;
pub mod probe;
pub mod process;
pub mod progress;
pub mod quota;
mod remedy;
pub mod resolver;
pub mod secret;
pub mod snapshot;
pub mod supervise;
pub mod sync;
pub mod systemd;
pub mod tree;
pub mod undo;
pub mod usage;
pub mod volume;
pub mod watch;
pub mod worker;

mod error;
pub use error::{Error, Result, Told, refused};
pub use sys::entry;
