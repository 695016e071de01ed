//! One message by HTTP, with the database or without: to the broker, under the name of its sender's key; and an alarm,
//! where neither takes it, straight into the room.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Relay;
use super::accept::Outcome;
use super::aside::{AT_FIRST, CONNECTING, IN_ALL, PATIENTLY, WHILE_DOWN, no_longer_than};
use super::awake::awake;
use super::own::Own;
use super::plan::{Door, Offer, is_urgent};
use crate::amqp_event::Delivery;
use crate::broker::RELAY;
use crate::message::{Media, Message, Priority, Uid};
use crate::route::RoutingKey;
use crate::store::StoreError;
use crate::text::Text;

/// How long the broker may take with an alarm, and with anything else.
const BROKER: [Duration; 2] = [Duration::from_millis(1500), Duration::from_secs(7)];

/// How long an alarm is posted from here.
const DIRECTLY: Duration = Duration::from_secs(8);

/// Keeps the names of these messages apart from all others.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b0e_91d2_7c44_4f0a_8d3b_1e6a_90c7_22f5);

/// What became of a message.
pub enum Took {
    /// It is in the database.
    Stored(Outcome),
    /// It is on the broker, and will be.
    Queued,
    /// It is in its rooms, and nowhere else but in the log.
    Posted,
}

/// A message that came by HTTP, on its way through the broker: the standard format, and whose key it was sent with.
#[derive(Serialize, Deserialize)]
struct Sent {
    uid: String,
    source: String,
    body: String,
    images: Vec<String>,
    priority: Option<Priority>,
    rooms: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
    sent_by: Option<String>,
}

impl Relay {
    /// Takes in one message that came by HTTP. `end`: the function is ended then.
    ///
    /// # Errors
    /// It is nowhere: it must be sent again.
    pub async fn take_one(&self, offer: Offer, end: Option<Instant>) -> Result<Took, StoreError> {
        let name = self.name_of(&offer);
        let until = Instant::now() + DIRECTLY;
        let until = end.map_or(until, |end| until.min(end));
        let begun = self.outage.is_begun(&name);
        // What was begun here goes no other way.
        if begun && !self.post_directly(&[&offer], until).await.contains(&true) {
            return Err(StoreError::Unavailable("an alarm was begun without it, and is not yet posted"));
        }
        let failure = match self.store_one(&offer, begun, end).await {
            Ok(outcome) => return Ok(Took::Stored(outcome)),
            Err(error) => error,
        };
        if begun {
            self.log_unrecorded(&offer);
            return Ok(Took::Posted);
        }
        if self.queue(&offer, end).await {
            return Ok(Took::Queued);
        }
        if self.goes_directly(&offer) && self.post_directly(&[&offer], until).await.contains(&true) {
            self.log_unrecorded(&offer);
            return Ok(Took::Posted);
        }
        Err(failure)
    }

    /// Down is not failed: asked again on a new connection, unless none can be had.
    async fn store_one(&self, offer: &Offer, begun: bool, end: Option<Instant>) -> Result<Outcome, StoreError> {
        let mut question = self.question(end)?;
        loop {
            let asked = awake(self.ask_to_store_one(offer, begun, question.known, end)).await;
            if question.is_settled(&asked) {
                return asked.0;
            }
        }
    }

    async fn ask_to_store_one(
        &self,
        offer: &Offer,
        begun: bool,
        known: bool,
        end: Option<Instant>,
    ) -> Result<Outcome, StoreError> {
        let limit = if known { WHILE_DOWN } else { AT_FIRST };
        let hasty = self.with_patience(limit);
        let stored = no_longer_than(limit + IN_ALL, hasty.accept_one(offer, begun)).await;
        if stored.as_ref().is_err_and(StoreError::is_doubtful)
            && self.with_patience(if known { WHILE_DOWN } else { CONNECTING }).store.connects().await
        {
            let limit = PATIENTLY[usize::from(!is_urgent(offer, &self.settings))];
            let limit = end.map_or(limit, |end| limit.min(end.saturating_duration_since(Instant::now())));
            return no_longer_than(limit, self.accept_one(offer, begun)).await;
        }
        stored
    }

    async fn accept_one(&self, offer: &Offer, begun: bool) -> Result<Outcome, StoreError> {
        self.wake().await?;
        if begun {
            self.settle_told(&self.told(offer)).await?;
            self.outage.recorded(&self.name_of(offer));
        }
        let outcome = self.accept(&[offer]).await?.pop().ok_or(StoreError::Answer("an outcome"))?;
        if is_urgent(offer, &self.settings) {
            self.outage.took(self.name_of(offer));
        }
        Ok(outcome)
    }

    /// Publishes it to where the consumer takes it from; whether the broker has it.
    async fn queue(&self, offer: &Offer, end: Option<Instant>) -> bool {
        let Some(broker) = &self.broker else { return false };
        let message = &offer.message;
        let sent = Sent {
            uid: message.uid.given().to_owned(),
            source: message.source.as_str().to_owned(),
            body: message.body.as_str().to_owned(),
            images: message.media.iter().map(|media| media.url.clone()).collect(),
            priority: message.priority,
            rooms: message.rooms.clone(),
            expires_at: message.expires_at,
            sent_by: offer.sent_by.clone(),
        };
        let id = Uuid::new_v5(&NAMESPACE, self.name_of(offer).as_bytes());
        let Ok(body) = serde_json::to_value(&sent) else { return false };
        let own = self.own(Own::Sent, id, message.source.as_str(), &body);
        let limit = BROKER[usize::from(!is_urgent(offer, &self.settings))];
        let limit = end.map_or(limit, |end| limit.min(end.saturating_duration_since(Instant::now())));
        // To the consumer at once: it posts alarms, and puts the rest aside.
        let published = timeout(limit, broker.publish(RELAY, "", &own.body, &own.props, true)).await;
        match published {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "neither database nor broker takes a message"
                );
            }
            Err(_) => tracing::error!("neither database nor broker takes a message in time"),
        }
        false
    }
}

/// A message that came by HTTP, as it comes back from the broker.
pub(super) fn read(delivery: &Delivery) -> Option<Offer> {
    let sent: Sent = serde_json::from_slice(&delivery.body).ok()?;
    let source = RoutingKey::parse(&sent.source).ok()?;
    let message = Message {
        uid: Uid::parse(&sent.uid, &source).ok()?,
        source,
        sender: None,
        body: Text::clean(&sent.body),
        media: sent.images.into_iter().map(|url| Media { url, content_type: None }).collect(),
        priority: sent.priority,
        rooms: sent.rooms,
        expires_at: sent.expires_at,
        wants_ack_url: false,
    };
    Some(Offer {
        message,
        door: Door::Http,
        sent_by: sent.sent_by,
        reply: None,
        deliver_by: None,
        stamped_at: delivery.stamp_time(),
        route: None,
        raw: delivery.body.clone(),
    })
}
