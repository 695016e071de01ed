//! Wires `send` to Lambda.
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    talkback::tls::install_ring();
    talkback::telemetry::init("send");
    let relay = Relay::new(Settings::from_env()?, "send")?;
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        Ok::<_, std::convert::Infallible>(send::invoke(relay, event).await)
    }))
    .await
}
