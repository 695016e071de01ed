//! Settings: the only reader of the environment. Everything missing or wrong is said at once, by name; the value of a
//! setting is never quoted, because it may be a secret in the wrong place.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::broker::Exchange;
use crate::route::{Routes, RoutingKey};
use crate::seal;
use crate::send_key::SendKey;
use crate::send_key::limit::Rate;

mod chat;
mod document;
mod environment;
mod exchange;
mod file;
mod lanes;
mod media;
mod provider_url;
mod records;
mod retention;
mod room;
mod routes;
mod send;
mod table;

pub use chat::{Chat, Who};
pub use lanes::Lanes;
pub use media::Media;
pub use provider_url::check_base;
pub use records::Records;
pub use retention::Retention;
pub use room::{Room, Unknown};
pub use table::{SETTINGS, readme_rows};

/// Everything that is set from outside, checked as a whole.
#[derive(Clone)]
pub struct Settings {
    /// Where Postgres is, with its password (`DATABASE_URL`).
    pub database_url: SecretString,
    /// Further roots that the database's certificate may chain to, as a PEM file (`DATABASE_CA_FILE`).
    pub database_ca_file: Option<PathBuf>,
    /// Where RabbitMQ is, with its password (`AMQP_URL`). Without it nothing can be replied or published, and
    /// `talkback.dead` is not read.
    pub amqp_url: Option<SecretString>,
    /// Who may use `POST /send` (`TALKBACK_SEND_KEYS`). Empty: the function `send` refuses to serve.
    pub send_keys: Vec<SendKey>,
    /// What seals columns, newest first (`TALKBACK_DATA_KEYS`).
    pub data_keys: seal::Keys,
    /// What makes look-up hashes (`TALKBACK_LOOKUP_KEY`).
    pub lookup: seal::Lookup,
    /// GroupMe's addresses and tokens.
    pub groupme: GroupMe,
    /// Where the Twilio front end waits for acknowledgements (`ACK_URL`). Without it none is sent.
    pub ack_url: Option<String>,
    /// The account whose media may be fetched (`TWILIO_ACCOUNT_SID`).
    pub twilio_account_sid: Option<String>,
    /// Its password (`TWILIO_AUTH_TOKEN`).
    pub twilio_auth_token: Option<SecretString>,
    /// The rooms, at least one; names and bots are unique.
    pub rooms: Vec<Room>,
    /// Which source goes to which rooms; the first that matches decides.
    pub routes: Routes,
    /// The exchanges that feed the stamp queue.
    pub exchanges: Vec<Exchange>,
    /// Queues that stand for one routing key each, for brokers where the stamp cannot be used.
    pub queue_keys: Vec<(String, RoutingKey)>,
    /// The times and counts of the lane mechanism.
    pub lanes: Lanes,
    /// Which pictures are fetched, and how long that may take.
    pub media: Media,
    /// The zone in which people read times (`[time] zone`, default UTC).
    pub zone: jiff::tz::TimeZone,
    /// How long finished work is kept.
    pub retention: Retention,
    /// Where our own calls are published, if they are (`[records]`).
    pub records: Option<Records>,
    /// Who may use which commands in the room (`[chat]`).
    pub chat: Chat,
    /// Whether functions write embedded metrics into their log (`TALKBACK_METRICS=embedded`).
    pub embedded_metrics: bool,
    /// How often one key may send (`[send]`).
    pub send_rate: Rate,
    /// Where the host listens (`TALKBACK_LISTEN`).
    pub listen: SocketAddr,
}

/// GroupMe's addresses and tokens.
#[derive(Clone)]
pub struct GroupMe {
    /// Base of the API, without a slash at the end (`GROUPME_API_URL`).
    pub api_url: String,
    /// Base of the picture service, without a slash at the end (`GROUPME_IMAGE_URL`).
    pub image_url: String,
    /// A member's token (`GROUPME_ACCESS_TOKEN`). Without it no picture is uploaded and no room is read back.
    pub access_token: Option<SecretString>,
    /// The last segment of a valid callback address (`GROUPME_CALLBACK_TOKEN`), each at least 16 characters and
    /// otherwise opaque; two while one is being replaced. Empty: every callback is refused.
    pub callback_tokens: Vec<SecretString>,
}

/// Every missing or wrong setting, by name. No value is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settings: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SettingsError {
    /// What is wrong, in the order of reading; never empty.
    pub faults: Vec<Fault>,
}

/// One missing or wrong setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {what}")]
pub struct Fault {
    /// The environment variable, and for TOML the path of the key within it.
    pub name: String,
    /// What is wrong with it, without its value.
    pub what: String,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// All settings that are missing or wrong, at once.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_vars(&environment::vars())
    }

    /// Reads settings from variables given by name, as a test or another program has them. An empty value is a missing
    /// one.
    ///
    /// # Errors
    /// All settings that are missing or wrong, at once.
    pub fn from_vars(vars: &HashMap<String, String>) -> Result<Self, SettingsError> {
        environment::read(vars)
    }
}

/// What is logged (`RUST_LOG`, default `info`): read apart from the rest, so that a fault in the rest can be logged.
#[must_use]
pub fn log_filter() -> String {
    environment::vars().remove("RUST_LOG").filter(|filter| !filter.is_empty()).unwrap_or_else(|| "info".to_owned())
}

/// A send key of the caller's own (`TALKBACK_KEY`), for who asks a relay from outside.
#[must_use]
pub fn key() -> Option<SecretString> {
    environment::vars().remove("TALKBACK_KEY").filter(|key| !key.is_empty()).map(SecretString::from)
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("rooms", &self.rooms)
            .field("exchanges", &self.exchanges)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
