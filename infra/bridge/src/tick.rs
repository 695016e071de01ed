//! The schedule: a function invoked at once and then every so often, never twice at a time.
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::back_off::BackOff;
use crate::event;
use crate::function::Invoke;

/// A function and how often it is invoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// The function.
    pub function: String,
    /// From start to start.
    pub every: Duration,
}

/// A dispatcher stays for its minute; the bridge waits a little longer before it gives an invocation up.
const GRACE: Duration = Duration::from_secs(30);

impl Tick {
    /// Ticks until it is dropped. A failed invocation is tried again after a back-off, if that comes before the next.
    pub async fn run(self, functions: impl Invoke) {
        let mut back_off = BackOff::default();
        loop {
            let started = Instant::now();
            let scheduled = event::of_schedule(&self.function, Uuid::new_v4(), Timestamp::now());
            let next = match functions.invoke(&self.function, &scheduled, self.every + GRACE).await {
                Ok(()) => {
                    back_off.went_well();
                    started + self.every
                }
                Err(error) => {
                    tracing::warn!(function = self.function, %error, "a tick failed");
                    (Instant::now() + back_off.failed()).min(Instant::now() + self.every)
                }
            };
            sleep_until(next).await;
        }
    }
}
