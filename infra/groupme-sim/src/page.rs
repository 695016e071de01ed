//! The page that shows the chat: its files, and the stream of lines that keeps it live.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{api::picture_name, line::Line, world::World};

/// Nothing from outside, nothing inline; what the page shows was written by strangers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const ICON: &str = include_str!("page/icon.svg");

/// The page, its files and its stream.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", HTML)))
        .route("/page.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/page.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/icon.svg", get(async || file("image/svg+xml", ICON)))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/_sim/stream", get(stream_lines))
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, content).into_response()
}

/// Server-sent events: first `run` with the number of lines so far, then a `line` for every line of every room, those before and those to come. A
/// page that lost the connection names the last one it saw and gets the rest; one that saw another run gets all.
async fn stream_lines(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.rsplit_once('-'));
    let next = match seen {
        Some((run, count)) if run == world.run => count.parse().unwrap_or(0),
        _ => 0,
    };
    let run = Event::default().event("run").data(json!({"run": world.run, "lines": world.line_count()}).to_string());
    let changes = world.changes();
    let lines = stream::unfold((world, changes, next), async |(world, mut changes, next)| {
        loop {
            changes.mark_unchanged();
            if let Some(line) = world.line(next) {
                let id = format!("{}-{}", world.run, next + 1);
                let event = Event::default().event("line").id(id).data(shown(&world, &line).to_string());
                return Some((event, (world, changes, next + 1)));
            }
            changes.changed().await.ok()?;
        }
    });
    Sse::new(stream::once(async { run }).chain(lines).map(Ok)).keep_alive(KeepAlive::default())
}

/// A line as the page needs it: no secret, and the picture from here, not from GroupMe.
fn shown(world: &World, line: &Line) -> Value {
    let picture = line.picture_url.as_deref().and_then(picture_name).filter(|name| world.picture(name).is_some());
    json!({
        "group_id": line.group_id,
        "sender_type": line.sender_type,
        "sender_id": line.sender_id,
        "name": line.name,
        "text": line.text,
        "picture": picture.map(|name| format!("/pictures/{name}")),
        "picture_url": line.picture_url,
        "created_at": line.created_at,
    })
}
