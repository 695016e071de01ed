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

/// A call that a producer made itself and asks us to write down: recorded, never posted.
#[derive(Clone, Debug)]
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
