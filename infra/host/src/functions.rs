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
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;

/// How long a request may take: API Gateway ends at 30 s.
const REQUEST_LIMIT: Duration = Duration::from_secs(29);

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

    /// Answers a request of `send`; `None` if it failed.
    pub(crate) async fn send(&'static self, request: Request) -> Option<Response<Body>> {
        within(REQUEST_LIMIT, "send", send::handle(&self.send, request)).await
    }

    /// Answers GroupMe; `None` if it failed.
    pub(crate) async fn callback(&'static self, request: Request) -> Option<Response<Body>> {
        within(REQUEST_LIMIT, "groupme-callback", groupme_callback::handle(&self.callback, request)).await
    }

    /// One stay of the dispatcher.
    pub(crate) async fn dispatch(&'static self, event: Value, limit: Duration) {
        let Ok(event) = serde_json::from_value::<EventBridgeEvent<Value>>(event) else { return failed("dispatcher") };
        let handled = dispatcher::handle(&self.dispatcher, LambdaEvent::new(event, context(limit)));
        if let Some(Err(error)) = within(limit, "dispatcher", handled).await {
            failed("dispatcher");
            tracing::warn!(error = &error as &dyn std::error::Error, "the dispatcher failed, and begins again");
        }
    }

    pub(crate) async fn migrate(&self, payload: Value) -> Result<Value, MigrateError> {
        migrate::handle(&self.migrate, LambdaEvent::new(payload, Context::default())).await
    }

    async fn consume(&'static self, event: Value, limit: Duration) -> Result<(), Failed> {
        let handled = rabbitmq_consumer::handle(&self.consumer, LambdaEvent::new(event, context(limit)));
        match within(limit, "rabbitmq-consumer", handled).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                failed("rabbitmq-consumer");
                tracing::warn!(error = &error as &dyn std::error::Error, "a batch was not taken in");
                Err(Failed::Function)
            }
            None => Err(Failed::Function),
        }
    }
}

impl Invoke for &'static Functions {
    async fn invoke(&self, _: &str, event: &Value, limit: Duration) -> Result<(), Failed> {
        self.consume(event.clone(), limit).await
    }
}

/// Runs an invocation as a task of its own; `None` if it panicked, which the panic hook has logged, or took too long.
async fn within<T: 'static>(
    limit: Duration,
    function: &'static str,
    handled: impl Future<Output = T> + 'static,
) -> Option<T> {
    // What every line of it bears.
    let span = tracing::info_span!("invocation", function, request_id = %Uuid::new_v4());
    let task = spawn_local(handled.instrument(span));
    let abort = task.abort_handle();
    match timeout(limit, task).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(_)) => {}
        Err(_) => {
            abort.abort();
            tracing::error!(
                invoked = function,
                limit_s = limit.as_secs(),
                "an invocation took too long, and was cut off"
            );
        }
    }
    failed(function);
    None
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

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use talkback::telemetry::metrics::text;
    use tokio::task::{LocalSet, yield_now};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_panic_and_an_endless_invocation_fail_alone_and_are_counted() {
        let failures = || text().lines().find(|line| line.contains("\"story\"")).map(str::to_owned);
        LocalSet::new()
            .run_until(async {
                assert_eq!(within(LONG, "story", async { 7 }).await, Some(7));
                assert_eq!(failures(), None);
                let panics = async || -> u8 { panic!("a fault of ours") };
                assert_eq!(within(LONG, "story", panics()).await, None);
                let held = Arc::new(());
                let endless = {
                    let held = Arc::clone(&held);
                    async move {
                        let _held = held;
                        pending::<u8>().await
                    }
                };
                assert_eq!(within(Duration::from_millis(1), "story", endless).await, None);
                // Cut off, it does not go on behind the answer.
                while Arc::strong_count(&held) > 1 {
                    yield_now().await;
                }
                assert_eq!(within(LONG, "story", async { 8 }).await, Some(8));
            })
            .await;
        assert!(failures().unwrap().ends_with("{function=\"story\"} 2"), "{:?}", failures());
    }
}
