//! cgroup steps.
