//! The id that a caller chose for a container; it names a directory.

use plan::Rejected;
use std::fmt;
use std::str::FromStr;

/// Invariant: one name of a path, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl FromStr for Id {
    type Err = Rejected;

    fn from_str(text: &str) -> Result<Self, Rejected> {
        let proper = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        if text.is_empty() || text.len() > 255 || matches!(text, "." | "..") || !text.chars().all(proper) {
            let what = format!("cannot use the container id {text:?}");
            return Err(Rejected::new(what, "invalid id format: letters, digits, _, +, - and . are allowed"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn is_one_name() {
        for good in ["a", "0-1_2.3+4", "...", "-x"] {
            assert!(good.parse::<Id>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/a", "a b", "ä", "a\n", &"x".repeat(256)] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
