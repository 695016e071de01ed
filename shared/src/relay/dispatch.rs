//! Dispatch: while there is time, takes rooms that have due work and posts their parts, many lanes side by side on one
//! task. Returns only when no call is in the air.
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Relay;
use crate::store::StoreError;

/// How long a dispatch may go on, and for whom.
#[derive(Clone, Debug)]
pub struct Budget {
    /// No new part is claimed after this.
    pub until: Instant,
    /// The function is ended at this moment: no call is begun that could outlast it.
    pub end: Instant,
    /// Only these rooms.
    pub rooms: Vec<String>,
    /// Rooms drained at once.
    pub lanes: usize,
    /// Look again this often until the end of the budget; `None`: return when nothing is due within it.
    pub poll: Option<Duration>,
}

impl Budget {
    /// For a door: its rooms, a short time, one lane a room.
    #[must_use]
    pub fn door(time: Duration, end: Option<Instant>, rooms: Vec<String>) -> Self {
        let now = Instant::now();
        // Where the deadline is not known there is none; a call has its own limit.
        let end = end.unwrap_or(now + Duration::from_secs(60));
        let lanes = rooms.len().clamp(1, 4);
        Self { until: now + time, end, rooms, lanes, poll: None }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    pub(super) fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// The moment at which Lambda ends the function; `None` for a deadline in the past, as the emulator gives.
#[must_use]
pub fn end_of(deadline: std::time::SystemTime) -> Option<Instant> {
    deadline.duration_since(std::time::SystemTime::now()).ok().map(|left| Instant::now() + left)
}

/// What lanes tell the dispatch that runs them.
pub(super) enum News {
    /// A lane was taken: there may be more.
    Took,
    /// Nothing may go before that much time.
    NotBefore(Duration),
    /// A delivery is finished: its producer may wait for an answer.
    Finished(String),
    /// The provider says that this room is wrong.
    Suspended(String),
}

/// What a dispatch did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Dispatched {
    /// Calls made.
    pub calls: usize,
}

impl Relay {
    /// Posts what is due. Errors of single lanes are logged, and end the dispatch of a door; with `poll` it goes on.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn dispatch(&self, budget: &Budget) -> Result<Dispatched, StoreError> {
        let (news, mut heard) = mpsc::unbounded_channel();
        let (finished, answers) = mpsc::unbounded_channel();
        let drained = async {
            let result = self.run_lanes(budget, &news, &mut heard, &finished).await;
            drop(finished);
            result
        };
        let (result, (), seen) = tokio::join!(drained, self.answer_finished(answers), self.store.seen(self.function));
        result.and_then(|done| seen.map(|()| done))
    }

    async fn run_lanes(
        &self,
        budget: &Budget,
        news: &mpsc::UnboundedSender<News>,
        heard: &mut mpsc::UnboundedReceiver<News>,
        finished: &mpsc::UnboundedSender<News>,
    ) -> Result<Dispatched, StoreError> {
        let mut done = Dispatched::default();
        let mut running = FuturesUnordered::new();
        running.push(self.lane(budget, news.clone()));
        loop {
            let mut next_look = budget.poll;
            // All news that is there, without waiting: it may widen, or say how long to sleep.
            while let Ok(item) = heard.try_recv() {
                match item {
                    News::Took if running.len() < budget.lanes => running.push(self.lane(budget, news.clone())),
                    News::Took => {}
                    News::NotBefore(wait) => next_look = Some(next_look.map_or(wait, |n| n.min(wait))),
                    // Told and answered beside the lanes: a call in the air must not wait for either.
                    told @ (News::Finished(_) | News::Suspended(_)) => drop(finished.send(told)),
                }
            }
            let over = budget.is_over();
            if running.is_empty()
                && (over || next_look.is_none_or(|wait| wait > budget.remaining() && budget.poll.is_none()))
            {
                return Ok(done);
            }
            let pause =
                next_look.unwrap_or(Duration::from_secs(1)).min(budget.remaining().max(Duration::from_millis(1)));
            tokio::select! {
                Some(result) = running.next(), if !running.is_empty() => match result {
                    Ok(calls) => done.calls += calls,
                    Err(error) if budget.poll.is_none() => return drain(running, error).await,
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "lane stopped"),
                },
                () = sleep(pause), if !over => {
                    if running.len() < budget.lanes {
                        running.push(self.lane(budget, news.clone()));
                    }
                }
            }
        }
    }
}

/// Waits for the calls in the air, then says what went wrong.
async fn drain<F: Future<Output = Result<usize, StoreError>>>(
    mut running: FuturesUnordered<F>,
    error: StoreError,
) -> Result<Dispatched, StoreError> {
    while running.next().await.is_some() {}
    Err(error)
}
