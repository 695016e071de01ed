//! What comes under a machine's key, in the machine's form or in the common one: no field may be so odd that it is lost.
use serde_json::{Value, json};
use talkback::message::{Message, Priority, Record};
use talkback::route::RoutingKey;
use talkback::source::{Reading, uid_of};

use crate::alarms::{KEYS, said};
use crate::events::{FALLBACK, message, reading};

/// A payload of each machine, under one of its keys.
fn alarms() -> [(&'static str, Value); 3] {
    [
        ("notification.ups.onbattery", json!({ "ups_name": "rack" })),
        ("notification.wbor-endec", json!({ "message_text": "Take cover." })),
        ("notification.failsafe-status", json!({ "active_source": "B" })),
    ]
}

fn with(body: &Value, more: Value) -> Vec<u8> {
    let (Value::Object(mut fields), Value::Object(more)) = (body.clone(), more) else { panic!("objects") };
    fields.extend(more);
    Value::Object(fields).to_string().into_bytes()
}

fn alarm(key: &str, body: &[u8]) -> Message {
    message(reading(key, false, body))
}

fn record(key: &str, body: &[u8]) -> Record {
    match reading(key, true, body) {
        Ok(Reading::Record(record)) => *record,
        other => panic!("no record: {other:?}"),
    }
}

#[test]
fn of_the_uids_in_an_alarm_only_a_uuid_that_is_meant_as_one_counts() {
    let id = "000000D1-5f0e-4c1b-9a43-6d2f8c7e1b0a";
    let none = FALLBACK.to_string();
    for (key, body) in alarms() {
        for (uids, want) in [
            (json!({}), none.as_str()),
            (json!({ "uid": 1000 }), &none),
            (json!({ "uid": "0" }), &none),
            (json!({ "uid": id }), &none),
            (json!({ "wbor_message_id": 1000 }), &none),
            (json!({ "wbor_message_id": "alarm-7" }), &none),
            (json!({ "wbor_message_id": "not a uid" }), &none),
            (json!({ "wbor_message_id": [id] }), &none),
            (json!({ "wbor_message_id": "00000000-0000-0000-0000-000000000000" }), &none),
            (json!({ "wbor_message_id": id }), id),
            (json!({ "wbor_message_id": id, "uid": 1000 }), id),
            (json!({ "wbor_message_id": id, "uid": ["root"] }), id),
        ] {
            let all = with(&body, uids);
            let said = alarm(key, &all);
            assert_eq!(said.uid.given(), want, "{key}: {}", String::from_utf8_lossy(&all));
            assert_eq!(said.body.as_str(), alarm(key, &with(&body, json!({}))).body.as_str());
            // Kept unread or sent by its producer, it is the same alarm.
            assert_eq!(uid_of(&RoutingKey::parse(key).unwrap(), FALLBACK, &all), said.uid);
            assert_eq!(record(key, &all).uid, said.uid);
        }
    }
}

/// What no field of the common form may be.
fn odd() -> [Value; 9] {
    [
        json!(true),
        json!(-1.5),
        json!(""),
        json!(" \n"),
        json!("not a right one"),
        json!([[], null, {}]),
        json!([]),
        json!({}),
        json!({ "a": ["b"] }),
    ]
}

#[test]
fn an_odd_field_of_the_common_form_under_a_machines_key_counts_as_absent() {
    for key in KEYS {
        for field in ["uid", "wbor_message_id", "priority", "rooms", "images", "expires_at"] {
            for odd in odd() {
                // A number is a uid; words are a room and a picture's address, if none that is known.
                let counts = match field {
                    "uid" | "wbor_message_id" => odd.is_number(),
                    "rooms" | "images" => odd.is_number() || odd.as_str().is_some_and(|odd| !odd.trim().is_empty()),
                    _ => false,
                };
                if counts {
                    continue;
                }
                let body = json!({ "body": "hello", field: odd }).to_string();
                let read = alarm(key, body.as_bytes());
                assert_eq!((read.body.as_str(), read.uid.given()), ("hello", &*FALLBACK.to_string()), "{key}: {body}");
                assert_eq!((read.priority, read.rooms, read.expires_at, read.media.len()), (None, None, None, 0));
                let kept = uid_of(&RoutingKey::parse(key).unwrap(), FALLBACK, body.as_bytes());
                assert_eq!(kept, read.uid);
            }
        }
    }
}

#[test]
fn what_is_right_beside_an_odd_field_counts_under_a_machines_key() {
    for key in KEYS {
        let body = json!({
            "body": "hello", "wbor_message_id": ["u-0"], "uid": "u-1", "priority": "high", "rooms": [null, {}, "board"],
            "images": ["https://camera.example.org/now.jpg", ["https://x"], null, true],
            "expires_at": "2026-11-21T00:00:00Z",
        });
        let read = alarm(key, body.to_string().as_bytes());
        assert_eq!((read.uid.given(), read.priority), ("u-1", Some(Priority::High)));
        assert_eq!(read.rooms, Some(vec!["board".to_owned()]));
        assert_eq!(read.expires_at.unwrap().to_string(), "2026-11-21T00:00:00Z");
        let media: Vec<&str> = read.media.iter().map(|media| media.url.as_str()).collect();
        assert_eq!(media, ["https://camera.example.org/now.jpg"]);
        let both = alarm(key, br#"{"body": "hello", "wbor_message_id": "u-2", "uid": "u-1"}"#);
        assert_eq!(both.uid.given(), "u-2");
    }
}

#[test]
fn a_body_that_is_no_text_does_not_spoil_a_text_under_a_machines_key() {
    for key in KEYS {
        for odd in odd().into_iter().filter(|odd| *odd != "not a right one").chain([json!(["a", "b"]), json!(7)]) {
            assert_eq!(said(key, json!({ "body": odd, "text": "hello" })), "hello", "{key}: {odd}");
            assert_eq!(said(key, json!({ "text": odd, "body": "hello" })), "hello", "{key}: {odd}");
        }
        assert_eq!(said(key, json!({ "body": 7 })), "7");
        assert_eq!(said(key, json!({ "body": {}, "text": ["Take cover.", null, "Now."] })), "Take cover.\nNow.");
        for nothing in [json!([]), json!({}), json!(true), json!(" ")] {
            let body = json!({ "body": nothing, "images": nothing }).to_string();
            assert_eq!(reading(key, false, body.as_bytes()).unwrap_err().reason, "no_body");
        }
    }
    let beside = json!({ "ups_name": "rack", "body": ["Call", "Ada."], "text": {} });
    assert_eq!(said("notification.ups.onbattery", beside), "⚡ On battery: UPS rack\nCall\nAda.");
}

#[test]
fn what_is_right_in_the_common_form_has_the_same_content_under_every_key() {
    let body = json!({
        "body": " first\n  second ", "text": "not this", "uid": "u-1", "images": [" https://x "], "rooms": " board ",
        "priority": "high", "expires_at": "2026-11-21T00:00:00Z",
    });
    for key in KEYS {
        let elsewhere = alarm("source.standard", body.to_string().as_bytes());
        let here = Message { source: elsewhere.source.clone(), ..alarm(key, body.to_string().as_bytes()) };
        assert_eq!(here.content(), elsewhere.content(), "{key}");
    }
}

#[test]
fn the_common_form_is_strict_under_every_other_key() {
    for key in ["source.standard", "notification.upsilon", "notification.other", "source.notification.ups"] {
        for (field, odd) in [
            ("uid", json!("not a uid")),
            ("wbor_message_id", json!({})),
            ("priority", json!("soon")),
            ("rooms", json!({})),
            ("images", json!([{}])),
            ("expires_at", json!("soon")),
            ("text", json!(["x"])),
        ] {
            let body = json!({ "body": "hello", field: odd }).to_string();
            let refused = reading(key, false, body.as_bytes()).unwrap_err();
            assert!(refused.detail.contains(&format!("`{field}`")), "{key}: {refused}");
        }
    }
}
