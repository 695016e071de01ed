//! Wires the callback to Lambda.
use lambda_http::{Error, Request, service_fn};
use talkback::config::Settings;
use talkback::relay::Relay;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    talkback::tls::install_ring();
    talkback::telemetry::init("groupme-callback");
    let relay = Relay::new(Settings::from_env()?, "groupme-callback")?;
    let relay = &relay;
    lambda_http::run(service_fn(async |request: Request| {
        Ok::<_, std::convert::Infallible>(groupme_callback::handle(relay, request).await)
    }))
    .await
}
