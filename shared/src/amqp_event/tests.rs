//! The reader against what Amazon was seen to send, what it may send, and what nobody should send.
use serde_json::json;

use super::*;

fn captured(text: &str) -> Vec<Delivery> {
    deliveries(&serde_json::from_str(text).unwrap())
}

fn deliveries(event: &Value) -> Vec<Delivery> {
    let read = |record| match record {
        Record::Delivery(delivery) => *delivery,
        Record::Odd(odd) => panic!("{odd:?}"),
    };
    read_event(event).unwrap().into_iter().map(read).collect()
}

pub(super) fn event(messages: Value) -> Value {
    json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": {"talkback::/": messages}})
}

fn with_headers(headers: Value) -> Delivery {
    deliveries(&event(json!([{"basicProperties": {"headers": headers}, "data": "e30="}]))).remove(0)
}

pub(super) fn bytes(text: &str) -> Value {
    json!({"bytes": text.as_bytes()})
}

/// As the bridge and, we presume, Amazon write the broker's stamp.
fn stamped(key: &str, time: Value) -> Value {
    json!({"x-death": [
        {"reason": bytes("rejected"), "count": 1, "exchange": bytes("talkback.relay"), "queue": bytes("talkback"),
         "time": "Nov 20, 2026, 9:00:00 PM", "routing-keys": [bytes("")]},
        {"reason": bytes("expired"), "count": 1, "exchange": bytes("source_exchange"), "queue": bytes(STAMP_QUEUE),
         "time": time, "routing-keys": [bytes(key)]},
    ]})
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn the_captured_events_are_read_whole() {
    let plain = captured(include_str!("../../../events/amazon-mq-priority-null.json"));
    assert_eq!(plain.len(), 1);
    assert_eq!((plain[0].queue.as_str(), plain[0].vhost.as_str()), ("TestQueue", "/"));
    assert_eq!((plain[0].body.as_slice(), plain[0].redelivered), (b"Hello World".as_slice(), true));

    let bare = captured(include_str!("../../../events/amazon-mq-headers-null.json"));
    let bodies: Vec<&[u8]> = bare.iter().map(|delivery| delivery.body.as_slice()).collect();
    assert_eq!(bodies, [b"Hello World 1", b"Hello World 2"]);
    assert_eq!(bare[0].headers.names().count(), 0);

    let numeric = captured(include_str!("../../../events/amazon-mq-expiration-number.json")).remove(0);
    assert_eq!(numeric.headers.text("header1").as_deref(), Some("value1"));
    assert_eq!(numeric.headers.int("numberInHeader"), Some(10));
    assert_eq!(numeric.content_type.as_deref(), Some("text/plain"));
    assert_eq!(numeric.timestamp.as_deref().and_then(read_moment), at("1970-01-01T00:33:41Z"));
    assert!(!numeric.redelivered);
}

/// As the bridge makes it of what RabbitMQ 3.10 stamps; not captured on AWS.
#[test]
fn a_listener_s_text_brings_its_key_by_the_stamp() {
    let event = captured(include_str!("../../../events/amazon-mq-listener-text.json")).remove(0);
    let message: Value = serde_json::from_str(include_str!("../../../events/twilio-sms-incoming.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&event.body).unwrap(), message["body"]);
    assert_eq!(event.routing_key(&[]).unwrap().as_str(), message["key"]);
    assert_eq!(event.exchange().as_deref(), message["exchange"].as_str());
    assert_eq!(event.stamp_time(), at("2026-11-20T21:00:00Z"));
}

#[test]
fn another_service_s_event_is_refused() {
    for foreign in [json!({}), json!(null), json!([]), json!({"Records": []}), json!({"eventSource": "aws:sqs"})] {
        assert_eq!(read_event(&foreign), Err(EventError::Source));
    }
    let queues = json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": [1]});
    assert_eq!(read_event(&queues), Err(EventError::Queues));
    assert_eq!(read_event(&json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": null})), Ok(vec![]));
}

#[test]
fn one_odd_record_does_not_fail_its_neighbours() {
    let event = json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": {
        "a::/": [{"data": "b25l"}, 7, {"data": "%%%"}, {"data": 5}, {"basicProperties": 3, "redelivered": null}],
        "b::/": "no list",
        "c::d::/x": [{"data": "dHdv"}],
        "e": null,
    }});
    let (mut bodies, mut faults) = (Vec::new(), Vec::new());
    for record in read_event(&event).unwrap() {
        match record {
            Record::Delivery(delivery) => bodies.push((delivery.queue, delivery.vhost, delivery.body)),
            Record::Odd(odd) => faults.push((odd.fault, String::from_utf8(odd.raw).unwrap())),
        }
    }
    let expected = [("a", "/", "one"), ("a", "/", ""), ("c::d", "/x", "two")];
    let expected = expected.map(|(queue, vhost, body)| (queue.to_owned(), vhost.to_owned(), body.as_bytes().to_vec()));
    assert_eq!(bodies, expected);
    let expected = [
        (Fault::NoObject, "7"),
        (Fault::Base64, r#"{"data":"%%%"}"#),
        (Fault::NoText, r#"{"data":5}"#),
        (Fault::NoList, r#""no list""#),
    ];
    assert_eq!(faults, expected.map(|(fault, raw)| (fault, raw.to_owned())));
}

#[test]
fn a_probe_is_left_out_and_a_message_with_its_header_is_not() {
    let marked = json!({"headers": {"x-talkback-probe": bytes("1")}});
    let probe = json!({"basicProperties": marked, "data": LENIENT.encode(PROBE_BODY)});
    let message = json!({"basicProperties": marked, "data": "e30="});
    assert_eq!(deliveries(&event(json!([probe, message]))).len(), 1);
}

#[test]
fn an_odd_record_keeps_its_uid_when_the_batch_comes_again() {
    let uid =
        |redelivered: bool, data: i32| match read_event(&event(json!([{"data": data, "redelivered": redelivered}])))
            .unwrap()
            .remove(0)
        {
            Record::Odd(odd) => odd.uid,
            Record::Delivery(delivery) => panic!("{delivery:?}"),
        };
    assert_eq!(uid(false, 5), uid(true, 5));
    assert_ne!(uid(false, 5), uid(false, 6));
}

#[test]
fn the_key_is_found_by_our_header_then_the_stamp_then_the_table() {
    let table = [("talkback".to_owned(), RoutingKey::parse("source.table").unwrap())];
    let key = |headers: Value| with_headers(headers).routing_key(&table).unwrap().as_str().to_owned();
    let mut both = stamped("source.twilio.sms.incoming", json!(1_795_208_400));
    assert_eq!(key(both.clone()), "source.twilio.sms.incoming");
    both["x-routing-key"] = bytes("source.standard");
    assert_eq!(key(both.clone()), "source.standard");
    both["x-routing-key"] = bytes("not\u{1}a key");
    assert_eq!(key(both), "source.twilio.sms.incoming");
    assert_eq!(key(json!({"x-death": [{"queue": "talkback.retry", "routing-keys": ["wrong"]}]})), "source.table");
    assert_eq!(key(Value::Null), "source.table");
    assert_eq!(with_headers(Value::Null).routing_key(&[]), None);
    let plain = json!({"x-death": [{"queue": STAMP_QUEUE, "routing-keys": ["source.plain"]}]});
    assert_eq!(key(plain), "source.plain");
}

#[test]
fn the_stamp_tells_exchange_and_time_in_every_form() {
    for time in [
        json!(1_795_208_400),
        json!(1_795_208_400_000_i64),
        json!("Nov 20, 2026, 9:00:00\u{202f}PM"),
        bytes("Nov 20, 2026 9:00:00 PM"),
        json!("2026-11-20T21:00:00Z"),
        json!("Fri Nov 20 21:00:00 UTC 2026"),
    ] {
        let delivery = with_headers(stamped("source.standard", time.clone()));
        assert_eq!(delivery.stamp_time(), at("2026-11-20T21:00:00Z"), "{time}");
        assert_eq!(delivery.exchange().as_deref(), Some("source_exchange"));
    }
    let again = with_headers(
        json!({"x-source-exchange": bytes("notifications"), "x-stamp-time": bytes("2026-11-20T21:00:00Z"),
        "x-talkback-dead": 3}),
    );
    assert_eq!(again.exchange().as_deref(), Some("notifications"));
    assert_eq!((again.stamp_time(), again.dead_count()), (at("2026-11-20T21:00:00Z"), 3));
}

#[test]
fn a_time_with_the_narrow_space_of_newer_java_is_read() {
    for space in [" ", "\u{202f}", "\u{a0}"] {
        assert_eq!(read_moment(&format!("Jan 1, 1970, 12:33:41{space}AM")), at("1970-01-01T00:33:41Z"));
        assert_eq!(read_moment(&format!("Dec 31, 2026, 12:00:01{space}PM")), at("2026-12-31T12:00:01Z"));
    }
    assert_eq!(read_moment("2026-11-20T21:00:00+02:00"), at("2026-11-20T19:00:00Z"));
    assert_eq!(read_moment("2026-11-20T21:00:00.5"), at("2026-11-20T21:00:00.5Z"));
    for nothing in ["", "soon", "NaN", "inf", "1e300", "Jan 32, 1970, 12:33:41 AM", "-"] {
        assert_eq!(read_moment(nothing), None, "{nothing}");
    }
}

#[test]
fn a_producer_s_words_are_read_in_every_form() {
    for yes in [json!(true), json!(1), json!("true"), bytes("True"), bytes("1")] {
        assert!(with_headers(json!({"alreadysent": yes})).already_sent());
    }
    for no in [json!(false), json!(0), json!(null), json!("no"), json!([true]), json!({"bytes": [300]})] {
        assert!(!with_headers(json!({"alreadysent": no})).already_sent());
    }
    for by in [
        json!(1_795_208_400),
        json!(1_795_208_400.0),
        json!(1_795_208_400_000_i64),
        bytes("1795208400"),
        bytes("2026-11-20T21:00:00Z"),
    ] {
        assert_eq!(with_headers(json!({"deliver_by": by})).deliver_by(), at("2026-11-20T21:00:00Z"));
    }
    assert_eq!(with_headers(json!({"name": {"bytes": [-61, -87]}})).headers.text("name").as_deref(), Some("é"));
    assert_eq!(with_headers(json!({"name": {"bytes": [195, 169]}})).headers.text("name").as_deref(), Some("é"));
}

#[test]
fn a_redelivery_repeats_the_uid_and_another_message_does_not() {
    let now = "2026-11-20T21:00:00Z".parse().unwrap();
    let later = "2026-11-20T22:00:00Z".parse().unwrap();
    let key = RoutingKey::parse("notification.failsafe-status").unwrap();
    let first = with_headers(stamped(key.as_str(), json!(1_795_208_400)));
    let again = Delivery { redelivered: true, ..first.clone() };
    let next_week = with_headers(stamped(key.as_str(), json!(1_795_813_200)));
    let uid = first.identity(Some(&key), 0, now);
    assert_eq!(uid, again.identity(Some(&key), 0, later));
    assert_ne!(uid, next_week.identity(Some(&key), 0, now));
    assert_ne!(uid, first.identity(Some(&key), 1, now));
    assert_ne!(uid, first.identity(None, 0, now));
    for other in [
        Delivery { message_id: Some("1".to_owned()), ..first.clone() },
        Delivery { correlation_id: Some("1".to_owned()), ..first.clone() },
        Delivery { timestamp: Some("1".to_owned()), ..first.clone() },
        Delivery { body: b"1".to_vec(), ..first.clone() },
    ] {
        assert_ne!(uid, other.identity(Some(&key), 0, now));
    }
    let own = "5f1c5b1e-0d5c-4b7e-9d0f-1f6f6d0c7a11";
    assert_eq!(with_headers(json!({"x-talkback-uid": bytes(own)})).identity(None, 4, now).to_string(), own);
}

#[test]
fn without_any_mark_equal_bodies_of_five_minutes_count_as_one() {
    let bare = with_headers(Value::Null);
    let marked = Delivery { message_id: Some("7".to_owned()), ..bare.clone() };
    let uid = |delivery: &Delivery, second: i64| delivery.identity(None, 0, Timestamp::from_second(second).unwrap());
    assert_eq!(uid(&bare, 600), uid(&bare, 899));
    assert_ne!(uid(&bare, 899), uid(&bare, 900));
    assert_eq!(uid(&marked, 899), uid(&marked, 900));
}

#[test]
fn equal_messages_of_one_batch_are_counted() {
    let now = Timestamp::UNIX_EPOCH;
    let one = with_headers(Value::Null);
    let two = Delivery { body: b"other".to_vec(), ..one.clone() };
    let uids = identities(&[(&one, None), (&two, None), (&one, None), (&one, None)], now);
    let one_by_one = [
        one.identity(None, 0, now),
        two.identity(None, 0, now),
        one.identity(None, 1, now),
        one.identity(None, 2, now),
    ];
    assert_eq!(uids, one_by_one);
    assert_eq!(uids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}

#[test]
fn nothing_of_a_message_shows_in_debug_text() {
    let number = "+12075550142";
    let mut delivery = with_headers(json!({"from": bytes(number), "to": number}));
    delivery.body = number.into();
    delivery.reply_to = Some(number.to_owned());
    delivery.correlation_id = Some(number.to_owned());
    let odd = read_event(&event(json!([{"data": 5, "from": number}]))).unwrap();
    for shown in [format!("{delivery:?}"), format!("{:?}", delivery.headers), format!("{odd:?}")] {
        assert!(!shown.contains("2075550142") && !shown.contains("43, 49"), "{shown}");
    }
}
