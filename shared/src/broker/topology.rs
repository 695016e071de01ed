//! The queues and exchanges of Talkback, and the order in which they come to be.
//!
//! Lambda's event names the queue, not the routing key. So every message passes `talkback.stamp`, where it expires at
//! once, and the broker writes exchange and key into `x-death` on its way through `talkback.relay` to `talkback`.
use std::time::Duration;

use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind as Kind};

use super::connection::within;
use super::{Broker, BrokerError};

/// The queue that the function consumes.
pub const QUEUE: &str = "talkback";
/// Where messages go that were returned too often; the dispatcher reads it.
pub const DEAD: &str = "talkback.dead";
/// Where messages wait that could not be stored; after a while they come back to [`QUEUE`].
pub const RETRY: &str = "talkback.retry";
/// Where exchange, routing key and time are stamped on a message.
pub const STAMP: &str = crate::amqp_event::STAMP_QUEUE;
/// The exchange between the stamp and [`QUEUE`].
pub const RELAY: &str = "talkback.relay";
/// The exchange that hands a probe back to who sent it; ordinary messages do not match it.
pub const PROBE: &str = "talkback.probe";

/// How often a message may be returned before it is dead: RabbitMQ 4's default, said so that 3 does the same.
const DELIVERY_LIMIT: i32 = 20;

/// Declaring is not urgent, and a cluster has to elect the leader of each new queue.
const DECLARE_LIMIT: Duration = Duration::from_secs(10);

/// An exchange that feeds the stamp queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name on the broker.
    pub name: String,
    /// Its type (`type` in TOML).
    pub kind: ExchangeKind,
    /// The binding keys of the stamp queue; never empty (a fanout ignores what they say).
    pub patterns: Vec<String>,
    /// Whether we declare it, durable; else it must be there.
    pub declare: bool,
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// By pattern.
    Topic,
    /// To everybody.
    Fanout,
    /// By equal key.
    Direct,
    /// By header fields.
    Headers,
}

impl ExchangeKind {
    fn to_amqp(self) -> Kind {
        match self {
            Self::Topic => Kind::Topic,
            Self::Fanout => Kind::Fanout,
            Self::Direct => Kind::Direct,
            Self::Headers => Kind::Headers,
        }
    }
}

impl Broker {
    /// Declares everything, from the far end to the near: a message that finds no target behind the stamp waits three
    /// minutes, invisibly, and is overtaken. Repeating it changes nothing. What exists with other arguments is an error
    /// that names the argument: without `reject-publish`, for one, at-least-once silently becomes at-most-once.
    ///
    /// Bindings of patterns that are no longer configured stay: AMQP cannot list them.
    pub async fn declare(&self, exchanges: &[Exchange], retry_ttl: Duration) -> Result<(), BrokerError> {
        let leased = self.lease().await?;
        let declared = declare_all(&leased.channel, exchanges, retry_ttl).await;
        self.settle(leased, declared).await
    }
}

async fn declare_all(channel: &Channel, exchanges: &[Exchange], retry_ttl: Duration) -> Result<(), BrokerError> {
    let to = Declaring { channel };
    to.queue(DEAD, table(&[("x-queue-type", text("quorum"))])).await?;
    let limited = ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT));
    to.queue(QUEUE, handing_on("", &[("x-dead-letter-routing-key", text(DEAD)), limited])).await?;
    to.exchange(RELAY, Kind::Fanout, false).await?;
    to.bind(QUEUE, RELAY, "").await?;
    to.exchange(PROBE, Kind::Headers, false).await?;
    to.bind_exchange(PROBE, RELAY).await?;
    to.queue(RETRY, handing_on(RELAY, &[("x-message-ttl", milliseconds(retry_ttl))])).await?;
    to.queue(STAMP, handing_on(RELAY, &[("x-message-ttl", AMQPValue::LongInt(0))])).await?;
    for exchange in exchanges {
        to.exchange(&exchange.name, exchange.kind.to_amqp(), !exchange.declare).await?;
        for pattern in &exchange.patterns {
            to.bind(STAMP, &exchange.name, pattern).await?;
        }
    }
    Ok(())
}

/// A quorum queue that hands every message on and never loses one doing it.
fn handing_on(exchange: &str, more: &[(&str, AMQPValue)]) -> FieldTable {
    let safe = [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    let mut arguments = table(&safe);
    for (name, value) in more {
        arguments.insert((*name).into(), value.clone());
    }
    arguments
}

fn table(arguments: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn milliseconds(duration: Duration) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

struct Declaring<'a> {
    channel: &'a Channel,
}

impl Declaring<'_> {
    async fn queue(&self, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
        let declared = self.channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments);
        self.done("queue", name, async { declared.await.map(drop) }).await
    }

    async fn exchange(&self, name: &str, kind: Kind, passive: bool) -> Result<(), BrokerError> {
        let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
        let short = super::short("the name of an exchange", name)?;
        self.done("exchange", name, self.channel.exchange_declare(short, kind, options, FieldTable::default())).await
    }

    async fn bind(&self, queue: &str, exchange: &str, pattern: &str) -> Result<(), BrokerError> {
        let (queue, source) = (queue.into(), super::short("the name of an exchange", exchange)?);
        let pattern = super::short("a pattern", pattern)?;
        let options = QueueBindOptions::default();
        let bound = self.channel.queue_bind(queue, source, pattern, options, FieldTable::default());
        self.done("exchange", exchange, bound).await
    }

    async fn bind_exchange(&self, exchange: &str, source: &str) -> Result<(), BrokerError> {
        let options = ExchangeBindOptions::default();
        let arguments = FieldTable::default();
        let bound = self.channel.exchange_bind(exchange.into(), source.into(), "".into(), options, arguments);
        self.done("exchange", exchange, bound).await
    }

    async fn done(
        &self,
        what: &'static str,
        name: &str,
        operation: impl Future<Output = lapin::Result<()>>,
    ) -> Result<(), BrokerError> {
        let declaring = |error: &lapin::Error| BrokerError::declaring(what, name, error);
        within(DECLARE_LIMIT, "declaring the topology", declaring, operation).await
    }
}
