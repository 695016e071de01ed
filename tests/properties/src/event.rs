//! The event that Lambda makes of an Amazon MQ queue: as many records come out as went in, each whole.
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use talkback::amqp_event::{Delivery, Record, header, identities, read_event, read_moment};
use talkback::route::RoutingKey;

pub(crate) fn holds(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    is_read(&value);
    is_read(&json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": { "talkback::/": [value] } }));
}

fn is_read(event: &Value) {
    let Ok(records) = read_event(event) else { return };
    let queues = event["rmqMessagesByQueue"].as_object();
    let told: Vec<&Value> = queues.into_iter().flatten().flat_map(|(_, queue)| messages(queue)).collect();
    let told: Vec<&Value> = told.into_iter().filter(|message| !is_probe(message)).collect();
    assert_eq!(records.len(), told.len(), "a record has vanished, or come from nowhere");
    for (record, message) in records.iter().zip(&told) {
        match record {
            Record::Odd(odd) => {
                assert_eq!(odd.raw, message.to_string().into_bytes(), "what is odd is not kept whole");
            }
            Record::Delivery(delivery) => is_whole(delivery, message),
        }
    }
    assert_eq!(read_event(event).as_ref(), Ok(&records), "read twice, and not the same");
    have_their_own_names(&records);
}

/// The messages of a queue; what is no list is one odd record.
fn messages(queue: &Value) -> Vec<&Value> {
    match queue {
        Value::Null => Vec::new(),
        Value::Array(messages) => messages.iter().collect(),
        odd => vec![odd],
    }
}

/// As the reader should find, by its own words: both the header and the body are a probe's.
fn is_probe(message: &Value) -> bool {
    let marked = !message["basicProperties"]["headers"][header::PROBE].is_null();
    let body = message["data"].as_str().map(|data| STANDARD.decode(data.trim()));
    marked && matches!(body, Some(Ok(body)) if body == talkback::amqp_event::PROBE_BODY)
}

fn is_whole(delivery: &Delivery, message: &Value) {
    match message["data"].as_str() {
        None => assert!(delivery.body.is_empty()),
        // A strict reader takes less; what it takes is the same.
        Some(data) => {
            if let Ok(body) = STANDARD.decode(data.trim()) {
                assert_eq!(delivery.body, body, "the body is another one");
            }
        }
    }
    let properties = &message["basicProperties"];
    for (name, found) in [("replyTo", &delivery.reply_to), ("correlationId", &delivery.correlation_id)] {
        if let Some(told) = properties[name].as_str() {
            assert_eq!(found.as_deref(), Some(told), "{name}");
        }
    }
    let headers = properties["headers"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(delivery.headers.names().count(), headers, "a header has vanished");
    let _ = (delivery.exchange(), delivery.already_sent(), delivery.deliver_by(), delivery.dead_count());
    let _ = delivery.timestamp.as_deref().map(read_moment);
    // Names are shown, and what one says may be another header's value.
    let names: BTreeSet<_> = delivery.headers.names().collect();
    assert_eq!(format!("{:?}", delivery.headers), format!("{names:?}"), "Debug shows more than the names of headers");
    let shown = format!("{delivery:?}");
    crate::quoted::quotes_nothing_of(&message["basicProperties"], &shown.replace(&delivery.queue, ""), "Debug");
}

/// Every message of a batch has a uid of its own, and the same one when the batch comes again as redelivered.
fn have_their_own_names(records: &[Record]) {
    let deliveries: Vec<&Delivery> = records
        .iter()
        .filter_map(|record| match record {
            Record::Delivery(delivery) => Some(&**delivery),
            Record::Odd(_) => None,
        })
        .collect();
    let again: Vec<Delivery> =
        deliveries.iter().map(|delivery| Delivery { redelivered: true, ..(*delivery).clone() }).collect();
    let keys: Vec<Option<RoutingKey>> = deliveries.iter().map(|delivery| delivery.routing_key(&[])).collect();
    let named = |deliveries: Vec<&Delivery>| {
        let batch: Vec<_> = deliveries.into_iter().zip(keys.iter().map(Option::as_ref)).collect();
        identities(&batch, Timestamp::UNIX_EPOCH)
    };
    let uids = named(deliveries.clone());
    assert_eq!(uids, named(again.iter().collect()), "a redelivery has another uid");
    // What Talkback published itself brings its uid, and may come twice.
    let ours = |delivery: &&Delivery| delivery.headers.text(header::UID).is_some();
    let fresh = uids.iter().zip(&deliveries).filter(|(_, delivery)| !ours(delivery));
    let fresh: Vec<_> = fresh.map(|(uid, _)| uid).collect();
    assert_eq!(fresh.iter().collect::<BTreeSet<_>>().len(), fresh.len(), "two messages of a batch have one uid");
}
