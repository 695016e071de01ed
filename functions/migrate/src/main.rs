//! Wires the migrations to Lambda.
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // With wrong settings it runs all the same: a stack that is deployed waits for an answer, and none comes from a
    // process that ended.
    let relay = talkback::start::try_relay("migrate");
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        migrate::invoke(relay.as_ref(), event).await.map_err(Error::from)
    }))
    .await
}
