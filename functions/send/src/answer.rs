//! Answers in JSON, none to be kept by anything between us and the caller.
use std::time::Duration;

use lambda_http::http::{HeaderValue, Method, StatusCode, header};
use lambda_http::{Body, Response};
use serde::Serialize;

/// An answer in plain JSON.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response<Body> {
    typed(status, "application/json", document)
}

/// An answer in JSON of a named type.
pub(crate) fn typed(status: StatusCode, content_type: &'static str, document: &impl Serialize) -> Response<Body> {
    // Of our own types none fails to be written: their keys are strings.
    let text = serde_json::to_string(document).unwrap_or_default();
    let mut response = empty(status);
    *response.body_mut() = Body::Text(text);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer that says nothing but its status.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer as it leaves, without its body where only the head was asked for; logged.
pub(crate) fn finish(method: &Method, mut response: Response<Body>, took: Duration) -> Response<Body> {
    if *method == Method::HEAD {
        *response.body_mut() = Body::Empty;
    }
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(method = method.as_str(), status = response.status().as_u16(), duration_ms, "answered");
    response
}
