//! A message from the broker in the form in which Amazon MQ hands it to a function, so that one reader serves every way
//! in: the event, the bridge's event, and what is taken from a queue by hand.
//!
//! What is documented or was captured: nulls, base64, `{"bytes": […]}` for text in headers, `Jan 1, 1970, 12:33:41 AM`
//! for times. The rest follows from that: it is how Gson writes what RabbitMQ's Java client holds, so bytes are signed,
//! a time in a header is the same English text, and nested tables and lists follow the same rule.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value, json};

/// One message of `rmqMessagesByQueue`.
#[must_use]
pub fn message(delivery: &Delivery) -> Value {
    let properties = &delivery.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    json!({
        "basicProperties": {
            "contentType": text(properties.content_type()),
            "contentEncoding": text(properties.content_encoding()),
            "headers": properties.headers().as_ref().map(table),
            "deliveryMode": properties.delivery_mode(),
            "priority": properties.priority(),
            "correlationId": text(properties.correlation_id()),
            "replyTo": text(properties.reply_to()),
            "expiration": text(properties.expiration()),
            "messageId": text(properties.message_id()),
            "timestamp": properties.timestamp().map(english),
            "type": text(properties.kind()),
            "userId": text(properties.user_id()),
            "appId": text(properties.app_id()),
            "clusterId": text(properties.cluster_id()),
            "bodySize": delivery.data.len(),
        },
        "redelivered": delivery.redelivered,
        "data": STANDARD.encode(&delivery.data),
    })
}

/// The value of a header.
#[must_use]
pub fn value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(truth) => json!(truth),
        AMQPValue::ShortShortInt(number) => json!(number),
        AMQPValue::ShortShortUInt(number) => json!(number),
        AMQPValue::ShortInt(number) => json!(number),
        AMQPValue::ShortUInt(number) => json!(number),
        AMQPValue::LongInt(number) => json!(number),
        AMQPValue::LongUInt(number) => json!(number),
        AMQPValue::LongLongInt(number) => json!(number),
        AMQPValue::Float(number) => json!(number),
        AMQPValue::Double(number) => json!(number),
        AMQPValue::DecimalValue(number) => json!(f64::from(number.value) / 10_f64.powi(number.scale.into())),
        AMQPValue::ShortString(text) => json!({"bytes": signed(text.as_str().as_bytes())}),
        AMQPValue::LongString(text) => json!({"bytes": signed(text.as_bytes())}),
        AMQPValue::ByteArray(bytes) => signed(bytes.as_slice()),
        AMQPValue::Timestamp(seconds) => json!(english(*seconds)),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(self::value).collect(),
        AMQPValue::FieldTable(fields) => table(fields),
        AMQPValue::Void => Value::Null,
    }
}

fn table(fields: &FieldTable) -> Value {
    let fields: Map<String, Value> =
        fields.inner().iter().map(|(name, field)| (name.as_str().to_owned(), value(field))).collect();
    Value::Object(fields)
}

fn signed(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| json!(byte.cast_signed())).collect()
}

/// English text in UTC, to the second. Some publishers write milliseconds into this field; Java prints the year 58,000
/// then, we leave the number as it is.
fn english(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| seconds.to_string(), |at| at.strftime("%b %-d, %Y, %-I:%M:%S %p").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amqp_event::read_moment;

    #[test]
    fn times_are_english_text_in_utc() {
        for (seconds, text) in [
            (2021, "Jan 1, 1970, 12:33:41 AM"),
            (1_795_176_000, "Nov 20, 2026, 12:00:00 PM"),
            (1_795_208_405, "Nov 20, 2026, 9:00:05 PM"),
            (1_795_208_405_000, "1795208405000"),
        ] {
            assert_eq!(english(seconds), text);
        }
        assert_eq!(read_moment(&english(1_795_208_405)), Timestamp::from_second(1_795_208_405).ok());
        assert_eq!(read_moment(&english(1_795_208_405_000)), Timestamp::from_second(1_795_208_405).ok());
    }

    #[test]
    fn nested_headers_follow_the_rule_of_the_outer_ones() {
        let mut inner = FieldTable::default();
        inner.insert("queue".into(), AMQPValue::LongString("é".into()));
        inner.insert("time".into(), AMQPValue::Timestamp(2021));
        let list = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(inner), AMQPValue::Void].into());
        let expected = json!([{"queue": {"bytes": [-61, -87]}, "time": "Jan 1, 1970, 12:33:41 AM"}, null]);
        assert_eq!(value(&list), expected);
        assert_eq!(value(&AMQPValue::ByteArray(vec![1, 255].into())), json!([1, -1]));
        assert_eq!(value(&AMQPValue::Boolean(true)), json!(true));
    }
}
