//! The client's side of the distribution specification 1.1.

mod error;

pub use error::{Error, Kind, Result};
