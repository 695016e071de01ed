//! What the dispatcher does beside posting: sweeps, finishes commands, gives answers that are due, tells what expired,
//! forgets what is old, publishes what was called, sums what happened.
use std::time::Duration;

use tokio::time::Instant;

use super::Relay;
use super::dispatch::Budget;
use crate::store::StoreError;

/// Between two batches of what is trimmed: what is to be posted goes first.
const BREATH: Duration = Duration::from_millis(50);

impl Relay {
    /// Tends the store until the budget ends, once each poll; a failure is logged and tried again. Answers go their own
    /// way, and so do commands and records: a producer's address, a chat or a broker that is silent must not hold up what
    /// is due.
    pub async fn tend(&self, budget: &Budget) {
        tokio::join!(
            self.sweep(budget),
            self.finish(budget),
            self.give_answers(budget),
            self.tell_begun(budget),
            self.publish_records(budget),
            self.forget(budget),
            self.sum_up(budget)
        );
    }

    async fn sweep(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        let mut told = false;
        loop {
            if let Err(error) = self.tend_once().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "sweep failed");
            } else {
                // Once a run is enough for an alarm that somebody died before raising.
                told = told || self.tell_suspended().await.is_ok();
            }
            if Instant::now() + pause >= budget.until || budget.is_over() {
                return;
            }
            budget.rest(pause).await;
        }
    }

    async fn finish(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        while !budget.is_over() {
            if let Err(error) = Box::pin(self.finish_commands(budget)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "commands wait to be finished");
            }
            budget.rest(pause).await;
        }
    }

    async fn give_answers(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        while !budget.is_over() {
            if let Err(error) = self.answer(None, budget.until).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "answers wait");
            }
            budget.rest(pause).await;
        }
    }

    /// What nobody told who posted it.
    async fn tell_begun(&self, budget: &Budget) {
        let pause = self.settings.lanes.poll;
        while !budget.is_over() {
            if let Err(error) = self.answer_begun(None, budget.until).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "producers wait to hear that they are taken");
            }
            budget.rest(pause).await;
        }
    }

    /// One sweep.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn tend_once(&self) -> Result<(), StoreError> {
        self.store.sweep(self.settings.lanes.unconfirmed_after).await?;
        self.tell_expired().await?;
        self.tell_left().await?;
        self.tell_unmuted().await
    }

    /// Trims what is older than it need be kept, until nothing is or the budget ends: then the next run goes on.
    async fn forget(&self, budget: &Budget) {
        let mut batches = 0;
        while !budget.is_over() {
            match self.store.forget(&self.settings.retention).await {
                Ok(true) => batches += 1,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "old rows stay until the next run");
                    break;
                }
            }
            budget.rest(BREATH).await;
        }
        if batches > 0 {
            tracing::info!(batches, "old rows trimmed");
        }
    }

    /// Sums the hours that are over, for statistics; without it they are as right, only slower.
    async fn sum_up(&self, budget: &Budget) {
        if let Err(error) = self.store.note_hours().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "hours that are over are noted by the next run");
        }
        while !budget.is_over() {
            match self.store.sum_hour().await {
                Ok(true) => budget.rest(BREATH).await,
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "hours are summed by the next run");
                    return;
                }
            }
        }
    }
}
