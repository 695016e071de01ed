//! The line on which replies come: a queue of this producer's own. It is durable and outlives the connection, so that a
//! reply given while the connection, or the broker, was away is there when we are back; unused, it goes by itself.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use secrecy::SecretString;
use serde::Deserialize;
use talkback::broker::{BrokerError, connect};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// For a connection, handshake and login included.
const CONNECT: Duration = Duration::from_secs(3);
/// For the answer to one request.
const ANSWER: Duration = Duration::from_secs(2);
/// An unused queue goes after this.
const EXPIRES_MS: i32 = 600_000;

/// What Talkback says of a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    pub(crate) message_id: String,
    pub(crate) reason: Option<String>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// The first part is posted.
    Taken,
    /// Every part is.
    Success,
    /// It never will be.
    Failure,
}

type Askers = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Reply>>>>;

/// The queue, and who waits for a reply on it.
pub(crate) struct Line {
    url: SecretString,
    pub(crate) queue: String,
    askers: Askers,
    live: tokio::sync::Mutex<Option<Live>>,
}

struct Live {
    connection: Connection,
    channel: Channel,
    reader: JoinHandle<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Line {
    pub(crate) fn new(url: SecretString) -> Self {
        let queue = format!("talkback.reply.{}", Uuid::new_v4());
        Self { url, queue, askers: Askers::default(), live: tokio::sync::Mutex::default() }
    }

    /// Listens from here on, if nobody did.
    pub(crate) async fn listen(&self) -> Result<(), BrokerError> {
        let mut live = self.live.lock().await;
        let is_alive = |live: &Live| !live.reader.is_finished() && live.connection.status().connected();
        if live.as_ref().is_some_and(is_alive) {
            return Ok(());
        }
        *live = None;
        let connection = connect(&self.url, None, "talkback producer", CONNECT).await?;
        let channel = within("opening a channel", connection.create_channel()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES_MS));
        let durable = QueueDeclareOptions::durable();
        let queue = self.queue.as_str();
        within("declaring the queue of replies", channel.queue_declare(queue.into(), durable, arguments)).await?;
        let consuming =
            channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let consumer = within("listening for replies", consuming).await?;
        let reader = tokio::spawn(read(consumer, Arc::clone(&self.askers)));
        *live = Some(Live { connection, channel, reader });
        Ok(())
    }

    /// Waits for the replies to what goes out under this correlation id.
    pub(crate) fn ask(&self, correlation_id: String, uid: Uuid) -> Asking {
        let (sender, replies) = mpsc::unbounded_channel();
        locked(&self.askers).insert(correlation_id.clone(), sender);
        Asking { askers: Arc::clone(&self.askers), correlation_id, uid: uid.to_string(), replies }
    }

    /// Takes the queue away.
    pub(crate) async fn close(&self) {
        if let Some(live) = self.live.lock().await.take() {
            // It would go by itself.
            let gone = live.channel.queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default());
            let _ = timeout(ANSWER, gone).await;
            let _ = timeout(ANSWER, live.connection.close(200, "bye".into())).await;
        }
    }
}

/// One message's replies.
pub(crate) struct Asking {
    askers: Askers,
    correlation_id: String,
    uid: String,
    replies: mpsc::UnboundedReceiver<Reply>,
}

impl Asking {
    /// The next reply.
    pub(crate) async fn heard(&mut self) -> Reply {
        loop {
            match self.replies.recv().await {
                Some(reply) if reply.message_id == self.uid => return reply,
                Some(_) => {}
                // The sender is in the map until this is dropped.
                None => std::future::pending().await,
            }
        }
    }

    /// The next reply, if there is one already.
    pub(crate) fn heard_already(&mut self) -> Option<Reply> {
        std::iter::from_fn(|| self.replies.try_recv().ok()).find(|reply| reply.message_id == self.uid)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        locked(&self.askers).remove(&self.correlation_id);
    }
}

/// Hands each reply to whom it concerns, until the connection ends.
async fn read(mut consumer: Consumer, askers: Askers) {
    while let Some(Ok(delivery)) = consumer.next().await {
        hand_over(&delivery, &askers);
        if delivery.ack(BasicAckOptions::default()).await.is_err() {
            return;
        }
    }
}

fn hand_over(delivery: &Delivery, askers: &Askers) {
    let Some(correlation_id) = delivery.properties.correlation_id() else { return };
    // What is no reply is nobody's.
    let Ok(reply) = serde_json::from_slice::<Reply>(&delivery.data) else { return };
    if let Some(asker) = locked(askers).get(correlation_id.as_str()) {
        let _ = asker.send(reply);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody panics with it, and a map is whole at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn within<T>(during: &'static str, operation: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match timeout(ANSWER, operation).await {
        Ok(outcome) => outcome.map_err(|error| BrokerError::of(during, &error)),
        Err(_) => Err(BrokerError::timed_out(during)),
    }
}
