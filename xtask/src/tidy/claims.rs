//! SECURITY.md names, for each kind of escape, the test that tries it: that test must exist.

use super::Finding;
use super::source::File;

pub const CLAIMS: &str = "SECURITY.md";
pub const TESTS: [&str; 5] = [
    "crates/sampan/tests/security.rs",
    "crates/sampan/tests/oci_security.rs",
    "crates/sampan/tests/exec.rs",
    "crates/sampan/tests/cp.rs",
    "crates/sampan/tests/lab_escape.rs",
];

pub fn check(files: &[File]) -> Vec<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let is_there = |name: &&str| TESTS.iter().any(|file| text(file).contains(&format!("fn {name}(")));
    let missing = claimed(text(CLAIMS)).filter(|name| !is_there(name));
    missing.map(|name| format!("{CLAIMS}: no test {name} in {}", TESTS.join(" or "))).collect()
}

/// A row of the table.
pub struct Kind<'a> {
    pub what: &'a str,
    /// Where others were broken by it.
    pub seen: &'a str,
    pub tests: Vec<&'a str>,
}

/// The kinds of escape: rows of four cells.
pub fn kinds(text: &str) -> impl Iterator<Item = Kind<'_>> {
    text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [what, seen, _, tests] = cells[..] else { return None };
        Some(Kind { what, seen, tests: quoted(tests).collect() })
    })
}

/// The names in backticks in the last column of the tables.
fn claimed(text: &str) -> impl Iterator<Item = &str> {
    let cells = text.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|')?.rsplit('|').next());
    cells.flat_map(quoted)
}

/// A space between backticks makes it prose.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter(|name| name.contains('_') && !name.contains([' ', '/']))
}

#[cfg(test)]
mod tests {
    use super::{claimed, kinds};

    #[test]
    fn reads_the_last_column() {
        let text = "| a `not_this` | `one_test`, `second_test` |\n| b | tests of crate `image` |\nprose `no_table`\n";
        assert_eq!(claimed(text).collect::<Vec<_>>(), ["one_test", "second_test"]);
    }

    #[test]
    fn a_kind_is_a_row_of_four() {
        let text = "| kind | seen as | here | test |\n|---|---|---|---|\n| a | CVE-1 | b | `one_test` |\n| c | d |\n";
        let kind = kinds(text).last();
        assert!(kind.is_some_and(|kind| (kind.what, kind.seen, kind.tests) == ("a", "CVE-1", vec!["one_test"])));
    }
}
