//! Who may ask: only pages and programs of this machine. A foreign `Host` is a rebound name, a foreign `Origin` is
//! somebody else's page in the same browser.

use std::net::SocketAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// The names of this machine that a browser may have put before the port.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Answers 403 to whoever comes by another name or from another place.
pub(crate) async fn only_from_here(State(address): State<SocketAddr>, request: Request, next: Next) -> Response {
    let port = address.port();
    let target_is_ours = request.uri().authority().is_none_or(|authority| is_ours(authority.as_str(), port));
    if target_is_ours && host_is_ours(request.headers(), port) && origin_is_ours(request.headers(), port) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "foreign Host or Origin\n").into_response()
    }
}

fn host_is_ours(headers: &HeaderMap, port: u16) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(|host| is_ours(host, port)),
        _ => false,
    }
}

/// Programs send no origin; a page's must be ours, and `null` is not.
fn origin_is_ours(headers: &HeaderMap, port: u16) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.strip_prefix("http://").is_some_and(|authority| is_ours(authority, port))
    })
}

fn is_ours(authority: &str, port: u16) -> bool {
    NAMES.iter().any(|name| {
        authority.strip_prefix(name).is_some_and(|rest| {
            (rest.is_empty() && port == 80) || rest.strip_prefix(':') == Some(port.to_string().as_str())
        })
    })
}
