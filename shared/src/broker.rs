//! RabbitMQ: the topology, publishing that is confirmed, taking one message by hand, and proof that the way through the
//! stamp queue works. Everything has a limit; no error holds the URL, a credential or a body.
//!
//! lapin logs a returned message with its body, at `warn`: [`crate::telemetry`] leaves the target `lapin` out, and any
//! other subscriber must turn it off ([`QUIET`]).
pub mod amazon;
mod connection;
mod error;
mod in_order;
mod probe;
mod props;
mod topology;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use secrecy::SecretString;
use tokio::sync::Mutex;

use crate::amqp_event::{Record, read_record};
use connection::{Leased, State, within};
pub use connection::{connect, vhost_of};
use error::PUBLISHING;
pub use error::{BrokerError, Cause};
pub use in_order::{Fate, Outgoing, Published};
pub use probe::Health;
pub use props::{HeaderValue, Props};
pub use topology::{DEAD, Exchange, ExchangeKind, PROBE, QUEUE, RELAY, RETRY, STAMP};

/// Filter directives for a log subscriber that is not [`crate::telemetry`]'s, to be added after what `RUST_LOG` says.
pub const QUIET: &str = "lapin=off";

/// How long the broker may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, handshake and login included.
    pub connect: Duration,
    /// For the answer to one request, a confirm included.
    pub answer: Duration,
}

impl Default for Limits {
    /// A publish that has to connect anew takes at most seven seconds: two for the lost try, three to connect, two again.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), answer: Duration::from_secs(2) }
    }
}

/// RabbitMQ, by one lazy connection. Share it: every publish has a channel of its own.
pub struct Broker {
    url: SecretString,
    vhost: String,
    name: String,
    limits: Limits,
    state: Mutex<State>,
    connections: AtomicU64,
    probed: Mutex<Option<probe::Probed>>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broker({})", self.name)
    }
}

impl Broker {
    /// A broker that is connected to when it is first needed; `name` is what its operators see.
    pub fn new(url: SecretString, name: &str) -> Result<Self, BrokerError> {
        let vhost = vhost_of(&url)?;
        Ok(Self {
            url,
            vhost,
            name: name.to_owned(),
            limits: Limits::default(),
            state: Mutex::default(),
            connections: AtomicU64::new(0),
            probed: Mutex::default(),
        })
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Publishes a persistent message and waits for the broker's word that it has it. `mandatory`: where no queue takes
    /// it, that is [`BrokerError::Unroutable`]; else the broker drops it in silence.
    ///
    /// A lost connection is tried once more, with the same message id: the message may then be there twice.
    pub async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        props: &Props,
        mandatory: bool,
    ) -> Result<(), BrokerError> {
        let to = Target { exchange: short("exchange", exchange)?, key: short("key", key)?, mandatory };
        let properties = props.to_amqp()?;
        match self.publish_once(&to, body, properties.clone()).await {
            Err(error) if error.is_connection() => self.publish_once(&to, body, properties).await,
            outcome => outcome,
        }
    }

    /// The same in one try: [`BrokerError::may_be_there`] says whether somebody may have the message all the same.
    pub async fn offer(&self, exchange: &str, key: &str, body: &[u8], props: &Props) -> Result<(), BrokerError> {
        let to = Target { exchange: short("exchange", exchange)?, key: short("key", key)?, mandatory: true };
        self.publish_once(&to, body, props.to_amqp()?).await
    }

    async fn publish_once(&self, to: &Target, body: &[u8], properties: BasicProperties) -> Result<(), BrokerError> {
        let leased = self.lease().await?;
        let outcome = to.send(&leased.channel, self.limits.answer, body, properties).await;
        self.settle(leased, outcome).await
    }

    /// How many messages wait in a queue; not those that were delivered and await their acknowledgement.
    pub async fn depth(&self, queue: &str) -> Result<u32, BrokerError> {
        let leased = self.lease().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let asked = leased.channel.queue_declare(short("queue", queue)?, options, FieldTable::default());
        let missing = |error: &lapin::Error| BrokerError::declaring("queue", queue, error);
        let outcome = within(self.limits.answer, "asking for a queue", missing, asked).await;
        self.settle(leased, outcome.map(|queue| queue.message_count())).await
    }

    /// Takes the next message of a queue, if there is one. It goes back if the [`Taken`] is dropped.
    pub async fn get(&self, queue: &str) -> Result<Option<Taken<'_>>, BrokerError> {
        loop {
            let leased = self.lease().await?;
            let during = "taking a message";
            let asked = leased.channel.basic_get(short("queue", queue)?, BasicGetOptions::default());
            let missing = |error: &lapin::Error| match BrokerError::of(during, error) {
                BrokerError::Refused { cause: Cause::Code(404), .. } => BrokerError::declaring("queue", queue, error),
                other => other,
            };
            let message = match within(self.limits.answer, during, missing, asked).await {
                Ok(Some(message)) => message,
                other => return self.settle(leased, other.map(|_| None)).await,
            };
            let record = read_record(queue, &self.vhost, &amazon::message(&message.delivery));
            let probe = matches!(&record, Record::Delivery(delivery) if delivery.is_probe());
            let taken = Taken { broker: self, leased, tag: message.delivery.delivery_tag, record };
            if !probe {
                return Ok(Some(taken));
            }
            taken.ack().await?;
        }
    }
}

/// A message taken by hand, still the broker's until it is acknowledged.
pub struct Taken<'a> {
    broker: &'a Broker,
    leased: Leased,
    tag: u64,
    /// The message, as the event of Amazon MQ would have it.
    pub record: Record,
}

impl std::fmt::Debug for Taken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Taken({:?})", self.record)
    }
}

impl Taken<'_> {
    /// It is stored elsewhere: the broker may forget it. Until this returns `Ok` it may come again.
    pub async fn ack(self) -> Result<(), BrokerError> {
        let during = "acknowledging a message";
        let acked = self.leased.channel.basic_ack(self.tag, BasicAckOptions::default());
        let outcome = within(self.broker.limits.answer, during, |error| BrokerError::of(during, error), acked).await;
        self.broker.settle(self.leased, outcome).await
    }

    /// Puts it back for the next who asks.
    pub async fn give_back(self) -> Result<(), BrokerError> {
        let during = "returning a message";
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let nacked = self.leased.channel.basic_nack(self.tag, options);
        let outcome = within(self.broker.limits.answer, during, |error| BrokerError::of(during, error), nacked).await;
        self.broker.settle(self.leased, outcome).await
    }
}

/// Where a message is published.
struct Target {
    exchange: ShortString,
    key: ShortString,
    mandatory: bool,
}

impl Target {
    async fn send(
        &self,
        channel: &Channel,
        limit: Duration,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let options = BasicPublishOptions { mandatory: self.mandatory, ..BasicPublishOptions::default() };
        let sending = async {
            let (exchange, key) = (self.exchange.clone(), self.key.clone());
            channel.basic_publish(exchange, key, options, body, properties).await?.await
        };
        match within(limit, PUBLISHING, |error| BrokerError::of(PUBLISHING, error), sending).await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(BrokerError::Unroutable),
            Confirmation::Nack(None) => Err(BrokerError::Nacked),
            // The channel is in confirm mode, so this is a channel that is not ours.
            Confirmation::NotRequested => Err(BrokerError::Lost { during: PUBLISHING, cause: Cause::Closed }),
        }
    }
}

/// AMQP's short text; lapin panics where it is too long.
fn short(what: &'static str, text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|_| BrokerError::TooLong(what))
}
