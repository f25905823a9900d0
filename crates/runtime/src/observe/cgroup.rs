//! The cgroup layout.
