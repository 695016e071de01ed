//! The page that shows the chat: its files, and the stream of lines and findings that keeps it live.

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
const FINDINGS: &str = include_str!("page/findings.js");
const ICON: &str = include_str!("page/icon.svg");

/// The page, its files and its stream.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", HTML)))
        .route("/page.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/page.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/findings.js", get(async || file("text/javascript; charset=utf-8", FINDINGS)))
        .route("/said.js", get(said))
        .route("/icon.svg", get(async || file("image/svg+xml", ICON)))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/_sim/stream", get(stream_changes))
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

/// What was said and found before the page came, as a module that its scripts import: the first picture of the page
/// shows it.
async fn said(State(world): State<Arc<World>>) -> Response {
    let lines: Vec<Value> = (0..).map_while(|n| world.line(n)).map(|line| shown(&world, &line)).collect();
    let findings = world.findings();
    let said = json!({ "run": world.run, "groups": groups_of(&world), "lines": lines, "findings": findings });
    file("text/javascript; charset=utf-8", format!("export const said = {said};\n"))
}

/// What a page has seen already.
#[derive(Deserialize)]
struct Seen {
    /// The id of the last event, as the header `Last-Event-ID` has it, which a new stream cannot set.
    last: Option<String>,
}

/// How many lines and findings a page has.
#[derive(Clone, Copy, Default)]
struct Place {
    lines: usize,
    findings: usize,
}

impl Place {
    /// Reads what follows the run in an event's id: `12.3`.
    fn read(counts: &str) -> Option<Self> {
        let (lines, findings) = counts.split_once('.')?;
        Some(Self { lines: lines.parse().ok()?, findings: findings.parse().ok()? })
    }
}

/// Server-sent events: first `run` with the number of lines so far, then a `line` for every line of every room, those
/// before and those to come, and a `finding` for everything that is found wrong, after the line that it is about. A
/// page that names the last event it saw gets the rest; one that saw another run gets all.
async fn stream_changes(
    State(world): State<Arc<World>>,
    Query(known): Query<Seen>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(known.last.as_deref());
    let place = match last.and_then(|id| id.rsplit_once('-')) {
        Some((run, counts)) if run == world.run => Place::read(counts).unwrap_or_default(),
        _ => Place::default(),
    };
    let run = Event::default().event("run").data(json!({"run": world.run, "lines": world.line_count()}).to_string());
    let changes = world.changes();
    let rest = stream::unfold((world, changes, place), async |(world, mut changes, mut place)| {
        loop {
            changes.mark_unchanged();
            if let Some((name, content)) = next(&world, &mut place) {
                let id = format!("{}-{}.{}", world.run, place.lines, place.findings);
                let event = Event::default().event(name).id(id).data(content.to_string());
                return Some((event, (world, changes, place)));
            }
            changes.changed().await.ok()?;
        }
    });
    Sse::new(stream::once(async { run }).chain(rest).map(Ok)).keep_alive(KeepAlive::default())
}

/// What a page lacks first, if it lacks anything.
fn next(world: &World, place: &mut Place) -> Option<(&'static str, Value)> {
    if let Some(line) = world.line(place.lines) {
        place.lines += 1;
        return Some(("line", shown(world, &line)));
    }
    let finding = world.finding(place.findings)?;
    place.findings += 1;
    Some(("finding", json!(finding)))
}

/// A line as the page needs it: no secret, and the picture from here, not from GroupMe.
fn shown(world: &World, line: &Line) -> Value {
    let picture = line.picture_url.as_deref().and_then(picture_name).filter(|name| world.picture(name).is_some());
    json!({
        "id": line.id,
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
