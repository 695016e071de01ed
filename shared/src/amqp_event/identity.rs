//! The uid of a message that brings none: a redelivery gets the same, another message another.
use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{Delivery, header};
use crate::route::RoutingKey;

/// How long equal bodies without any mark of their own count as one message.
pub const BUCKET_SECONDS: i64 = 300;

/// Keeps our name-based uids apart from everybody else's. Never change it: redeliveries would become new messages.
const NAMESPACE: Uuid = Uuid::from_u128(0x7a1c_bac5_0f5e_4d0b_9f6e_2b1d_5c3a_8e47);

impl Delivery {
    /// The uid for a payload that names none: a UUIDv5 over exchange, key, message id, correlation id, timestamp, the
    /// stamp's time and the body, and over how many equal ones stood before it in the batch. A message that Talkback
    /// itself published again brings the uid of its first reading.
    ///
    /// Where no stamp and no mark of the producer tells two equal messages apart, those of one five minutes by `now`
    /// count as one; a redelivery across that border is a new message.
    #[must_use]
    pub fn identity(&self, key: Option<&RoutingKey>, nth_equal: u32, now: Timestamp) -> Uuid {
        if let Some(own) = self.headers.text(header::UID).and_then(|uid| Uuid::try_parse(&uid).ok()) {
            return own;
        }
        let stamp = self.stamp_time();
        let marks = [&self.message_id, &self.correlation_id, &self.timestamp];
        let mut name = Vec::with_capacity(self.body.len() + 256);
        put(&mut name, self.exchange().as_deref().map(str::as_bytes));
        put(&mut name, key.map(|key| key.as_str().as_bytes()));
        for mark in marks {
            put(&mut name, mark.as_deref().map(str::as_bytes));
        }
        put(&mut name, stamp.map(|at| at.as_second().to_be_bytes()).as_ref().map(|at| at.as_slice()));
        put(&mut name, Some(&self.body));
        name.extend(nth_equal.to_be_bytes());
        if stamp.is_none() && marks.iter().all(|mark| mark.is_none()) {
            name.extend(now.as_second().div_euclid(BUCKET_SECONDS).to_be_bytes());
        }
        Uuid::new_v5(&NAMESPACE, &name)
    }
}

/// The uids of a batch, in its order; each is given with its routing key, if one was found.
#[must_use]
pub fn identities(batch: &[(&Delivery, Option<&RoutingKey>)], now: Timestamp) -> Vec<Uuid> {
    let mut seen: HashMap<Uuid, u32> = HashMap::new();
    let mut uid = |(delivery, key): &(&Delivery, Option<&RoutingKey>)| {
        let before = seen.entry(delivery.identity(*key, 0, now)).or_insert(0);
        let nth = *before;
        *before += 1;
        delivery.identity(*key, nth, now)
    };
    batch.iter().map(&mut uid).collect()
}

/// The uid of a record that is no message. Not over `redelivered`, which changes when the batch comes again.
pub(super) fn of_odd(queue: &str, vhost: &str, message: &Value) -> Uuid {
    let mut message = message.clone();
    if let Some(fields) = message.as_object_mut() {
        fields.remove("redelivered");
    }
    let mut name = Vec::new();
    put(&mut name, Some(queue.as_bytes()));
    put(&mut name, Some(vhost.as_bytes()));
    put(&mut name, Some(message.to_string().as_bytes()));
    Uuid::new_v5(&NAMESPACE, &name)
}

/// Length first, so that no field can pass for a part of its neighbour; absent differs from empty.
fn put(name: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => name.push(0),
        Some(field) => {
            name.push(1);
            name.extend((field.len() as u64).to_be_bytes());
            name.extend(field);
        }
    }
}
