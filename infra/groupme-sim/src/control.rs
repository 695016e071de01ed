//! Control over HTTP, under `/_sim/`: what [`Sim`](crate::Sim) offers in-process, for other processes and the page.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    callback::CallbackMode,
    fault::{Endpoint, Fault, What},
    finding::Finding,
    line::SenderType,
    sample,
    watch::Pace,
    world::{Saying, World},
};

/// The paths under `/_sim/`.
pub(crate) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/_sim/groups", get(groups))
        .route("/_sim/lines", get(lines))
        .route("/_sim/posts", get(posts))
        .route("/_sim/callbacks", get(callbacks))
        .route("/_sim/complaints", get(complaints))
        .route("/_sim/findings", get(findings))
        .route("/_sim/pace", post(pace))
        .route("/_sim/samples/{name}", get(sample::show))
        .route("/_sim/say", post(say))
        .route("/_sim/say_as_system", post(say_as_system))
        .route("/_sim/fault", post(fault))
        .route("/_sim/clear_faults", post(clear_faults))
        .route("/_sim/callbacks_mode", post(callbacks_mode))
        .route("/_sim/callback_url", post(callback_url))
}

async fn groups(State(world): State<Arc<World>>) -> Json<Value> {
    Json(groups_of(&world))
}

/// Each group with the names of its bots, in the order of the configuration.
pub(crate) fn groups_of(world: &World) -> Value {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for bot in world.bots() {
        match groups.iter_mut().find(|(group_id, _)| *group_id == bot.group_id) {
            Some((_, names)) => names.push(bot.name),
            None => groups.push((bot.group_id, vec![bot.name])),
        }
    }
    groups.into_iter().map(|(group_id, bots)| json!({"group_id": group_id, "bots": bots})).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfGroup {
    group: Option<String>,
}

/// The callback's body of each line, and what GroupMe keeps to itself.
async fn lines(State(world): State<Arc<World>>, Query(of): Query<OfGroup>) -> Json<Value> {
    let wanted = |group_id: &str| of.group.as_deref().is_none_or(|group| group == group_id);
    let lines = world.lines().into_iter().filter(|line| wanted(&line.group_id)).map(|line| {
        let mut told = line.callback_body();
        told["picture_url"] = json!(line.picture_url);
        told["bot_id"] = json!(line.bot_id);
        told["at_ms"] = json!(world.millis_at(line.at));
        told
    });
    Json(lines.collect())
}

async fn posts(State(world): State<Arc<World>>) -> Json<Value> {
    let posts = world.posts().into_iter().map(|post| {
        json!({
            "at_ms": world.millis_at(post.at), "bot_id": post.bot_id, "text": post.text,
            "picture_url": post.picture_url, "answer": post.answer, "shown": post.shown, "line_id": post.line_id,
        })
    });
    Json(posts.collect())
}

async fn callbacks(State(world): State<Arc<World>>) -> Json<Value> {
    let attempts = world.callbacks().into_iter().map(|attempt| {
        json!({
            "line_id": attempt.line_id, "bot_id": attempt.bot_id, "status": attempt.status,
            "elapsed_ms": u64::try_from(attempt.elapsed.as_millis()).unwrap_or(u64::MAX), "retry": attempt.retry,
        })
    });
    Json(attempts.collect())
}

async fn findings(State(world): State<Arc<World>>) -> Json<Vec<Finding>> {
    Json(world.findings())
}

async fn complaints(State(world): State<Arc<World>>) -> Json<Vec<String>> {
    Json(world.complaints())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    group_id: String,
    user_id: String,
    name: String,
    text: String,
}

/// Answers with the id of the line.
async fn say(State(world): State<Arc<World>>, Json(said): Json<Said>) -> Response {
    if said.text.trim().is_empty() || said.name.trim().is_empty() || said.user_id.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "a line needs a text, a name and a user_id");
    }
    show(&world, Saying::of_member(&said.group_id, &said.user_id, &said.name, &said.text))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SystemSaid {
    group_id: String,
    text: String,
    #[serde(default)]
    event: Option<Value>,
}

async fn say_as_system(State(world): State<Arc<World>>, Json(said): Json<SystemSaid>) -> Response {
    let saying = Saying::of_member(&said.group_id, "system", "GroupMe", &said.text);
    show(&world, Saying { sender_type: SenderType::System, event: said.event, ..saying })
}

fn show(world: &World, saying: Saying) -> Response {
    if !world.bots().iter().any(|bot| bot.group_id == saying.group_id) {
        return refuse(StatusCode::NOT_FOUND, "no such group");
    }
    (StatusCode::CREATED, Json(json!({"line_id": world.show(saying).id}))).into_response()
}

/// A [`Fault`] in JSON, with the requests that it is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    #[serde(default)]
    endpoint: Endpoint,
    #[serde(default)]
    bot_id: Option<String>,
    #[serde(default)]
    containing: Option<String>,
    #[serde(default)]
    times: Option<u32>,
    what: What,
}

async fn fault(State(world): State<Arc<World>>, Json(order): Json<FaultOrder>) -> StatusCode {
    let FaultOrder { endpoint, bot_id, containing, times, what } = order;
    world.order_fault(endpoint, Fault { bot_id, containing, times, what });
    StatusCode::NO_CONTENT
}

/// Takes an empty JSON object: a request without JSON may come from any page.
async fn clear_faults(State(world): State<Arc<World>>, Json(Nothing {}): Json<Nothing>) -> StatusCode {
    world.clear_faults();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeOrder {
    bot_id: String,
    mode: CallbackMode,
}

async fn callbacks_mode(State(world): State<Arc<World>>, Json(order): Json<ModeOrder>) -> Response {
    done(world.set_callbacks_mode(&order.bot_id, order.mode))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaceOrder {
    bot_id: String,
    /// Milliseconds.
    #[serde(with = "crate::millis")]
    every: Duration,
    burst: u32,
}

async fn pace(State(world): State<Arc<World>>, Json(order): Json<PaceOrder>) -> Response {
    done(world.set_pace(&order.bot_id, Pace { every: order.every, burst: order.burst }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlOrder {
    bot_id: String,
    url: String,
}

async fn callback_url(State(world): State<Arc<World>>, Json(order): Json<UrlOrder>) -> Response {
    done(world.set_callback_url(&order.bot_id, order.url))
}

fn done(result: Result<(), &'static str>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}
