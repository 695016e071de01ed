//! Dead letters: messages that the consumer could not take in, again and again. Each is tried here by itself.
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::Relay;
use super::dispatch::Budget;
use crate::amqp_event::Record;
use crate::broker::{Broker, DEAD, Props, Taken};
use crate::store::StoreError;

/// How often a dead letter is accepted again before it is kept as `dead_lettered`.
const TRIES: u32 = 5;

/// How often the queue is looked at.
const PAUSE: Duration = Duration::from_secs(5);

impl Relay {
    /// Reads `talkback.dead` until the budget ends.
    pub async fn raise_the_dead(&self, budget: &Budget) {
        let Some(broker) = &self.broker else { return };
        while !budget.is_over() {
            // Only while they can be stored: RabbitMQ 4 drops what was returned twenty times, and nothing is behind here.
            if self.store.writable().await.is_ok() {
                match broker.get(DEAD).await {
                    Ok(Some(letter)) => {
                        if self.raise(broker, letter).await {
                            continue;
                        }
                    }
                    Ok(None) => {}
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "dead letters not read"),
                }
            }
            if Instant::now() + PAUSE >= budget.until {
                return;
            }
            budget.rest(PAUSE).await;
        }
    }

    /// Whether it is stored now.
    async fn raise(&self, broker: &Broker, letter: Taken<'_>) -> bool {
        let now = Timestamp::now();
        let taken = match self.take_in(vec![letter.record.clone()], now).await {
            Ok(_) => Ok(true),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => self.try_later(broker, &letter.record, now, error).await,
        };
        let (done, stored) = match taken {
            Ok(stored) => (letter.ack().await, stored),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "dead letter not taken in");
                (letter.give_back().await, false)
            }
        };
        if let Err(error) = done {
            tracing::warn!(error = &error as &dyn std::error::Error, "dead letter comes again");
        }
        stored
    }

    /// Puts it back with our own count, since brokers differ in what they count; after the last try it is kept as
    /// rejected. `Ok`: the letter may go, `true` if it is stored.
    async fn try_later(
        &self,
        broker: &Broker,
        record: &Record,
        now: Timestamp,
        error: StoreError,
    ) -> Result<bool, StoreError> {
        let delivery = match record {
            Record::Delivery(delivery) => delivery,
            Record::Odd(odd) => return self.bury(odd.uid, &odd.raw, &error).await,
        };
        let tries = delivery.dead_count() + 1;
        let key = self.key_of(delivery);
        let uid = delivery.identity(key.as_ref(), 0, now);
        if tries >= TRIES {
            return self.bury(uid, &delivery.body, &error).await;
        }
        let props = Props::again(delivery, key.as_ref(), uid, tries);
        match broker.publish("", DEAD, &delivery.body, &props, true).await {
            Ok(()) => Ok(false),
            Err(_) => Err(error),
        }
    }

    async fn bury(&self, uid: Uuid, raw: &[u8], error: &StoreError) -> Result<bool, StoreError> {
        self.reject(uid.as_bytes(), "dead", None, "dead_lettered", error.to_string(), raw).await?;
        Ok(true)
    }
}
