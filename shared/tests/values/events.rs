//! The AMQP messages in `events/`, and how a payload is handed over for reading.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use talkback::message::Message;
use talkback::route::RoutingKey;
use talkback::source::{Envelope, Reading, Unreadable, read};
use uuid::Uuid;

pub(crate) const FALLBACK: Uuid = Uuid::from_u128(0xF0);

/// Where the people are who read the times.
static HERE: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("America/New_York").unwrap());

/// One AMQP message as `events/` has it. A body that is a string stands for exactly those bytes.
pub(crate) struct Event {
    pub(crate) key: RoutingKey,
    pub(crate) already_sent: bool,
    pub(crate) body: Vec<u8>,
}

impl Event {
    pub(crate) fn load(name: &str) -> Self {
        let file = fs::read(events().join(format!("{name}.json"))).unwrap();
        let event: Value = serde_json::from_slice(&file).unwrap();
        let body = match &event["body"] {
            Value::String(bytes) => bytes.clone().into_bytes(),
            body => body.to_string().into_bytes(),
        };
        Self {
            key: RoutingKey::parse(event["key"].as_str().unwrap()).unwrap(),
            already_sent: event["headers"]["alreadysent"] == json!(true),
            body,
        }
    }

    pub(crate) fn envelope(&self) -> Envelope<'_> {
        envelope(&self.key, self.already_sent, &self.body)
    }
}

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

/// The names of all AMQP messages there; other events of Lambda lie beside them, but an AMQP message names its exchange.
pub(crate) fn names() -> BTreeSet<String> {
    let files = fs::read_dir(events()).unwrap().map(|file| file.unwrap().path());
    let is_payload = |path: &PathBuf| {
        let event: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        event.get("exchange").is_some()
    };
    files.filter(is_payload).map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn envelope<'a>(key: &'a RoutingKey, already_sent: bool, body: &'a [u8]) -> Envelope<'a> {
    Envelope { key, already_sent, fallback_uid: FALLBACK, zone: &HERE, body }
}

pub(crate) fn reading(key: &str, already_sent: bool, body: &[u8]) -> Result<Reading, Unreadable> {
    let key = RoutingKey::parse(key).unwrap();
    read(envelope(&key, already_sent, body))
}

pub(crate) fn message(reading: Result<Reading, Unreadable>) -> Message {
    match reading {
        Ok(Reading::Message(message)) => *message,
        other => panic!("no message: {other:?}"),
    }
}
