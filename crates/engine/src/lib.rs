//! Policy: containers, images, networks. No syscalls of its own.
