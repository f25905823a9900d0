//! Routes and addresses.
