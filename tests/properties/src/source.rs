//! A payload under a routing key: the first line is the key, after a `!` if its producer posted it already; the rest is
//! the payload.
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use talkback::json;
use talkback::message::{Message, Record, Uid};
use talkback::route::RoutingKey;
use talkback::source::{Envelope, Reading, Unreadable, key_from_body, read, uid_of};
use uuid::Uuid;

use crate::quoted::{MARKS, quotes_nothing_of};
use crate::text::{is_clean, is_composed};

/// Where the people are who read the times.
static HERE: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC));

const FALLBACK: Uuid = Uuid::from_u128(0xF0);

/// What may be said of what cannot be read; people and programs look for these words.
const REASONS: [&str; 6] = ["not_json", "not_an_object", "no_body", "bad_uid", "bad_field", "no_key"];

pub(crate) fn holds(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(first), Some(body)) = (halves.next(), halves.next()) else { return };
    let first = String::from_utf8_lossy(first);
    let already_sent = first.starts_with('!');
    let Ok(key) = RoutingKey::parse(first.trim_start_matches('!')) else { return };
    let envelope = Envelope { key: &key, already_sent, fallback_uid: FALLBACK, zone: &HERE, body };
    let document = json::parse(body).unwrap_or_default();
    match read(envelope) {
        Ok(Reading::Message(message)) => {
            assert!(!already_sent, "what its producer posted would be posted again");
            is_right(&message, &key, &document);
            let Ok(Reading::Message(again)) = read(envelope) else { panic!("read twice, and not the same") };
            assert_eq!((again.content(), again.uid), (message.content(), message.uid.clone()));
        }
        Ok(Reading::Record(record)) => is_right_record(&record, &key, &document),
        Err(unreadable) => is_said(&unreadable, &document),
    }
    is_right_uid(&uid_of(&key, FALLBACK, body));
    if let Some(told) = key_from_body(body) {
        assert_eq!(Some(&told), key_from_body(body).as_ref());
        assert!(RoutingKey::parse(told.as_str()).is_ok());
    }
}

fn is_right_uid(uid: &Uid) {
    assert!((1..=64).contains(&uid.given().len()) && uid.given().bytes().all(|b| b.is_ascii_graphic()));
    assert!(uid.key().len() <= 128 && !uid.key().is_empty(), "the database refuses the uid");
    assert!(!uid.short().is_empty() && uid.given().starts_with(uid.short()));
    let uuid = Uuid::try_parse(uid.given());
    assert!(uuid.map_or_else(|_| uid.key().contains('@'), |uuid| uuid.to_string() == uid.key()));
}

fn is_right(message: &Message, key: &RoutingKey, document: &Value) {
    is_right_uid(&message.uid);
    assert_eq!(&message.source, key);
    is_clean(message.body.as_str(), &message.body);
    assert!(!message.body.is_blank() || !message.media.is_empty(), "a message that says nothing");
    is_composed(message.body.as_str());
    let texts = message.media.iter().map(|media| &media.url).chain(message.rooms.iter().flatten());
    assert!(texts.clone().all(|text| !text.trim().is_empty() && !text.contains('\0')), "{} odd texts", texts.count());
    if let Some(sender) = &message.sender {
        let told = [Some(&sender.address), sender.name.as_ref(), sender.place.as_ref()];
        assert!(told.into_iter().flatten().all(|told| !told.is_empty() && !told.contains('\0')));
        assert_eq!(sender.address.trim(), sender.address);
    }
    assert!(message.rooms.as_ref().is_none_or(|rooms| !rooms.is_empty()));
    let own = format!("{}{}", message.uid.given(), key.as_str());
    quotes(document, &own, &format!("{message:?}"));
}

fn is_right_record(record: &Record, key: &RoutingKey, document: &Value) {
    is_right_uid(&record.uid);
    assert_eq!(&record.source, key);
    assert!(record.status.is_none_or(|status| (100..=999).contains(&status)));
    let bot = record.bot_id.as_ref().map(|bot| bot.expose_secret().to_owned());
    let texts = record.text.iter().chain(&record.picture_url).chain(&bot);
    assert!(texts.into_iter().all(|text| !text.contains('\0')), "Postgres refuses it");
    let own = format!("{}{}", record.uid.given(), key.as_str());
    quotes(document, &own, &format!("{record:?}"));
}

/// Panics if what is logged quotes the document, but for the uid and the key.
fn quotes(document: &Value, own: &str, shown: &str) {
    if !MARKS.iter().any(|mark| own.contains(mark)) && !own.bytes().any(|b| b.is_ascii_digit()) {
        quotes_nothing_of(document, shown, "Debug");
    }
}

fn is_said(unreadable: &Unreadable, document: &Value) {
    assert!(REASONS.contains(&unreadable.reason), "{}", unreadable.reason);
    assert!(!unreadable.detail.is_empty() && unreadable.detail.len() < 200);
    quotes_nothing_of(document, &unreadable.to_string(), "the reason");
}
