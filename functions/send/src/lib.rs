//! The HTTP door: `POST /send`, `GET /messages/{uid}`, `GET /health` (and `/`), `GET /stats`, `POST /v3/bots/post`.
//! Verified before parsed, parsed before handled: each step returns a typed value or the problem that is the answer.
//! Nothing is told to a caller without a key but whether a message sent now would be stored.
mod answer;
mod document;
mod event;
mod groupme;
mod health;
mod key;
mod look_up;
mod message;
#[cfg(test)]
mod openapi;
mod path;
mod post;
mod problem;
mod send_request;
mod stats;
mod take_in;

use lambda_http::{Body, Request, Response};
use lambda_runtime::LambdaEvent;
use path::Path;
use problem::Problem;
use serde_json::Value;
use talkback::relay::Relay;
use tokio::time::Instant;

/// One invocation: the event of a function URL or an HTTP API, and its answer in their form.
pub async fn invoke(relay: &Relay, event: LambdaEvent<Value>) -> Value {
    event::write(match event::read(&event.payload, event.context) {
        Ok(request) => handle(relay, request).await,
        Err(problem) => event::refused(problem),
    })
}

/// Answers one request, whose path has no stage before it.
pub async fn handle(relay: &Relay, request: Request) -> Response<Body> {
    let started = Instant::now();
    let response = serve(relay, &request).await.unwrap_or_else(|problem| problem.answer_at(request.uri().path()));
    answer::finish(request.method(), response, started.elapsed())
}

async fn serve(relay: &Relay, request: &Request) -> Result<Response<Body>, Problem> {
    let path = Path::of_request(request)?;
    if path != Path::Health && relay.settings.send_keys.is_empty() {
        tracing::error!("no send key is configured (TALKBACK_SEND_KEYS): nothing is served");
        return Err(Problem::no_keys());
    }
    match path {
        Path::Send => post::post(relay, request).await,
        Path::Message(uid) => look_up::look_up(relay, request, &uid).await,
        Path::Health => Ok(health::health(relay, request).await),
        Path::Stats => stats::stats(relay, request).await,
        Path::BotsPost => groupme::post(relay, request).await,
    }
}
