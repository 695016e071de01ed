//! Wires the migrations to Lambda.
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    talkback::tls::install_ring();
    talkback::telemetry::init("migrate");
    let relay = Relay::new(Settings::from_env()?, "migrate")?;
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        migrate::handle(relay, event).await.map_err(Error::from)
    }))
    .await
}
