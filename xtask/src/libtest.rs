//! Reads what `cargo test -- --show-output` prints, and counts.
//!
//! The convention for a test that cannot run here: print a line `skipped: why` (stdout or stderr, from the test's own
//! thread) and return. The harness calls such a test `ok`; here it is `skipped`, with its reason. A test that prints
//! the line and goes on, having left out a part, is counted as skipped too. `#[ignore = "why"]` counts the same.

/// How the tests ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: usize,
    pub failed: Vec<String>,
    /// `name: why`
    pub skipped: Vec<String>,
}

impl Count {
    pub fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed.extend(more.failed);
        self.skipped.extend(more.skipped);
    }
}

/// What the harness is printing at the moment.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Results,
    /// Captured output of tests that passed.
    Successes,
    /// Captured output of tests that failed.
    Failures,
}

/// Fed with one line after the other.
#[derive(Debug, Default)]
pub struct Reader {
    count: Count,
    part: Part,
    /// Between `running N tests` and `test result:`.
    running: bool,
    /// The test whose captured output is being printed.
    test: String,
    /// The last test that was counted as skipped for its output.
    counted: String,
}

impl Reader {
    /// Takes a line; says whether a person should see it.
    pub fn line(&mut self, line: &str) -> bool {
        let begins = line.starts_with("running ");
        if begins || line.starts_with("test result: ") {
            self.close(begins);
            self.part = Part::Results;
            self.counted.clear();
            return true;
        }
        match line {
            "successes:" => self.part = Part::Successes,
            "failures:" => self.part = Part::Failures,
            _ => {}
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            name.clone_into(&mut self.test);
        }
        match self.part {
            Part::Results => self.result(line),
            Part::Successes => self.success(line),
            Part::Failures => true,
        }
    }

    fn result(&mut self, line: &str) -> bool {
        if let Some(why) = line.strip_prefix("skipped: ") {
            self.count.skipped.push(why.to_owned());
            return true;
        }
        let Some((name, end)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            return true;
        };
        if end == "ok" || end.starts_with("ok ") {
            self.count.passed += 1;
        } else if end.starts_with("FAILED") {
            self.count.failed.push(name.to_owned());
        } else if let Some(why) = end.strip_prefix("ignored") {
            self.count.skipped.push(format!("{name}: {}", why.trim_start_matches(", ")));
        }
        true
    }

    /// Captured output of a test that passed is not shown: only its reasons for skipping count, several as one skip.
    fn success(&mut self, line: &str) -> bool {
        let Some(why) = line.strip_prefix("skipped: ") else {
            return false;
        };
        let why = why.strip_prefix(self.test.as_str()).map_or(why, |rest| rest.trim_start_matches(": "));
        match self.count.skipped.last_mut() {
            Some(line) if self.counted == self.test => {
                line.push_str("; ");
                line.push_str(why);
            }
            _ => {
                self.count.skipped.push(format!("{}: {why}", self.test));
                self.count.passed = self.count.passed.saturating_sub(1);
                self.test.clone_into(&mut self.counted);
            }
        }
        false
    }

    /// A test binary that died before its `test result:` is a failure without a name.
    fn close(&mut self, begins: bool) {
        if self.running && begins {
            self.count.failed.push("a test binary that died (its last lines are above)".to_owned());
        }
        self.running = begins;
    }

    pub fn finish(mut self) -> Count {
        self.close(true);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Reader};

    fn count(text: &str) -> Count {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.line(line);
        }
        reader.finish()
    }

    #[test]
    fn counts_a_skip_once_and_not_as_passed() {
        let got = count(
            "running 4 tests\ntest a ... ok\ntest b ... ok\ntest c ... FAILED\ntest d ... ignored, slow\n\n\
             successes:\n\n---- b stdout ----\nskipped: no pasta\nskipped: b: no uidmap\n\n\n\
             successes:\n    a\n    b\n\nfailures:\n\n---- c stdout ----\nskipped: no luck\npanicked\n\n\
             failures:\n    c\n\ntest result: FAILED. 2 passed; 1 failed\n",
        );
        assert_eq!(got.passed, 1);
        assert_eq!(got.failed, ["c"]);
        assert_eq!(got.skipped, ["d: slow", "b: no pasta; no uidmap"]);
    }

    #[test]
    fn a_binary_that_died_is_a_failure() {
        let died = "running 2 tests\ntest a ... ok\n";
        assert_eq!(count(died).failed.len(), 1);
        let more = format!("{died}running 0 tests\n\ntest result: ok. 0 passed\n");
        assert_eq!(count(&more).failed.len(), 1);
    }

    #[test]
    fn two_binaries_may_have_a_test_of_one_name() {
        let one = "running 1 test\ntest b ... ok\n\nsuccesses:\n\n---- b stdout ----\nskipped: x\n\n\nsuccesses:\n    b\n\n\
                   test result: ok. 1 passed\n";
        let got = count(&one.repeat(2));
        assert_eq!((got.passed, got.skipped.len()), (0, 2));
    }
}
