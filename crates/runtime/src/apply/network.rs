//! Network steps.
