//! The station's common format: `body` (or `text`), `images`, a uid; under any key that no other format takes. The
//! doors use it too when they pass a message on, so it can say all that a message can.
use jiff::Timestamp;

use super::{Envelope, Format, Reading, Unreadable, machine, own_uid, remark, right_uid};
use crate::json::Object;
use crate::message::{Media, Message, Priority, Uid};
use crate::text::Text;

pub(super) const FORMAT: Format = Format { name: "standard", takes, read, machine: None };

/// The last format in the table. Whether a key is wanted at all is the routes' to say.
fn takes(_: &Envelope<'_>, _: &Object) -> bool {
    true
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    let asked = if machine(envelope.key).is_some() { lenient(envelope, object) } else { strict(envelope, object)? };
    if asked.body.is_blank() && asked.images.is_empty() {
        return Err(Unreadable::new("no_body", "`body` or `images` must say something"));
    }
    Ok(Reading::Message(Box::new(Message {
        uid: asked.uid,
        source: envelope.key.clone(),
        sender: None,
        body: asked.body,
        media: asked.images.into_iter().map(|url| Media { url, content_type: None }).collect(),
        priority: asked.priority,
        // An empty list asks for no room in particular.
        rooms: Some(asked.rooms).filter(|rooms| !rooms.is_empty()),
        expires_at: asked.expires_at,
        wants_ack_url: false,
    })))
}

/// What a payload asks for.
struct Asked {
    uid: Uid,
    body: Text,
    images: Vec<String>,
    priority: Option<Priority>,
    rooms: Vec<String>,
    expires_at: Option<Timestamp>,
}

/// Who makes a mistake is told which.
fn strict(envelope: &Envelope<'_>, object: &Object) -> Result<Asked, Unreadable> {
    let uid = own_uid(object, envelope.key)?.unwrap_or_else(|| Uid::from_uuid(envelope.fallback_uid));
    let spellings = [object.text("body")?, object.text("text")?];
    let said = spellings.iter().flatten().map(|raw| Text::clean(raw)).find(|text| !text.is_blank());
    Ok(Asked {
        uid,
        body: said.unwrap_or_default(),
        images: object.texts("images")?,
        priority: priority(object)?,
        rooms: object.texts("rooms")?,
        expires_at: expiry(object)?,
    })
}

/// Under a machine's key nobody reads what is wrong with an alarm: what is, counts as absent. What is right reads as it
/// does elsewhere, to the letter: a door that passes a message on keeps its content.
fn lenient(envelope: &Envelope<'_>, object: &Object) -> Asked {
    Asked {
        uid: right_uid(object, envelope.key, envelope.fallback_uid),
        body: remark(object).map(|said| Text::clean(&said)).unwrap_or_default(),
        images: object.texts("images").unwrap_or_else(|_| object.words("images")),
        priority: priority(object).unwrap_or_default(),
        rooms: object.texts("rooms").unwrap_or_else(|_| object.words("rooms")),
        expires_at: expiry(object).unwrap_or_default(),
    }
}

fn priority(object: &Object) -> Result<Option<Priority>, Unreadable> {
    let Some(asked) = object.get("priority") else { return Ok(None) };
    serde_json::from_value(asked.clone())
        .map(Some)
        .map_err(|_| Unreadable::field("priority", "`normal`, `high` or `urgent`"))
}

fn expiry(object: &Object) -> Result<Option<Timestamp>, Unreadable> {
    let Some(told) = object.text("expires_at")? else { return Ok(None) };
    told.parse().map(Some).map_err(|_| Unreadable::field("expires_at", "a time such as 2026-11-20T18:00:00Z"))
}
