//! clone3, pidfd, namespaces, ids, capabilities.
