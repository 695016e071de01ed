//! The event source mapping: takes batches from one queue, invokes the function, acknowledges or returns.
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use secrecy::SecretString;
use serde_json::Value;
use talkback::broker::{self, BrokerError, Cause};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::back_off::BackOff;
use crate::event;
use crate::function::Invoke;

/// How long a connection and each single request to the broker may take.
const BROKER_LIMIT: Duration = Duration::from_secs(10);
/// How long saying goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How often it looks whether the queue is there by now.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an invocation in flight may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// One mapping.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The queue.
    pub queue: String,
    /// Its virtual host.
    pub vhost: String,
    /// The function.
    pub function: String,
    /// The most messages of one invocation.
    pub batch: u16,
    /// How long a batch may wait for more after its first message.
    pub window: Duration,
    /// How long an invocation may take.
    pub limit: Duration,
}

/// A message and the form it has in the event.
struct Message {
    delivery: Delivery,
    form: Value,
    size: usize,
}

/// What ends a session with the broker.
enum End {
    Stopped,
    Lost(BrokerError),
}

impl From<BrokerError> for End {
    fn from(error: BrokerError) -> Self {
        Self::Lost(error)
    }
}

/// The order to stop: true from then on.
pub type Stop = watch::Receiver<bool>;

/// Waits for the order to stop; a sender that is gone can give it no more, so that is one.
pub async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}

impl Mapping {
    /// Consumes until told to stop, over as many connections as it takes; calls `ready` when it first consumes.
    pub async fn run(&self, url: &SecretString, functions: &impl Invoke, mut stop: Stop, ready: impl FnOnce()) {
        let mut ready = Some(ready);
        let mut back_off = BackOff::default();
        loop {
            let mut consuming = || {
                back_off.went_well();
                if let Some(ready) = ready.take() {
                    ready();
                }
            };
            let error = match self.session(url, functions, &mut stop, &mut consuming).await {
                End::Stopped => return,
                End::Lost(error) => error,
            };
            let wait = back_off.failed();
            tracing::warn!(queue = self.queue, %error, wait_s = wait.as_secs(), "the broker is lost, connecting again");
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn session(
        &self,
        url: &SecretString,
        functions: &impl Invoke,
        stop: &mut Stop,
        consuming: &mut impl FnMut(),
    ) -> End {
        let opened = tokio::select! {
            opened = self.open(url) => opened,
            () = stopped(stop) => return End::Stopped,
        };
        let (connection, channel, mut consumer) = match opened {
            Ok(opened) => opened,
            Err(error) => return End::Lost(error),
        };
        consuming();
        let end = match self.work(&channel, &mut consumer, functions, stop).await {
            Ok(()) => End::Stopped,
            Err(error) => End::Lost(error),
        };
        // What was not acknowledged goes back to the queue with it.
        let _ = timeout(CLOSE_LIMIT, connection.close(200, "bye".into())).await;
        end
    }

    async fn open(&self, url: &SecretString) -> Result<(Connection, Channel, Consumer), BrokerError> {
        let connection = broker::connect(url, Some(&self.vhost), "talkback bridge", BROKER_LIMIT).await?;
        let mut told = false;
        loop {
            // A channel is closed by asking for a queue that is not there.
            let channel = within("opening a channel", connection.create_channel()).await?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
            let asked = channel.queue_declare(self.queue.as_str().into(), passive, FieldTable::default());
            match within("looking for the queue", asked).await {
                Ok(_) => {}
                Err(BrokerError::Refused { cause: Cause::Code(404), .. }) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            queue = self.queue,
                            "the queue is not there: migrate declares it; waiting for it"
                        );
                    }
                    sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            within("setting the prefetch", channel.basic_qos(self.batch, BasicQosOptions::default())).await?;
            let options = BasicConsumeOptions::default();
            let consuming =
                channel.basic_consume(self.queue.as_str().into(), "bridge".into(), options, FieldTable::default());
            let consumer = within("consuming", consuming).await?;
            return Ok((connection, channel, consumer));
        }
    }

    /// Batch after batch, until told to stop.
    async fn work(
        &self,
        channel: &Channel,
        consumer: &mut Consumer,
        functions: &impl Invoke,
        stop: &mut Stop,
    ) -> Result<(), BrokerError> {
        let mut back_off = BackOff::default();
        let mut carried = None;
        loop {
            let batch = tokio::select! {
                biased;
                () = stopped(stop) => return Ok(()),
                batch = self.gather(consumer, &mut carried) => batch?,
            };
            let Some(last) = batch.last().map(|message| message.delivery.delivery_tag) else { continue };
            let count = batch.len();
            let forms: Vec<Value> = batch.into_iter().map(|message| message.form).collect();
            let event = event::of_queue(&self.queue, &self.vhost, &forms);
            let invocation = functions.invoke(&self.function, &event, self.limit);
            let outcome = tokio::select! {
                outcome = invocation => outcome,
                () = async { stopped(stop).await; sleep(DRAIN).await } => {
                    tracing::warn!(function = self.function, "an invocation did not end in time, its batch goes back");
                    return Ok(());
                }
            };
            match outcome {
                Ok(()) => {
                    back_off.went_well();
                    let all = BasicAckOptions { multiple: true };
                    within("acknowledging a batch", channel.basic_ack(last, all)).await?;
                }
                Err(error) => {
                    let wait = back_off.failed();
                    let wait_s = wait.as_secs();
                    tracing::warn!(function = self.function, messages = count, %error, wait_s, "a batch goes back");
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = stopped(stop) => {}
                    }
                    let all = BasicNackOptions { multiple: true, requeue: true };
                    within("returning a batch", channel.basic_nack(last, all)).await?;
                }
            }
        }
    }

    /// The next batch: as many as there may be, or what came within the window, or what an event can hold. What no
    /// longer fits is carried to the next.
    async fn gather(
        &self,
        consumer: &mut Consumer,
        carried: &mut Option<Message>,
    ) -> Result<Vec<Message>, BrokerError> {
        let mut room = event::LARGEST - event::frame(&self.queue, &self.vhost);
        let mut batch = Vec::new();
        let first = match carried.take() {
            Some(message) => message,
            None => next(consumer).await?,
        };
        if first.size > room {
            return self.set_aside(first).await.map(|()| batch);
        }
        room -= first.size;
        batch.push(first);
        let window = sleep(self.window);
        tokio::pin!(window);
        while batch.len() < usize::from(self.batch) {
            let message = tokio::select! {
                message = next(consumer) => message?,
                () = &mut window => break,
            };
            if message.size > room {
                *carried = Some(message);
                break;
            }
            room -= message.size;
            batch.push(message);
        }
        Ok(batch)
    }

    /// A message that fits into no event. Lambda drops it; here it is dead-lettered, where the queue has a place for that.
    async fn set_aside(&self, message: Message) -> Result<(), BrokerError> {
        tracing::error!(queue = self.queue, bytes = message.size, "a message is too large for any event, rejecting it");
        let rejected = async { message.delivery.reject(BasicRejectOptions { requeue: false }).await.map(drop) };
        within("rejecting a message", rejected).await
    }
}

async fn next(consumer: &mut Consumer) -> Result<Message, BrokerError> {
    match consumer.next().await {
        Some(Ok(delivery)) => {
            let form = broker::amazon::message(&delivery);
            // One more for the comma between two.
            let size = form.to_string().len() + 1;
            Ok(Message { delivery, form, size })
        }
        Some(Err(error)) => Err(BrokerError::of("consuming", &error)),
        None => Err(BrokerError::Lost { during: "consuming", cause: Cause::Closed }),
    }
}

async fn within<T>(during: &'static str, operation: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match timeout(BROKER_LIMIT, operation).await {
        Ok(outcome) => outcome.map_err(|error| BrokerError::of(during, &error)),
        Err(_) => Err(BrokerError::timed_out(during)),
    }
}
