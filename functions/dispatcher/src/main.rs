//! Wires the dispatcher to Lambda.
use std::process::ExitCode;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let relay = match talkback::start::relay("dispatcher") {
        Ok(relay) => relay,
        Err(code) => return Ok(code),
    };
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<EventBridgeEvent<Value>>| {
        let done = dispatcher::handle(relay, event).await.map_err(Error::from);
        if relay.settings.embedded_metrics {
            relay.measure().await;
        }
        talkback::telemetry::metrics::emit();
        done
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
