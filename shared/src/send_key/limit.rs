//! How often one key may send: GCRA, as the lanes have it, in the memory of each process. Over all instances of a function
//! a key so has as many times its rate as there are instances at most (API Gateway's throttle and the reserved
//! concurrency bound that); what must never be exceeded, the pace of a room, is kept in the database.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What one key may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute, in the long run.
    pub per_minute: u32,
    /// So many may come at once.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_minute: 6000, burst: 1000 }
    }
}

/// When each key's next request would come, were they spread evenly.
#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<String, Instant>>);

impl Limits {
    /// Counts one request of this key.
    ///
    /// # Errors
    /// It is one too many: how long to wait. It is not counted.
    pub fn take(&self, key: &str, rate: Rate, now: Instant) -> Result<(), Duration> {
        let gap = Duration::from_secs(60) / rate.per_minute.max(1);
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = due.get(key).copied().unwrap_or(now).max(now);
        let wait = (next - now).saturating_sub(gap * rate.burst.saturating_sub(1));
        if !wait.is_zero() {
            return Err(wait);
        }
        // Keys are configured: there are never more entries than keys.
        due.insert(key.to_owned(), next + gap);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_then_the_rate_and_each_key_has_its_own() {
        let (limits, now) = (Limits::default(), Instant::now());
        let rate = Rate { per_minute: 60, burst: 3 };
        let after = |seconds: f64| now + Duration::from_secs_f64(seconds);
        let taken = |at| (0..5).filter(|_| limits.take("web", rate, at).is_ok()).count();
        assert_eq!(taken(now), 3);
        assert_eq!(limits.take("web", rate, now), Err(Duration::from_secs(1)));
        assert_eq!(limits.take("web", rate, after(0.25)), Err(Duration::from_millis(750)));
        assert_eq!(limits.take("ups", rate, now), Ok(()));
        assert_eq!(taken(after(1.0)), 1);
        assert_eq!(taken(after(2.9)), 1);
        assert_eq!(taken(after(600.0)), 3, "a silence is worth no more than the burst");
    }

    #[test]
    fn a_rate_of_nothing_is_no_division_by_it() {
        let (limits, now) = (Limits::default(), Instant::now());
        let rate = Rate { per_minute: 0, burst: 0 };
        assert_eq!(limits.take("web", rate, now), Ok(()));
        assert_eq!(limits.take("web", rate, now), Err(Duration::from_secs(60)));
    }
}
