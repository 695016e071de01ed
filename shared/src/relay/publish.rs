//! The outside logger: each of our calls, and each line that we heard, published as any producer publishes its own, at
//! least once, beside the lanes and never in their way. They bear a proof that they are ours, so that we ignore them
//! when they come back.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Relay;
use super::dispatch::Budget;
use crate::amqp_event::{Delivery, header};
use crate::broker::{Broker, BrokerError, Fate, Outgoing, Props};
use crate::route::told::name_of;
use crate::seal::{Place, SealError};
use crate::store::StoreError;
use crate::store::outbox::{Call, Held, Subject};

/// Records in one batch: enough to share a round trip, few enough for their confirms within the broker's limit.
const BATCH: i64 = 100;

/// A publisher that has died lets its batch go after this. Much longer than a batch takes at the worst.
const LEASE: Duration = Duration::from_secs(30);

/// After a failure it is tried again after this: rows wait, and nobody else does.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A record that was sent and not confirmed has reached some queues perhaps: the next copy comes after this, and each
/// further one after twice the time, so that one full queue at anybody's binding floods nobody.
const UNCONFIRMED: Duration = Duration::from_secs(5);

/// But not after more than this.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(3600);

/// A line that does not open may open when somebody has put its key back; it must not come in each batch until then.
const UNOPENED: Duration = Duration::from_secs(3600);

/// The routing key of lines.
const LINE: &str = "source.groupme.callback";

/// Keeps the ids of these messages apart from all others.
const NAMESPACE: Uuid = Uuid::from_u128(0x93c4_11e7_06d9_4c62_b2ef_5d07_3a9e_68f1);

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(BrokerError),
}

impl Relay {
    /// Tells the database whether what is called is to be published. A call ends within its lease.
    pub(super) async fn sync_publishing(&self) -> Result<(), StoreError> {
        let wait = self.settings.records.as_ref().map(|_| self.settings.lanes.lease);
        self.store.switch_publishing(wait).await
    }

    /// Publishes what waits in the outbox until the budget ends. A failure is logged, and what waits goes on waiting.
    pub(super) async fn publish_records(&self, budget: &Budget) {
        let (Some(records), Some(broker)) = (&self.settings.records, &self.broker) else { return };
        while !budget.is_over() {
            let wait = match self.publish_batch(broker, &records.exchange).await {
                Ok(true) => continue,
                Ok(false) => self.settings.lanes.poll,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "records wait to be published");
                    AFTER_FAILURE
                }
            };
            budget.rest(wait).await;
        }
    }

    /// Publishes one batch: whether there may be more. Who dies before its rows are deleted has published them all the
    /// same, and they come twice.
    async fn publish_batch(&self, broker: &Broker, exchange: &str) -> Result<bool, PublishError> {
        let leased = self.store.lease_outbox(BATCH, LEASE).await?;
        let more = i64::try_from(leased.len()).is_ok_and(|count| count >= BATCH);
        let (mut done, mut off): (Vec<Held>, Vec<(Held, Duration)>) = (Vec::new(), Vec::new());
        let (mut held, mut bodies): (Vec<Held>, Vec<(&'static str, Value)>) = (Vec::new(), Vec::new());
        for (row, subject) in leased {
            let (key, body) = match subject {
                Subject::Gone => {
                    done.push(row);
                    continue;
                }
                Subject::Call(call) => of_call(&call),
                Subject::Line { group, id, payload_sealed } => match self.of_line(&group, &id, &payload_sealed) {
                    Ok(body) => (LINE, body),
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a line cannot be published");
                        off.push((row, UNOPENED));
                        continue;
                    }
                },
            };
            held.push(row);
            bodies.push((key, body));
        }
        self.hide_private(&mut bodies).await?;
        let messages: Vec<Outgoing> = bodies.iter().map(|(key, body)| self.outgoing(key, body)).collect();
        let (mut back, mut nacked) = (Vec::new(), 0_usize);
        let mut failure = None;
        if !messages.is_empty() {
            let published = broker.publish_in_order(exchange, &messages).await;
            for (row, fate) in held.into_iter().zip(published.fates) {
                nacked += usize::from(fate == Fate::Nacked);
                match fate {
                    Fate::Confirmed => done.push(row),
                    Fate::Nacked | Fate::Unanswered => off.push((row, next_copy(row.tries))),
                    Fate::Unsent => back.push(row),
                }
            }
            failure = published.error;
        }
        if !done.is_empty() {
            self.store.outbox_done(&done).await?;
            tracing::info!(published = done.len(), "records published");
        }
        if nacked > 0 {
            tracing::warn!(nacked, "records were not taken by every queue that is bound for them, and come again");
        }
        if !off.is_empty() {
            self.store.outbox_put_off(&off).await?;
        }
        if !back.is_empty() {
            self.store.outbox_put_back(&back).await?;
        }
        failure.map_or(Ok(more), |error| Err(PublishError::Broker(error)))
    }

    fn outgoing(&self, key: &'static str, body: &Value) -> Outgoing {
        let body = body.to_string().into_bytes();
        // One that comes twice has the id that it had: who wants to can tell.
        let id = Uuid::new_v5(&NAMESPACE, &[key.as_bytes(), b"\n", &body].concat());
        let props = Props { message_id: Some(id.to_string()), ..Props::default() };
        let proof = STANDARD.encode(self.settings.data_keys.prove(&body));
        let props = props.with_header(header::RECORD, proof.as_str());
        Outgoing { key, body, props }
    }

    /// Whether a message is a record that we published, perhaps with a key that was the newest then. A header that proves
    /// nothing makes it no other than it is.
    pub(super) fn is_ours(&self, delivery: &Delivery) -> bool {
        let told = delivery.headers.text(header::RECORD).and_then(|told| STANDARD.decode(told).ok());
        told.is_some_and(|proof| self.settings.data_keys.is_proven(&delivery.body, &proof))
    }

    /// What we answered in a room may name people, and comes back as a line: of it only the length is told, and the hash by
    /// which the database knows it.
    async fn hide_private(&self, bodies: &mut [(&'static str, Value)]) -> Result<(), StoreError> {
        let mut lines: Vec<(Vec<u8>, &mut Value)> = bodies
            .iter_mut()
            .filter(|(key, body)| *key == LINE && body["sender_type"] == "bot")
            .filter_map(|(_, body)| Some((self.private_fingerprint(body["text"].as_str()?), body)))
            .collect();
        let hashes: Vec<Vec<u8>> = lines.iter().map(|(hash, _)| hash.clone()).collect();
        let private = self.store.private_lines(&hashes).await?;
        for (hash, body) in lines.iter_mut().filter(|(hash, _)| private.contains(hash)) {
            body["text_length"] = json!(body["text"].as_str().map(|text| text.chars().count()));
            body["text_hash"] = json!(STANDARD.encode(hash));
            body["text"] = Value::Null;
        }
        Ok(())
    }

    /// A line's record: its body as it came, and what the station's programs add to it.
    fn of_line(&self, group: &str, id: &str, sealed: &[u8]) -> Result<Value, SealError> {
        let place = Place { table: "groupme_callbacks", column: "payload_sealed", row: id };
        let opened = self.settings.data_keys.open(place, sealed)?;
        let mut body: Map<String, Value> = serde_json::from_slice(&opened).map_err(|_| SealError::Malformed)?;
        let room = self.settings.rooms.iter().find(|room| room.group == group).map(|room| room.name.as_str());
        let guid = body.get("source_guid").cloned().unwrap_or(Value::Null);
        for (name, value) in [
            ("bot_id", json!(room)),
            ("source", json!("groupme.callback")),
            ("code", json!(200)),
            ("statuscode", json!(200)),
            ("type", json!("callback")),
            ("wbor_message_id", guid),
        ] {
            body.insert(name.to_owned(), value);
        }
        Ok(Value::Object(body))
    }
}

/// How long a record waits that was sent once more, and not confirmed, after so many such tries.
fn next_copy(tries: i32) -> Duration {
    let doubled = 2_u32.saturating_pow(u32::try_from(tries).unwrap_or(0));
    UNCONFIRMED.saturating_mul(doubled).min(UNCONFIRMED_MAX)
}

/// A call's record, with its routing key. The bot id is a secret, so the room's name stands in its place; the status has
/// both names that the station's programs give it.
fn of_call(call: &Call) -> (&'static str, Value) {
    let source = call.source.as_deref().map(name_of);
    let mut body = json!({
        "bot_id": call.room, "source": source, "code": call.status, "statuscode": call.status,
        "wbor_message_id": call.uid, "timestamp": call.at.to_string(),
    });
    if call.operation == "upload" {
        body["type"] = json!("img");
        body["raw_img"] = json!(call.uploaded_url);
        return ("source.groupme.img", body);
    }
    body["type"] = json!("log");
    body["text"] = json!(call.text);
    if let Some(url) = &call.picture_url {
        body["picture_url"] = json!(url);
    }
    ("source.groupme.msg", body)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::message::Uid;
    use crate::route::RoutingKey;
    use crate::source::{Envelope, Reading, read};

    #[test]
    fn a_record_of_ours_is_read_as_one_of_the_message_that_was_posted() {
        for source in [
            "source.standard",
            "notification.ups.onbattery",
            "notification.ups",
            "source.notification.ups",
            "source.groupme.other",
        ] {
            for operation in ["post", "upload"] {
                let call = Call {
                    operation: operation.to_owned(),
                    uid: Some("42".to_owned()),
                    source: Some(source.to_owned()),
                    room: None,
                    status: Some(202),
                    text: Some("posted".to_owned()),
                    picture_url: None,
                    uploaded_url: None,
                    at: Timestamp::UNIX_EPOCH,
                };
                let (key, body) = of_call(&call);
                let (key, body) = (RoutingKey::parse(key).unwrap(), body.to_string().into_bytes());
                let zone = &TimeZone::UTC;
                let envelope =
                    Envelope { key: &key, already_sent: false, fallback_uid: Uuid::nil(), zone, body: &body };
                let Ok(Reading::Record(record)) = read(envelope) else { panic!("no record") };
                assert_eq!(record.uid, Uid::parse("42", &RoutingKey::parse(source).unwrap()).unwrap());
            }
        }
    }

    #[test]
    fn each_further_copy_waits_twice_as_long_up_to_an_hour() {
        let waits = [0, 1, 2, 9, 10, i32::MAX].map(|tries| next_copy(tries).as_secs());
        assert_eq!(waits, [5, 10, 20, 2560, 3600, 3600]);
    }
}
