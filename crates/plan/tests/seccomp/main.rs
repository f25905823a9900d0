//! The compiled filters, run in an interpreter.

// clippy.toml allows these in test functions, not in what they call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod abi;
mod bpf;
mod differential;
mod libseccomp;
mod model;
mod profiles;
mod speed;
