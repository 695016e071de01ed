//! Messages from Amazon MQ: each record is settled, accepted or kept; then what is due is posted for a second. There
//! is one environment per mapping: while it drained a diary, an alarm would lie unaccepted. With the database away,
//! alarms are posted from here, and everything else is put back on the broker for a while.
use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use talkback::amqp_event::{EventError, read_event};
use talkback::relay::Relay;
use talkback::relay::dispatch::{Budget, end_of};
use talkback::store::StoreError;

const BUDGET: Duration = Duration::from_secs(1);

/// Why a batch must come again.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// It is not a batch of RabbitMQ.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A record could be stored nowhere.
    #[error("the batch must come again")]
    Store(#[source] StoreError),
}

/// Takes in one batch. Returns once each record of it is stored, in the database or on the broker; what dispatch did
/// makes no difference.
///
/// # Errors
/// The event is another service's, or a record could be stored nowhere: the whole batch comes again.
pub async fn handle(relay: &Relay, event: LambdaEvent<Value>) -> Result<Value, ConsumerError> {
    let end = end_of(event.context.deadline());
    let batch = read_event(&event.payload)?;
    let records = batch.len();
    // Boxed: optimized, the compiler lays out what is nested in one future, and stops at so great a depth.
    let received = Box::pin(relay.receive(batch, Timestamp::now(), end)).await.map_err(ConsumerError::Store)?;
    let (counts, posted, aside) = (received.counts, received.posted, received.aside);
    let (messages, settled, lines, rejected, ignored) =
        (counts.outcomes.len(), counts.records, counts.lines, counts.rejected, counts.ignored);
    tracing::info!(records, messages, settled, lines, rejected, ignored, posted, aside, "batch taken in");
    let told = json!({
        "records": records, "messages": messages, "settled": settled, "rejected": rejected, "posted": posted,
        "aside": aside,
    });
    if received.down {
        return Ok(told);
    }
    if let Err(error) = relay.hasty().dispatch(&Budget::door(BUDGET, end, relay.room_names())).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "posting is left to the dispatcher");
    }
    Ok(told)
}
