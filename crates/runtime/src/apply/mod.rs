//! Steps to syscalls.

pub mod cgroup;
pub mod network;
