//! How long a room pauses after a call that was surely not posted: pure, so that it can be tested.
use std::time::Duration;

use crate::config::Lanes;

/// A provider's `Retry-After` is honoured up to this.
pub const LONGEST: Duration = Duration::from_mins(10);

/// Exponential from `pause_min` to `pause_max` by the calls that failed in a row before this one, jittered down by up
/// to a half (`jitter` in 0..1) so that rooms do not come back in step; never shorter than the provider asks.
#[must_use]
pub fn pause(failed_before: i32, after: Option<Duration>, jitter: f64, lanes: &Lanes) -> Duration {
    let doublings = u32::try_from(failed_before.clamp(0, 16)).unwrap_or(0);
    let grown = lanes.pause_min.saturating_mul(2_u32.saturating_pow(doublings)).min(lanes.pause_max);
    let jittered = grown.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0).max(lanes.pause_min.min(grown));
    after.map_or(jittered, |after| jittered.max(after.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes() -> Lanes {
        Lanes { pause_min: Duration::from_secs(1), pause_max: Duration::from_secs(60), ..Lanes::default() }
    }

    #[test]
    fn a_pause_doubles_from_one_second_to_sixty() {
        let pauses: Vec<u64> = (0..8).map(|n| pause(n, None, 0.0, &lanes()).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn jitter_takes_at_most_half_and_never_goes_below_the_shortest() {
        assert_eq!(pause(3, None, 1.0, &lanes()), Duration::from_secs(4));
        assert_eq!(pause(0, None, 1.0, &lanes()), Duration::from_secs(1));
    }

    #[test]
    fn retry_after_is_honoured_up_to_ten_minutes() {
        assert_eq!(pause(0, Some(Duration::from_secs(17)), 0.5, &lanes()), Duration::from_secs(17));
        assert_eq!(pause(0, Some(Duration::from_secs(9_000)), 0.5, &lanes()), LONGEST);
        assert_eq!(pause(6, Some(Duration::from_secs(1)), 0.0, &lanes()), Duration::from_secs(60));
    }
}
