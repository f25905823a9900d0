//! Containers of bundles: what engines call an OCI runtime for (runtime-spec, runtime.md).
//!
//! Invariant: a container is a directory below the root; its journal says how it is undone, and the kernel, asked by pid
//! and start time, whether it runs. No command leaves a process behind but the container's own.
//! Must not: know images, networks or names. What engines read, messages' words among it, is as runc has it.

mod bundle;
mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod filters;
mod id;
mod kill;
mod label;
mod list;
mod listener;
mod notify;
mod pause;
mod record;
mod restore;
mod root;
mod run;
mod start;
mod template;
mod update;

pub use bundle::whole;
pub use checkpoint::{Cgroups, Checkpoint, Saving, checkpoint};
pub use create::{Create, Need, Passed, create};
pub use delete::delete;
pub use events::{Event, stats, watch};
pub use exec::{Changes, Exec, What, exec};
pub use features::{checkpoints, features};
pub use id::Id;
pub use kill::{kill, kill_all};
pub use list::{Seen, list, processes, state};
pub use pause::{pause, resume};
pub use plan::capability::Capability;
pub use restore::{Restore, restore};
pub use root::Root;
pub use run::{Ended, run};
pub use runtime::Error;
pub use runtime::process::Signal;
pub use start::start;
pub use template::template;
pub use update::{resources, update};

use runtime::Result;

/// The version of the spec that this is.
const VERSION: &str = "1.3.0";

fn refused<T>(what: impl Into<String>, why: impl Into<String>) -> Result<T> {
    Err(plan::Rejected::new(what, why).into())
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |error| runtime::refused(what, &error).into()
}

/// RFC 3339, to the nanosecond.
#[must_use]
pub fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let time = jiff::Timestamp::from_nanosecond(since.as_nanos().cast_signed()).unwrap_or_default();
    time.to_string()
}

/// User and group of who calls.
#[must_use]
pub fn caller() -> (u32, u32) {
    (runtime::observe::euid(), runtime::observe::egid())
}
