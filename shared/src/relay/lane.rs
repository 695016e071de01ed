//! One lane at a time: take, claim, post, record, let go, look again.
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Relay;
use super::channels::Channels;
use super::dispatch::{Budget, News};
use crate::channel::{Answer, Post, ReadBack, Refusal};
use crate::guard::{Guard, Since};
use crate::store::StoreError;
use crate::store::lanes::{After, CallReport, Claim, Claimed, Outcome, Recorded, Then};
use crate::telemetry::metrics;

/// Waits this short are slept with the lane held; for longer ones it is let go.
const SHORT: Duration = Duration::from_millis(200);

/// How long a door goes on trying to write a call down: others wait behind it.
const AT_A_DOOR: Duration = Duration::from_secs(2);

/// How long a door tries to give back what it cannot use.
const BRIEFLY: Duration = Duration::from_millis(300);

struct Holder<'a> {
    relay: &'a Relay,
    budget: &'a Budget,
    news: mpsc::UnboundedSender<News>,
    token: String,
    channels: &'a Channels,
    calls: usize,
    /// Called and not recorded: delivery, part, attempt.
    called: Option<(i64, i16, i32)>,
    /// The last delivery of which it was told that it is begun.
    begun: Option<i64>,
    /// The broker keeps it: who writes it down lets go of the lane, too.
    kept: bool,
}

/// What to do after a claim was acted on.
enum Next {
    /// Act on this.
    Claim(Claim, Since),
    /// Let go of the lane and look for another.
    LetGo,
    /// Let go already.
    Gone,
    /// Let go already, and looked for another: held now, if there was one.
    Looked(Option<Held>),
}

/// A lane that was taken: its room, and what is to be done in it since when.
type Held = (String, Claim, Since);

impl Relay {
    /// Drains lanes until none may go; returns the number of calls made.
    pub(super) async fn lane(
        &self,
        budget: &Budget,
        channels: &Channels,
        news: mpsc::UnboundedSender<News>,
    ) -> Result<usize, StoreError> {
        let token = Uuid::new_v4().to_string();
        let mut holder =
            Holder { relay: self, budget, news, token, channels, calls: 0, called: None, begun: None, kept: false };
        let result = holder.run().await;
        if result.is_err() && !holder.kept {
            // Best effort: the claim that came with a lost answer, and the lease; both end by themselves, but later. At a
            // door others wait, alarms among them.
            let store = if budget.poll.is_none() { self.store.within(BRIEFLY) } else { self.store.clone() };
            if store.disown(&holder.token, holder.called).await.is_ok() {
                drop(store.release(&holder.token).await);
            }
        }
        result.map(|()| holder.calls)
    }
}

impl Holder<'_> {
    async fn run(&mut self) -> Result<(), StoreError> {
        let lanes = &self.relay.settings.lanes;
        let mut held: Option<Held> = None;
        loop {
            let (room, claim, since) = match held.take() {
                Some(held) => held,
                None if self.budget.is_over() => return self.relay.store.release(&self.token).await,
                None => {
                    let since = Since::now();
                    // Lets go of the lane held before, takes another, and claims: one round trip.
                    match self.relay.store.take(&self.token, &self.budget.rooms, lanes).await? {
                        Some((room, claim)) => (room, claim, since),
                        None => return Ok(()),
                    }
                }
            };
            metrics::LANE_TAKES.increment(&[&room]);
            self.tell(News::Took);
            match self.drain(&room, claim, since).await? {
                Next::Looked(Some(next)) => held = Some(next),
                Next::Looked(None) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Drains one lane: at most a quantum, so that no room starves.
    async fn drain(&mut self, room: &str, claim: Claim, since: Since) -> Result<Next, StoreError> {
        let lanes = &self.relay.settings.lanes;
        let quantum = Instant::now() + lanes.quantum;
        let mut parts = 0;
        let mut next = Next::Claim(claim, since);
        while let Next::Claim(claim, since) = next {
            next = match claim {
                Claim::Lost | Claim::Idle => Next::LetGo,
                Claim::Wait(wait) if wait <= SHORT && wait < self.budget.remaining() && Instant::now() < quantum => {
                    sleep(wait).await;
                    self.claim(room, None).await?
                }
                Claim::Wait(wait) => {
                    self.tell(News::NotBefore(wait));
                    Next::LetGo
                }
                Claim::Settled { how, uid } => {
                    tracing::info!(room, uid, how, "delivery settled without a call");
                    self.tell(News::Finished(uid));
                    // However many there are: the sweep does them in bulk.
                    if self.budget.is_over() { Next::LetGo } else { self.claim(room, None).await? }
                }
                Claim::Look(claimed) => self.look(&claimed, since).await?,
                Claim::Post(claimed) => {
                    parts += 1;
                    let last = parts >= lanes.quantum_parts || Instant::now() >= quantum;
                    self.post(&claimed, since, last).await?
                }
            };
            // Nothing is claimed by these: nobody is kept beyond the budget.
            if self.budget.is_over() && matches!(next, Next::Claim(Claim::Wait(_) | Claim::Look(_), _)) {
                next = Next::LetGo;
            }
        }
        Ok(next)
    }

    async fn claim(&self, room: &str, absent: Option<&Claimed>) -> Result<Next, StoreError> {
        let since = Since::now();
        let claim = self.relay.store.claim(&self.token, room, &self.relay.settings.lanes, absent).await?;
        Ok(Next::Claim(claim, since))
    }

    /// Until when a call may begin: what has passed since before the claim was sent must leave the whole HTTP limit and a
    /// margin within the lease; and a first part may be posted only until its producer posts by itself.
    fn guard(&self, since: Since, deliver_in: Option<Duration>) -> Guard {
        let lanes = &self.relay.settings.lanes;
        let within = lanes.lease.saturating_sub(lanes.http + lanes.margin);
        Guard::new(since, deliver_in.map_or(within, |left| within.min(left)))
    }

    /// Whether the function lives long enough for a call.
    fn outlasts_a_call(&self) -> bool {
        Instant::now() + self.relay.settings.lanes.http <= self.budget.end
    }

    /// Nothing of what is claimed was sent, and nothing will be.
    async fn abandon(&mut self, claimed: &Claimed) -> Result<Next, StoreError> {
        self.called = None;
        tracing::warn!(room = claimed.room, uid = claimed.uid, "claim abandoned: too late to call");
        self.relay.store.disown(&self.token, None).await?;
        Ok(Next::LetGo)
    }

    /// A part whose text cannot be opened is not called.
    async fn refuse(&mut self, claimed: &Claimed, channel: &'static str, last: bool) -> Result<Next, StoreError> {
        let report = CallReport {
            claimed,
            channel,
            outcome: Outcome::Refused,
            status: None,
            latency: Duration::ZERO,
            request: json!({}),
            response: None,
            error: Some("its text does not open: does TALKBACK_DATA_KEYS hold the key of then?".to_owned()),
            pause: Duration::ZERO,
            room_fingerprint: Vec::new(),
        };
        self.record(report, last).await
    }

    async fn post(&mut self, claimed: &Claimed, since: Since, last: bool) -> Result<Next, StoreError> {
        let relay = self.relay;
        let lanes = &relay.settings.lanes;
        let Some(room) = relay.room(&claimed.room) else { return Ok(Next::LetGo) };
        let Some(channel) = self.channels.of(relay, room) else { return Ok(Next::LetGo) };
        let guard = self.guard(since, claimed.deliver_in);
        let limit = claimed.deliver_in.map_or(lanes.http, |left| lanes.http.min(left.saturating_sub(since.elapsed())));
        if !guard.is_open() || !self.outlasts_a_call() {
            return self.abandon(claimed).await;
        }
        let Some(text) = relay.text_of(claimed) else { return self.refuse(claimed, channel.name(), last).await };
        let post = Post { room, text: &text, picture_url: claimed.picture_url.as_deref() };
        self.called = Some((claimed.delivery, claimed.part, claimed.attempt));
        let started = Instant::now();
        let call = channel.post(post, limit, guard).await;
        let latency = started.elapsed();
        self.calls += 1;
        let (outcome, after) = match call.answer {
            Answer::Posted => (Outcome::Posted, None),
            Answer::Retry { after, limited: false } => (Outcome::Retry, after),
            Answer::Retry { after, limited: true } => (Outcome::Limited, after),
            Answer::Refuse { why: Refusal::Part } => (Outcome::Refused, None),
            Answer::Refuse { why: Refusal::Room } => (Outcome::Suspended, None),
            Answer::Unknown => (Outcome::Unknown, None),
            Answer::Late => return self.abandon(claimed).await,
        };
        count_post(&room.name, outcome.as_str(), latency);
        if let (Outcome::Posted, Some(waited)) = (outcome, claimed.waited) {
            metrics::WAIT.observe(&[&room.name], (waited + since.elapsed()).as_secs_f64());
        }
        tracing::info!(
            room = room.name,
            uid = claimed.uid,
            part = claimed.part,
            attempt = claimed.attempt,
            outcome = outcome.as_str(),
            status = call.status,
            duration_ms = millis(latency),
            error = call.error,
            "part called"
        );
        let report = CallReport {
            claimed,
            channel: channel.name(),
            outcome,
            status: call.status,
            latency,
            request: relay.request_of(claimed, call.request),
            response: call.response,
            error: call.error,
            pause: super::pause::pause(claimed.failures, after, jitter(), lanes),
            room_fingerprint: relay.fingerprint(room),
        };
        self.record(report, last).await
    }

    /// Writes the call down; where the database died meanwhile, tries until the function must end, and at a door until
    /// others have waited enough. Then the broker keeps what is known of the call, until it can be written down.
    async fn record(&mut self, mut report: CallReport<'_>, last: bool) -> Result<Next, StoreError> {
        let relay = self.relay;
        let lanes = &relay.settings.lanes;
        let at_a_door = self.budget.poll.is_none();
        let until = if at_a_door { self.budget.end.min(Instant::now() + AT_A_DOOR) } else { self.budget.end };
        let mut pause = Duration::from_millis(100);
        // Whether a try's answer was lost: it may have claimed the next part, which nobody will call.
        let mut doubtful = false;
        loop {
            let since = Since::now();
            let then = match () {
                () if doubtful || self.budget.is_over() => Then::LetGo,
                () if last => Then::Take(&self.budget.rooms),
                () => Then::Claim,
            };
            let recorded = relay.store.record(&self.token, &report, lanes, then).await.map(|(recorded, after)| {
                let next = match after {
                    After::Claimed(claim) => Next::Claim(claim, since),
                    After::LetGo => Next::Gone,
                    After::Took(taken) => Next::Looked(taken.map(|(room, claim)| (room, claim, since))),
                };
                (recorded, next)
            });
            match recorded {
                Ok((recorded, next)) => {
                    self.called = None;
                    self.tell_of(&report, &recorded);
                    if doubtful {
                        relay.store.disown(&self.token, None).await?;
                    }
                    return Ok(next);
                }
                Err(error) if Instant::now() + pause + relay.store.patience().min(lanes.statement_timeout) > until => {
                    self.kept = error.may_pass() && relay.keep_attempt(&self.token, &report).await;
                    return Err(error);
                }
                // What a stranger answered is the only input here that we did not make. The call must be known all the same.
                Err(error) if error.is_bad_input() && report.response.take().is_some() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "answer of the call not kept");
                }
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "call not recorded yet");
                    doubtful = true;
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
    }

    fn tell_of(&mut self, report: &CallReport<'_>, recorded: &Recorded) {
        let Claimed { delivery, uid, .. } = report.claimed;
        if recorded.suspended {
            self.tell(News::Suspended);
        }
        if !recorded.asked {
            return;
        }
        let ended = |state: &str| matches!(state, "sent" | "confirmed" | "unconfirmed" | "failed");
        if recorded.state.as_deref().is_some_and(ended) {
            self.tell(News::Finished(uid.clone()));
        }
        // Also a last part: other rooms may be slower. Once for each that goes on is enough.
        if report.outcome == Outcome::Posted && self.begun.replace(*delivery) != Some(*delivery) {
            self.tell(News::Begun(uid.clone()));
        }
    }

    /// Reads the room for a part whose answer was lost. Lines that could be it are heard, oldest first, as a callback
    /// would be; then the claim goes on: the part is confirmed, or absent.
    async fn look(&mut self, claimed: &Claimed, since: Since) -> Result<Next, StoreError> {
        let relay = self.relay;
        let Some(room) = relay.room(&claimed.room) else { return Ok(Next::LetGo) };
        if !self.guard(since, None).is_open() || !self.outlasts_a_call() {
            return Ok(Next::LetGo);
        }
        let Some(channel) = self.channels.of(relay, room) else { return Ok(Next::LetGo) };
        // The provider's clock and the database's may differ; older lines are known, and heard only once.
        let from = claimed.claimed_at.as_second() - 120;
        let started = Instant::now();
        let read = channel.read_back(room, from, relay.settings.lanes.http).await;
        let latency = started.elapsed();
        let request = json!({ "group": room.group, "since": Timestamp::from_second(from).ok().map(|t| t.to_string()) });
        self.calls += 1;
        let (status, error) = match &read {
            ReadBack::Lines(_) => (Some(200), None),
            ReadBack::Failed { status, error } => (*status, Some(error.as_str())),
        };
        let note = crate::store::answers::CallNote {
            uid: Some(&claimed.uid),
            room: Some(&room.name),
            channel: channel.name(),
            operation: "read",
            status,
            ok: error.is_none(),
            latency,
            request: &request,
            error,
        };
        relay.store.note_call(&note).await?;
        let ReadBack::Lines(lines) = read else {
            let wait = super::pause::pause(claimed.failures, None, jitter(), &relay.settings.lanes);
            relay.store.postpone(&self.token, claimed, wait).await?;
            return self.claim(&room.name, None).await;
        };
        let wanted = relay.text_of(claimed).map(|text| relay.fingerprint_of(claimed, &text));
        for line in lines.iter().rev() {
            if let Some(line) = crate::chat::Line::read(&line.json)
                && line.is_bot()
                && line.created_at().is_none_or(|at| at.as_second() >= from)
                && wanted.as_ref().is_some_and(|wanted| relay.fingerprints(&line).contains(wanted))
            {
                // What was found is posted, and nobody else tells its producer.
                if let Some(uid) = relay.store_line(&line, "read", None).await?.confirmed {
                    self.tell(News::Begun(uid.clone()));
                    self.tell(News::Finished(uid));
                }
            }
        }
        self.claim(&room.name, Some(claimed)).await
    }

    fn tell(&self, news: News) {
        drop(self.news.send(news));
    }
}

/// Counts a call that was to post a part.
pub(super) fn count_post(room: &str, outcome: &str, latency: Duration) {
    metrics::POSTS.increment(&[room, outcome]);
    metrics::POST_DURATION.observe(&[room], latency.as_secs_f64());
    match outcome {
        "limited" => metrics::RATE_LIMITED.increment(&[room]),
        "retry" | "unknown" => metrics::DEPENDENCY_ERRORS.increment(&["groupme"]),
        _ => {}
    }
}

/// A number from 0 to 1, for jitter.
fn jitter() -> f64 {
    f64::from(Uuid::new_v4().as_u128() as u16) / f64::from(u16::MAX)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
