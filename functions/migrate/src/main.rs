//! Wires the migrations to Lambda.
use std::process::ExitCode;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let relay = match talkback::start::relay("migrate") {
        Ok(relay) => relay,
        Err(code) => return Ok(code),
    };
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        migrate::handle(relay, event).await.map_err(Error::from)
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
