//! What the logs of a run say, counted.
use crate::process::works::Works;

/// What the logs say.
pub struct Counted {
    pub panics: usize,
    pub invocations: usize,
    pub direct: usize,
    pub complaints: usize,
}

impl Counted {
    pub fn of(works: &Works) -> Self {
        let mut counted = Self { panics: 0, invocations: 0, direct: 0, complaints: 0 };
        for log in std::fs::read_dir(&works.folder).unwrap() {
            let log = log.unwrap().path();
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let has = |word: &str| text.lines().filter(|line| line.contains(word)).count();
            counted.panics += has("panicked at");
            counted.direct += has("part called without the database");
            counted.invocations += has("batch taken in") + has("a batch goes back");
            counted.complaints += has("\"WARN\"") + has("\"ERROR\"");
        }
        counted
    }
}
