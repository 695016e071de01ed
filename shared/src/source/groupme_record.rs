//! The record of a call that a producer made itself: a bot post, a picture upload, a callback. Written down and never
//! posted; a bot id is a secret and leaves the payload only as one.
use super::{Envelope, Format, Reading, Unreadable, machine, own_uid, right_uid};
use crate::json::Object;
use crate::message::{Record, RecordKind, Uid};
use crate::route::RoutingKey;
use crate::route::told::source_named;

pub(super) const FORMAT: Format = Format { name: "groupme_record", takes, read, machine: None };

fn takes(envelope: &Envelope<'_>, object: &Object) -> bool {
    envelope.already_sent || object.says_yes("alreadysent") || kind(envelope.key).is_some()
}

/// Which call the key tells about.
fn kind(key: &RoutingKey) -> Option<RecordKind> {
    match key.as_str() {
        "source.groupme.msg" => Some(RecordKind::Post),
        "source.groupme.img" => Some(RecordKind::Upload),
        "source.groupme.callback" => Some(RecordKind::Callback),
        key => key.starts_with("source.groupme.dashboard.").then_some(RecordKind::Post),
    }
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    // The record of an alarm has the uid that the alarm has.
    let own = match machine(envelope.key) {
        Some(_) => Some(right_uid(object, envelope.key, envelope.fallback_uid)),
        None => own_uid(object, &scope(envelope.key, object))?,
    };
    let mut said = None;
    for field in ["text", "body", "Body"] {
        said = said.or(object.text(field)?);
    }
    Ok(Reading::Record(Box::new(Record {
        uid: own.unwrap_or_else(|| Uid::from_uuid(envelope.fallback_uid)),
        source: envelope.key.clone(),
        kind: kind(envelope.key).unwrap_or(RecordKind::Post),
        text: said,
        picture_url: object.word("picture_url"),
        status: status(object),
        bot_id: object.word("bot_id").map(Into::into),
    })))
}

/// Under which source the uid counts: a uid that is no UUID is kept apart by source, and the message that this record
/// settles came from the source that the payload names, not from `source.groupme.msg`.
fn scope(key: &RoutingKey, object: &Object) -> RoutingKey {
    let named = object.word("source").filter(|_| kind(key).is_some());
    named.and_then(|name| source_named(&name)).unwrap_or_else(|| key.clone())
}

/// The status under either spelling, a number or a string. A record with none still settles its message.
fn status(object: &Object) -> Option<u16> {
    let told = object.word("code").or_else(|| object.word("statuscode"))?;
    told.parse().ok().filter(|status| (100..=999).contains(status))
}
