//! Dead letters: messages that the consumer could not take in, again and again. Each is tried here by itself.
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::Relay;
use super::dispatch::Budget;
use crate::amqp_event::Record;
use crate::broker::{DEAD, Taken};
use crate::store::StoreError;

/// How often a dead letter is accepted again before it is kept as `dead_lettered`.
const TRIES: i64 = 5;

/// How often the queue is looked at.
const PAUSE: Duration = Duration::from_secs(5);

impl Relay {
    /// Reads `talkback.dead` until the budget ends.
    pub async fn raise_the_dead(&self, budget: &Budget) {
        let Some(broker) = &self.broker else { return };
        while !budget.is_over() {
            match broker.get(DEAD).await {
                Ok(Some(letter)) => {
                    if self.raise(letter).await {
                        continue;
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "dead letters not read"),
            }
            if Instant::now() + PAUSE >= budget.until {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether it is stored now.
    async fn raise(&self, letter: Taken<'_>) -> bool {
        let stored = match self.take_in(vec![letter.record.clone()], Timestamp::now()).await {
            Err(StoreError::Unavailable(_)) => false,
            Err(error) if tries(&letter.record) >= TRIES => self.bury(&letter.record, &error).await,
            Err(_) => false,
            Ok(_) => true,
        };
        let done = if stored { letter.ack().await } else { letter.give_back().await };
        if let Err(error) = done {
            tracing::warn!(error = &error as &dyn std::error::Error, "dead letter comes again");
        }
        stored
    }

    async fn bury(&self, record: &Record, error: &StoreError) -> bool {
        let (name, raw) = match record {
            Record::Delivery(delivery) => (delivery.body.clone(), delivery.body.clone()),
            Record::Odd(odd) => (odd.uid.as_bytes().to_vec(), odd.raw.clone()),
        };
        self.reject(&name, "dead", None, "dead_lettered", error.to_string(), &raw).await.is_ok()
    }
}

/// How often it was given back, by the broker's own count.
fn tries(record: &Record) -> i64 {
    match record {
        Record::Delivery(delivery) => delivery.headers.int("x-delivery-count").unwrap_or(0),
        Record::Odd(_) => TRIES,
    }
}
