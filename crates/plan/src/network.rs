//! Network steps: bridge, veth, addresses, firewall.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {}

impl Undo {
    pub(crate) fn words(&self) -> Vec<String> {
        match *self {}
    }

    pub(crate) fn from_words(_words: &[&str]) -> Option<Self> {
        None
    }
}
