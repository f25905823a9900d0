//! The `host` image.
