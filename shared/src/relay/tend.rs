//! What the dispatcher does beside posting: sweeps, gives answers that are due, tells what expired, forgets what is old.
use tokio::time::{Instant, sleep};

use super::Relay;
use super::dispatch::Budget;
use crate::store::StoreError;

impl Relay {
    /// Tends the store until the budget ends, once each poll; a failure is logged and tried again.
    pub async fn tend(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        let mut forgot = false;
        loop {
            if let Err(error) = self.tend_once().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "sweep failed");
            } else if !forgot {
                // Once a run is enough for what is counted in days.
                forgot = self.forget().await.is_ok();
            }
            if Instant::now() + pause >= budget.until {
                return;
            }
            sleep(pause).await;
        }
    }

    /// One sweep.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn tend_once(&self) -> Result<(), StoreError> {
        self.store.sweep(self.settings.lanes.unconfirmed_after).await?;
        self.tell_expired().await?;
        self.answer(None).await
    }

    async fn forget(&self) -> Result<(), StoreError> {
        let keep = &self.settings.retention;
        self.store.forget(keep.messages, keep.callbacks, keep.rejected).await
    }
}
