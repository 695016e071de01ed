//! Proof that the way through the stamp works: a marked message goes in and is timed as it comes out.
//!
//! A missing exchange, queue or binding behind the stamp is not seen by any counter: publishers get their confirm, the
//! message lies three minutes, and the stamp's depth reads 0. So a probe takes the way of every message. The relay hands
//! it to a private queue of ours, by a headers exchange that ordinary messages do not match, and to `talkback` like any
//! other; there [`crate::amqp_event::read_event`] leaves it out, and that the consumer ran is noted as ever.
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

use super::connection::within;
use super::{Broker, BrokerError, DEAD, PROBE, Props, QUEUE, RETRY, STAMP, Target, short};
use crate::amqp_event::{PROBE_BODY, header};

/// A probe so young is not repeated for another question about health.
const FRESH: Duration = Duration::from_secs(30);

/// A probe that came through, and when.
pub(super) type Probed = (Instant, Duration);

/// How the broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// How long the last probe took through the stamp, at most half a minute ago.
    pub way: Duration,
    /// Messages waiting for the consumer.
    pub waiting: u32,
    /// Messages waiting to be tried again.
    pub retrying: u32,
    /// Messages that were returned too often.
    pub dead: u32,
}

impl Broker {
    /// Sends a probe through the stamp and returns how long it took to come out of the relay.
    pub async fn probe(&self, patience: Duration) -> Result<Duration, BrokerError> {
        let leased = self.lease().await?;
        let id = Uuid::new_v4().to_string();
        let probed = send_probe(&leased.channel, self.limits.answer, patience, &id).await;
        let took = self.settle(leased, probed).await?;
        *self.probed.lock().await = Some((Instant::now(), took));
        Ok(took)
    }

    /// Whether messages pass, and how many wait. Asks for a new probe if the last is older than half a minute.
    pub async fn health(&self) -> Result<Health, BrokerError> {
        let known = *self.probed.lock().await;
        let way = match known.filter(|(at, _)| at.elapsed() < FRESH) {
            Some((_, way)) => way,
            None => self.probe(self.limits.answer).await?,
        };
        let (waiting, retrying) = (self.depth(QUEUE).await?, self.depth(RETRY).await?);
        Ok(Health { way, waiting, retrying, dead: self.depth(DEAD).await? })
    }
}

async fn send_probe(channel: &Channel, limit: Duration, patience: Duration, id: &str) -> Result<Duration, BrokerError> {
    let during = "preparing a probe";
    let reading = |error: &lapin::Error| BrokerError::declaring("exchange", PROBE, error);
    let listening = async {
        let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await?.name().clone();
        let mut marked = FieldTable::default();
        marked.insert("x-match".into(), AMQPValue::LongString("all".into()));
        marked.insert(header::PROBE.into(), AMQPValue::LongString(id.into()));
        channel.queue_bind(queue.clone(), PROBE.into(), "".into(), QueueBindOptions::default(), marked).await?;
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await?;
        Ok((queue, consumer))
    };
    let (queue, mut consumer) = within(limit, during, reading, listening).await?;

    let sent = Instant::now();
    let props = Props::default().with_header(header::PROBE, id);
    let stamp = Target { exchange: short("exchange", "")?, key: short("key", STAMP)?, mandatory: true };
    let published = match stamp.send(channel, limit, PROBE_BODY, props.to_amqp()?).await {
        Err(BrokerError::Unroutable) => Err(BrokerError::Missing { what: "queue", name: STAMP.to_owned() }),
        other => other,
    };
    let arrived = match published {
        Ok(()) => tokio::time::timeout(patience, consumer.next()).await,
        Err(error) => return Err(error),
    };
    let took = sent.elapsed();
    let deleted = channel.queue_delete(queue, QueueDeleteOptions::default());
    let tidied = within(limit, during, |error| BrokerError::of(during, error), async { deleted.await.map(drop) }).await;
    match arrived {
        Ok(Some(Ok(_))) => tidied.map(|()| took),
        Ok(Some(Err(error))) => Err(BrokerError::of("waiting for a probe", &error)),
        Ok(None) => Err(BrokerError::timed_out("waiting for a probe")),
        Err(_) => Err(BrokerError::Stuck { waited_ms: patience.as_millis() }),
    }
}
