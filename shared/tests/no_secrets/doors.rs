//! What comes in at the doors: payloads and events that cannot be read.
use serde_json::{Value, json};
use talkback::amqp_event::{Record, read_event};
use talkback::chat::Line;
use talkback::route::RoutingKey;
use talkback::source::{Envelope, read};
use uuid::Uuid;

use super::{assert_error_silent, assert_silent, logged, poisons};

/// Payloads that are refused, each with the poison where it hurts.
fn payloads(poison: &str) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = [
        json!([poison]),
        json!(poison),
        json!({ "body": { "x": poison } }),
        json!({ "Body": [poison], "From": poison }),
        json!({ "body": "x", "images": { "x": poison } }),
        json!({ "body": "x", "images": [[poison]] }),
        json!({ "body": "x", "priority": poison }),
        json!({ "body": "x", "expires_at": poison }),
        json!({ "body": "x", "rooms": { "x": poison } }),
        json!({ "body": "x", "wbor_message_id": [poison] }),
        json!({ "body": "x", "wbor_message_id": poison.repeat(9) }),
        json!({ "body": "x", "wbor_message_id": "1", "uid": poison }),
        json!({ "text": { "x": poison }, "bot_id": poison }),
        json!({ "unknown": poison }),
    ]
    .iter()
    .map(|payload| payload.to_string().into_bytes())
    .collect();
    payloads
        .extend([format!("{{\"{poison}\": }}"), poison.to_owned(), format!("{{\"body\": \"{poison}")].map(Into::into));
    payloads
}

#[test]
fn a_payload_that_cannot_be_read_is_not_quoted() {
    let keys = ["source.standard", "source.twilio.sms.incoming", "source.groupme.msg", "notification.ups.onbattery"];
    let mut refused = 0;
    for poison in poisons() {
        for body in payloads(&poison) {
            for key in keys {
                let key = RoutingKey::parse(key).unwrap();
                let zone = &jiff::tz::TimeZone::UTC;
                let envelope =
                    Envelope { key: &key, already_sent: false, fallback_uid: Uuid::nil(), zone, body: &body };
                match read(envelope) {
                    Err(error) => {
                        refused += 1;
                        assert_error_silent("payload", &error);
                    }
                    Ok(reading) => assert_silent("reading", &format!("{reading:?}")),
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn an_event_that_cannot_be_read_is_not_quoted() {
    for poison in poisons() {
        for event in
            [json!({ "eventSource": poison }), json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": poison })]
        {
            assert_error_silent("event", &read_event(&event).unwrap_err());
        }
        let odd = [json!(poison), json!({ "data": { "x": poison } }), json!({ "data": format!("!{poison}") })];
        let good = json!({
            "basicProperties": { "headers": { "h": poison }, "replyTo": poison, "correlationId": poison },
            "data": "e30=",
        });
        let messages: Vec<Value> = odd.into_iter().chain([good]).collect();
        let event = json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": { "talkback::/": messages } });
        let records = read_event(&event).unwrap();
        assert_eq!(records.len(), 4);
        for record in records {
            assert_silent("record", &format!("{record:?} {record:#?}"));
            if let Record::Odd(odd) = record {
                assert_silent("fault", &odd.fault.to_string());
            }
        }
    }
}

#[test]
fn a_line_of_the_room_is_not_shown_by_what_says_who_said_it() {
    for poison in poisons() {
        let line = json!({ "group_id": "1", "id": "2", "text": poison, "name": poison, "sender_type": poison });
        let line = Line::read(&line).unwrap();
        let told = logged(|| tracing::info!(sender_type = line.sender_type(), id = line.id(), "heard"));
        assert_silent("line", &told);
    }
}
