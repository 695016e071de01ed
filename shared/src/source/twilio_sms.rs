//! A listener's text: the form fields of Twilio as its front end passes them on. The front end waits for an
//! acknowledgement by HTTP, naming the uid that it gave.
use super::{Envelope, Format, Reading, Unreadable, own_uid};
use crate::json::Object;
use crate::message::{Media, Message, Sender, Uid};
use crate::text::Text;

pub(super) const FORMAT: Format = Format { name: "twilio_sms", takes, read, machine: None };

/// Twilio sends at most ten media; the fields are numbered.
const MEDIA: [(&str, &str); 10] = [
    ("MediaUrl0", "MediaContentType0"),
    ("MediaUrl1", "MediaContentType1"),
    ("MediaUrl2", "MediaContentType2"),
    ("MediaUrl3", "MediaContentType3"),
    ("MediaUrl4", "MediaContentType4"),
    ("MediaUrl5", "MediaContentType5"),
    ("MediaUrl6", "MediaContentType6"),
    ("MediaUrl7", "MediaContentType7"),
    ("MediaUrl8", "MediaContentType8"),
    ("MediaUrl9", "MediaContentType9"),
];

fn takes(envelope: &Envelope<'_>, _: &Object) -> bool {
    envelope.key.as_str() == "source.twilio.sms.incoming"
}

fn read(envelope: &Envelope<'_>, object: &Object) -> Result<Reading, Unreadable> {
    let own = own_uid(object, envelope.key)?;
    // The front end knows no uid but its own.
    let wants_ack_url = own.is_some();
    let body = Text::clean(&object.text("Body")?.unwrap_or_default());
    let media: Vec<Media> = MEDIA
        .iter()
        .filter_map(|(url, kind)| Some(Media { url: object.word(url)?, content_type: object.word(kind) }))
        .collect();
    if body.is_blank() && media.is_empty() {
        return Err(Unreadable::new("no_body", "`Body` or `MediaUrl0` must say something"));
    }
    Ok(Reading::Message(Box::new(Message {
        uid: own.unwrap_or_else(|| Uid::from_uuid(envelope.fallback_uid)),
        source: envelope.key.clone(),
        sender: sender(object),
        body,
        media,
        priority: None,
        rooms: None,
        expires_at: None,
        wants_ack_url,
    })))
}

fn sender(object: &Object) -> Option<Sender> {
    let shown = |field: &str| object.word(field).map(|word| Text::clean(&word).as_str().to_owned());
    let place: Vec<String> =
        ["FromCity", "FromState", "FromZip", "FromCountry"].into_iter().filter_map(shown).collect();
    Some(Sender {
        address: object.word("From")?.to_lowercase(),
        name: shown("SenderName").filter(|name| name != "Unknown"),
        place: Some(place.join(", ")).filter(|place| !place.is_empty()),
    })
}
