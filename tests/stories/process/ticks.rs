//! The schedule, where the bridge does not keep it: dispatchers that are invoked as soon as they are free.
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::emulator::Invoker;
use super::works::PATIENCE;

/// What ticks, until it is dropped.
pub struct Clock(pub JoinHandle<()>);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Invokes the dispatcher again and again, once for each of its processes. The emulator never says that a process
/// died with an invocation; Lambda does. So an invocation is left alone when another process has started.
pub async fn tick(invoker: Invoker, mut started: UnboundedReceiver<&'static str>) {
    let mut turns = JoinSet::new();
    while let Some(function) = started.recv().await {
        if function == "dispatcher" {
            let invoker = invoker.clone();
            turns.spawn(async move {
                let event = json!({
                    "version": "0", "id": "0", "detail-type": "Scheduled Event", "source": "aws.events",
                    "account": "123456789012", "time": "2026-01-01T00:00:00Z", "region": "us-east-1", "resources": [],
                    "detail": {},
                });
                // A failed one comes again, as the next minute would, but not at once.
                let mut again = interval(Duration::from_millis(100));
                again.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while invoker.invoke("dispatcher", &event, PATIENCE).await.is_some() {
                    again.tick().await;
                }
            });
        }
    }
}
