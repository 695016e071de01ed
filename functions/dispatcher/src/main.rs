//! Wires the dispatcher to Lambda.
use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    talkback::tls::install_ring();
    talkback::telemetry::init("dispatcher");
    let relay = Relay::new(Settings::from_env()?, "dispatcher")?;
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<EventBridgeEvent<Value>>| {
        dispatcher::handle(relay, event).await.map_err(Error::from)
    }))
    .await
}
