//! The page that shows the chat: its files, and the stream of lines that keeps it live.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{api::picture_name, control::groups_of, line::Line, world::World};

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
        .route("/said.js", get(said))
        .route("/icon.svg", get(async || file("image/svg+xml", ICON)))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/_sim/stream", get(stream_lines))
}

fn file(content_type: &'static str, content: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, content).into_response()
}

/// What was said before the page came, as a module that its script imports: the first picture of the page shows it.
async fn said(State(world): State<Arc<World>>) -> Response {
    let lines: Vec<Value> = (0..).map_while(|n| world.line(n)).map(|line| shown(&world, &line)).collect();
    let said = json!({ "run": world.run, "groups": groups_of(&world), "lines": lines });
    file("text/javascript; charset=utf-8", format!("export const said = {said};\n"))
}

/// What a page has seen already.
#[derive(Deserialize)]
struct Seen {
    /// The id of the last line, as the header `Last-Event-ID` has it, which a new stream cannot set.
    last: Option<String>,
}

/// Server-sent events: first `run` with the number of lines so far, then a `line` for every line of every room, those
/// before and those to come. A page that names the last one it saw gets the rest; one that saw another run gets all.
async fn stream_lines(
    State(world): State<Arc<World>>,
    Query(known): Query<Seen>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(known.last.as_deref());
    let next = match last.and_then(|id| id.rsplit_once('-')) {
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
