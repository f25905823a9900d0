//! Sizes, rates, CPU counts, durations and truth values as docker's command line writes them.
//!
//! Invariant: what parses here means the same number to docker. Sizes that are *read* count in 1024 (`1k` is 1024
//! bytes); sizes that are *printed* name their base: `kB` is 1000, `KiB` is 1024.

mod boolean;
mod cpus;
mod duration;
mod invalid;
mod rate;
mod size;

pub use boolean::boolean;
pub use cpus::Cpus;
pub use duration::{Duration, rough};
pub use invalid::Invalid;
pub use rate::{DeviceRate, DeviceWeight, Operations};
pub use size::{Size, binary, decimal};
