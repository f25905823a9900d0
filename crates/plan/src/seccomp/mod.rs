//! Seccomp: from the OCI profile to a BPF program.
