//! An alarm does not wait for a diary: with the database away, urgent messages are posted from here, and their records
//! are made later. No lease guards these posts, so that a message may be seen twice where it was accepted all the same
//! or where two processes have it: the README names the exception.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Relay;
use super::accept::fingerprint;
use super::aside::{IN_ALL, WHILE_DOWN, no_longer_than};
use super::awake::{TURNS, awake};
use super::lane::{count_post, millis};
use super::outage::Progress;
use super::pause::LONGEST;
use super::plan::{Offer, Plan, is_urgent, plan_at_once};
use crate::channel::{Answer, Channel, Post, ReadBack, Refusal};
use crate::chat::Line;
use crate::compose::Draft;
use crate::config::{Room, Unknown};
use crate::delivery::Verdict;
use crate::guard::Guard;

/// The first wait before a call that was surely not posted is made again.
const AGAIN: Duration = Duration::from_millis(250);

/// How far the provider's clock may be behind ours.
const CLOCKS: Duration = Duration::from_secs(5);

/// Keeps the names of these records apart from all others.
const NAMESPACE: Uuid = Uuid::from_u128(0x2f9d_60c1_b4a8_4e35_a7c6_0d1f_8e52_93bb);

/// One call that was made, as its record tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Call {
    /// Names its row, however often and by whatever way it is told.
    id: Uuid,
    at: Timestamp,
    channel: String,
    part: usize,
    outcome: String,
    status: Option<u16>,
    latency_ms: u64,
    request: Value,
    error: Option<String>,
}

/// What was posted of one message in one room, and by which calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    uid: String,
    given_uid: String,
    short_uid: String,
    source: String,
    door: String,
    sent_by: Option<String>,
    priority: i16,
    room: String,
    text: String,
    /// `None` while something of the message is not posted: whoever has it may plan the rest.
    content_hash: Option<String>,
    /// Whether it is in the room: a call that came to nothing settles nothing.
    posted: bool,
    calls: Vec<Call>,
}

impl Told {
    /// The record as any producer would write it. The bot id is a secret: the room's name stands in its place.
    pub(super) fn body(&self) -> Value {
        let last = self.calls.iter().rfind(|call| call.outcome == "posted").or_else(|| self.calls.last());
        let status = last.and_then(|call| call.status);
        json!({
            "type": "log", "source": self.source.strip_prefix("source.").unwrap_or(&self.source),
            "wbor_message_id": self.given_uid, "text": self.text, "bot_id": self.room, "code": status,
            "statuscode": status, "timestamp": last.map(|call| call.at.to_string()), "alreadysent": true,
            "talkback": self,
        })
    }

    /// Names it: told twice, by whatever way, it is one record.
    pub(super) fn id(&self) -> Uuid {
        let calls: Vec<u8> = self.calls.iter().flat_map(|call| *call.id.as_bytes()).collect();
        Uuid::new_v5(&NAMESPACE, &calls)
    }

    /// What such a record tells.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut body: Value = serde_json::from_slice(body).ok()?;
        serde_json::from_value(body.get_mut("talkback")?.take()).ok()
    }

    /// As the statement takes it, a row for each call.
    pub(super) fn rows(&self) -> Vec<Value> {
        let settles = |index| self.posted && index == 0;
        let row = |(index, call): (usize, &Call)| {
            json!({
                "uid": self.uid, "given_uid": self.given_uid, "short_uid": self.short_uid, "source": self.source,
                "door": self.door, "sent_by": self.sent_by, "priority": self.priority, "room": self.room,
                "text": self.text.replace('\0', "\u{fffd}"), "content_hash": self.content_hash,
                "settles": settles(index), "operation": "post", "channel": call.channel, "status": call.status,
                "outcome": call.outcome, "latency_ms": call.latency_ms, "at": call.at.to_string(),
                "request": call.request, "error": call.error,
                "record_key": call.id.to_string(),
            })
        };
        self.calls.iter().enumerate().map(row).collect()
    }
}

impl Relay {
    /// What it is remembered by: the same uid with another content is another message.
    pub(super) fn name_of(&self, offer: &Offer) -> String {
        let hash = self.settings.lookup.hash("content", &offer.message.content());
        format!("{}/{}", offer.message.uid.key(), STANDARD.encode(hash))
    }

    /// Whether it is to be posted without the database: urgent, not too old, and not yet its producer's to post. Whose
    /// front end must be told of a success can only be told with the database: it posts by itself.
    pub(super) fn goes_directly(&self, offer: &Offer) -> bool {
        let now = Timestamp::now();
        let told = !(offer.message.wants_ack_url && self.settings.ack_url.is_some());
        // What this process has stored itself may be posted by another by now.
        let taken = self.outage.has_taken(&self.name_of(offer));
        is_urgent(offer, &self.settings)
            && told
            && !taken
            && !is_too_late(&plan_at_once(offer, &self.settings), offer, now)
    }

    /// Posts these messages until `until`, each room's in their order, the rooms side by side. Says which are wholly
    /// posted; of the others it is remembered how far they came.
    pub(super) async fn post_directly(&self, offers: &[&Offer], until: Instant) -> Vec<bool> {
        let plans: Vec<Plan> = offers.iter().map(|offer| plan_at_once(offer, &self.settings)).collect();
        let rooms = self.settings.rooms.iter().map(|room| {
            let queue = offers.iter().zip(&plans).filter_map(|(offer, plan)| {
                let delivery = plan.deliveries.iter().find(|delivery| delivery.room == room.name)?;
                Some((*offer, plan, delivery.parts.as_slice()))
            });
            self.speak(room, queue.collect(), until)
        });
        join_all(rooms).await;
        let done = |(offer, plan): (&&Offer, &Plan)| {
            let (name, mut rooms) = (self.name_of(offer), plan.deliveries.iter());
            plan.verdict == Verdict::Accepted && rooms.all(|to| self.outage.progress(&name, &to.room).done)
        };
        offers.iter().zip(&plans).map(done).collect()
    }

    /// What there is to be recorded of a message.
    pub(super) fn told(&self, offer: &Offer) -> Vec<Told> {
        let message = &offer.message;
        let plan = plan_at_once(offer, &self.settings);
        let (name, hash) = (self.name_of(offer), self.settings.lookup.hash("content", &message.content()));
        let whole = plan.deliveries.iter().all(|to| self.outage.progress(&name, &to.room).done);
        let told = |room: &str| {
            let Progress { posted, done, calls, .. } = self.outage.progress(&name, room);
            (!calls.is_empty()).then(|| Told {
                uid: message.uid.key().to_owned(),
                given_uid: message.uid.given().to_owned(),
                short_uid: message.uid.short().to_owned(),
                source: message.source.as_str().to_owned(),
                door: offer.door.as_str().to_owned(),
                sent_by: offer.sent_by.clone(),
                priority: plan.priority.rank(),
                room: room.to_owned(),
                text: message.body.as_str().to_owned(),
                content_hash: whole.then(|| STANDARD.encode(&hash)),
                posted: posted && done,
                calls,
            })
        };
        plan.deliveries.iter().filter_map(|delivery| told(&delivery.room)).collect()
    }

    /// Speaks in one room. What cannot be posted now stops those behind it: order is kept.
    async fn speak(&self, room: &Room, queue: Vec<(&Offer, &Plan, &[Draft])>, until: Instant) {
        if queue.is_empty() {
            return;
        }
        let channel = match self.channel(room) {
            Ok(channel) => channel,
            Err(error) => {
                tracing::error!(room = room.name, error = &error as &dyn std::error::Error, "channel cannot be made");
                return;
            }
        };
        for (offer, plan, parts) in queue {
            if !self.say(room, channel.as_ref(), offer, plan, parts, until).await {
                return;
            }
        }
    }

    /// Posts what is left of one message in one room; whether those behind it may follow.
    async fn say(
        &self,
        room: &Room,
        channel: &dyn Channel,
        offer: &Offer,
        plan: &Plan,
        parts: &[Draft],
        until: Instant,
    ) -> bool {
        let name = self.name_of(offer);
        let mut progress = self.outage.progress(&name, &room.name);
        if progress.done {
            return true;
        }
        let mut not_before = Instant::now();
        let mut pause = AGAIN;
        while !progress.done {
            let Some(part) = parts.get(progress.next) else {
                progress.done = true;
                break;
            };
            let turn = self.outage.turn(room).max(not_before);
            let late = progress.next == 0 && is_too_late(plan, offer, Timestamp::now());
            if late || progress.refused {
                // Not begun any more: with the database back it ends as any other that was too late, or is refused.
                progress.unknowns = 0;
                self.outage.set_progress(&name, &room.name, progress);
                return true;
            }
            if turn >= until || self.stop.is_ordered() {
                self.outage.set_progress(&name, &room.name, progress);
                return false;
            }
            sleep_until(turn).await;
            let begun = progress.next > 0 || progress.unknowns > 0;
            if !begun && !self.is_still_down().await {
                self.outage.set_progress(&name, &room.name, progress);
                return false;
            }
            if let Some(at) = progress.unknown_at.take()
                && self.is_there(room, channel, part, at).await
            {
                progress.posted = true;
                (progress.next, progress.unknowns, pause) = (progress.next + 1, 0, AGAIN);
                self.outage.set_progress(&name, &room.name, progress.clone());
                continue;
            }
            let mut limit = self.settings.lanes.http.min(until.saturating_duration_since(Instant::now()));
            // A first part may be posted only until its producer posts by itself.
            if let Some(by) = plan.deliver_by.filter(|_| progress.next == 0) {
                limit = limit.min(by.duration_since(Timestamp::now()).try_into().unwrap_or_default());
                if limit.is_zero() {
                    continue;
                }
            }
            self.outage.charge(room);
            let at = Timestamp::now();
            let (answer, call) = self.call(room, channel, part, progress.next, limit).await;
            progress.calls.push(call);
            match answer {
                Answer::Posted => {
                    self.outage.said(room, fingerprint(&part.text, part.picture_url.as_deref()));
                    progress.posted = true;
                    (progress.next, progress.unknowns, pause) = (progress.next + 1, 0, AGAIN);
                }
                // The world went on: everything is judged again.
                Answer::Late => drop(progress.calls.pop()),
                Answer::Retry { after, .. } => {
                    if let Some(after) = after {
                        self.outage.pause(room, after.min(LONGEST));
                    }
                    not_before = Instant::now() + pause;
                    pause *= 2;
                }
                // Doubled is better than lost, unless the room says otherwise; but not for ever, and not before a look.
                Answer::Unknown if progress.unknowns == 0 && room.unknown == Unknown::Resend => {
                    (progress.unknowns, progress.unknown_at) = (1, Some(at));
                    not_before = Instant::now() + pause;
                }
                Answer::Unknown => {
                    progress.posted = true;
                    (progress.next, progress.unknowns) = (progress.next + 1, 0);
                }
                // With the database back the lanes deal with it as with any other.
                Answer::Refuse { why } if progress.next == 0 => {
                    (progress.refused, progress.unknowns) = (true, 0);
                    self.outage.set_progress(&name, &room.name, progress);
                    return why == Refusal::Part;
                }
                Answer::Refuse { .. } => progress.done = true,
            }
            self.outage.set_progress(&name, &room.name, progress.clone());
        }
        self.outage.set_progress(&name, &room.name, progress);
        true
    }

    /// Whether the database is down, by a proof that is not old: since the last one the process may have been frozen, or
    /// may have waited for a turn. By a change, for one that only answers may have no room left.
    async fn is_still_down(&self) -> bool {
        for _ in 0..TURNS {
            if self.outage.is_proved() {
                return true;
            }
            let hasty = self.with_patience(WHILE_DOWN);
            let asking = no_longer_than(WHILE_DOWN + IN_ALL, hasty.store.seen(self.function));
            match awake(asking).await {
                (Ok(()), _) => return false,
                (Err(_), true) => self.outage.asked(),
                (Err(_), false) => self.forget_what_it_slept_through(),
            }
        }
        self.outage.is_proved()
    }

    /// The process was frozen while the database was asked: that says nothing, and connections may be dead.
    pub(super) fn forget_what_it_slept_through(&self) {
        tracing::warn!("the process was not awake while the database was asked: it is asked again");
        self.store.forget_connections();
    }

    /// Whether a room that can be read shows what a call without an answer said at this time. Lines that are known to
    /// be others do not count; where it cannot be told, the answer is no: doubled is better than lost.
    async fn is_there(&self, room: &Room, channel: &dyn Channel, part: &Draft, at: Timestamp) -> bool {
        if self.settings.groupme.access_token.is_none() {
            return false;
        }
        let from = at.as_second() - CLOCKS.as_secs().cast_signed();
        let wanted = fingerprint(&part.text, part.picture_url.as_deref());
        let started = Instant::now();
        let read = channel.read_back(room, from, self.settings.lanes.http).await;
        let duration_ms = millis(started.elapsed());
        let lines = match read {
            ReadBack::Lines(lines) => lines,
            ReadBack::Failed { status, error } => {
                tracing::warn!(room = room.name, status, error, duration_ms, "room not read without the database");
                return false;
            }
        };
        let same = |line: &Line| {
            let late = line.created_at().is_none_or(|at| at.as_second() >= from);
            line.is_bot() && late && line.fingerprint() == wanted
        };
        let shown = lines.iter().filter_map(|line| Line::read(&line.json)).filter(same).count();
        let within = Duration::from_secs(Timestamp::now().as_second().saturating_sub(from).try_into().unwrap_or(0));
        let found = shown > self.outage.times_said(room, &wanted, within);
        tracing::info!(room = room.name, found, duration_ms, "room read without the database");
        if found {
            self.outage.said(room, wanted);
        }
        found
    }

    async fn call(
        &self,
        room: &Room,
        channel: &dyn Channel,
        part: &Draft,
        index: usize,
        limit: Duration,
    ) -> (Answer, Call) {
        let (at, started) = (Timestamp::now(), Instant::now());
        let post = Post { room, text: &part.text, picture_url: part.picture_url.as_deref() };
        let call = channel.post(post, limit, Guard::from_now(limit)).await;
        let latency = started.elapsed();
        let outcome = match call.answer {
            Answer::Posted => "posted",
            Answer::Retry { limited: false, .. } => "retry",
            Answer::Retry { limited: true, .. } => "limited",
            Answer::Refuse { why: Refusal::Part } => "refused",
            Answer::Refuse { why: Refusal::Room } => "suspended",
            Answer::Unknown => "unknown",
            Answer::Late => "late",
        };
        count_post(&room.name, outcome, latency);
        let duration_ms = millis(latency);
        let (status, error) = (call.status, call.error);
        tracing::info!(room = room.name, outcome, status, duration_ms, error, "part called without the database");
        let request = call.request;
        let channel = channel.name().to_owned();
        let outcome = outcome.to_owned();
        let part = index + 1;
        let id = Uuid::new_v4();
        (call.answer, Call { id, at, channel, part, outcome, status, latency_ms: duration_ms, request, error })
    }
}

/// Whether its time is over, or its producer posts by itself.
fn is_too_late(plan: &Plan, offer: &Offer, now: Timestamp) -> bool {
    let by_age = offer.stamped_at.and_then(|at| at.checked_add(plan.age).ok());
    let expires = plan.expires_at.or(by_age);
    plan.verdict != Verdict::Accepted || [expires, plan.deliver_by].iter().flatten().any(|end| *end <= now)
}
