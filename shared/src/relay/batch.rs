//! A batch from RabbitMQ: each record is read, then settled, accepted or kept; none harms its neighbours.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Relay;
use super::accept::Outcome;
use super::plan::{Door, Offer, ReplyTo};
use crate::amqp_event::{self, Delivery, Record as AmqpRecord};
use crate::chat::Line;
use crate::message::{Message, Record, RecordKind, Uid};
use crate::route::{Action, RoutingKey};
use crate::source::{self, Envelope, Reading, Unreadable};
use crate::store::StoreError;
use crate::text::Text;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages, with their verdicts.
    pub outcomes: Vec<Outcome>,
    /// Calls that producers recorded.
    pub records: usize,
    /// Records that could not be read.
    pub rejected: usize,
    /// Records of our own calls that came back: nothing of them is stored.
    pub ignored: usize,
}

/// What a record of the batch turned out to be.
enum Item {
    Offer(Box<Offer>),
    Settled(Settled),
    Rejected {
        id: Uuid,
        source: Option<String>,
        reason: &'static str,
        detail: String,
        raw: Vec<u8>,
        asker: Option<Asker>,
    },
}

/// Who waits for an answer about which message.
pub(super) type Asker = (Uid, ReplyTo);

/// A producer's record, as the statement takes it and as it came.
struct Settled {
    record: Value,
    id: Uuid,
    source: String,
    raw: Vec<u8>,
}

impl Relay {
    /// Takes in a batch: records of already-sent messages are settled before the batch is planned, so that an original
    /// and its record that waited together post nothing. `now` is for messages without any mark of their own.
    ///
    /// # Errors
    /// The database is unavailable: at least one record is stored nowhere, and the batch must come again.
    pub async fn take_in(&self, batch: Vec<AmqpRecord>, now: Timestamp) -> Result<Counts, StoreError> {
        let records = batch.len();
        let batch: Vec<AmqpRecord> = batch
            .into_iter()
            .filter(|record| !matches!(record, AmqpRecord::Delivery(delivery) if self.is_ours(delivery)))
            .collect();
        let mut counts = Counts { ignored: records - batch.len(), ..Counts::default() };
        let items = self.read_batch(batch, now);
        let mut offers = Vec::new();
        let mut settled = Vec::new();
        let mut refused: Vec<(&'static str, Asker)> = Vec::new();
        for item in items {
            match item {
                Item::Offer(offer) => offers.push(*offer),
                Item::Settled(record) => settled.push(record),
                Item::Rejected { id, source, reason, detail, raw, asker } => {
                    counts.rejected += 1;
                    self.reject(id.as_bytes(), "rabbitmq", source.as_deref(), reason, detail, &raw).await?;
                    refused.extend(asker.map(|asker| (reason, asker)));
                }
            }
        }
        counts.records = settled.len();
        counts.rejected += self.settle(&settled).await?;
        counts.outcomes = self.accept(&offers).await?;
        for (offer, outcome) in offers.iter().zip(&counts.outcomes) {
            // No row of its own will ever be answered.
            if let (true, Some(reason), Some(reply)) = (outcome.is_kept_aside(), outcome.reason, &offer.reply) {
                refused.push((reason, (offer.message.uid.clone(), reply.clone())));
            }
        }
        self.reply_refused(&refused).await;
        Ok(counts)
    }

    /// Settles what producers recorded. A batch that the database refuses is halved until the bad one is alone, and
    /// that one is kept. Returns how many were.
    async fn settle(&self, records: &[Settled]) -> Result<usize, StoreError> {
        let mark = Uuid::new_v4().to_string();
        let mut refused = 0;
        let mut waiting = vec![records];
        while let Some(part) = waiting.pop().filter(|part| !part.is_empty()) {
            let batch = Value::Array(part.iter().map(|settled| settled.record.clone()).collect());
            let stored = match self.store.settle(&batch, &mark).await {
                // Idempotent: a doubtful one is asked again on a new connection.
                Err(StoreError::Unavailable(_)) => self.store.settle(&batch, &mark).await,
                other => other,
            };
            match (stored, part) {
                (Ok(()), _) => {}
                (Err(error), [alone]) if error.is_bad_input() => {
                    refused += 1;
                    let (id, reason) = (alone.id.as_bytes(), "refused_by_database");
                    self.reject(id, "rabbitmq", Some(&alone.source), reason, error.to_string(), &alone.raw).await?;
                }
                (Err(error), _) if error.is_bad_input() => {
                    let (left, right) = part.split_at(part.len() / 2);
                    waiting.extend([right, left]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(refused)
    }

    fn read_batch(&self, batch: Vec<AmqpRecord>, now: Timestamp) -> Vec<Item> {
        let keyed: Vec<(AmqpRecord, Option<RoutingKey>)> = batch
            .into_iter()
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
        keyed
            .iter()
            .map(|(record, key)| match record {
                AmqpRecord::Odd(odd) => Item::Rejected {
                    id: odd.uid,
                    source: None,
                    reason: odd.fault.as_str(),
                    detail: odd.fault.to_string(),
                    raw: odd.raw.clone(),
                    asker: None,
                },
                AmqpRecord::Delivery(delivery) => {
                    let uid = uids.next().unwrap_or_else(Uuid::new_v4);
                    self.read_delivery(delivery, key.as_ref(), uid)
                }
            })
            .collect()
    }

    /// The routing key, from whatever tells it.
    pub(crate) fn key_of(&self, delivery: &Delivery) -> Option<RoutingKey> {
        delivery.routing_key(&self.settings.queue_keys).or_else(|| source::key_from_body(&delivery.body))
    }

    fn read_delivery(&self, delivery: &Delivery, key: Option<&RoutingKey>, uid: Uuid) -> Item {
        let rejected = |error: Unreadable| Item::Rejected {
            id: uid,
            source: key.map(|k| k.as_str().to_owned()),
            reason: error.reason,
            detail: error.detail,
            raw: delivery.body.clone(),
            asker: reply_to(delivery).map(|reply| (uid_of(delivery, key, uid), reply)),
        };
        let Some(key) = key else {
            let detail = "no header, queue or field tells the routing key".to_owned();
            return rejected(Unreadable { reason: "no_key", detail });
        };
        let already_sent = delivery.already_sent();
        let zone = &self.settings.zone;
        let envelope = Envelope { key, already_sent, fallback_uid: uid, zone, body: &delivery.body };
        // What is never posted need not have a form: it is kept whole, sealed.
        let blocked = self.settings.routes.find(key).is_some_and(|route| route.action == Action::Block);
        let reading = if blocked { Ok(self.unposted(envelope)) } else { source::read(envelope) };
        match reading {
            Err(error) => rejected(error),
            Ok(Reading::Record(record)) => Item::Settled(Settled {
                record: self.settlement(&record, uid, &delivery.body),
                id: uid,
                source: key.as_str().to_owned(),
                raw: delivery.body.clone(),
            }),
            Ok(Reading::Message(message)) => Item::Offer(Box::new(Offer {
                message: *message,
                door: Door::RabbitMq,
                sent_by: None,
                reply: reply_to(delivery),
                deliver_by: deliver_by(delivery),
                stamped_at: delivery.stamp_time(),
                route: None,
                raw: delivery.body.clone(),
            })),
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

    /// A record as the statement takes it. Whether the post succeeded decides whether it settles its room.
    fn settlement(&self, record: &Record, record_key: Uuid, raw: &[u8]) -> Value {
        let posted = record.kind == RecordKind::Post && record.status.is_none_or(|s| (200..300).contains(&s));
        let room = self.room_of(record);
        let line = (record.kind == RecordKind::Callback).then(|| self.line_of(raw)).flatten();
        let (operation, text) = match record.kind {
            RecordKind::Post => ("post", record.text.as_deref()),
            RecordKind::Upload => ("upload", None),
            // What a member said belongs to the sealed line.
            RecordKind::Callback => ("callback", None),
        };
        json!({
            "uid": record.uid.key(), "given_uid": record.uid.given(), "short_uid": record.uid.short(),
            "source": record.source.as_str(), "text": text, "room": room, "settles": posted, "operation": operation,
            "status": record.status,
            "request": { "text": text, "picture_url": record.picture_url.as_deref().map(|u| u.replace('\0', "\u{fffd}")) },
            "record_key": record_key.to_string(), "line": line,
        })
    }

    /// The room that a record is about: its bot's; without a bot, the one its source goes to, if there is just one.
    fn room_of(&self, record: &Record) -> Option<String> {
        if let Some(bot) = &record.bot_id {
            let same = |known: &str| crate::seal::same(known.as_bytes(), bot.expose_secret().as_bytes());
            return self.settings.rooms.iter().find(|r| same(r.bot_id.expose_secret())).map(|r| r.name.clone());
        }
        let routed = self.settings.routes.find(&record.source).filter(|route| route.action == Action::Post);
        match routed.map(|route| route.rooms.as_slice()) {
            Some([room]) => Some(room.clone()),
            _ if self.settings.rooms.len() == 1 => self.settings.rooms.first().map(|r| r.name.clone()),
            _ => None,
        }
    }

    fn line_of(&self, raw: &[u8]) -> Option<Value> {
        let line = Line::read(&crate::json::parse(raw).ok()?)?;
        let sealed = self.sealed("groupme_callbacks", "payload_sealed", line.id(), &self.strike_out(raw));
        Some(json!({
            "group_id": line.group(), "line_id": line.id(), "sender_type": line.sender_type(),
            "text_length": line.text_length(), "payload_sealed": STANDARD.encode(sealed),
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

/// When the producer will post by itself: its patience counted from the stamp, since its clock may be wrong; its own
/// word where it does not say when it published or nothing was stamped.
fn deliver_by(delivery: &Delivery) -> Option<Timestamp> {
    let by = delivery.deliver_by()?;
    let published = delivery.timestamp.as_deref().and_then(amqp_event::read_moment);
    match (published, delivery.stamp_time()) {
        (Some(published), Some(stamped)) => stamped.checked_add(by.duration_since(published)).ok(),
        _ => Some(by),
    }
}
