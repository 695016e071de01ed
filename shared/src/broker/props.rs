//! What travels with a published message.
use std::time::Duration;

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use super::BrokerError;
use crate::amqp_event::{Delivery, header};
use crate::route::RoutingKey;

/// The value of a header.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// Text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The properties of a message; every message is persistent.
#[derive(Clone, Default)]
pub struct Props {
    /// What the body is; `application/json` where `None`.
    pub content_type: Option<String>,
    /// The queue that an answer goes to.
    pub reply_to: Option<String>,
    /// What an answer repeats.
    pub correlation_id: Option<String>,
    /// Its id; a new one where `None`, the same for both tries of a publish.
    pub message_id: Option<String>,
    /// When it was made.
    pub timestamp: Option<Timestamp>,
    /// Dropped or dead-lettered if it is not consumed in this time.
    pub expiration: Option<Duration>,
    /// Headers, by name.
    pub headers: Vec<(String, HeaderValue)>,
}

impl std::fmt::Debug for Props {
    /// Names of headers only: values may be a listener's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

impl Props {
    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The properties with which a message that came in is published again, to `talkback.retry` or to
    /// `talkback.relay`. The stamp is lost on that way, so what it told is written into headers of our own; what the
    /// producer asked for stays, and everything else is dropped: a copied `x-death` would make RabbitMQ 3 see a cycle,
    /// and RabbitMQ 4 ignores it.
    #[must_use]
    pub fn again(delivery: &Delivery, key: Option<&RoutingKey>, uid: Uuid, dead_count: u32) -> Self {
        let mut headers = vec![(header::UID.to_owned(), HeaderValue::Text(uid.to_string()))];
        let mut put = |name: &str, value: HeaderValue| headers.push((name.to_owned(), value));
        if let Some(key) = key {
            put(header::ROUTING_KEY, key.as_str().into());
        }
        if let Some(exchange) = delivery.exchange() {
            put(header::SOURCE_EXCHANGE, HeaderValue::Text(exchange));
        }
        if let Some(at) = delivery.stamp_time() {
            put(header::STAMP_TIME, HeaderValue::Text(at.to_string()));
        }
        if let Some(at) = delivery.deliver_by() {
            put(header::DELIVER_BY, HeaderValue::Text(at.to_string()));
        }
        if delivery.already_sent() {
            put(header::ALREADY_SENT, HeaderValue::Bool(true));
        }
        for name in [header::OWN, header::OWN_PROOF] {
            if let Some(told) = delivery.headers.text(name) {
                put(name, HeaderValue::Text(told));
            }
        }
        if dead_count > 0 {
            put(header::DEAD_COUNT, HeaderValue::Int(dead_count.into()));
        }
        // The broker takes 255 bytes. It gave no more, but what is no UTF-8 grows on its way through an event; and what
        // cannot be published must not keep its neighbours from being.
        let short = |text: &Option<String>| text.clone().filter(|text| text.len() <= 255);
        Self {
            content_type: short(&delivery.content_type),
            reply_to: short(&delivery.reply_to),
            correlation_id: short(&delivery.correlation_id),
            message_id: short(&delivery.message_id),
            // A producer's patience is counted from when it published, by its own clock.
            timestamp: delivery.timestamp.as_deref().and_then(crate::amqp_event::read_moment),
            headers,
            expiration: None,
        }
    }

    /// As lapin wants them.
    pub(super) fn to_amqp(&self) -> Result<BasicProperties, BrokerError> {
        let short = |what: &'static str, text: &str| ShortString::try_new(text).map_err(|_| BrokerError::TooLong(what));
        let mut headers = FieldTable::default();
        for (name, value) in &self.headers {
            let value = match value {
                HeaderValue::Text(text) => AMQPValue::LongString(text.as_str().into()),
                HeaderValue::Bool(truth) => AMQPValue::Boolean(*truth),
                HeaderValue::Int(number) => AMQPValue::LongLongInt(*number),
            };
            headers.insert(short("the name of a header", name)?, value);
        }
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        let message_id = self.message_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
        let mut properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(short("content_type", content_type)?)
            .with_message_id(short("message_id", &message_id)?)
            .with_headers(headers);
        if let Some(queue) = &self.reply_to {
            properties = properties.with_reply_to(short("reply_to", queue)?);
        }
        if let Some(id) = &self.correlation_id {
            properties = properties.with_correlation_id(short("correlation_id", id)?);
        }
        if let Some(at) = self.timestamp {
            properties = properties.with_timestamp(u64::try_from(at.as_second()).unwrap_or(0));
        }
        if let Some(after) = self.expiration {
            properties = properties.with_expiration(short("expiration", &after.as_millis().to_string())?);
        }
        Ok(properties)
    }
}
