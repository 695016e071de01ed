//! What somebody wants known: the message and the small values it is made of. Each parses in its constructor, so a
//! value that exists is right.
use jiff::Timestamp;
use uuid::Uuid;

use crate::route::RoutingKey;
use crate::text::Text;

/// The identity of a message: what makes a repeat a repeat.
///
/// A UUID is the same wherever it comes from; any other uid is kept apart by source.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid {
    given: String,
    key: String,
}

/// Why a uid was refused; never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 visible ASCII characters")]
pub struct UidError;

impl Uid {
    /// Takes a producer's uid: 1 to 64 visible ASCII characters (0x21 to 0x7E).
    pub fn parse(given: &str, source: &RoutingKey) -> Result<Self, UidError> {
        if given.is_empty() || given.len() > 64 || !given.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UidError);
        }
        if let Ok(uuid) = Uuid::try_parse(given) {
            return Ok(Self { given: given.to_owned(), key: uuid.to_string() });
        }
        // The database takes 128 bytes; a long source is named by its hash.
        let scope = if source.as_str().len() <= 60 {
            source.as_str().to_owned()
        } else {
            Uuid::new_v5(&Uuid::NAMESPACE_OID, source.as_str().as_bytes()).to_string()
        };
        Ok(Self { given: given.to_owned(), key: format!("{given}@{scope}") })
    }

    /// A uid of our own.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self { given: uuid.to_string(), key: uuid.to_string() }
    }

    /// The identity under which work is idempotent, at most 128 bytes.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As the producer wrote it; what replies name.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// What people see and type: the uid up to its first `-`.
    #[must_use]
    pub fn short(&self) -> &str {
        self.given.split('-').next().filter(|s| !s.is_empty()).unwrap_or(&self.given)
    }
}

impl std::fmt::Debug for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key)
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.given)
    }
}

/// How much a message matters; a higher one may come between the parts of a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// A listener's text.
    Normal,
    /// A reply to a command; something to look at soon.
    High,
    /// An alarm.
    Urgent,
}

impl Priority {
    /// As stored: 0, 1, 2.
    #[must_use]
    pub fn rank(self) -> i16 {
        self as i16
    }

    /// How long a message of this priority is worth posting, where nothing else says: 15 min, 1 h, 24 h.
    #[must_use]
    pub fn age(self) -> std::time::Duration {
        match self {
            Self::Urgent => std::time::Duration::from_mins(15),
            Self::High => std::time::Duration::from_hours(1),
            Self::Normal => std::time::Duration::from_hours(24),
        }
    }

    /// The word used in settings, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

/// Who a message is from. Numbers and names never reach a log: `Debug` shows neither.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sender {
    /// What the sender is known by: an E.164 number, or another address, trimmed and case-folded.
    pub address: String,
    /// The name, if the source told one (`"Unknown"` is none).
    pub name: Option<String>,
    /// City, state, postal code and country, as far as told, separated by `, `.
    pub place: Option<String>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender(…)")
    }
}

/// A picture or other medium that a message brings, by its URL.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Media {
    /// Where it lies. May carry an account id: never logged.
    pub url: String,
    /// The type the source claims, if it claims one.
    pub content_type: Option<String>,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Media(…)")
    }
}

/// One thing somebody wants known.
#[derive(Clone, Debug)]
pub struct Message {
    /// What makes a repeat a repeat.
    pub uid: Uid,
    /// Where it came from, as a routing key.
    pub source: RoutingKey,
    /// Who it is from, if the source tells.
    pub sender: Option<Sender>,
    /// What it says; empty if it is only pictures.
    pub body: Text,
    /// Its pictures, in order.
    pub media: Vec<Media>,
    /// Asked for by the producer; the route decides where `None`.
    pub priority: Option<Priority>,
    /// Rooms asked for by the producer, by name; the route decides where `None`.
    pub rooms: Option<Vec<String>>,
    /// Too old after this moment; the route's age decides where `None`.
    pub expires_at: Option<Timestamp>,
    /// The producer waits for `POST ACK_URL {"wbor_message_id": uid}`.
    pub wants_ack_url: bool,
}

impl Message {
    /// What makes "the same uid, the same content": source, sender, body, media, priority, rooms and expiry in one
    /// unambiguous form, the same for ever (the store keeps its HMAC). Every value is preceded by its length or its
    /// count, so that no two messages share a form; the uid itself and what its producer waits for are not in it.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut form = Form(vec![CONTENT_VERSION]);
        form.text(self.source.as_str());
        form.count(self.sender.iter().len());
        if let Some(Sender { address, name, place }) = &self.sender {
            form.text(address);
            form.optional(name.as_deref());
            form.optional(place.as_deref());
        }
        form.text(self.body.as_str());
        form.count(self.media.len());
        for Media { url, content_type } in &self.media {
            form.text(url);
            form.optional(content_type.as_deref());
        }
        form.optional(self.priority.map(Priority::as_str));
        form.count(self.rooms.iter().len());
        if let Some(rooms) = &self.rooms {
            form.count(rooms.len());
            rooms.iter().for_each(|room| form.text(room));
        }
        form.count(self.expires_at.iter().len());
        if let Some(moment) = self.expires_at {
            form.0.extend(moment.as_nanosecond().to_be_bytes());
        }
        form.0
    }
}

/// Stands first in every form, so that another form, if there must ever be one, differs from all of these.
const CONTENT_VERSION: u8 = 1;

/// Bytes in which every value is preceded by its length or count, eight bytes, big-endian.
struct Form(Vec<u8>);

impl Form {
    fn count(&mut self, count: usize) {
        self.0.extend((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.count(text.iter().len());
        text.into_iter().for_each(|text| self.text(text));
    }
}

/// What a record tells about: which call a producer made itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A bot post (`source.groupme.msg`, or any source with `alreadysent`).
    Post,
    /// A picture upload (`source.groupme.img`).
    Upload,
    /// A callback that somebody else received (`source.groupme.callback`).
    Callback,
}

/// A call that a producer made itself and asks us to write down: recorded, never posted. `Debug` shows no text and no
/// URL.
#[derive(Clone)]
pub struct Record {
    /// The message it settles.
    pub uid: Uid,
    /// Where it came from, as a routing key.
    pub source: RoutingKey,
    /// Which call it was.
    pub kind: RecordKind,
    /// What was said, as it was said: not sanitized for display, but NUL-free (Postgres refuses U+0000).
    pub text: Option<String>,
    /// The picture that was posted.
    pub picture_url: Option<String>,
    /// The HTTP status the producer saw (`code` or `statuscode`).
    pub status: Option<u16>,
    /// Which bot posted; names the room, and is a secret: compared, never stored.
    pub bot_id: Option<secrecy::SecretString>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("uid", &self.uid)
            .field("source", &self.source)
            .field("kind", &self.kind)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(key: &str) -> RoutingKey {
        RoutingKey::parse(key).unwrap()
    }

    fn message() -> Message {
        let source = key("source.standard");
        Message {
            uid: Uid::parse("7", &source).unwrap(),
            source,
            sender: None,
            body: Text::clean("hello"),
            media: Vec::new(),
            priority: None,
            rooms: None,
            expires_at: None,
            wants_ack_url: false,
        }
    }

    fn sender(address: &str, name: Option<&str>, place: Option<&str>) -> Option<Sender> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some(Sender { address: address.to_owned(), name: own(name), place: own(place) })
    }

    fn media(urls: &[&str]) -> Vec<Media> {
        urls.iter().map(|url| Media { url: (*url).to_owned(), content_type: None }).collect()
    }

    #[test]
    fn each_difference_in_content_shows_in_its_form() {
        let plain = message;
        let rooms = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let all = [
            plain(),
            Message { source: key("source.standard.x"), ..plain() },
            Message { body: Text::clean("hello "), ..plain() },
            Message { body: Text::default(), ..plain() },
            Message { sender: sender("a", None, None), ..plain() },
            Message { sender: sender("a", Some("b"), None), ..plain() },
            Message { sender: sender("a", None, Some("b")), ..plain() },
            Message { sender: sender("ab", None, None), ..plain() },
            Message { media: media(&["ab"]), ..plain() },
            Message { media: media(&["a", "b"]), ..plain() },
            Message { media: media(&["b", "a"]), ..plain() },
            Message { media: vec![Media { url: "ab".into(), content_type: Some("image/png".into()) }], ..plain() },
            Message { priority: Some(Priority::Normal), ..plain() },
            Message { priority: Some(Priority::Urgent), ..plain() },
            Message { rooms: rooms(&[]), ..plain() },
            Message { rooms: rooms(&["a", "b"]), ..plain() },
            Message { rooms: rooms(&["ab"]), ..plain() },
            Message { expires_at: Some(Timestamp::UNIX_EPOCH), ..plain() },
            Message { expires_at: Some(Timestamp::from_nanosecond(1).unwrap()), ..plain() },
        ];
        let forms: BTreeSet<Vec<u8>> = all.iter().map(Message::content).collect();
        assert_eq!(forms.len(), all.len());
    }

    #[test]
    fn the_form_of_a_content_is_the_same_for_ever() {
        let form = message().content();
        let zeros = |count: usize| vec![0_u8; count * 8];
        let length = |length: u8| [vec![0; 7], vec![length]].concat();
        let want = [vec![1], length(15), b"source.standard".to_vec(), zeros(1), length(5), b"hello".to_vec(), zeros(4)]
            .concat();
        assert_eq!(form, want);
    }

    #[test]
    fn a_repeat_with_another_uid_or_another_waiting_producer_has_the_same_content() {
        let other = Message { uid: Uid::from_uuid(Uuid::nil()), wants_ack_url: true, ..message() };
        assert_eq!(other.content(), message().content());
    }

    #[test]
    fn a_uuid_is_the_same_from_everywhere_and_any_other_uid_is_kept_apart_by_source() {
        let (here, there) = (key("source.standard"), key("source.ups"));
        let same = |uid: &str| Uid::parse(uid, &here).unwrap().key() == Uid::parse(uid, &there).unwrap().key();
        assert!(same("0B5C3C6E-93A5-4D0E-9D6C-3B8E0E0E2F11"));
        assert!(!same("7"));
        let long = RoutingKey::parse(&"k".repeat(255)).unwrap();
        assert!(Uid::parse(&"u".repeat(64), &long).unwrap().key().len() <= 128);
    }

    #[test]
    fn a_uid_is_1_to_64_visible_ascii_characters() {
        for bad in ["", " ", "a b", "é", "a\n", "a\0", &"u".repeat(65)] {
            assert_eq!(Uid::parse(bad, &key("k")), Err(UidError));
        }
        assert!(Uid::parse(&"~".repeat(64), &key("k")).is_ok());
    }

    #[test]
    fn people_see_a_uid_up_to_its_first_dash() {
        let short = |uid: &str| Uid::parse(uid, &key("k")).unwrap().short().to_owned();
        assert_eq!(short("0b5c3c6e-93a5-4d0e-9d6c-3b8e0e0e2f11"), "0b5c3c6e");
        assert_eq!(short("42"), "42");
        assert_eq!(short("-x"), "-x");
    }

    #[test]
    fn what_people_wrote_and_who_they_are_is_in_no_debug_text() {
        let secret = "tell nobody";
        let message = Message {
            sender: sender(secret, Some(secret), Some(secret)),
            body: Text::clean(secret),
            media: media(&[secret]),
            ..message()
        };
        let record = Record {
            uid: message.uid.clone(),
            source: message.source.clone(),
            kind: RecordKind::Post,
            text: Some(secret.to_owned()),
            picture_url: Some(secret.to_owned()),
            status: Some(202),
            bot_id: Some(secret.into()),
        };
        let shown = format!("{message:?} {record:?}");
        assert!(!shown.contains(secret), "{shown}");
    }
}
