//! The functions, invoked in this process. A panic fails the one invocation, as on Lambda, and what takes too long is cut
//! off, as there.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_lambda_events::eventbridge::EventBridgeEvent;
use bridge::function::{Failed, Invoke};
use lambda_http::{Body, Request, Response};
use lambda_runtime::{Context, LambdaEvent};
use migrate::MigrateError;
use serde_json::Value;
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::relay::stop::Stop;
use talkback::telemetry::metrics::FUNCTION_FAILURES;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

/// One relay a function, each with its own connections: a door must not wait for the dispatcher's.
pub(crate) struct Functions {
    pub(crate) send: Relay,
    callback: Relay,
    consumer: Relay,
    dispatcher: Relay,
    migrate: Relay,
}

impl Functions {
    pub(crate) fn new(settings: &Settings, stop: &Stop) -> Result<Self> {
        let relay = |function| -> Result<Relay> {
            let mut relay = Relay::new(settings.clone(), function)?;
            relay.stop = stop.clone();
            Ok(relay)
        };
        Ok(Self {
            send: relay("send")?,
            callback: relay("groupme-callback")?,
            consumer: relay("rabbitmq-consumer")?,
            dispatcher: relay("dispatcher")?,
            migrate: relay("migrate")?,
        })
    }

    /// Answers a request of `send`; `None` if it panicked.
    pub(crate) async fn send(&'static self, request: Request) -> Option<Response<Body>> {
        ended("send", spawn_local(send::handle(&self.send, request).instrument(invocation("send")))).await
    }

    /// Answers GroupMe; `None` if it panicked.
    pub(crate) async fn callback(&'static self, request: Request) -> Option<Response<Body>> {
        let handled = groupme_callback::handle(&self.callback, request);
        ended("groupme-callback", spawn_local(handled.instrument(invocation("groupme-callback")))).await
    }

    /// One minute of the dispatcher.
    pub(crate) async fn dispatch(&'static self, event: Value, minute: Duration) -> Result<(), Failed> {
        let event: EventBridgeEvent<Value> = serde_json::from_value(event).map_err(|_| Failed::Function)?;
        let event = LambdaEvent::new(event, context(minute));
        let handled = dispatcher::handle(&self.dispatcher, event).instrument(invocation("dispatcher"));
        match ended("dispatcher", spawn_local(handled)).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                failed("dispatcher");
                tracing::warn!(error = &error as &dyn std::error::Error, "the dispatcher failed, and begins again");
                Err(Failed::Function)
            }
            None => Err(Failed::Function),
        }
    }

    pub(crate) async fn migrate(&self, payload: Value) -> Result<Value, MigrateError> {
        migrate::handle(&self.migrate, LambdaEvent::new(payload, Context::default())).await
    }

    async fn consume(&'static self, event: Value, limit: Duration) -> Result<(), Failed> {
        let event = LambdaEvent::new(event, context(limit));
        let handled = rabbitmq_consumer::handle(&self.consumer, event).instrument(invocation("rabbitmq-consumer"));
        let task = spawn_local(handled);
        let abort = task.abort_handle();
        match timeout(limit, ended("rabbitmq-consumer", task)).await {
            Ok(Some(Ok(_))) => Ok(()),
            Ok(Some(Err(error))) => {
                failed("rabbitmq-consumer");
                tracing::warn!(error = &error as &dyn std::error::Error, "a batch was not taken in");
                Err(Failed::Function)
            }
            Ok(None) => Err(Failed::Function),
            Err(_) => {
                abort.abort();
                failed("rabbitmq-consumer");
                Err(Failed::NoAnswer("it took too long"))
            }
        }
    }
}

impl Invoke for &'static Functions {
    async fn invoke(&self, _: &str, event: &Value, limit: Duration) -> Result<(), Failed> {
        self.consume(event.clone(), limit).await
    }
}

/// What every line of an invocation bears.
fn invocation(function: &'static str) -> Span {
    tracing::info_span!("invocation", function, request_id = %Uuid::new_v4())
}

/// What a task came to; `None` if it panicked, which the panic hook has logged.
async fn ended<T>(function: &str, task: JoinHandle<T>) -> Option<T> {
    task.await.map_err(|_| failed(function)).ok()
}

fn failed(function: &str) {
    FUNCTION_FAILURES.increment(&[function]);
}

fn context(limit: Duration) -> Context {
    let end = SystemTime::now() + limit;
    let mut context = Context::default();
    context.deadline = end.duration_since(UNIX_EPOCH).map_or(0, |t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX));
    context
}
