//! Wires the callback to Lambda.
use std::process::ExitCode;

use lambda_http::{Error, Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let relay = match talkback::start::relay("groupme-callback") {
        Ok(relay) => relay,
        Err(code) => return Ok(code),
    };
    let relay = &relay;
    lambda_http::run(service_fn(async |request: Request| {
        let answer = groupme_callback::handle(relay, request).await;
        talkback::telemetry::metrics::emit();
        Ok::<_, std::convert::Infallible>(answer)
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
