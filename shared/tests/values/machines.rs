//! What comes under a machine's key, in the machine's form or in the common one: no field may be so odd that it is lost.
use serde_json::{Value, json};
use talkback::message::{Message, Record};
use talkback::route::RoutingKey;
use talkback::source::{Reading, uid_of};

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
