//! Wires `send` to Lambda.
use std::process::ExitCode;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let relay = match talkback::start::relay("send") {
        Ok(relay) => relay,
        Err(code) => return Ok(code),
    };
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let answer = send::invoke(relay, event).await;
        talkback::telemetry::metrics::emit();
        Ok::<_, std::convert::Infallible>(answer)
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
