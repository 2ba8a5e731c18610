//! What a suite said: the numbers in the closing lines of Rust's test harness.

use std::ops::AddAssign;

/// Tests counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// A suite ended with an error without naming a failed test, or did not come to its closing line.
    pub broken: bool,
}

impl Outcome {
    /// Reads one line of output; lines that close nothing change nothing.
    pub fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.trim_start().strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        for part in counts.split(';') {
            match part.trim().split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Whether tests ran and all were good.
    pub fn good(&self) -> bool {
        self.passed > 0 && self.failed == 0 && !self.broken
    }

    /// `N passed, N failed`.
    pub fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed + u64::from(self.broken && self.failed == 0))
    }
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.broken |= other.broken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_harness_says() {
        let mut outcome = Outcome::default();
        outcome.read("running 3 tests");
        outcome.read("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s");
        assert_eq!(outcome, Outcome { passed: 2, failed: 1, broken: false });
        assert!(!outcome.good());
        assert_eq!(outcome.closing_line(), "2 passed, 1 failed");
    }

    #[test]
    fn no_test_at_all_is_not_good() {
        assert!(!Outcome::default().good());
        assert_eq!(Outcome { broken: true, passed: 3, failed: 0 }.closing_line(), "3 passed, 1 failed");
    }
}
