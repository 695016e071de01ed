//! Counting what the test programs report.

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    passed: u64,
    /// Tests.
    failed: u64,
    ignored: u64,
    /// What is said about all that failed; checks among it.
    failures: Vec<String>,
    /// Failures that are no test's.
    others: u64,
}

impl Summary {
    /// Takes one line of what a test program prints, and counts it if it is its result:
    /// `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    pub(super) fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        let count = |what: &str| -> u64 {
            let before = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
            before.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }

    /// Counts a failure that is no test's.
    pub(super) fn fail(&mut self, what: &str) {
        self.failures.push(what.to_owned());
        self.others += 1;
    }

    /// Takes how all test programs together ended. One that crashed, or did not compile, has reported nothing; and
    /// a test that is switched off is not passed.
    pub(super) fn finish(&mut self, succeeded: bool) {
        if !succeeded && self.failed == 0 {
            self.fail("tests (a test program did not compile, or ended before it could report)");
        } else if self.failed > 0 {
            self.failures.push("tests".to_owned());
        }
        if self.ignored > 0 {
            self.fail(&format!("{} tests are ignored", self.ignored));
        }
    }

    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed + self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], succeeded: bool) -> Summary {
        let mut summary = Summary::default();
        lines.iter().for_each(|line| summary.read(line));
        summary.finish(succeeded);
        summary
    }

    const GOOD: &str = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s";

    #[test]
    fn results_of_all_programs_are_summed() {
        let summary = read(&[GOOD, "running 2 tests", "test x ... ok", GOOD], true);
        assert_eq!(summary.line(), "24 passed, 0 failed");
        assert!(summary.is_good());
    }

    #[test]
    fn a_failed_test_is_counted_once() {
        let bad = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let summary = read(&[GOOD, bad], false);
        assert_eq!(summary.line(), "13 passed, 2 failed");
        assert!(!summary.is_good());
    }

    #[test]
    fn a_check_that_failed_is_a_failure_and_no_test() {
        let mut summary = Summary::default();
        summary.fail("lints");
        summary.read(GOOD);
        summary.finish(true);
        assert_eq!((summary.line().as_str(), summary.failures()), ("12 passed, 1 failed", &["lints".to_owned()][..]));
        assert!(!summary.is_good());
    }

    #[test]
    fn a_crash_and_an_ignored_test_are_failures() {
        assert_eq!(read(&[GOOD], false).line(), "12 passed, 1 failed");
        let ignored = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let summary = read(&[ignored], true);
        assert_eq!(summary.line(), "5 passed, 1 failed");
        assert!(!summary.is_good());
    }
}
