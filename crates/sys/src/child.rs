//! The loop between clone and exec.
