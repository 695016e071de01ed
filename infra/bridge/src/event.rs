//! The events as AWS makes them: of a batch of messages, and of the schedule.
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// Lambda's limit for the event of one invocation.
pub const LARGEST: usize = 6 * 1024 * 1024;

/// There is no broker of Amazon's, so this names one in the account of AWS's own examples.
const BROKER: &str = "arn:aws:mq:us-east-1:123456789012:broker:bridge:b-00000000-0000-0000-0000-000000000000";

/// The event of a batch; each message is as [`talkback::broker::amazon::message`] writes it.
#[must_use]
pub fn of_queue(queue: &str, vhost: &str, messages: &[Value]) -> Value {
    json!({
        "eventSource": "aws:rmq",
        "eventSourceArn": BROKER,
        "rmqMessagesByQueue": {format!("{queue}::{vhost}"): messages},
    })
}

/// How many bytes an event of this queue has without messages.
#[must_use]
pub fn frame(queue: &str, vhost: &str) -> usize {
    of_queue(queue, vhost, &[]).to_string().len()
}

/// The event of EventBridge's schedule.
#[must_use]
pub fn of_schedule(rule: &str, id: Uuid, at: Timestamp) -> Value {
    json!({
        "version": "0",
        "id": id.to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": "us-east-1",
        "resources": [format!("arn:aws:events:us-east-1:123456789012:rule/{rule}")],
        "detail": {},
    })
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::message::Delivery;
    use lapin::types::{AMQPValue, FieldTable};
    use talkback::broker::amazon;

    use super::*;

    fn delivery(properties: BasicProperties, redelivered: bool, data: &[u8]) -> Value {
        let mut delivery = Delivery::mock(1, "source_exchange".into(), "a.key".into(), redelivered, data.to_vec());
        delivery.properties = properties;
        amazon::message(&delivery)
    }

    /// The captured event, with the one thing in it that no mapping of ours can know.
    fn captured(text: &str) -> Value {
        let mut event: Value = serde_json::from_str(text).unwrap();
        event["eventSourceArn"] = json!(BROKER);
        event
    }

    #[test]
    fn an_event_without_priority_is_the_captured_one() {
        let properties = BasicProperties::default().with_headers(FieldTable::default()).with_delivery_mode(1);
        let event = of_queue("TestQueue", "/", &[delivery(properties, true, b"Hello World")]);
        assert_eq!(event, captured(include_str!("../../../events/amazon-mq-priority-null.json")));
    }

    #[test]
    fn an_event_without_headers_is_the_captured_one() {
        let message = |body: &[u8]| delivery(BasicProperties::default().with_delivery_mode(2), true, body);
        let event = of_queue("testQueue", "/", &[message(b"Hello World 1"), message(b"Hello World 2")]);
        assert_eq!(event, captured(include_str!("../../../events/amazon-mq-headers-null.json")));
    }

    /// On the wire an expiration is text, and text is what AWS documents. The capture with a number differs in nothing
    /// else.
    #[test]
    fn an_event_with_every_property_is_the_captured_one_but_for_the_number_in_expiration() {
        let mut headers = FieldTable::default();
        headers.insert("header1".into(), AMQPValue::LongString("value1".into()));
        headers.insert("header2".into(), AMQPValue::LongString("value2".into()));
        headers.insert("numberInHeader".into(), AMQPValue::LongInt(10));
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_headers(headers)
            .with_delivery_mode(1)
            .with_priority(34)
            .with_expiration("60000".into())
            .with_timestamp(2021)
            .with_user_id("AIDACKCEVSQ6C2EXAMPLE".into());
        let body = br#"{"timeout":0,"data":"CZrmf0Gw8Ov4bqLQxD4E"}"#;
        let event = of_queue("pizzaQueue", "/", &[delivery(properties, false, body)]);
        let mut expected = captured(include_str!("../../../events/amazon-mq-expiration-number.json"));
        let expiration = &mut expected["rmqMessagesByQueue"]["pizzaQueue::/"][0]["basicProperties"]["expiration"];
        assert_eq!(*expiration, json!(60000));
        *expiration = json!("60000");
        assert_eq!(event, expected);
    }

    #[test]
    fn the_schedule_s_event_is_read_by_the_type_of_aws_lambda_events() {
        let event = of_schedule("dispatcher", Uuid::nil(), "2026-11-20T12:00:00.9Z".parse().unwrap());
        let read: aws_lambda_events::event::eventbridge::EventBridgeEvent = serde_json::from_value(event).unwrap();
        assert_eq!((read.detail_type.as_str(), read.source.as_str()), ("Scheduled Event", "aws.events"));
        assert_eq!(read.time.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-20T12:00:00+00:00"));
        assert_eq!(read.detail, json!({}));
    }
}
