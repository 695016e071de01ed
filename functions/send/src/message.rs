//! The request of `POST /send` as a message: what each field may say, each fault by the name of its field.
use jiff::Timestamp;
use lambda_http::http::{HeaderMap, StatusCode, Uri};
use talkback::message::{Media, Message, Priority, Uid};
use talkback::route::RoutingKey;
use talkback::text::Text;
use uuid::Uuid;

use crate::document::Document;
use crate::problem::Problem;
use crate::send_request::SendRequest;

/// Where a message comes from that does not say.
const DEFAULT_SOURCE: &str = "standard";

/// Longest name of a source, in bytes: with what stands before it, it must be an AMQP routing key of at most 255.
pub(crate) const LONGEST_SOURCE: usize = 200;

/// Most pictures of one message: as many as a text over Twilio can bring.
pub(crate) const MOST_IMAGES: usize = 10;

/// Longest URL of a picture, in bytes.
pub(crate) const LONGEST_URL: usize = 2048;

/// What a URL that is refused must be.
pub(crate) const WEB_ADDRESS: &str = "must be an https:// address without credentials, of at most 2048 bytes";

/// The header that makes a repeat a repeat, as it is named in faults.
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A message as its sender asks for it.
pub(crate) struct Asked {
    /// The message.
    pub(crate) message: Message,
    /// Whether its sender gave the uid; else it is one of our own.
    pub(crate) named: bool,
}

/// Judges a request whose fields were taken out of the document.
///
/// # Errors
/// 400 with everything that is wrong.
pub(crate) fn read(request: SendRequest, mut document: Document, headers: &HeaderMap) -> Result<Asked, Problem> {
    let source = source(&mut document, request.source);
    let told = [
        ("wbor_message_id", request.wbor_message_id),
        ("uid", request.uid),
        (IDEMPOTENCY_KEY, idempotency_key(headers)),
    ];
    let uid = source.as_ref().and_then(|source| one_uid(&mut document, told, source));
    let (body, media) = content(&mut document, request.body, request.images);
    let priority = request.priority.and_then(|word| priority(&mut document, &word));
    let rooms = request.rooms.and_then(|rooms| self::rooms(&mut document, rooms));
    let expires_at = request.expires_at.and_then(|told| expiry(&mut document, &told));
    document.end()?;
    let source = source.ok_or_else(|| Problem::field(StatusCode::BAD_REQUEST, "source", "cannot be read"))?;
    let named = uid.is_some();
    let uid = uid.unwrap_or_else(|| Uid::from_uuid(Uuid::new_v4()));
    let message = Message { uid, source, sender: None, body, media, priority, rooms, expires_at, wants_ack_url: false };
    Ok(Asked { message, named })
}

/// The routing key; `None` where a fault was noted.
fn source(document: &mut Document, told: Option<String>) -> Option<RoutingKey> {
    let name = told.unwrap_or_else(|| DEFAULT_SOURCE.to_owned());
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let words = name.split('.').all(|word| !word.is_empty() && word.bytes().all(plain));
    if !words || name.len() > LONGEST_SOURCE {
        return document
            .none("source", "must be words of lower-case letters, digits, - and _, joined by dots; at most 200 bytes");
    }
    if name == "source" || name.starts_with("source.") {
        return document.none("source", "must be without its leading `source.`");
    }
    RoutingKey::parse(&format!("source.{name}")).ok()
}

/// The uid that the headers tell.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    let key = String::from_utf8_lossy(headers.get(IDEMPOTENCY_KEY)?.as_bytes());
    // The standard in the making writes it in quotes.
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(&key);
    Some(bare.to_owned())
}

/// The uid, if any is told; all must be the same.
fn one_uid(document: &mut Document, told: [(&str, Option<String>); 3], source: &RoutingKey) -> Option<Uid> {
    let mut one: Option<Uid> = None;
    for (field, uid) in told.into_iter().filter_map(|(field, uid)| Some((field, uid?))) {
        match (Uid::parse(&uid, source), &one) {
            (Err(error), _) => document.fault(field, &error.to_string()),
            (Ok(uid), Some(one)) if uid.key() != one.key() => {
                document.fault(field, "differs from the other uid of this request");
            }
            (Ok(_), Some(_)) => {}
            (Ok(uid), None) => one = Some(uid),
        }
    }
    one
}

fn content(document: &mut Document, body: Option<String>, images: Option<Vec<String>>) -> (Text, Vec<Media>) {
    let body = Text::clean(&body.unwrap_or_default());
    let images = match images {
        Some(images) if images.len() > MOST_IMAGES => document.none("images", "may be 10 at most").unwrap_or_default(),
        Some(images) if !images.iter().all(|url| is_web_address(url)) => document
            .none("images", "must be https:// addresses without credentials, of at most 2048 bytes")
            .unwrap_or_default(),
        images => images.unwrap_or_default(),
    };
    let at_fault = ["body", "images"].iter().any(|field| document.is_at_fault(field));
    if body.is_blank() && images.is_empty() && !at_fault {
        document.fault("body", "or `images` must say something");
    }
    let media = images.into_iter().map(|url| Media { url, content_type: None }).collect();
    (body, media)
}

/// Whether it is an https address of some host, without credentials.
pub(crate) fn is_web_address(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.authority().is_some_and(|to| !to.host().is_empty() && !to.as_str().contains('@'));
    uri.scheme_str() == Some("https") && host && url.len() <= LONGEST_URL && url.bytes().all(|b| b.is_ascii_graphic())
}

fn priority(document: &mut Document, word: &str) -> Option<Priority> {
    match word {
        "normal" => Some(Priority::Normal),
        "high" => Some(Priority::High),
        "urgent" => Some(Priority::Urgent),
        _ => document.none("priority", "must be `normal`, `high` or `urgent`"),
    }
}

/// Sorted and each once: the order in which rooms are named is no difference in content.
fn rooms(document: &mut Document, mut rooms: Vec<String>) -> Option<Vec<String>> {
    if rooms.is_empty() {
        return document.none("rooms", "must name at least one room, or be left out");
    }
    rooms.sort_unstable();
    rooms.dedup();
    Some(rooms)
}

fn expiry(document: &mut Document, told: &str) -> Option<Timestamp> {
    told.parse()
        .ok()
        .or_else(|| document.none("expires_at", "must be a time as in RFC 3339, such as 2026-11-20T18:00:00Z"))
}

#[cfg(test)]
mod tests;
