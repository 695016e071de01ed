//! The reader against anything at all, and against all that the type of `aws_lambda_events` takes.
use std::cell::Cell;

use aws_lambda_events::event::rabbitmq::RabbitMqEvent;
use proptest::prelude::*;
use serde_json::json;

use super::tests::{bytes, event};
use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        "[a-z]{0,3}",
        Just("bytes".to_owned()),
        Just("queue".to_owned()),
        Just("x-death".to_owned()),
        Just("headers".to_owned()),
        Just("basicProperties".to_owned()),
        Just("data".to_owned()),
        Just("time".to_owned()),
        Just("routing-keys".to_owned()),
        Just("alreadysent".to_owned()),
        Just("deliver_by".to_owned())
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(bytes(STAMP_QUEUE)),
        (-200_i64..300).prop_map(Value::from),
        "[A-Z][a-z]{2} [0-9]{1,2}, [0-9]{4}, 1?[0-9]:[0-9]{2}:[0-9]{2} [AP]M".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn use_everything(event: &Value) {
    let Ok(records) = read_event(event) else { return };
    for record in records {
        let Record::Delivery(delivery) = record else { continue };
        let key = delivery.routing_key(&[]);
        let _ = (delivery.exchange(), delivery.stamp_time(), delivery.already_sent(), delivery.deliver_by());
        let _ = (delivery.dead_count(), delivery.identity(key.as_ref(), 0, Timestamp::UNIX_EPOCH));
        let _ = delivery.timestamp.as_deref().map(read_moment);
    }
}

/// A field as their type wants it, most of the time.
fn mostly(valid: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![200 => valid.prop_map(Some), 1 => Just(Some(Value::Null)), 1 => Just(None), 1 => any_json().prop_map(Some)]
}

fn text() -> BoxedStrategy<Value> {
    prop_oneof![Just(Value::Null), any::<String>().prop_map(Value::from)].boxed()
}

fn amazon_message() -> impl Strategy<Value = Value> {
    let texts = [
        "contentType",
        "contentEncoding",
        "correlationId",
        "replyTo",
        "expiration",
        "messageId",
        "timestamp",
        "type",
        "userId",
        "appId",
        "clusterId",
        "type_",
    ];
    let texts: Vec<_> =
        texts.into_iter().map(|name| mostly(text()).prop_map(move |value| (name, value)).boxed()).collect();
    let headers = prop_oneof![
        Just(Value::Null),
        prop::collection::vec(("[a-z-]{1,8}", any_json()), 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    ];
    let data = prop_oneof![9 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| Value::from(LENIENT.encode(body))), 1 => text()];
    let rest = (
        mostly(headers),
        mostly((0_u8..3).prop_map(Value::from)),
        mostly(any::<u8>().prop_map(Value::from)),
        mostly(any::<u32>().prop_map(Value::from)),
        mostly(any::<bool>().prop_map(Value::from)),
        mostly(data),
    );
    (texts, rest).prop_map(|(texts, (headers, mode, priority, size, redelivered, data))| {
        let mut properties: Map<String, Value> = Map::new();
        let others = [("headers", headers), ("deliveryMode", mode), ("priority", priority), ("bodySize", size)];
        for (name, value) in texts.into_iter().chain(others) {
            properties.extend(value.map(|value| (name.to_owned(), value)));
        }
        let mut message = json!({"basicProperties": properties});
        for (name, value) in [("redelivered", redelivered), ("data", data)] {
            message.as_object_mut().unwrap().extend(value.map(|value| (name.to_owned(), value)));
        }
        message
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_reader_panic(queues in any_json(), message in any_json(), headers in any_json()) {
        use_everything(&queues);
        use_everything(&json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": queues}));
        use_everything(&event(json!([message])));
        use_everything(&event(json!([{"basicProperties": message}])));
        use_everything(&event(json!([{"basicProperties": {"headers": headers, "timestamp": message}}])));
        use_everything(&event(json!([{"basicProperties": {"headers": {"x-death": headers, "deliver_by": message}}}])));
        use_everything(&event(json!([{"basicProperties": {"headers": {"x-death": [{"queue": STAMP_QUEUE,
            "routing-keys": headers, "time": message, "exchange": headers}]}}}])));
    }
}

/// Their reader refuses more than it should; what it does take must be no news to ours.
#[test]
fn whatever_the_type_of_aws_lambda_events_takes_our_reader_takes() {
    let taken = Cell::new(0);
    let strategy =
        prop::collection::vec(("[a-z.]{1,8}(::(/|[a-z]{0,3}))?", prop::collection::vec(amazon_message(), 0..4)), 0..3);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy, |queues| {
            let queues: Map<String, Value> =
                queues.into_iter().map(|(queue, messages)| (queue, Value::from(messages))).collect();
            let event = json!({"eventSource": "aws:rmq", "eventSourceArn": "arn", "rmqMessagesByQueue": queues});
            let Ok(theirs) = serde_json::from_value::<RabbitMqEvent>(event.clone()) else { return Ok(()) };
            let ours = read_event(&event).unwrap();
            let mut ours = ours.iter();
            for queue in queues.keys() {
                for message in &theirs.messages_by_queue[queue] {
                    let valid = LENIENT.decode(message.data.as_deref().unwrap_or_default().trim());
                    match (ours.next().unwrap(), valid) {
                        (Record::Delivery(delivery), Ok(body)) => {
                            let properties = &message.basic_properties;
                            prop_assert_eq!(&delivery.body, &body);
                            prop_assert_eq!(delivery.redelivered, message.redelivered);
                            prop_assert_eq!(&delivery.content_type, &properties.content_type);
                            prop_assert_eq!(&delivery.reply_to, &properties.reply_to);
                            prop_assert_eq!(&delivery.correlation_id, &properties.correlation_id);
                            prop_assert_eq!(&delivery.message_id, &properties.message_id);
                            prop_assert_eq!(&delivery.timestamp, &properties.timestamp);
                            prop_assert_eq!(delivery.headers.names().count(), properties.headers.len());
                            taken.set(taken.get() + 1);
                        }
                        (Record::Odd(odd), Err(_)) => prop_assert_eq!(odd.fault, Fault::Base64),
                        (ours, _) => prop_assert!(false, "{:?}", ours),
                    }
                }
            }
            prop_assert!(ours.next().is_none());
            Ok(())
        })
        .unwrap();
    assert!(taken.get() > 100, "only {} messages compared", taken.get());
}
