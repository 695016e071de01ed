//! A batch from RabbitMQ: each record is read, then settled, accepted or kept; none harms its neighbours.
use jiff::Timestamp;
use uuid::Uuid;

use super::Relay;
use super::accept::Outcome;
use super::attempt::Attempt;
use super::direct::Told;
use super::own::Own;
use super::plan::{Door, Offer, ReplyTo, is_urgent};
use super::settle::{Settled, settled_of};
use super::told;
use crate::amqp_event::{self, Delivery, Record as AmqpRecord};
use crate::chat::Line;
use crate::message::{Message, Uid};
use crate::route::{Action, RoutingKey};
use crate::source::{self, Envelope, Reading, Unreadable};
use crate::store::StoreError;
use crate::text::Text;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages by their places in what was read, with their verdicts.
    pub outcomes: Vec<(usize, Outcome)>,
    /// Calls that producers recorded.
    pub records: usize,
    /// Lines said in a room that were heard while the database was away.
    pub lines: usize,
    /// Records that could not be read.
    pub rejected: usize,
    /// Records of our own calls that came back: nothing of them is stored.
    pub ignored: usize,
}

/// A record of the batch, and whether it is stored.
pub(super) struct Entry {
    /// As it came.
    pub(super) record: AmqpRecord,
    /// Its routing key, if anything tells it.
    pub(super) key: Option<RoutingKey>,
    /// The uid for a payload that names none.
    pub(super) uid: Uuid,
    /// What it turned out to be.
    pub(super) item: Item,
    /// It is in the database, or on the broker.
    pub(super) stored: bool,
    /// Its place among what was put aside.
    pub(super) place: Option<i64>,
    /// Not to be stored before others that were put aside.
    pub(super) waits: bool,
}

/// What a record of the batch turned out to be.
pub(super) enum Item {
    Offer(Box<Offer>),
    /// Posted without the database, and only to be recorded.
    Posted {
        offer: Box<Offer>,
        told: Vec<Told>,
    },
    /// Begun without the database, and to be ended so.
    Held {
        offer: Box<Offer>,
        told: Vec<Told>,
    },
    Settled(Vec<Settled>),
    Line(Box<Line>),
    Attempt(Box<Attempt>),
    Rejected(Box<Rejected>),
}

/// What cannot be read, and who waits for an answer about it.
pub(super) struct Rejected {
    id: Uuid,
    source: Option<String>,
    reason: &'static str,
    detail: String,
    raw: Vec<u8>,
    asker: Option<Asker>,
}

/// Who waits for an answer about which message.
pub(super) type Asker = (Uid, ReplyTo);

impl Entry {
    pub(super) fn offer(&self) -> Option<&Offer> {
        match &self.item {
            Item::Offer(offer) if !self.stored && !self.waits => Some(offer),
            _ => None,
        }
    }
}

impl Relay {
    /// Takes in a batch: records of already-sent messages are settled before the batch is planned, so that an original
    /// and its record that waited together post nothing. `now` is for messages without any mark of their own.
    ///
    /// # Errors
    /// The database is unavailable: at least one record is stored nowhere, and the batch must come again.
    pub async fn take_in(&self, batch: Vec<AmqpRecord>, now: Timestamp) -> Result<Counts, StoreError> {
        let (mut entries, mut counts) = self.read_batch(batch, now);
        self.store_entries(&mut entries, &mut counts, usize::MAX).await?;
        self.tell_refused(&entries, &counts).await;
        Ok(counts)
    }

    /// Stores what is not stored yet, the urgent before the rest, so many in a statement, and notes of each what was: what
    /// was stored before the database went away is.
    pub(super) async fn store_entries(
        &self,
        entries: &mut [Entry],
        counts: &mut Counts,
        at_once: usize,
    ) -> Result<(), StoreError> {
        let (mut posted, mut settled): (Vec<Settled>, Vec<&Settled>) = (Vec::new(), Vec::new());
        for entry in entries.iter().filter(|entry| !entry.stored) {
            match &entry.item {
                Item::Settled(records) => settled.extend(records),
                Item::Posted { told, .. } | Item::Held { told, .. } => {
                    posted.extend(
                        told.iter().flat_map(|told| settled_of(told, told.id(), told.body().to_string().as_bytes())),
                    );
                }
                _ => {}
            }
        }
        settled.extend(&posted);
        counts.rejected += self.settle(&settled).await?;
        for entry in entries.iter_mut().filter(|entry| !entry.stored) {
            let id = entry.uid;
            let raw = match &entry.record {
                AmqpRecord::Delivery(delivery) => &delivery.body,
                AmqpRecord::Odd(odd) => &odd.raw,
            };
            match &mut entry.item {
                Item::Settled(_) => {
                    counts.records += 1;
                    entry.stored = true;
                }
                Item::Attempt(attempt) => {
                    counts.rejected += self.kept_if_refused(self.record_attempt(attempt).await, id, raw).await?;
                    counts.records += 1;
                    entry.stored = true;
                }
                Item::Posted { offer, told } if !told.is_empty() => {
                    self.outage.recorded(&self.name_of(offer));
                    entry.stored = true;
                }
                Item::Held { offer, told } => {
                    self.outage.recorded(&self.name_of(offer));
                    told.clear();
                }
                Item::Line(line) => {
                    counts.rejected += self.kept_if_refused(Box::pin(self.hear(line)).await.map(drop), id, raw).await?;
                    counts.lines += 1;
                    entry.stored = true;
                }
                Item::Offer(_) | Item::Posted { .. } | Item::Rejected(_) => {}
            }
        }
        self.let_go_of_repeats(entries).await?;
        for urgent in [true, false] {
            let chosen: Vec<usize> = (0..entries.len())
                .filter(|&at| entries[at].offer().is_some_and(|offer| is_urgent(offer, &self.settings) == urgent))
                .collect();
            // What is told holds for what came after it, and not for what came before.
            let tells = |&at: &usize| entries[at].offer().is_some_and(told::tells);
            let chunks: Vec<&[usize]> = chosen.split_inclusive(tells).flat_map(|some| some.chunks(at_once)).collect();
            for chosen in chunks {
                let offers: Vec<&Offer> = chosen.iter().filter_map(|&at| entries[at].offer()).collect();
                let outcomes = Box::pin(self.accept(&offers)).await?;
                self.keep_sent_conflicts(&offers, &outcomes).await?;
                if urgent {
                    offers.iter().for_each(|offer| self.outage.took(self.name_of(offer)));
                }
                for (offer, _) in offers.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.is_kept_aside()) {
                    Box::pin(self.obey_told(offer)).await?;
                }
                for (&at, outcome) in chosen.iter().zip(outcomes) {
                    entries[at].stored = true;
                    counts.outcomes.push((at, outcome));
                }
            }
        }
        counts.outcomes.sort_by_key(|(at, _)| *at);
        for entry in entries.iter_mut().filter(|entry| !entry.stored) {
            if let Item::Rejected(rejected) = &entry.item {
                let Rejected { id, source, reason, detail, raw, .. } = rejected.as_ref();
                self.reject(id.as_bytes(), "rabbitmq", source.as_deref(), reason, detail.clone(), raw).await?;
                counts.rejected += 1;
                entry.stored = true;
            }
        }
        Ok(())
    }

    /// What was posted without the database and comes again is a repeat like any other as soon as its record is stored;
    /// until then its record on the broker speaks for it.
    ///
    /// What is wholly posted in some of its rooms and cannot be in the others is taken in as soon as the records of the
    /// former are stored: the others are planned like any.
    async fn let_go_of_repeats(&self, entries: &mut [Entry]) -> Result<(), StoreError> {
        for entry in entries.iter_mut().filter(|entry| !entry.stored) {
            match &entry.item {
                Item::Posted { offer, .. } => {
                    let known = !self.store.find_by_key(&[offer.message.uid.key().to_owned()]).await?.is_empty();
                    if known { entry.item = Item::Offer(offer.clone()) } else { entry.stored = true }
                }
                Item::Held { offer, .. } => {
                    let name = self.name_of(offer);
                    let Some(done) = self.outage.rooms_done(&name) else { continue };
                    let found = self.store.find_by_key(&[offer.message.uid.key().to_owned()]).await?.pop();
                    let stored = |room: &String| {
                        let deliveries = found.as_ref().and_then(|found| found.deliveries.as_array());
                        deliveries.into_iter().flatten().any(|delivery| delivery["room"] == room.as_str())
                    };
                    if done.iter().all(stored) {
                        self.outage.forget(&name);
                        entry.item = Item::Offer(offer.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the database will not have of our own is kept for a person to see, and harms nothing else; how many that is.
    async fn kept_if_refused(&self, done: Result<(), StoreError>, id: Uuid, raw: &[u8]) -> Result<usize, StoreError> {
        match done {
            Err(error) if error.is_bad_input() => {
                let reason = "refused_by_database";
                self.reject(id.as_bytes(), "rabbitmq", None, reason, error.to_string(), raw).await.map(|()| 1)
            }
            other => other.map(|()| 0),
        }
    }

    /// Who sent it by HTTP was told that it was taken: where its uid turns out to stand for another content, it is kept.
    async fn keep_sent_conflicts(&self, offers: &[&Offer], outcomes: &[Outcome]) -> Result<(), StoreError> {
        for (offer, _) in offers.iter().zip(outcomes).filter(|(o, out)| o.door == Door::Http && out.is_conflict()) {
            self.keep(offer, "uid_reused", "uid: stands for another content already".to_owned()).await?;
        }
        Ok(())
    }

    /// Tells producers of what was refused: no row of its own will ever be answered.
    pub(super) async fn tell_refused(&self, entries: &[Entry], counts: &Counts) {
        let mut refused: Vec<(&'static str, Asker)> = Vec::new();
        for entry in entries {
            if let Item::Rejected(rejected) = &entry.item {
                refused.extend(rejected.asker.clone().map(|asker| (rejected.reason, asker)));
            }
        }
        for (at, outcome) in &counts.outcomes {
            if let (true, Some(reason), Item::Offer(offer)) =
                (outcome.is_kept_aside(), outcome.reason, &entries[*at].item)
                && let Some(reply) = &offer.reply
            {
                refused.push((reason, (offer.message.uid.clone(), reply.clone())));
            }
        }
        self.reply_refused(&refused).await;
    }

    /// Reads a batch, but for records of our own calls that came back: nothing of them is stored.
    pub(super) fn read_batch(&self, batch: Vec<AmqpRecord>, now: Timestamp) -> (Vec<Entry>, Counts) {
        let records = batch.len();
        let keyed: Vec<(AmqpRecord, Option<RoutingKey>)> = batch
            .into_iter()
            .filter(|record| !matches!(record, AmqpRecord::Delivery(delivery) if self.is_ours(delivery)))
            .map(|record| {
                let key = match &record {
                    AmqpRecord::Delivery(d) => self.key_of(d),
                    AmqpRecord::Odd(_) => None,
                };
                (record, key)
            })
            .collect();
        let deliveries: Vec<(&Delivery, Option<&RoutingKey>)> = keyed
            .iter()
            .filter_map(|(record, key)| match record {
                AmqpRecord::Delivery(d) => Some((d.as_ref(), key.as_ref())),
                AmqpRecord::Odd(_) => None,
            })
            .collect();
        let mut uids = amqp_event::identities(&deliveries, now).into_iter();
        let counts = Counts { ignored: records - keyed.len(), ..Counts::default() };
        let entry = |(record, key): (AmqpRecord, Option<RoutingKey>)| {
            let (uid, item) = match &record {
                AmqpRecord::Odd(odd) => {
                    let (id, reason, detail) = (odd.uid, odd.fault.as_str(), odd.fault.to_string());
                    let raw = odd.raw.clone();
                    let rejected = Rejected { id, source: None, reason, detail, raw, asker: None };
                    (odd.uid, Item::Rejected(Box::new(rejected)))
                }
                AmqpRecord::Delivery(delivery) => {
                    let uid = uids.next().unwrap_or_else(Uuid::new_v4);
                    (uid, self.read_delivery(delivery, key.as_ref(), uid))
                }
            };
            Entry { record, key, uid, item, stored: false, place: None, waits: false }
        };
        (keyed.into_iter().map(entry).collect(), counts)
    }

    /// The routing key, from whatever tells it.
    pub(crate) fn key_of(&self, delivery: &Delivery) -> Option<RoutingKey> {
        delivery.routing_key(&self.settings.queue_keys).or_else(|| source::key_from_body(&delivery.body))
    }

    fn read_delivery(&self, delivery: &Delivery, key: Option<&RoutingKey>, uid: Uuid) -> Item {
        let rejected = |error: Unreadable| {
            Item::Rejected(Box::new(Rejected {
                id: uid,
                source: key.map(|k| k.as_str().to_owned()),
                reason: error.reason,
                detail: error.detail,
                raw: delivery.body.clone(),
                asker: reply_to(delivery).map(|reply| (uid_of(delivery, key, uid), reply)),
            }))
        };
        let own = self.own_of(delivery).and_then(|own| self.read_own(own, delivery, uid));
        if let Some(own) = own {
            return own;
        }
        let Some(key) = key else {
            let detail = "no header, queue or field tells the routing key".to_owned();
            return rejected(Unreadable { reason: "no_key", detail });
        };
        let already_sent = delivery.already_sent();
        let zone = &self.settings.zone;
        let envelope = Envelope { key, already_sent, fallback_uid: uid, zone, body: &delivery.body };
        // What is never posted need not have a form: it is kept whole, sealed.
        if let Err(error) = told::number(key, &delivery.body) {
            return rejected(error);
        }
        let route = told::route(key);
        let known = route.as_ref().or_else(|| self.settings.routes.find(key));
        let blocked = known.is_some_and(|route| route.action == Action::Block);
        let reading = if blocked { Ok(self.unposted(envelope)) } else { source::read(envelope) };
        match reading {
            Err(error) => rejected(error),
            Ok(Reading::Record(record)) => Item::Settled(vec![Settled {
                record: self.settlement(&record, uid, &delivery.body),
                id: uid,
                source: key.as_str().to_owned(),
                raw: delivery.body.clone(),
            }]),
            Ok(Reading::Message(message)) => Item::Offer(Box::new(Offer {
                message: *message,
                door: Door::RabbitMq,
                sent_by: None,
                reply: reply_to(delivery),
                deliver_by: delivery.taken_over_at(),
                stamped_at: delivery.stamp_time(),
                route,
                raw: delivery.body.clone(),
            })),
        }
    }

    /// What Talkback put on the broker for itself.
    fn read_own(&self, own: Own, delivery: &Delivery, uid: Uuid) -> Option<Item> {
        match own {
            Own::Direct => Some(Item::Settled(settled_of(&Told::read(&delivery.body)?, uid, &delivery.body))),
            Own::Line => Line::read(&crate::json::parse(&delivery.body).ok()?).map(|line| Item::Line(Box::new(line))),
            Own::Sent => super::sent::read(delivery).map(|offer| Item::Offer(Box::new(offer))),
            Own::Attempt => Attempt::read(&delivery.body).map(|attempt| Item::Attempt(Box::new(attempt))),
        }
    }

    /// A payload of a blocked route, whatever its form.
    fn unposted(&self, envelope: Envelope<'_>) -> Reading {
        Reading::Message(Box::new(Message {
            uid: source::uid_of(envelope.key, envelope.fallback_uid, envelope.body),
            source: envelope.key.clone(),
            sender: None,
            body: Text::clean(&String::from_utf8_lossy(&self.strike_out(envelope.body))),
            media: Vec::new(),
            priority: None,
            rooms: None,
            expires_at: None,
            wants_ack_url: false,
        }))
    }
}

/// Where its producer waits for an answer, if it does.
fn reply_to(delivery: &Delivery) -> Option<ReplyTo> {
    let correlation_id = delivery.correlation_id.clone().unwrap_or_default();
    delivery.reply_to.clone().map(|queue| ReplyTo { queue, correlation_id })
}

/// The uid by which its producer knows what could not be read.
fn uid_of(delivery: &Delivery, key: Option<&RoutingKey>, fallback_uid: Uuid) -> Uid {
    key.map_or_else(|| Uid::from_uuid(fallback_uid), |key| source::uid_of(key, fallback_uid, &delivery.body))
}
