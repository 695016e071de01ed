//! How long to wait after a failure: a second, doubled each time, half a minute at most.
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Failures in a row.
#[derive(Debug, Default, Clone, Copy)]
pub struct BackOff(u32);

impl BackOff {
    /// How long to wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.0)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        wait
    }

    /// It went well: the next failure is a first one.
    pub fn went_well(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_one_second_to_thirty_and_starts_anew_after_success() {
        let mut back_off = BackOff::default();
        let waits: Vec<u64> = (0..40).map(|_| back_off.failed().as_secs()).collect();
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits[39], 30);
        back_off.went_well();
        assert_eq!(back_off.failed().as_secs(), 1);
    }
}
