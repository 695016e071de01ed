//! The station's common format: `body` (or `text`), `images`, a uid; under any key that no other format takes. The
//! doors use it too when they pass a message on, so it can say all that a message can.
use jiff::Timestamp;

use super::{Envelope, Format, Reading, Unreadable, own_uid};
use crate::json::Object;
use crate::message::{Media, Message, Priority, Uid};
use crate::text::Text;

pub(super) const FORMAT: Format = Format { name: "standard", takes, read, machine: None };

/// The last format in the table. Whether a key is wanted at all is the routes' to say.
fn takes(_: &Envelope<'_>, _: &Object) -> bool {
    true
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    let uid = own_uid(object, envelope.key)?.unwrap_or_else(|| Uid::from_uuid(envelope.fallback_uid));
    let spellings = [object.text("body")?, object.text("text")?];
    let said = spellings.iter().flatten().map(|raw| Text::clean(raw)).find(|text| !text.is_blank());
    let body = said.unwrap_or_default();
    let media: Vec<Media> = object.texts("images")?.into_iter().map(|url| Media { url, content_type: None }).collect();
    if body.is_blank() && media.is_empty() {
        return Err(Unreadable::new("no_body", "`body` or `images` must say something"));
    }
    Ok(Reading::Message(Box::new(Message {
        uid,
        source: envelope.key.clone(),
        sender: None,
        body,
        media,
        priority: priority(object)?,
        rooms: rooms(object)?,
        expires_at: expiry(object)?,
        wants_ack_url: false,
    })))
}

fn priority(object: &Object) -> Result<Option<Priority>, Unreadable> {
    let Some(asked) = object.get("priority") else { return Ok(None) };
    serde_json::from_value(asked.clone())
        .map(Some)
        .map_err(|_| Unreadable::field("priority", "`normal`, `high` or `urgent`"))
}

/// An empty list asks for no room in particular.
fn rooms(object: &Object) -> Result<Option<Vec<String>>, Unreadable> {
    Ok(Some(object.texts("rooms")?).filter(|rooms| !rooms.is_empty()))
}

fn expiry(object: &Object) -> Result<Option<Timestamp>, Unreadable> {
    let Some(told) = object.text("expires_at")? else { return Ok(None) };
    told.parse().map(Some).map_err(|_| Unreadable::field("expires_at", "a time such as 2026-11-20T18:00:00Z"))
}
