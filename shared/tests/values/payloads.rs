//! Every payload in `events/`: what it reads as, and which routing key it tells of itself.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use talkback::message::{Priority, Record, RecordKind};
use talkback::source::{Reading, Unreadable, formats, key_from_body, read, uid_of};

use crate::events::{Event, FALLBACK, message, names, reading};

/// Each payload and what it is: `message`, `record`, or the reason why it cannot be read.
const EVENTS: [(&str, &str); 39] = [
    ("emergency-alert", "message"),
    ("emergency-alert-summer", "message"),
    ("emergency-alert-without-header", "message"),
    ("failsafe-status", "message"),
    ("failsafe-status-back", "message"),
    ("groupme-callback", "record"),
    ("groupme-dashboard", "record"),
    ("groupme-img", "record"),
    ("groupme-msg", "record"),
    ("groupme-msg-picture", "record"),
    ("not-an-object", "not_an_object"),
    ("not-json", "not_json"),
    ("producer-already-sent", "record"),
    ("producer-original", "message"),
    ("producer-record", "record"),
    ("standard", "message"),
    ("standard-all-fields", "message"),
    ("standard-bad-uid", "bad_uid"),
    ("standard-bare", "message"),
    ("standard-empty", "no_body"),
    ("standard-half-a-surrogate-pair", "message"),
    ("standard-numeric-uid", "message"),
    ("standard-pictures", "message"),
    ("twilio-ban", "no_body"),
    ("twilio-call-events", "no_body"),
    ("twilio-sms-incoming", "message"),
    ("twilio-sms-incoming-empty", "no_body"),
    ("twilio-sms-incoming-pictures", "message"),
    ("twilio-sms-outgoing", "no_body"),
    ("twilio-unban", "no_body"),
    ("twilio-voice-intelligence", "no_body"),
    ("ups-body-only", "message"),
    ("ups-fifteen", "message"),
    ("ups-fifteen-update", "message"),
    ("ups-odd-fields", "message"),
    ("ups-offbattery", "message"),
    ("ups-onbattery", "message"),
    ("ups-says-nothing", "no_body"),
    ("ups-summer", "message"),
];

fn record(reading: Result<Reading, Unreadable>) -> Record {
    match reading {
        Ok(Reading::Record(record)) => *record,
        other => panic!("no record: {other:?}"),
    }
}

fn standard(body: Value) -> Result<Reading, Unreadable> {
    reading("source.standard", false, body.to_string().as_bytes())
}

fn reason(reading: Result<Reading, Unreadable>) -> &'static str {
    reading.unwrap_err().reason
}

#[test]
fn every_payload_reads_as_what_it_is() {
    for (name, want) in EVENTS {
        let found = match read(Event::load(name).envelope()) {
            Ok(Reading::Message(_)) => "message",
            Ok(Reading::Record(_)) => "record",
            Err(unreadable) => unreadable.reason,
        };
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn no_payload_is_forgotten() {
    let named: BTreeSet<String> = EVENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(), named, "the payloads in events/, and those in the table here");
}

#[test]
fn every_payload_tells_its_own_routing_key() {
    // Nothing in these says where they come from.
    let mute = ["not-an-object", "not-json"];
    for (name, _) in EVENTS {
        let event = Event::load(name);
        let told = key_from_body(&event.body);
        match name {
            _ if mute.contains(&name) => assert_eq!(told, None, "{name}"),
            // What the producer posted itself tells so: as a record, under whatever key it was published.
            "producer-already-sent" => assert_eq!(told.unwrap().as_str(), "source.groupme.msg"),
            // Anybody's words under a machine's key.
            "ups-body-only" => assert_eq!(told.unwrap().as_str(), "source.standard"),
            _ => assert_eq!(told, Some(event.key), "{name}"),
        }
    }
}

#[test]
fn every_format_has_its_file_and_every_file_its_format() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/source");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let table: BTreeSet<String> = formats().into_iter().map(str::to_owned).collect();
    assert_eq!(files, table);
    assert_eq!(formats().len(), table.len());
}

#[test]
fn a_listeners_text_is_read_with_its_sender() {
    let message = message(read(Event::load("twilio-sms-incoming").envelope()));
    assert_eq!(message.uid.given(), "000000a1-5f0e-4c1b-9a43-6d2f8c7e1b0a");
    assert_eq!(message.body.as_str(), "Who sang that last one? ❤\u{FE0F}");
    let sender = message.sender.unwrap();
    assert_eq!(sender.address, "+12075550123");
    assert_eq!(sender.name.as_deref(), Some("Robin Doe"));
    assert_eq!(sender.place.as_deref(), Some("PORTLAND, ME, 04101, US"));
    assert!(message.wants_ack_url && message.media.is_empty());
}

#[test]
fn a_listeners_pictures_are_read_without_words() {
    let message = message(read(Event::load("twilio-sms-incoming-pictures").envelope()));
    assert!(message.body.is_blank());
    let kinds: Vec<_> = message.media.iter().map(|media| media.content_type.as_deref()).collect();
    assert_eq!(kinds, [Some("image/jpeg"), Some("video/mp4")]);
    assert!(message.media[1].url.ends_with("/Media/ME2"));
    let sender = message.sender.unwrap();
    assert_eq!((sender.name, sender.place.as_deref()), (None, Some("ME, US")));
}

#[test]
fn a_front_end_is_told_only_of_a_uid_that_it_gave() {
    let text = message(reading("source.twilio.sms.incoming", false, br#"{"Body": "hi", "wbor_message_id": null}"#));
    assert!(!text.wants_ack_url && text.sender.is_none());
    assert_eq!(text.uid.given(), FALLBACK.to_string());
}

#[test]
fn both_spellings_of_the_text_and_of_the_uid_are_read() {
    let id = "000000b1-5f0e-4c1b-9a43-6d2f8c7e1b0a";
    for body in [json!({"body": "hi", "uid": id}), json!({"text": "hi", "wbor_message_id": id})] {
        let message = message(standard(body));
        assert_eq!((message.body.as_str(), message.uid.given()), ("hi", id));
    }
    assert_eq!(message(standard(json!({"body": null, "text": "hi"}))).body.as_str(), "hi");
    assert_eq!(message(standard(json!({"body": " ", "text": "hi"}))).body.as_str(), "hi");
    assert_eq!(message(standard(json!({"body": 42}))).body.as_str(), "42");
    assert_eq!(
        message(standard(json!({"body": "hi", "uid": 12345678901234567890_u64}))).uid.given(),
        "12345678901234567890"
    );
    let huge = br#"{"body": "hi", "uid": 123456789012345678901234567890, "x": 1e400000}"#;
    assert_eq!(message(reading("source.standard", false, huge)).uid.given(), "123456789012345678901234567890");
}

#[test]
fn a_payload_without_uid_gets_the_one_that_its_door_gives() {
    for body in [json!({"body": "x"}), json!({"body": "x", "uid": null, "wbor_message_id": ""})] {
        assert_eq!(message(standard(body)).uid.given(), FALLBACK.to_string());
    }
}

#[test]
fn a_wrong_uid_is_a_clear_error_that_does_not_quote_it() {
    let long = "secret".repeat(11);
    let twice = json!({"body": "x", "wbor_message_id": "secret1", "uid": "secret2"});
    for body in [
        json!({"body": "x", "uid": long}),
        json!({"body": "x", "uid": "secret secret"}),
        json!({"body": "x", "uid": ["secret"]}),
        twice,
    ] {
        let unreadable = standard(body).unwrap_err();
        assert_eq!(unreadable.reason, "bad_uid");
        assert!(unreadable.detail.contains("`uid`") && !unreadable.to_string().contains("secret"), "{unreadable}");
    }
}

#[test]
fn what_a_producer_asks_for_is_read() {
    let asked = message(read(Event::load("standard-all-fields").envelope()));
    assert_eq!(asked.priority, Some(Priority::High));
    assert_eq!(asked.rooms, Some(vec!["board".to_owned()]));
    assert_eq!(asked.expires_at.unwrap().to_string(), "2099-11-21T00:00:00Z");
    let nothing =
        message(standard(json!({"body": "x", "priority": null, "rooms": [], "expires_at": null, "images": null})));
    assert_eq!((nothing.priority, nothing.rooms, nothing.expires_at), (None, None, None));
}

#[test]
fn a_field_of_the_wrong_kind_is_named_and_not_quoted() {
    let wrong = [
        ("body", json!({"body": ["secret"]})),
        ("text", json!({"text": {"secret": 1}})),
        ("images", json!({"images": {"secret": 1}})),
        ("images", json!({"images": ["https://x", ["secret"]]})),
        ("priority", json!({"body": "x", "priority": "secret"})),
        ("rooms", json!({"body": "x", "rooms": true})),
        ("expires_at", json!({"body": "x", "expires_at": "secret"})),
    ];
    for (field, body) in wrong {
        let unreadable = standard(body).unwrap_err();
        assert_eq!(unreadable.reason, "bad_field");
        assert!(unreadable.detail.contains(&format!("`{field}`")) && !unreadable.detail.contains("secret"));
    }
}

#[test]
fn a_payload_that_says_nothing_has_no_body() {
    for body in [json!({}), json!({"body": ""}), json!({"body": " \r\n\u{A0}"}), json!({"images": [null, ""]})] {
        assert_eq!(reason(standard(body)), "no_body");
    }
    assert_eq!(message(standard(json!({"images": "https://x"}))).media.len(), 1);
}

#[test]
fn half_a_surrogate_pair_and_nul_do_not_refuse_a_message() {
    let half = message(read(Event::load("standard-half-a-surrogate-pair").envelope()));
    assert_eq!(half.body.as_str(), "cut short \u{FFFD}");
    let nul = message(reading("source.standard", false, b"{\"body\": \"a\\u0000b\0c\", \"images\": [\"x\\u0000\"]}"));
    assert_eq!(nul.body.as_str(), "a\u{FFFD}b\u{FFFD}c");
    assert!(!nul.media[0].url.contains('\0'));
}

#[test]
fn bytes_that_are_no_json_object_are_refused_by_name() {
    let deep = format!("{{\"body\": \"x\", \"y\": {}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(reason(reading("source.standard", false, deep.as_bytes())), "not_json");
    for (body, want) in [
        ("", "not_json"),
        ("{", "not_json"),
        ("null", "not_an_object"),
        ("\"x\"", "not_an_object"),
        ("7", "not_an_object"),
    ] {
        assert_eq!(reason(reading("source.standard", false, body.as_bytes())), want);
    }
}

#[test]
fn a_record_of_a_post_is_read_whole() {
    let post = record(read(Event::load("groupme-msg").envelope()));
    assert_eq!((post.kind, post.status, post.picture_url), (RecordKind::Post, Some(202), None));
    assert_eq!(post.text.as_deref(), Some("\"Hello\"\n---UID---\n000000c2\n---------"));
    assert_eq!(post.bot_id.unwrap().expose_secret(), "0123456789abcdef0123456789");
    let picture = record(read(Event::load("groupme-msg-picture").envelope()));
    assert_eq!((picture.status, picture.text.as_deref()), (Some(202), Some("")));
    assert_eq!(picture.picture_url.as_deref(), Some("https://i.groupme.com/640x480.jpeg.0f3c"));
    assert_eq!(record(read(Event::load("groupme-img").envelope())).kind, RecordKind::Upload);
    let callback = record(read(Event::load("groupme-callback").envelope()));
    assert_eq!((callback.kind, callback.text), (RecordKind::Callback, None));
}

#[test]
fn the_record_of_a_numeric_uid_settles_the_message_of_the_source_that_it_names() {
    let settled = record(read(Event::load("groupme-msg-picture").envelope())).uid;
    assert_eq!(settled, message(standard(json!({"body": "x", "uid": 42}))).uid);
    let elsewhere = message(reading("source.ups", false, br#"{"body": "x", "uid": 42}"#)).uid;
    assert_ne!(settled, elsewhere);
}

#[test]
fn the_record_of_an_alarm_settles_the_alarm_of_the_key_that_it_names() {
    for key in ["notification.ups.onbattery", "notification.wbor-endec", "notification.other"] {
        let alarm = message(reading(key, false, br#"{"body": "x", "uid": "alarm-7"}"#));
        let body = json!({ "text": "x", "uid": "alarm-7", "source": key, "code": 202 }).to_string();
        assert_eq!(record(reading("source.groupme.msg", false, body.as_bytes())).uid, alarm.uid, "{key}");
        assert_eq!(record(reading(key, true, body.as_bytes())).uid, alarm.uid, "{key}");
    }
}

#[test]
fn what_its_producer_already_sent_is_recorded_under_any_key() {
    let sent = record(read(Event::load("producer-already-sent").envelope()));
    assert_eq!((sent.kind, sent.source.as_str()), (RecordKind::Post, "source.standard"));
    let text = record(reading("source.twilio.sms.incoming", true, br#"{"Body": "hi"}"#));
    assert_eq!(text.text.as_deref(), Some("hi"));
    let inside = record(reading("source.standard", false, br#"{"body": "hi", "alreadysent": true}"#));
    assert_eq!(inside.text.as_deref(), Some("hi"));
    let denied = message(reading("source.standard", false, br#"{"body": "hi", "alreadysent": false}"#));
    assert_eq!(denied.body.as_str(), "hi");
}

#[test]
fn an_odd_status_does_not_refuse_a_record() {
    let status = |body: Value| record(reading("source.groupme.msg", true, body.to_string().as_bytes())).status;
    assert_eq!(status(json!({"code": "201"})), Some(201));
    assert_eq!(status(json!({"code": null, "statuscode": 429})), Some(429));
    assert_eq!(status(json!({"code": "fine"})), None);
    assert_eq!(status(json!({"code": 70000})), None);
    assert_eq!(status(json!({})), None);
}

#[test]
fn the_uid_of_what_is_kept_unread_is_its_own_where_that_is_right() {
    let ban = Event::load("twilio-ban");
    assert_eq!(uid_of(&ban.key, FALLBACK, &ban.body).given(), "000000a5-5f0e-4c1b-9a43-6d2f8c7e1b0a");
    for name in ["not-json", "not-an-object", "standard-bad-uid", "ups-fifteen"] {
        let event = Event::load(name);
        assert_eq!(uid_of(&event.key, FALLBACK, &event.body).given(), FALLBACK.to_string(), "{name}");
    }
}

#[test]
fn a_key_is_told_by_source_and_type_or_by_what_only_one_machine_sends() {
    let told = |body: Value| key_from_body(body.to_string().as_bytes()).map(|key| key.as_str().to_owned());
    let is = |key: &str| Some(key.to_owned());
    assert_eq!(told(json!({"source": "studio", "body": "x"})), is("source.studio"));
    assert_eq!(told(json!({"source": "source.a.b", "type": "c"})), is("source.a.b"));
    assert_eq!(told(json!({"source": "notification.a"})), is("notification.a"));
    assert_eq!(told(json!({"images": ["x"]})), is("source.standard"));
    assert_eq!(
        told(json!({"From": "+12075550123", "SmsStatus": "received", "Body": ""})),
        is("source.twilio.sms.incoming")
    );
    assert_eq!(told(json!({"ups_name": "rack", "event_type": "fifteen"})), is("notification.ups.fifteen"));
    assert_eq!(
        told(json!({"ups_name": "rack", "event_type": "fifteen", "routing_key": "source.groupme.msg"})),
        is("notification.ups.fifteen")
    );
    assert_eq!(told(json!({"ups_name": "rack"})), is("notification.ups"));
    assert_eq!(told(json!({"routing_key": "notification.ups.commlost"})), is("notification.ups.commlost"));
    assert_eq!(told(json!({"eas_data": {}})), is("notification.wbor-endec"));
    assert_eq!(told(json!({"source": "wbor-endec", "body": "x"})), is("notification.wbor-endec"));
    assert_eq!(
        told(json!({"source_application": "wbor-failsafe-notifier", "active_source": "B"})),
        is("notification.failsafe-status")
    );
    assert_eq!(told(json!({"bot_id": "b", "body": "x"})), is("source.standard"));
    assert_eq!(told(json!({"bot_id": "b", "text": "x", "code": 202, "source": "standard"})), is("source.groupme.msg"));
    assert_eq!(told(json!({"source": "x".repeat(300)})), None);
    assert_eq!(told(json!({"other": 1})), None);
}

proptest! {
    #[test]
    fn no_bytes_whatever_end_a_door(key in "[a-z#*.]{1,30}", already_sent in any::<bool>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = reading(&key, already_sent, &body);
        let _ = key_from_body(&body);
    }

    #[test]
    fn a_known_payload_with_one_byte_wrong_ends_no_door(which in 0..EVENTS.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut event = Event::load(EVENTS[which].0);
        let at = at.index(event.body.len());
        event.body[at] = byte;
        if let Ok(Reading::Message(message)) = read(event.envelope()) {
            prop_assert!(!message.body.is_blank() || !message.media.is_empty());
        }
        let _ = key_from_body(&event.body);
    }
}
