//! cgroup steps (v1, hybrid, v2).

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
