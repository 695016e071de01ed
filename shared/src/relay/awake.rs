//! Whether the process was awake while it waited: who was frozen or starved finds all its timers over, and learns
//! nothing from that about those it waited for.
use std::pin::pin;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::guard::Since;

/// How often a process that is asked is asked again before nothing is believed of what it says.
pub(super) const TURNS: usize = 3;

/// How often it looks at the clocks.
const TICK: Duration = Duration::from_millis(50);

/// Who did not look for so long was not awake. A busy machine takes a tenth of that.
const ASLEEP: Duration = Duration::from_millis(350);

/// Does this, and says whether the process was awake all the while.
pub(super) async fn awake<T>(what: impl Future<Output = T>) -> (T, bool) {
    let mut what = pin!(what);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looked, mut awake) = (Since::now(), true);
    loop {
        let done = tokio::select! {
            done = &mut what => Some(done),
            _ = tick.tick() => None,
        };
        awake &= looked.elapsed() < ASLEEP;
        looked = Since::now();
        if let Some(done) = done {
            return (done, awake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_awake() {
        assert_eq!(awake(ready(7)).await, (7, true));
        let begun = Since::now();
        let ((), was_awake) = awake(sleep(ASLEEP * 2)).await;
        // A machine that is too busy to look proves nothing here either.
        assert!(was_awake || begun.elapsed() > ASLEEP * 3);
    }

    #[tokio::test]
    async fn who_was_frozen_was_not() {
        let frozen = async {
            sleep(TICK * 2).await;
            // Nothing else of this thread goes on meanwhile: that is what is tried.
            std::thread::sleep(ASLEEP + TICK);
        };
        assert_eq!(awake(frozen).await, ((), false));
        assert_eq!(awake(async { std::thread::sleep(ASLEEP + TICK) }).await, ((), false));
    }
}
