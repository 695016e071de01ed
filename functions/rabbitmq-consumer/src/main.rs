//! Wires the consumer to Lambda.
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    talkback::tls::install_ring();
    talkback::telemetry::init("rabbitmq-consumer");
    let relay = Relay::new(Settings::from_env()?, "rabbitmq-consumer")?;
    let relay = &relay;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        rabbitmq_consumer::handle(relay, event).await.map_err(Error::from)
    }))
    .await
}
