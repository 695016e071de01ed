//! Invoked every minute, stays for it: drains every room with due work, sweeps, answers producers, reads the dead
//! letters. Dispatchers that overlap share the rooms by the leases.
use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use talkback::relay::Relay;
use talkback::relay::dispatch::{Budget, end_of};
use talkback::store::StoreError;
use tokio::time::Instant;

/// Works for its minute.
///
/// # Errors
/// The database is unavailable when it begins; what fails later is logged and tried again.
pub async fn handle(relay: &Relay, event: LambdaEvent<EventBridgeEvent<Value>>) -> Result<Value, StoreError> {
    let lanes = &relay.settings.lanes;
    let end = end_of(event.context.deadline());
    let stay = if end.is_some() { lanes.stay } else { lanes.stay_unknown_deadline };
    let now = Instant::now();
    // The last call may begin at the end of the stay, and must be recorded before the function ends.
    let last = |end: Instant| end.checked_sub(lanes.http + lanes.margin).unwrap_or(now);
    let until = end.map_or(now + stay, |end| (now + stay).min(last(end)));
    let end = end.unwrap_or(until + lanes.http.max(relay.settings.media.patience) + lanes.margin);
    let budget = Budget {
        until,
        end,
        rooms: relay.room_names(),
        lanes: usize::try_from(lanes.lanes).unwrap_or(1),
        poll: Some(lanes.poll),
        stop: relay.stop.clone(),
    };
    relay.wake().await?;
    let (dispatched, (), ()) =
        tokio::join!(relay.dispatch(&budget), relay.tend(&budget), relay.raise_the_dead(&budget));
    let calls = dispatched?.calls;
    tracing::info!(calls, "minute done");
    Ok(json!({ "calls": calls }))
}
