//! Dispatch: while there is time, takes rooms that have due work and posts their parts, many lanes side by side on one
//! task. Returns only when no call is in the air.
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::Relay;
use super::channels::Channels;
use super::stop::Stop;
use crate::config::Lanes;
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
    /// Ends it before its time.
    pub stop: Stop,
}

impl Budget {
    /// For a door: its rooms, a short time, one lane a room.
    #[must_use]
    pub fn door(time: Duration, end: Option<Instant>, rooms: Vec<String>) -> Self {
        let now = Instant::now();
        // Where the deadline is not known there is none; a call has its own limit.
        let end = end.unwrap_or(now + Duration::from_secs(60));
        let lanes = rooms.len().clamp(1, 4);
        Self { until: now + time, end, rooms, lanes, poll: None, stop: Stop::default() }
    }

    /// The same, but nothing is claimed that could not be called and recorded before the function ends. A claim that
    /// cannot be called is worse than none: its part counts as in the air.
    fn within(&self, lanes: &Lanes) -> Self {
        let last = self.end.checked_sub(lanes.http + lanes.margin).unwrap_or_else(Instant::now);
        Self { until: self.until.min(last), ..self.clone() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.is_ordered() || Instant::now() >= self.until
    }

    pub(super) fn remaining(&self) -> Duration {
        if self.stop.is_ordered() { Duration::ZERO } else { self.until.saturating_duration_since(Instant::now()) }
    }

    /// Waits so long, at most until it is over.
    pub(super) async fn rest(&self, time: Duration) {
        tokio::select! {
            () = sleep(time.min(self.remaining())) => {}
            () = self.stop.ordered() => {}
        }
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
    /// Something of a delivery is posted and something is not: its producer may wait to hear that it is taken.
    Begun(String),
    /// The provider says that a room is wrong.
    Suspended,
    /// The pictures of a message are there: it may go.
    Ready,
}

/// The shortest time after a lane failed before another is tried: Postgres may be down.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// What a dispatch did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Dispatched {
    /// Calls made.
    pub calls: usize,
}

impl Relay {
    /// Posts what is due; with `poll` it also brings the pictures without which something is not. Errors of single lanes
    /// are logged, and end the dispatch of a door; with `poll` it goes on.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn dispatch(&self, budget: &Budget) -> Result<Dispatched, StoreError> {
        let (done, ready) = self.drain(budget).await?;
        if !ready || budget.poll.is_some() {
            return Ok(done);
        }
        // A door whose lanes were empty has gone on without pictures that nobody brought: that may go now.
        let (more, _) = self.drain(budget).await?;
        Ok(Dispatched { calls: done.calls + more.calls })
    }

    /// What was done, and whether something became ready meanwhile that had waited for its pictures.
    async fn drain(&self, budget: &Budget) -> Result<(Dispatched, bool), StoreError> {
        let budget = &budget.within(&self.settings.lanes);
        let (news, heard) = mpsc::unbounded_channel();
        let (beside, asides) = mpsc::unbounded_channel();
        let (begun, started) = mpsc::unbounded_channel();
        let ready = news.clone();
        // What is to be said beside runs beside: a lane with a call in the air must never wait for it.
        let drained = Run { relay: self, budget, news, beside, begun, look_at: None, failure: None };
        let (result, (), (), seen, ready) = tokio::join!(
            drained.lanes(heard),
            self.say_beside(asides, budget.until),
            self.say_begun(started, budget.until),
            self.store.seen(self.function),
            self.bring(budget, &ready),
        );
        result.and_then(|done| seen.map(|()| (done, ready)))
    }

    /// Answers for deliveries as they finish, and the alarm for a room that is wrong, until no more can come.
    async fn say_beside(&self, mut asides: mpsc::UnboundedReceiver<News>, until: Instant) {
        while let Some(aside) = asides.recv().await {
            let (mut uids, mut suspended) = (Vec::new(), false);
            let mut next = Some(aside);
            while let Some(aside) = next {
                match aside {
                    News::Finished(uid) => uids.push(uid),
                    News::Suspended => suspended = true,
                    News::Begun(_) | News::Took | News::NotBefore(_) | News::Ready => {}
                }
                next = asides.try_recv().ok();
            }
            if suspended && let Err(error) = self.tell_suspended().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "other rooms are told by the next sweep");
            }
            if let Err(error) = self.answer(Some(&uids), until).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "answers wait for the next sweep");
            }
        }
    }

    /// That messages are taken, as they begin. Not among the last answers: a front end that is silent must not keep
    /// waiting who posts by itself in a moment.
    async fn say_begun(&self, mut started: mpsc::UnboundedReceiver<String>, until: Instant) {
        while let Some(uid) = started.recv().await {
            let mut uids = vec![uid];
            uids.extend(std::iter::from_fn(|| started.try_recv().ok()));
            if let Err(error) = self.answer_begun(Some(&uids), until).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "producers are told by the next sweep");
            }
        }
    }
}

/// One dispatch at work.
struct Run<'a> {
    relay: &'a Relay,
    budget: &'a Budget,
    news: mpsc::UnboundedSender<News>,
    beside: mpsc::UnboundedSender<News>,
    begun: mpsc::UnboundedSender<String>,
    look_at: Option<Instant>,
    failure: Option<StoreError>,
}

impl Run<'_> {
    async fn lanes(mut self, mut heard: mpsc::UnboundedReceiver<News>) -> Result<Dispatched, StoreError> {
        let mut done = Dispatched::default();
        let channels = Channels::default();
        let mut running = FuturesUnordered::new();
        let (relay, budget, news) = (self.relay, self.budget, self.news.clone());
        let lane = || relay.lane(budget, &channels, news.clone());
        running.push(lane());
        self.look_at = self.budget.poll.map(|poll| Instant::now() + poll);
        loop {
            // All news that is there, before anything is decided: it may widen, or say when to look again.
            while let Ok(item) = heard.try_recv() {
                if self.hear(item) && running.len() < self.budget.lanes {
                    running.push(lane());
                }
            }
            let open = !self.budget.is_over() && self.failure.is_none();
            if running.is_empty() && !(open && self.look_at.is_some()) {
                return self.failure.map_or(Ok(done), Err);
            }
            let look_at = self.look_at.unwrap_or(self.budget.until).min(self.budget.until);
            tokio::select! {
                Some(item) = heard.recv() => {
                    if self.hear(item) && running.len() < self.budget.lanes {
                        running.push(lane());
                    }
                }
                Some(result) = running.next(), if !running.is_empty() => match result {
                    Ok(calls) => done.calls += calls,
                    Err(error) => self.failed(error),
                },
                () = self.budget.stop.ordered(), if open => {}
                () = sleep_until(look_at), if open && self.look_at.is_some() => {
                    self.look_at = self.budget.poll.map(|poll| Instant::now() + poll);
                    if running.len() < self.budget.lanes {
                        running.push(lane());
                    }
                }
            }
        }
    }

    /// Whether another lane may find something.
    fn hear(&mut self, item: News) -> bool {
        match item {
            News::Took | News::Ready => return !self.budget.is_over() && self.failure.is_none(),
            News::NotBefore(wait) => {
                let at = Instant::now() + wait;
                if at < self.budget.until {
                    self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
                }
            }
            News::Begun(uid) => drop(self.begun.send(uid)),
            aside => drop(self.beside.send(aside)),
        }
        false
    }

    fn failed(&mut self, error: StoreError) {
        if self.budget.poll.is_none() {
            if error.may_pass() {
                self.relay.outage.found();
            }
            // The other lanes end first: there may be calls in the air.
            self.failure.get_or_insert(error);
            return;
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "lane stopped");
        let later = Instant::now() + AFTER_FAILURE;
        self.look_at = self.look_at.map(|planned| planned.max(later));
    }
}
