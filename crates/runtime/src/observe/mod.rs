//! What this host is and can do: read-only.

pub mod cgroup;
pub mod network;
