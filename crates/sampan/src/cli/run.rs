//! `sampan run`: docker's flags into the request.

pub(super) mod flags;
pub(super) mod request;

pub use flags::Args;
