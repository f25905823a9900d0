//! nft
pub(crate) fn message_name(_kind: u16) -> (&'static str, usize) {
    ("nft", 20)
}
