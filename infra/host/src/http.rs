//! The server: plain HTTP/1.1 behind a proxy that does TLS. Whoever is slow, large or many harms only himself.
use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use lambda_http::http::{HeaderValue, Request, Response, StatusCode, header};
use lambda_http::{Body, RequestExt as _};
use talkback::relay::stop::Stop;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::functions::Functions;
use crate::routes;

/// What no function reads is not taken in. The functions refuse more than 64 KiB in words of their own.
const LARGEST_BODY: usize = 1024 * 1024;

/// All headers of a request, in bytes, and how many.
const HEADERS: (usize, usize) = (32 * 1024, 64);

/// How long headers may take, and a body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;

/// How long it waits where no connection can be accepted: no file is left, say.
const NO_FILES: Duration = Duration::from_millis(100);

/// Serves until told to stop, and until the requests of then are answered.
pub(crate) async fn serve(listener: TcpListener, functions: &'static Functions, stop: &Stop) {
    let graceful = GracefulShutdown::new();
    let places: &'static Semaphore = Box::leak(Box::new(Semaphore::new(CONNECTIONS)));
    loop {
        let accepted = async {
            let place = places.acquire().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = stop.ordered() => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a connection was not accepted");
                sleep(NO_FILES).await;
                continue;
            }
        };
        let (bytes, count) = HEADERS;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_headers(count)
            .max_buf_size(bytes)
            .serve_connection(TokioIo::new(stream), service_fn(move |request| answer(functions, request)));
        let connection = graceful.watch(connection);
        // Whoever breaks off does not want to know, and who speaks no HTTP was answered 400.
        spawn_local(async move {
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn answer(
    functions: &'static Functions,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let read = timeout(PATIENCE, Limited::new(body, LARGEST_BODY).collect()).await;
    let response = match read {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            let body = if body.is_empty() { Body::Empty } else { Body::Binary(body.to_vec()) };
            let path = head.uri.path().to_owned();
            routes::answer(functions, Request::from_parts(head, body).with_raw_http_path(path)).await
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        Ok(Err(_)) => plain(StatusCode::BAD_REQUEST, "the body broke off"),
        Err(_) => plain(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    };
    let (head, body) = response.into_parts();
    let bytes = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    Ok(Response::from_parts(head, Full::new(bytes)))
}

/// An answer in a line of text.
pub(crate) fn plain(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(Body::Text(format!("{line}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
