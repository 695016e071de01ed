//! All functions in one process, over plain HTTP: what API Gateway, the event source mapping and the schedule do on AWS.
//! It knows addresses, the queue and the clock; it knows nothing of messages.

mod functions;
mod http;
mod routes;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bridge::consume::Mapping;
use bridge::event;
use functions::Functions;
use jiff::Timestamp;
use serde_json::{Value, json};
use talkback::broker::{self, QUEUE};
use talkback::config::Settings;
use talkback::relay::stop::Stop;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How long what is at work may take to finish after the order to stop.
pub const GRACE: Duration = Duration::from_millis(9500);

/// How long a dispatcher may take, and after how long the next begins beside it: as on AWS, so that one that waits for a
/// last call, or for pictures, keeps no other room waiting.
const DISPATCHER_LIMIT: Duration = Duration::from_secs(80);
const NEXT: Duration = Duration::from_secs(55);

/// How long it waits before it begins the next minute, where one failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long one batch may take.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// The most messages of a batch, and how long one may wait for more: an alarm is not to wait half a second for company,
/// and a batch that is accepted in one statement is as quick with one as with a hundred.
const BATCH: (u16, Duration) = (100, Duration::from_millis(50));

/// Everything that runs.
pub struct Host {
    functions: &'static Functions,
    settings: Settings,
    stop: Stop,
}

impl Host {
    /// Prepares all functions; connects to nothing yet, so that it starts while a dependency is down.
    ///
    /// # Errors
    /// Settings that cannot work, named.
    pub fn new(settings: Settings) -> Result<Self> {
        let stop = Stop::default();
        // One for the life of the process: whoever works with it is a task of its own.
        let functions = Box::leak(Box::new(Functions::new(&settings, &stop)?));
        Ok(Self { functions, settings, stop })
    }

    /// What orders it to stop.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Migrates the database, and declares the topology where there is a broker; says what it did.
    ///
    /// # Errors
    /// Which of the two failed, and why.
    pub async fn migrate(&self) -> Result<Value> {
        Ok(self.functions.migrate(json!({ "topology": self.settings.amqp_url.is_some() })).await?)
    }

    /// Serves, consumes and dispatches until it is told to stop; then what is in the air is finished, and the leases are
    /// given back. `ready` is told the address once it listens.
    ///
    /// # Errors
    /// It cannot listen there.
    pub async fn run(&self, ready: impl FnOnce(SocketAddr)) -> Result<()> {
        let address = self.settings.listen;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
        ready(listener.local_addr().unwrap_or(address));
        let work = async {
            tokio::join!(http::serve(listener, self.functions, &self.stop), self.consume(), self.dispatch());
        };
        let late = async {
            self.stop.ordered().await;
            sleep(GRACE).await;
        };
        tokio::select! {
            () = work => tracing::info!("stopped"),
            // What it had claimed is found by its leases, which end by themselves.
            () = late => tracing::warn!("stopped while something was still at work"),
        }
        Ok(())
    }

    async fn consume(&self) {
        let Some(url) = &self.settings.amqp_url else {
            tracing::warn!("AMQP_URL is not set: no queue is read");
            return;
        };
        let vhost = match broker::vhost_of(url) {
            Ok(vhost) => vhost,
            Err(error) => return tracing::error!(error = &error as &dyn std::error::Error, "no queue is read"),
        };
        let (batch, window) = BATCH;
        let function = "rabbitmq-consumer".to_owned();
        let mapping = Mapping { queue: QUEUE.to_owned(), vhost, function, batch, window, limit: BATCH_LIMIT };
        mapping.run(url, &self.functions, self.stop.subscribe(), || tracing::info!("the queue is read")).await;
    }

    /// Dispatcher after dispatcher, the next as soon as the last begins nothing new; they share the rooms by the leases.
    async fn dispatch(&self) {
        let functions = self.functions;
        let mut at_work = JoinSet::new();
        while !self.stop.is_ordered() {
            let begun = Instant::now();
            let minute = event::of_schedule("dispatcher", uuid::Uuid::new_v4(), Timestamp::now());
            at_work.spawn_local(functions.dispatch(minute, DISPATCHER_LIMIT));
            let next = begun + NEXT;
            tokio::select! {
                () = sleep_until(next) => {}
                // It fails where the database is away; another is not begun hot.
                () = ends(&mut at_work) => sleep_until(begun + AFTER_FAILURE).await,
                () = self.stop.ordered() => {}
            }
        }
        ends(&mut at_work).await;
    }
}

/// Waits until none is at work.
async fn ends<T: 'static>(at_work: &mut JoinSet<T>) {
    while at_work.join_next().await.is_some() {}
}
