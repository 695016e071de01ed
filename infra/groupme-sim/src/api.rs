//! GroupMe's own endpoints: the envelope of their answers, what is no endpoint, and faults.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    fault::What,
    finding::{Kind, Sight},
    picture::Picture,
    socket::Reset,
    world::World,
};

mod bots;
mod messages;
mod pictures;
mod posting;

/// Larger than any post can be.
const POST_LIMIT: usize = 64 * 1024;

/// The endpoints.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v3/bots/post", post(posting::post).layer(DefaultBodyLimit::max(POST_LIMIT)))
        .route("/v3/bots", get(bots::list))
        .route("/v3/groups/{group_id}/messages", get(messages::read))
        .route("/pictures", post(pictures::upload).layer(DefaultBodyLimit::max(pictures::LIMIT)))
        .route("/pictures/{name}", get(pictures::show))
}

/// A path that GroupMe does not know.
pub(crate) async fn unknown_path(State(world): State<Arc<World>>, method: Method, uri: Uri) -> Response {
    let complaint = format!("{method} {}: no such path", uri.path());
    // Browsers look for files of their own; those are no doing of Talkback's.
    if uri.path().starts_with("/v3/") {
        world.refuse(None, complaint)
    } else {
        world.complain(complaint)
    }
    error(StatusCode::NOT_FOUND, "not found")
}

/// A method that the path does not know.
pub(crate) async fn wrong_method(State(world): State<Arc<World>>, method: Method, uri: Uri) -> Response {
    world.refuse(None, format!("{method} {}: wrong method", uri.path()));
    error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}

/// GroupMe's envelope around an error.
fn error(status: StatusCode, why: &str) -> Response {
    envelope(status, status.as_u16(), Value::Null, &[why])
}

fn envelope(status: StatusCode, code: u16, response: Value, errors: &[&str]) -> Response {
    let meta = if errors.is_empty() { json!({"code": code}) } else { json!({"code": code, "errors": errors}) };
    (status, Json(json!({"response": response, "meta": meta}))).into_response()
}

/// Answers as the fault has it; `usual` is the answer of a request that nothing is wrong with.
async fn answer(fault: Option<What>, reset: &Reset, usual: Response) -> Response {
    match fault {
        None | Some(What::NeverShown) => usual,
        Some(What::Slow(by)) => {
            tokio::time::sleep(by).await;
            usual
        }
        Some(What::Status { code, retry_after, .. }) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = error(status, status.canonical_reason().unwrap_or("rate limited"));
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Some(What::MetaCode429) => envelope(StatusCode::BAD_REQUEST, 429, Value::Null, &["rate limited"]),
        Some(What::Silence { .. }) => std::future::pending().await,
        Some(What::ResetBeforeRead | What::ResetAfterRead { .. }) => {
            reset.order();
            usual
        }
    }
}

/// The media type of a request, lower case and without parameters; empty if it is missing.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The answer to a request that came without the member's token, in the header or as `?token=`.
fn unauthorized(world: &World, headers: &HeaderMap, query_token: Option<&str>, what: &str) -> Option<Response> {
    let header_token = headers.get("x-access-token").and_then(|value| value.to_str().ok());
    let given = header_token.or(query_token);
    let authorized = given.is_some() && given == world.access_token.as_deref();
    if given.is_none() {
        world.refuse(None, format!("{what}: no token"));
    } else if !authorized {
        world.find(None, Sight::fault(Kind::Refused, format!("{what}: not the member's token")));
    }
    (!authorized).then(|| error(StatusCode::UNAUTHORIZED, "unauthorized"))
}

/// Where the image service keeps a picture.
fn picture_url(picture: &Picture) -> String {
    format!("{IMAGE_HOST}{}", picture.name)
}

/// Every picture in a room is here.
const IMAGE_HOST: &str = "https://i.groupme.com/";

/// The part of a picture's URL that is its name; `None` if it is no picture of GroupMe's.
pub(crate) fn picture_name(url: &str) -> Option<&str> {
    url.strip_prefix(IMAGE_HOST).filter(|name| !name.is_empty() && !name.contains(['/', ' ']))
}
