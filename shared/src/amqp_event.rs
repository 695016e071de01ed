//! The event that Lambda makes of an Amazon MQ queue, read record by record: one odd record never fails its
//! neighbours. Our own reader, because `aws_lambda_events` refuses ordinary events (`priority: null`) before a handler
//! runs, and takes those of other services as empty ones. Knows no payload: see [`crate::source`].
mod headers;
mod identity;
mod moment;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use headers::{Field, Headers};
pub use identity::{BUCKET_SECONDS, identities};
pub use moment::read_moment;

use crate::route::RoutingKey;

/// The queue in which the broker stamps exchange, routing key and time on a message.
pub const STAMP_QUEUE: &str = "talkback.stamp";

/// Headers that only Talkback sets, when it publishes a message again: the stamp is lost on that way.
pub mod header {
    /// The routing key of the first publish.
    pub const ROUTING_KEY: &str = "x-routing-key";
    /// The exchange of the first publish.
    pub const SOURCE_EXCHANGE: &str = "x-source-exchange";
    /// When the stamp was made: RFC 3339 text.
    pub const STAMP_TIME: &str = "x-stamp-time";
    /// The uid that the message got when it was first read, if its payload names none; producers set it on a record that
    /// they may publish again.
    pub const UID: &str = "x-talkback-uid";
    /// How often the message came back from `talkback.dead`.
    pub const DEAD_COUNT: &str = "x-talkback-dead";
    /// Set by producers: they posted it themselves, we only write it down.
    pub const ALREADY_SENT: &str = "alreadysent";
    /// Set by producers: after this moment they post it themselves.
    pub const DELIVER_BY: &str = "deliver_by";
    /// On a record of our own calls: the proof that it is ours, so that it is ignored when it comes back.
    pub const RECORD: &str = "x-talkback-record";
    /// The place in the order of what was put aside while the database was away: a number that grows.
    pub const ASIDE: &str = "x-talkback-aside";
    /// On what Talkback publishes to itself while the database is away: what it is.
    pub const OWN: &str = "x-talkback-own";
    /// And the proof that Talkback said so.
    pub const OWN_PROOF: &str = "x-talkback-own-proof";
    /// Set on a reply: the sender is banned, and nothing was posted.
    pub const BANNED: &str = "x-banned";
    /// Marks a probe of the way through the stamp; holds its id.
    pub const PROBE: &str = "x-talkback-probe";
}

/// What a probe says; header and body together make one, so that no producer's header can make a message vanish.
pub const PROBE_BODY: &[u8] = b"a probe of talkback's way, not a message";

/// Amazon pads, other encoders may not; neither is a reason to lose a message.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a whole event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// `eventSource` is missing or another service's.
    #[error("not an event of Amazon MQ for RabbitMQ: eventSource must be \"aws:rmq\"")]
    Source,
    /// `rmqMessagesByQueue` is neither an object nor null.
    #[error("rmqMessagesByQueue must be an object of queues")]
    Queues,
}

/// Why one record could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A queue holds something else than a list of messages.
    #[error("the queue holds no list of messages")]
    NoList,
    /// The message is no JSON object.
    #[error("the message is no object")]
    NoObject,
    /// `data` is there, but no text.
    #[error("data is no text")]
    NoText,
    /// `data` is no base64.
    #[error("data is no base64")]
    Base64,
}

impl Fault {
    /// One word for rows, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoList => "no_list",
            Self::NoObject => "no_object",
            Self::NoText => "no_text",
            Self::Base64 => "bad_base64",
        }
    }
}

/// One message of the event.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A message as the broker delivered it.
    Delivery(Box<Delivery>),
    /// Something that cannot be one, kept for a person to see.
    Odd(OddRecord),
}

/// A record that could not be read.
#[derive(Clone, PartialEq, Eq)]
pub struct OddRecord {
    /// The queue it came from.
    pub queue: String,
    /// The virtual host of that queue.
    pub vhost: String,
    /// What is wrong with it.
    pub fault: Fault,
    /// The record as JSON, whole: it may hold anything, so it is never logged.
    pub raw: Vec<u8>,
    /// The same for the same record when the batch comes again.
    pub uid: Uuid,
}

impl std::fmt::Debug for OddRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OddRecord({}, {}, {} bytes)", self.queue, self.fault, self.raw.len())
    }
}

/// A message as the broker delivered it to the function.
///
/// Properties are text whatever JSON they came as (a captured event has a numeric `expiration`), `None` where null.
#[derive(Clone, PartialEq, Default)]
pub struct Delivery {
    /// The queue it was taken from; not the routing key.
    pub queue: String,
    /// The virtual host of that queue.
    pub vhost: String,
    /// The payload; empty where the event has no `data`.
    pub body: Vec<u8>,
    /// What the producer says the payload is.
    pub content_type: Option<String>,
    /// The headers.
    pub headers: Headers,
    /// The queue to which the producer wants its answer.
    pub reply_to: Option<String>,
    /// What that answer must repeat.
    pub correlation_id: Option<String>,
    /// The producer's id of the message.
    pub message_id: Option<String>,
    /// The producer's time as it came: text in English, perhaps with U+202F in it.
    pub timestamp: Option<String>,
    /// Delivered before, and not acknowledged.
    pub redelivered: bool,
}

impl std::fmt::Debug for Delivery {
    /// Neither body nor headers: both may hold a listener's words and number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delivery({}, {} bytes)", self.queue, self.body.len())
    }
}

/// Every message of every queue of the event, in the event's order, but the probes of [`crate::broker`].
pub fn read_event(event: &Value) -> Result<Vec<Record>, EventError> {
    if event.get("eventSource").and_then(Value::as_str) != Some("aws:rmq") {
        return Err(EventError::Source);
    }
    let queues = match event.get("rmqMessagesByQueue") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(queues)) => queues,
        Some(_) => return Err(EventError::Queues),
    };
    let mut records = Vec::new();
    for (name, messages) in queues {
        let (queue, vhost) = name.rsplit_once("::").unwrap_or((name, "/"));
        match messages {
            Value::Null => {}
            Value::Array(messages) => records.extend(messages.iter().map(|m| read_record(queue, vhost, m))),
            other => records.push(odd(queue, vhost, Fault::NoList, other)),
        }
    }
    records.retain(|record| !matches!(record, Record::Delivery(delivery) if delivery.is_probe()));
    Ok(records)
}

/// One message of a queue.
#[must_use]
pub fn read_record(queue: &str, vhost: &str, message: &Value) -> Record {
    let Value::Object(fields) = message else {
        return odd(queue, vhost, Fault::NoObject, message);
    };
    let body = match fields.get("data") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(data)) => match LENIENT.decode(data.trim()) {
            Ok(body) => body,
            Err(_) => return odd(queue, vhost, Fault::Base64, message),
        },
        Some(_) => return odd(queue, vhost, Fault::NoText, message),
    };
    let empty = Map::new();
    let properties = fields.get("basicProperties").and_then(Value::as_object).unwrap_or(&empty);
    let text = |name: &str| properties.get(name).and_then(|value| Field(value).loose_text());
    Record::Delivery(Box::new(Delivery {
        queue: queue.to_owned(),
        vhost: vhost.to_owned(),
        body,
        content_type: text("contentType"),
        headers: Headers(properties.get("headers").and_then(Value::as_object).cloned().unwrap_or_default()),
        reply_to: text("replyTo"),
        correlation_id: text("correlationId"),
        message_id: text("messageId"),
        timestamp: text("timestamp"),
        redelivered: fields.get("redelivered").and_then(|value| Field(value).bool()).unwrap_or(false),
    }))
}

fn odd(queue: &str, vhost: &str, fault: Fault, message: &Value) -> Record {
    let uid = identity::of_odd(queue, vhost, message);
    let raw = message.to_string().into_bytes();
    Record::Odd(OddRecord { queue: queue.to_owned(), vhost: vhost.to_owned(), fault, raw, uid })
}

impl Delivery {
    /// The routing key of the publish: the header that only we set, else the broker's stamp, else the configured table
    /// of queues. The last answer, from the payload, is [`crate::source::key_from_body`].
    #[must_use]
    pub fn routing_key(&self, table: &[(String, RoutingKey)]) -> Option<RoutingKey> {
        let own = || RoutingKey::parse(&self.headers.text(header::ROUTING_KEY)?).ok();
        let stamped = || {
            let keys = self.stamp()?.get("routing-keys")?;
            let first = keys.items().and_then(|items| items.first().map(Field)).unwrap_or(keys);
            RoutingKey::parse(&first.text()?).ok()
        };
        let configured = || table.iter().find(|(queue, _)| *queue == self.queue).map(|(_, key)| key.clone());
        own().or_else(stamped).or_else(configured)
    }

    /// The exchange of the publish, if anything tells it.
    #[must_use]
    pub fn exchange(&self) -> Option<String> {
        self.headers.text(header::SOURCE_EXCHANGE).or_else(|| self.stamp()?.get("exchange")?.text())
    }

    /// When the broker took the message, by the broker's clock; to the second.
    #[must_use]
    pub fn stamp_time(&self) -> Option<Timestamp> {
        let own = || self.headers.get(header::STAMP_TIME)?.moment();
        own().or_else(|| self.stamp()?.get("time")?.moment())
    }

    /// The producer posted it itself and only wants it written down: a boolean, `"true"` or 1.
    #[must_use]
    pub fn already_sent(&self) -> bool {
        self.headers.bool(header::ALREADY_SENT).unwrap_or(false)
    }

    /// After this moment the producer posts the message itself. Seconds or milliseconds since 1970, or a date as text.
    #[must_use]
    pub fn deliver_by(&self) -> Option<Timestamp> {
        self.headers.get(header::DELIVER_BY)?.moment()
    }

    /// A probe of the way through the stamp: no message, nothing to store.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.body == PROBE_BODY && self.headers.get(header::PROBE).is_some()
    }

    /// How often Talkback has taken the message out of `talkback.dead` and tried again.
    #[must_use]
    pub fn dead_count(&self) -> u32 {
        self.headers.int(header::DEAD_COUNT).map_or(0, |count| u32::try_from(count.max(0)).unwrap_or(u32::MAX))
    }

    /// The `x-death` entry of the stamp queue. Not the oldest one: after a way through `talkback.retry` on RabbitMQ 4
    /// the oldest is that queue's.
    fn stamp(&self) -> Option<Field<'_>> {
        let deaths = self.headers.get("x-death")?;
        let items = deaths.items()?;
        items
            .iter()
            .map(Field)
            .find(|entry| entry.get("queue").and_then(Field::text).is_some_and(|queue| queue == STAMP_QUEUE))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
