//! Settings: everything missing or wrong is said at once, by name; no value is quoted, because it may be a secret in the
//! wrong place.
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use talkback::compose::Dress;
use talkback::config::{self, Room, Unknown};

/// How long after `deliver_by` a producer waits for a reply that is on its way.
pub const MARGIN: Duration = Duration::from_secs(2);

/// The margin for a patience: [`MARGIN`], but never more than half the patience, so that who is in a hurry is not told
/// that he is not.
#[must_use]
pub fn margin(patience: Duration) -> Duration {
    MARGIN.min(patience / 2)
}

/// What a producer is told.
#[derive(Clone)]
pub struct Settings {
    /// Where RabbitMQ is (`AMQP_URL`).
    pub amqp_url: SecretString,
    /// Where messages are published: `source_exchange`.
    pub exchange: String,
    /// Where records are published (`TALKBACK_SEND_RECORDS`): `source_exchange`.
    pub record_exchange: String,
    /// GroupMe's addresses, and a member's token if there is one (`GROUPME_API_URL`, `GROUPME_ACCESS_TOKEN`).
    pub groupme: config::GroupMe,
    /// The room: its bot, its group, its pace and its dress (`GROUPME_BOT_ID`, `GROUPME_GROUP_ID`, `TALKBACK_SEND_PACE`,
    /// `TALKBACK_SEND_DRESS`).
    pub room: Room,
    /// The longest a single call to GroupMe may take.
    pub http: Duration,
    /// How long Talkback has for the first part: 15 s.
    pub patience: Duration,
    /// How long GroupMe is tried before the rest is left to the next flush.
    pub effort: Duration,
    /// Where posts and records lie that are not done with (`TALKBACK_SEND_SPOOL`). Share it among all programs that
    /// speak by the same bot: they keep one pace together.
    pub spool: PathBuf,
    /// The most messages that lie there.
    pub spool_count: usize,
    /// The most bytes that lie there.
    pub spool_bytes: u64,
}

/// Every missing or wrong setting, by name. No value is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settings: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SettingsError {
    /// What is wrong; never empty.
    pub faults: Vec<Fault>,
}

/// One missing or wrong setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {what}")]
pub struct Fault {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it, without its value.
    pub what: &'static str,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("exchange", &self.exchange)
            .field("patience", &self.patience)
            .field("spool", &self.spool)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads settings from variables by name; an empty value is a missing one.
    ///
    /// # Errors
    /// All that are missing or wrong, at once.
    pub fn from_vars(vars: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let mut faults = Vec::new();
        let set = |name: &str| vars.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let mut required = |name: &'static str| {
            if set(name).is_none() {
                faults.push(Fault { name, what: "missing" });
            }
            set(name).unwrap_or_default()
        };
        let (amqp_url, bot_id) = (SecretString::from(required("AMQP_URL")), required("GROUPME_BOT_ID"));
        let mut wrong = |name, what| faults.push(Fault { name, what });
        if set("AMQP_URL").is_some() && talkback::broker::vhost_of(&amqp_url).is_err() {
            wrong("AMQP_URL", "is not an amqp:// or amqps:// address");
        }
        let api_url = config::check_base(set("GROUPME_API_URL").unwrap_or("https://api.groupme.com/v3"));
        let api_url = api_url.unwrap_or_else(|what| {
            wrong("GROUPME_API_URL", what);
            String::new()
        });
        let (token, group) = (set("GROUPME_ACCESS_TOKEN"), set("GROUPME_GROUP_ID"));
        if token.is_some() && group.is_none() {
            wrong("GROUPME_GROUP_ID", "missing, and GROUPME_ACCESS_TOKEN is set");
        }
        let pace = set("TALKBACK_SEND_PACE").map_or(Some(Duration::from_secs(1)), duration).unwrap_or_else(|| {
            wrong("TALKBACK_SEND_PACE", "must be a duration such as 1s or 500ms");
            Duration::ZERO
        });
        let dress = match set("TALKBACK_SEND_DRESS") {
            None | Some("classic") => Dress::Classic,
            Some("plain") => Dress::Plain,
            Some(_) => {
                wrong("TALKBACK_SEND_DRESS", "must be classic or plain");
                Dress::Classic
            }
        };
        let home = |name: &str, below: &str| set(name).map(|folder| PathBuf::from(folder).join(below));
        let spool = set("TALKBACK_SEND_SPOOL")
            .map(PathBuf::from)
            .or_else(|| home("XDG_STATE_HOME", "talkback-send"))
            .or_else(|| home("HOME", ".local/state/talkback-send"));
        if spool.is_none() {
            wrong("TALKBACK_SEND_SPOOL", "missing, and neither XDG_STATE_HOME nor HOME is set");
        }
        let record_exchange = set("TALKBACK_SEND_RECORDS").unwrap_or("source_exchange").to_owned();
        let settings = Self {
            amqp_url,
            exchange: "source_exchange".to_owned(),
            record_exchange,
            groupme: config::GroupMe {
                api_url,
                image_url: String::new(),
                access_token: token.map(SecretString::from),
                callback_tokens: Vec::new(),
            },
            room: Room {
                name: "own".to_owned(),
                channel: "groupme".to_owned(),
                bot_id: SecretString::from(bot_id),
                group: group.unwrap_or_default().to_owned(),
                pace,
                burst: 3,
                dress,
                confirm: false,
                unknown: Unknown::Resend,
            },
            http: Duration::from_secs(10),
            patience: Duration::from_secs(15),
            effort: Duration::from_secs(60),
            spool: spool.unwrap_or_default(),
            spool_count: 10_000,
            spool_bytes: 64 << 20,
        };
        if faults.is_empty() { Ok(settings) } else { Err(SettingsError { faults }) }
    }
}

/// Nobody waits longer, and no clock overflows.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A length of time such as `15s` or `500ms`; none is no length, and a day is the longest.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok().filter(|span| !span.is_zero() && *span <= LONGEST)
}
