//! Payload formats: bytes and a routing key become a [`Message`] or a [`Record`], or the reason why not. One file a
//! format under `source/`, one line each in the table here.
use uuid::Uuid;

use crate::message::{Message, Record};
use crate::route::RoutingKey;

/// What a door hands over for reading.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// The routing key, as found by the door.
    pub key: &'a RoutingKey,
    /// The header `alreadysent`: the producer posted it; record it only.
    pub already_sent: bool,
    /// The uid of a payload that has none: a redelivery repeats it.
    pub fallback_uid: Uuid,
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

/// Reads one payload.
pub fn read(envelope: Envelope<'_>) -> Result<Reading, Unreadable> {
    let _ = envelope;
    unimplemented!()
}

/// The routing key a payload tells of itself, for a message whose key no header names.
#[must_use]
pub fn key_from_body(body: &[u8]) -> Option<RoutingKey> {
    let _ = body;
    unimplemented!()
}
