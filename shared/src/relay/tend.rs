//! What the dispatcher does beside posting: sweeps, gives answers that are due, tells what expired, forgets what is old,
//! publishes what was called.
use tokio::time::{Instant, sleep};

use super::Relay;
use super::dispatch::Budget;
use crate::store::StoreError;

impl Relay {
    /// Tends the store until the budget ends, once each poll; a failure is logged and tried again. Answers go their own
    /// way, and so do records: a producer's address or a broker that is silent must not hold up what is due.
    pub async fn tend(&self, budget: &Budget) {
        tokio::join!(
            self.sweep(budget),
            self.give_answers(budget),
            self.tell_begun(budget),
            self.publish_records(budget)
        );
    }

    async fn sweep(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        let (mut forgot, mut told) = (false, false);
        loop {
            if let Err(error) = self.tend_once().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "sweep failed");
            } else {
                // Once a run is enough for what is counted in days, and for an alarm that somebody died before raising.
                forgot = forgot || self.forget().await.is_ok();
                told = told || self.tell_suspended().await.is_ok();
            }
            if Instant::now() + pause >= budget.until {
                return;
            }
            sleep(pause).await;
        }
    }

    async fn give_answers(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        while !budget.is_over() {
            if let Err(error) = self.answer(None, budget.until).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "answers wait");
            }
            sleep(pause.min(budget.remaining())).await;
        }
    }

    /// What nobody told who posted it.
    async fn tell_begun(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        while !budget.is_over() {
            if let Err(error) = self.answer_begun(None, budget.until).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "producers wait to hear that they are taken");
            }
            sleep(pause.min(budget.remaining())).await;
        }
    }

    /// One sweep.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn tend_once(&self) -> Result<(), StoreError> {
        self.store.sweep(self.settings.lanes.unconfirmed_after).await?;
        self.tell_expired().await
    }

    async fn forget(&self) -> Result<(), StoreError> {
        let keep = &self.settings.retention;
        self.store.forget(keep.messages, keep.callbacks, keep.rejected).await
    }
}
