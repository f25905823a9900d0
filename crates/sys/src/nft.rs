//! nftables over netlink.
