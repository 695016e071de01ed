//! A batch that cannot be stored, because the database is away: alarms are posted from here, everything else is put
//! back on the broker for a while. Down is not failed: the database is asked again on a new connection before any of
//! that is done.
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Relay;
use super::awake::awake;
use super::batch::{Counts, Entry, Item};
use super::direct::Told;
use super::own::Own;
use super::plan::{Offer, is_urgent};
use crate::amqp_event::{Record as AmqpRecord, header};
use crate::broker::{Broker, Fate, HeaderValue, Outgoing, Props, RETRY};
use crate::store::StoreError;

/// How long the database may take at first, for connecting and for each answer. There is one consumer: an alarm may
/// lie behind the batch that it has in hand, and is to be seen within five seconds all the same.
pub(super) const AT_FIRST: Duration = Duration::from_millis(1200);

/// And when it was down a moment ago.
pub(super) const WHILE_DOWN: Duration = Duration::from_millis(600);

/// How much longer than one answer all of them may take at first.
pub(super) const IN_ALL: Duration = Duration::from_millis(300);

/// How long a new connection may take where an answer did not come: the difference between down and slow.
pub(super) const CONNECTING: Duration = Duration::from_millis(800);

/// How long an alarm waits for a database that can be connected to and does not answer, and how long other messages do:
/// one that hangs in each commit is no better than one that is down.
pub(super) const PATIENTLY: [Duration; 2] = [Duration::from_millis(1200), Duration::from_millis(2500)];

/// Messages that are stored at a time then: what a slow database could take is done, and does not come again.
const FEW: usize = 10;

/// How long alarms are posted from here.
const DIRECTLY: Duration = Duration::from_secs(8);

/// What is left of the function's time for the broker.
const MARGIN: Duration = Duration::from_secs(4);

/// How long telling producers of their alarms may take.
const TELLING: Duration = Duration::from_secs(1);

/// What only waits for others comes back after this, at most after those before it.
const SOON: Duration = Duration::from_millis(200);

/// What is missing of what was put aside is waited for this much longer than its way takes.
const RECOVERY: Duration = Duration::from_secs(10);

/// Where the record of a post belongs.
const RECORD_KEY: &str = "source.groupme.msg";

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Received {
    /// What is stored.
    pub counts: Counts,
    /// Messages that were posted without the database; their records are on the broker.
    pub posted: usize,
    /// Records that were put back on the broker, to come again.
    pub aside: usize,
    /// The database is away.
    pub down: bool,
}

impl Relay {
    /// Takes in a batch, with the database or without. `end`: the function is ended then.
    ///
    /// # Errors
    /// At least one record could be stored nowhere: the batch must come again.
    pub async fn receive(
        &self,
        batch: Vec<AmqpRecord>,
        now: Timestamp,
        end: Option<Instant>,
    ) -> Result<Received, StoreError> {
        let (mut entries, counts) = self.read_batch(batch, now);
        let mut received = Received { counts, ..Received::default() };
        let last = end.map(|end| end.checked_sub(MARGIN).unwrap_or_else(Instant::now));
        let until = || last.map_or(Instant::now() + DIRECTLY, |last| last.min(Instant::now() + DIRECTLY));
        self.keep_order(&mut entries);
        // What was begun here goes no other way, even if the database is back meanwhile.
        let begun = |offer: &Offer| !self.outage.is_idle() && self.outage.is_begun(&self.name_of(offer));
        self.post_now(&mut entries, begun, true, until()).await;
        // In a box: the states within states of all that it awaits are more than the compiler lays out in one.
        let failure = match Box::pin(self.store_patiently(&mut entries, &mut received.counts, last)).await {
            Ok(()) => None,
            // Whatever it says: what is bad in the input alone does not come here, and all the rest may pass.
            Err(error) => {
                self.post_now(&mut entries, |offer| self.goes_directly(offer), false, until()).await;
                Some(error)
            }
        };
        received.down = failure.is_some();
        if !received.down {
            self.tell_refused(&entries, &received.counts).await;
            for entry in entries.iter().filter(|entry| entry.stored) {
                entry.place.iter().for_each(|place| self.outage.stored(*place));
            }
            self.outage.recovering(self.settings.lanes.retry_ttl * 2 + RECOVERY);
        }
        if entries.iter().any(|entry| !entry.stored) {
            let failure = failure.unwrap_or(StoreError::Unavailable("something waits for what is still aside"));
            self.put_aside(&mut entries, &mut received, failure).await?;
        }
        self.tell_posted(&entries).await;
        Ok(received)
    }

    /// What was put aside circles, and the database may come back at any point of the circle: what was first goes first,
    /// and whoever comes before it waits.
    fn keep_order(&self, entries: &mut [Entry]) {
        if !self.outage.has_aside() {
            return;
        }
        let mut before = self.outage.aside();
        let place_of: HashMap<Uuid, i64> = before.iter().map(|(place, whose)| (*whose, *place)).collect();
        for entry in entries.iter_mut() {
            if let AmqpRecord::Delivery(delivery) = &entry.record {
                let told = delivery.headers.int(header::ASIDE).filter(|place| before.contains_key(place));
                // A batch that came back after its broker was lost does not bring what was given then.
                entry.place = told.or_else(|| place_of.get(&entry.uid).copied());
            }
        }
        entries.sort_by_key(|entry| entry.place.unwrap_or(i64::MAX));
        for entry in entries {
            let Some(offer) = entry.offer().filter(|offer| !is_urgent(offer, &self.settings)) else { continue };
            if self.outage.is_begun(&self.name_of(offer)) {
                continue;
            }
            entry.waits = before.first_key_value().is_some_and(|(first, _)| Some(*first) != entry.place);
            if !entry.waits
                && let Some(place) = entry.place
            {
                before.remove(&place);
            }
        }
    }

    /// Stores what it can, within a time that an alarm can wait.
    async fn store_patiently(
        &self,
        entries: &mut [Entry],
        counts: &mut Counts,
        last: Option<Instant>,
    ) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut question = self.question(last)?;
        let known = question.known;
        // What comes from ourselves was put on the broker because the database was down.
        let ours = |entry: &Entry| matches!(&entry.record, AmqpRecord::Delivery(d) if self.own_of(d).is_some());
        let limit = if known || entries.iter().any(ours) { WHILE_DOWN } else { AT_FIRST };
        let connecting = if known { WHILE_DOWN } else { CONNECTING };
        loop {
            let asked = awake(Box::pin(self.ask_to_store(entries, counts, [limit, connecting], last))).await;
            if question.is_settled(&asked) {
                return asked.0;
            }
        }
    }

    /// `limits`: for the first answer, and for a new connection.
    async fn ask_to_store(
        &self,
        entries: &mut [Entry],
        counts: &mut Counts,
        limits: [Duration; 2],
        last: Option<Instant>,
    ) -> Result<(), StoreError> {
        let [limit, connecting] = limits;
        let hasty = self.with_patience(limit);
        let stored = no_longer_than(limit + IN_ALL, Box::pin(hasty.wake_and_store(entries, counts, usize::MAX))).await;
        // It may have been stored, or may yet be: down is what cannot be connected to.
        if stored.as_ref().is_err_and(StoreError::is_doubtful) && self.with_patience(connecting).store.connects().await
        {
            let urgent = entries.iter().filter_map(Entry::offer).any(|offer| is_urgent(offer, &self.settings));
            let limit = PATIENTLY[usize::from(!urgent)];
            let limit = last.map_or(limit, |last| limit.min(last.saturating_duration_since(Instant::now())));
            return no_longer_than(limit, Box::pin(self.wake_and_store(entries, counts, FEW))).await;
        }
        stored
    }

    async fn wake_and_store(
        &self,
        entries: &mut [Entry],
        counts: &mut Counts,
        at_once: usize,
    ) -> Result<(), StoreError> {
        self.wake().await?;
        if entries.iter().all(|entry| entry.stored || entry.waits) {
            // Nothing is to be stored now, which proves nothing.
            return self.store.writable().await;
        }
        self.store_entries(entries, counts, at_once).await
    }

    /// The same relay for a door behind which an alarm may wait: a database that is frozen is soon let be.
    #[must_use]
    pub fn hasty(&self) -> Self {
        self.with_patience(AT_FIRST)
    }

    /// The same relay, with less patience for the database.
    pub(super) fn with_patience(&self, patience: Duration) -> Self {
        Self { store: self.store.within(patience), ..self.clone() }
    }

    /// Posts the chosen messages without the database; those that are wholly posted are only to be recorded then. `held`:
    /// the others must not be stored, for something of them is in a room.
    async fn post_now(&self, entries: &mut [Entry], choose: impl Fn(&Offer) -> bool, held: bool, until: Instant) {
        let chosen: Vec<usize> = (0..entries.len()).filter(|&at| entries[at].offer().is_some_and(&choose)).collect();
        let offers: Vec<&Offer> = chosen.iter().filter_map(|&at| entries[at].offer()).collect();
        if offers.is_empty() {
            return;
        }
        let done = self.post_directly(&offers, until).await;
        let mut named = HashSet::new();
        let told: Vec<Vec<Told>> = offers
            .iter()
            .map(|offer| if named.insert(self.name_of(offer)) { self.told(offer) } else { Vec::new() })
            .collect();
        for ((at, done), told) in chosen.into_iter().zip(done).zip(told) {
            let entry = &mut entries[at];
            entry.item = match std::mem::replace(&mut entry.item, Item::Settled(Vec::new())) {
                Item::Offer(offer) if done => Item::Posted { offer, told },
                Item::Offer(offer) if held || !told.is_empty() => Item::Held { offer, told },
                item => item,
            };
        }
    }

    /// Puts everything that is not stored on the broker: a post's record, or the message itself, to come again.
    async fn put_aside(
        &self,
        entries: &mut [Entry],
        received: &mut Received,
        failure: StoreError,
    ) -> Result<(), StoreError> {
        let Some(broker) = &self.broker else { return Err(failure) };
        let mut outgoing: Vec<Outgoing> = Vec::new();
        let mut of: Vec<usize> = Vec::new();
        for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| !entry.stored) {
            let messages = self.aside(entry, received.down);
            of.extend(messages.iter().map(|_| at));
            outgoing.extend(messages);
        }
        let published = broker.put_in_order(&outgoing).await;
        let mut missing: HashSet<usize> = HashSet::new();
        missing
            .extend(of.iter().zip(&published.fates).filter(|(_, fate)| **fate != Fate::Confirmed).map(|(at, _)| *at));
        for (at, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| !entry.stored) {
            if missing.contains(&at) {
                continue;
            }
            entry.stored = true;
            match &entry.item {
                Item::Posted { offer, .. } => {
                    received.posted += 1;
                    self.outage.recorded(&self.name_of(offer));
                }
                Item::Held { offer, .. } => {
                    received.aside += 1;
                    self.outage.recorded(&self.name_of(offer));
                }
                _ => received.aside += 1,
            }
        }
        match published.error {
            _ if missing.is_empty() => Ok(()),
            Some(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    missing = missing.len(),
                    "neither the database nor the broker takes what came"
                );
                Err(failure)
            }
            None => Err(failure),
        }
    }

    /// One record of the batch as it goes to the broker, after the records of what was called for it.
    fn aside(&self, entry: &Entry, down: bool) -> Vec<Outgoing> {
        let told = match &entry.item {
            Item::Posted { told, .. } | Item::Held { told, .. } => told.as_slice(),
            _ => &[],
        };
        let mut messages: Vec<Outgoing> = told.iter().map(|told| self.record_of(told)).collect();
        if matches!(entry.item, Item::Posted { .. }) {
            return messages;
        }
        messages.push(match &entry.record {
            AmqpRecord::Delivery(delivery) => {
                let mut props = Props::again(delivery, entry.key.as_ref(), entry.uid, delivery.dead_count());
                if let Item::Offer(offer) = &entry.item
                    && !is_urgent(offer, &self.settings)
                {
                    let place = HeaderValue::Int(self.outage.put_aside(entry.place, entry.uid));
                    props = props.with_header(header::ASIDE, place);
                }
                props.expiration = (!down).then_some(SOON);
                Outgoing { key: RETRY, body: delivery.body.clone(), props }
            }
            // As the event has it: nobody can tell better what it was.
            AmqpRecord::Odd(odd) => {
                let props = Props::default().with_header(header::UID, odd.uid.to_string().as_str());
                Outgoing { key: RETRY, body: odd.raw.clone(), props }
            }
        });
        messages
    }

    /// The record of a post, as any producer would publish it, and so that nobody else can.
    fn record_of(&self, told: &Told) -> Outgoing {
        let mut record = self.own(Own::Direct, told.id(), RECORD_KEY, &told.body());
        record.props = record.props.with_header(header::ALREADY_SENT, HeaderValue::Bool(true));
        record
    }

    /// Tells producers that wait that their alarms are posted, or begun. Best effort: who hears nothing posts by itself.
    async fn tell_posted(&self, entries: &[Entry]) {
        let Some(broker) = &self.broker else { return };
        let telling = async {
            for entry in entries {
                let (offer, status) = match &entry.item {
                    Item::Posted { offer, .. } => (offer, "success"),
                    Item::Held { offer, .. } if self.outage.is_begun(&self.name_of(offer)) => (offer, "taken"),
                    _ => continue,
                };
                if let Err(error) = tell(broker, offer, status).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a producer was not told of its alarm");
                }
            }
        };
        if timeout(TELLING, telling).await.is_err() {
            tracing::warn!("producers were not told of their alarms in time");
        }
    }
}

/// Broken off after this: every statement is idempotent, and its connection is closed with it.
pub(super) async fn no_longer_than<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, asking).await.unwrap_or(Err(StoreError::Unavailable("no answer in time")))
}

async fn tell(broker: &Broker, offer: &Offer, status: &str) -> Result<(), crate::broker::BrokerError> {
    let Some(reply) = &offer.reply else { return Ok(()) };
    let body = json!({ "status": status, "message_id": offer.message.uid.given() }).to_string();
    let props = Props { correlation_id: Some(reply.correlation_id.clone()), ..Props::default() };
    broker.publish("", &reply.queue, body.as_bytes(), &props, false).await
}
