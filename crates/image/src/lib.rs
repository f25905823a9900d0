//! The image store: an OCI image layout, layers by chainID, snapshots.
