//! The fd-based mount API.
