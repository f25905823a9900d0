//! Terminals and ptys.
