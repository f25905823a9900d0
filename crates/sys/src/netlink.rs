//! Synchronous rtnetlink in batches.
