//! One value in one file of the container's cgroup, and how to tell that it is in force.

use super::layout::IdSet;
use crate::shell::quote;

/// A limit: written to a file, and then read back from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The container's directory in the hierarchy.
    pub dir: String,
    pub file: String,
    pub value: String,
    pub check: Check,
    /// What is limited, for people: "memory", "CPU time".
    pub what: &'static str,
}

/// How the kernel shows a value that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// As it was written.
    Text,
    /// Bytes, rounded down to whole pages; it may have been written as `100M`.
    Bytes,
    /// A list of numbers, in normal form.
    Ids,
    /// One of the lines starts with the first of these words, and holds the others.
    Line(String),
    /// The kernel says it in its own way, and takes nothing that it does not do.
    Told,
    /// A file that this program has no opinion on: any of the above, or more words after those that were written.
    Any,
}

impl Check {
    /// `read` says that `value` is in force, on a kernel whose pages have `page` bytes.
    #[must_use]
    pub fn holds(&self, value: &str, read: &str, page: u64) -> bool {
        let (value, read) = (value.trim(), read.trim());
        match self {
            Self::Text => value == read,
            Self::Bytes => bytes(value).is_some_and(|asked| Some(asked - asked % page) == bytes(read)),
            Self::Ids => IdSet::parse(value).is_some_and(|asked| Some(asked) == IdSet::parse(read)),
            Self::Line(line) => has_line(line, read),
            Self::Told => true,
            Self::Any => {
                value == read
                    || Self::Bytes.holds(value, read, page)
                    || Self::Ids.holds(value, read, page)
                    || read.split_whitespace().collect::<Vec<_>>().starts_with(&words(value))
                    || has_line(value, read)
            }
        }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn has_line(asked: &str, read: &str) -> bool {
    let asked = words(asked);
    read.lines().map(words).any(|line| line.first() == asked.first() && asked.iter().all(|word| line.contains(word)))
}

/// memparse() of the kernel: a number, perhaps with one of K M G T P E behind it.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        "e" => 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl Limit {
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.dir, self.file)
    }

    pub(super) fn why(&self) -> String {
        format!("limit {}: {} = {}", self.what, self.file, self.value)
    }

    pub(super) fn shell(&self) -> String {
        format!("echo {} > {}", quote(&self.value), quote(&self.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::Check;

    #[test]
    fn what_the_kernel_may_answer() {
        let holds = |check: Check, value: &str, read: &str| check.holds(value, read, 4096);
        assert!(holds(Check::Bytes, "104857601", "104857600\n"));
        assert!(!holds(Check::Bytes, "104857600", "104853504\n"));
        assert!(holds(Check::Bytes, "100M", "104857600"));
        assert!(!holds(Check::Bytes, "100M", "max"));
        assert!(holds(Check::Ids, "0,1", "0-1\n"));
        assert!(!holds(Check::Ids, "0,1", "0\n"));
        assert!(holds(Check::Text, "max 100000", "max 100000\n"));
        let line = |line: &str, read| Check::Line(line.into()).holds("", read, 4096);
        let read = "8:0 rbps=1 wbps=max riops=max wiops=max\n254:0 rbps=1048576 wbps=max riops=max wiops=5\n";
        assert!(line("254:0 wiops=5 rbps=1048576", read));
        assert!(!line("254:0 rbps=1", read));
        assert!(!line("7:0 rbps=1", read));
        assert!(!line("7:0 rbps=1", ""));
        for (value, read) in [("50000", "50000 100000"), ("1G", "1073741824"), ("8:0 rbps=1", read), ("max", "max")] {
            assert!(holds(Check::Any, value, read), "{value}");
        }
        assert!(!holds(Check::Any, "50000", "500000 100000"));
    }
}
