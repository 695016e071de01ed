//! Wires the consumer to Lambda.
use std::process::ExitCode;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let relay = match talkback::start::relay("rabbitmq-consumer") {
        Ok(relay) => relay,
        Err(code) => return Ok(code),
    };
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let done = rabbitmq_consumer::handle(relay, event).await.map_err(Error::from);
        talkback::telemetry::metrics::emit();
        done
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
