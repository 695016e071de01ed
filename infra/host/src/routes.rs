//! Which address is whose.
use lambda_http::http::{Method, Response, StatusCode, header};
use lambda_http::{Body, Request};

use talkback::telemetry::metrics;

use crate::functions::Functions;
use crate::http::plain;

/// Answers a request.
pub(crate) async fn answer(functions: &'static Functions, request: Request) -> Response<Body> {
    let handled = match request.uri().path() {
        "/livez" | "/readyz" | "/metrics" if ![Method::GET, Method::HEAD].contains(request.method()) => {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD");
            refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        // That it answers is what it says.
        "/livez" => return plain(StatusCode::OK, "alive"),
        "/readyz" => return ready(functions).await,
        "/metrics" => return metrics(functions).await,
        path if path.starts_with("/groupme/callback/") => functions.callback(request).await,
        _ => functions.send(request).await,
    };
    handled.unwrap_or_else(|| plain(StatusCode::INTERNAL_SERVER_ERROR, "failed; it is in the log"))
}

/// What is counted, and what is measured now.
async fn metrics(functions: &'static Functions) -> Response<Body> {
    functions.send.measure().await;
    let mut response = plain(StatusCode::OK, metrics::text().trim_end());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}

/// Whether a message sent now would be stored: what `GET /health` tells everybody.
async fn ready(functions: &'static Functions) -> Response<Body> {
    let mut request = Request::new(Body::Empty);
    *request.uri_mut() = lambda_http::http::Uri::from_static("/health");
    match functions.send(request).await {
        Some(health) if health.status().is_success() => plain(StatusCode::OK, "ready"),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready; it is in the log"),
    }
}
