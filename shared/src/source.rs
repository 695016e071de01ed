//! Payload formats: bytes and a routing key become a [`Message`] or a [`Record`], or the reason why not. One file a
//! format under `source/`, one line each in the table here.
mod endec;
mod failsafe;
mod groupme_record;
mod standard;
mod twilio_sms;
mod ups;

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::json::{self, Object, WrongType};
use crate::message::{Message, Record, Uid};
use crate::route::RoutingKey;
use crate::text::Text;

pub use crate::route::told::key_from_body;

/// What a door hands over for reading.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// The routing key, as found by the door.
    pub key: &'a RoutingKey,
    /// The header `alreadysent`: the producer posted it; record it only.
    pub already_sent: bool,
    /// The uid of a payload that has none: a redelivery repeats it.
    pub fallback_uid: Uuid,
    /// In which people read the times that it names.
    pub zone: &'a TimeZone,
    /// The payload.
    pub body: &'a [u8],
}

/// What a payload turned out to be.
#[derive(Debug)]
pub enum Reading {
    /// To be routed and posted.
    Message(Box<Message>),
    /// A producer's own call, to be written down.
    Record(Box<Record>),
}

/// Why a payload cannot be read. `reason` is one word for rows, logs and metrics; `detail` names the field and never
/// quotes a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unreadable {
    /// One of `not_json, not_an_object, no_body, bad_uid, bad_field, no_key`.
    pub reason: &'static str,
    /// Names the field.
    pub detail: String,
}

impl Unreadable {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    fn field(field: &str, wanted: &str) -> Self {
        Self::new("bad_field", format!("`{field}` must be {wanted}"))
    }
}

impl From<WrongType> for Unreadable {
    fn from(wrong: WrongType) -> Self {
        Self::new("bad_field", wrong.to_string())
    }
}

/// One payload format: a file under `source/`.
struct Format {
    /// The name of its file.
    name: &'static str,
    /// Whether it reads this payload.
    takes: fn(&Envelope<'_>, &Object) -> bool,
    /// Reads it.
    read: fn(&Envelope<'_>, &Object) -> Result<Reading, Unreadable>,
    /// The machine whose format it is, if it is one's.
    machine: Option<&'static Machine>,
}

/// Every format; the first that takes a payload reads it. Records come first: what a producer posted itself must not be
/// posted again, whatever else it looks like.
const FORMATS: [Format; 6] =
    [groupme_record::FORMAT, twilio_sms::FORMAT, ups::FORMAT, endec::FORMAT, failsafe::FORMAT, standard::FORMAT];

/// The names of all formats, in the order in which they are asked.
#[must_use]
pub fn formats() -> Vec<&'static str> {
    FORMATS.iter().map(|format| format.name).collect()
}

/// Reads one payload.
///
/// # Errors
/// If it is no JSON object, its uid or another field is wrong, or it says nothing.
pub fn read(envelope: Envelope<'_>) -> Result<Reading, Unreadable> {
    let object = object(envelope.body)?;
    match FORMATS.iter().find(|format| (format.takes)(&envelope, &object)) {
        Some(format) => (format.read)(&envelope, &object),
        None => Err(Unreadable::new("no_key", "no payload format reads this routing key")),
    }
}

/// The uid of a payload that is kept without being read (a blocked route, for example): its own where that is right,
/// the fallback otherwise. Never fails.
#[must_use]
pub fn uid_of(key: &RoutingKey, fallback_uid: Uuid, body: &[u8]) -> Uid {
    object(body).map_or_else(|_| Uid::from_uuid(fallback_uid), |object| right_uid(&object, key, fallback_uid))
}

/// The payload's own uid where that is right, the fallback otherwise.
fn right_uid(object: &Object, key: &RoutingKey, fallback_uid: Uuid) -> Uid {
    let own = match machine(key) {
        Some(machine) if machine.tells(object) => alarm_uid(object, key),
        // A wrong uid counts as none.
        Some(_) => UIDS.iter().find_map(|field| Uid::parse(&object.word(field)?, key).ok()),
        None => own_uid(object, key).ok().flatten(),
    };
    own.unwrap_or_else(|| Uid::from_uuid(fallback_uid))
}

/// The machine under whose key this is.
fn machine(key: &RoutingKey) -> Option<&'static Machine> {
    FORMATS.iter().filter_map(|format| format.machine).find(|machine| machine.has(key))
}

/// A machine that raises alarms: where its payloads come from, and what they tell.
struct Machine {
    /// Its routing key, or what its keys begin with.
    key: &'static str,
    /// The fields of which it tells at least one.
    fields: &'static [&'static str],
}

impl Machine {
    /// Whether the payload is the machine's. One under its key that has none of its fields, but a body, is anybody's;
    /// one that has neither is refused in the machine's words.
    fn takes(&self, envelope: &Envelope<'_>, object: &Object) -> bool {
        self.has(envelope.key)
            && (self.tells(object) || !["body", "text", "images"].iter().any(|field| object.get(field).is_some()))
    }

    /// Whether the key is the machine's.
    fn has(&self, key: &RoutingKey) -> bool {
        let rest = key.as_str().strip_prefix(self.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn tells(&self, object: &Object) -> bool {
        self.fields.iter().any(|field| object.get(field).is_some())
    }

    /// The payload as a message, unless it tells nothing. No odd field may lose an alarm.
    fn alarm(
        &self,
        envelope: &Envelope<'_>,
        object: &Object,
        write: fn(&Envelope<'_>, &Object) -> Text,
    ) -> Result<Reading, Unreadable> {
        if !self.tells(object) {
            let fields: Vec<String> = self.fields.iter().map(|field| format!("`{field}`")).collect();
            return Err(Unreadable::new("no_body", format!("{}, or `body`, must say something", fields.join(", "))));
        }
        Ok(Reading::Message(Box::new(Message {
            uid: right_uid(object, envelope.key, envelope.fallback_uid),
            source: envelope.key.clone(),
            sender: None,
            body: write(envelope, object),
            media: Vec::new(),
            priority: None,
            rooms: None,
            expires_at: None,
            wants_ack_url: false,
        })))
    }
}

/// The uid of a machine's own payload: a UUID that is meant as one. What a machine calls `uid` may be anything, a user's
/// number for example, and an alarm with the uid of another would not be posted.
fn alarm_uid(object: &Object, key: &RoutingKey) -> Option<Uid> {
    let told = object.word("wbor_message_id")?;
    Uuid::try_parse(&told).ok().filter(|uuid| !uuid.is_nil())?;
    Uid::parse(&told, key).ok()
}

/// What somebody says under a machine's key, alone or beside the machine's own fields. Words count before a number or a
/// list, whichever of the two fields they are in.
fn remark(object: &Object) -> Option<String> {
    let words = |field: &&'static str| {
        object.get(field).filter(|value| value.is_string())?;
        object.text(field).ok().flatten().filter(|said| !Text::clean(said).is_blank())
    };
    SAID.iter().find_map(words).or_else(|| SAID.iter().find_map(|field| object.lines(field)))
}

fn object(body: &[u8]) -> Result<Object, Unreadable> {
    let value = json::parse(body).map_err(|e| Unreadable::new("not_json", e.to_string()))?;
    Object::new(value).ok_or_else(|| Unreadable::new("not_an_object", "the payload must be a JSON object"))
}

/// The fields that may hold a text, in the order in which they count.
const SAID: [&str; 2] = ["body", "text"];

/// The fields that may hold a uid, in the order in which they count.
const UIDS: [&str; 2] = ["wbor_message_id", "uid"];

/// The payload's own uid under `wbor_message_id` or `uid`, a string or a number; missing, null or blank is none.
fn own_uid(object: &Object, scope: &RoutingKey) -> Result<Option<Uid>, Unreadable> {
    let mut own: Option<String> = None;
    for field in UIDS {
        let wrong = |what: &str| Unreadable::new("bad_uid", format!("`{field}` {what}"));
        let told = object.text(field).map_err(|_| wrong("must be a string or a number"))?;
        let Some(told) = told.filter(|uid| !uid.trim().is_empty()) else { continue };
        if own.as_ref().is_some_and(|own| *own != told) {
            return Err(wrong("differs from `wbor_message_id`"));
        }
        Uid::parse(&told, scope).map_err(|e| wrong(&e.to_string()))?;
        own = Some(told);
    }
    own.map(|uid| Uid::parse(&uid, scope).map_err(|e| Unreadable::new("bad_uid", e.to_string()))).transpose()
}
