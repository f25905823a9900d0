//! `sampan run`: docker's flags into the request.

mod flags;
mod request;

pub use flags::Args;
