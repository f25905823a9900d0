//! SECURITY.md names, for each kind of escape, the test that tries it: that test must exist.

use super::Finding;
use super::source::File;

const CLAIMS: &str = "SECURITY.md";
const TESTS: [&str; 4] = [
    "crates/sampan/tests/security.rs",
    "crates/sampan/tests/oci_security.rs",
    "crates/sampan/tests/exec.rs",
    "crates/sampan/tests/cp.rs",
];

pub fn check(files: &[File]) -> Vec<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let is_there = |name: &&str| TESTS.iter().any(|file| text(file).contains(&format!("fn {name}(")));
    let missing = claimed(text(CLAIMS)).filter(|name| !is_there(name));
    missing.map(|name| format!("{CLAIMS}: no test {name} in {}", TESTS.join(" or "))).collect()
}

/// The names in backticks in the last column of the tables; a space in one makes it prose.
fn claimed(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|')?.rsplit('|').next());
    let quoted = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.filter(|name| name.contains('_') && !name.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::claimed;

    #[test]
    fn reads_the_last_column() {
        let text = "| a `not_this` | `one_test`, `second_test` |\n| b | tests of crate `image` |\nprose `no_table`\n";
        assert_eq!(claimed(text).collect::<Vec<_>>(), ["one_test", "second_test"]);
    }
}
