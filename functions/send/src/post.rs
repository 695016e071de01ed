//! `POST /send`: stores a message, and waits up to a second for its first post.
use std::time::Duration;

use jiff::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde_json::{Value, json};
use talkback::delivery::{DeliveryState, Verdict};
use talkback::message::Message;
use talkback::relay::Relay;
use talkback::relay::accept::Outcome;
use talkback::relay::dispatch::{Budget, end_of};
use talkback::relay::plan::{Door, Offer};
use talkback::send_key::SendKey;
use talkback::store::StoreError;
use talkback::store::look_up::Found;
use tokio::time::{Instant, sleep};

use crate::answer;
use crate::document::Document;
use crate::key;
use crate::look_up;
use crate::message::{self, Asked};
use crate::problem::Problem;

/// How long the answer waits for the first post.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked for where somebody else has the room.
const LOOK: Duration = Duration::from_millis(100);

/// What is left of the function's time for the answer itself.
const MARGIN: Duration = Duration::from_secs(1);

/// Takes a message in.
///
/// # Errors
/// Everything that is no 2xx; of these only a source without a route leaves something stored.
pub(crate) async fn post(relay: &Relay, request: &Request) -> Result<Response<Body>, Problem> {
    let keys = &relay.settings.send_keys;
    let bearer = key::bearer(request.headers())?;
    if bearer.is_some() {
        key::known(keys, bearer)?;
    }
    let document = Document::open(request)?;
    let key = key::of_both(keys, bearer, document.password.as_ref())?;
    let raw = document.raw();
    let Asked { message, named } = message::read(document, request.headers())?;
    key::may_send(key, &message)?;
    check_rooms(relay, &message)?;
    relay.wake().await.map_err(not_stored)?;
    check_expiry(relay, &message, named).await?;
    let end = request.lambda_context_ref().and_then(|context| end_of(context.deadline()));
    take_in(relay, key, message, raw, end).await
}

fn check_rooms(relay: &Relay, message: &Message) -> Result<(), Problem> {
    let unknown = |room: &&String| relay.room(room).is_none();
    match message.rooms.iter().flatten().find(unknown) {
        Some(room) => Err(Problem::field(StatusCode::NOT_FOUND, "rooms", &format!("names no room: {room}"))),
        None => Ok(()),
    }
}

/// A repeat of what was taken in before is no less a repeat for being late.
async fn check_expiry(relay: &Relay, message: &Message, named: bool) -> Result<(), Problem> {
    if message.expires_at.is_none_or(|moment| moment > Timestamp::now()) {
        return Ok(());
    }
    let known =
        named && !relay.store.find_by_key(&[message.uid.key().to_owned()]).await.map_err(not_stored)?.is_empty();
    if known { Ok(()) } else { Err(Problem::field(StatusCode::BAD_REQUEST, "expires_at", "must be in the future")) }
}

async fn take_in(
    relay: &Relay,
    key: &SendKey,
    message: Message,
    raw: Vec<u8>,
    end: Option<Instant>,
) -> Result<Response<Body>, Problem> {
    let (uid, source) = (message.uid.clone(), message.source.clone());
    let offer = Offer {
        message,
        door: Door::Http,
        sent_by: Some(key.name.clone()),
        reply: None,
        deliver_by: None,
        stamped_at: None,
        route: None,
        raw,
    };
    let outcome = relay.accept(&[offer]).await.map_err(not_stored)?.pop().ok_or_else(Problem::unavailable)?;
    let verdict = outcome.verdict.as_str();
    tracing::info!(
        uid = uid.key(),
        source = source.as_str(),
        key = key.name,
        verdict,
        reason = outcome.reason,
        "taken in"
    );
    match outcome.verdict {
        Verdict::Rejected if outcome.is_conflict() => Err(Problem::conflict()),
        Verdict::Rejected => Err(rejected(outcome.reason)),
        Verdict::Duplicate => {
            let found = find(relay, uid.key()).await.map_err(not_read)?.ok_or_else(Problem::unreadable)?;
            if found.verdict == Verdict::Rejected.as_str() {
                return Err(rejected(found.verdict_reason.as_deref()));
            }
            let mut shown = shown(&found);
            shown["duplicate"] = Value::Bool(true);
            Ok(answer::json(StatusCode::OK, &shown))
        }
        _ => {
            let found = first_post(relay, &outcome, end).await;
            let status = if key.ok200 { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok(answer::json(status, &found.as_ref().map_or_else(|| planned(&outcome), shown)))
        }
    }
}

/// Posts in the message's rooms, or waits while somebody else does. What goes wrong here is the dispatcher's to mend:
/// the message is stored.
async fn first_post(relay: &Relay, outcome: &Outcome, end: Option<Instant>) -> Option<Found> {
    let rooms: Vec<String> = outcome.deliveries.iter().map(|(room, _)| room.clone()).collect();
    let end = end.and_then(|end| end.checked_sub(MARGIN));
    let until = end.map_or(Instant::now() + PATIENCE, |end| end.min(Instant::now() + PATIENCE));
    if !rooms.is_empty()
        && let Err(error) = relay.dispatch(&Budget::door(PATIENCE, end, rooms)).await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "posting is left to the dispatcher");
    }
    loop {
        match find(relay, outcome.uid.key()).await {
            Ok(Some(found)) if !is_posted(&found) && Instant::now() + LOOK < until => sleep(LOOK).await,
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "state not read");
                return None;
            }
        }
    }
}

/// Whether there is nothing left to wait for: a part is out, or a delivery has ended.
fn is_posted(found: &Found) -> bool {
    let deliveries = found.deliveries.as_array().map_or(&[][..], Vec::as_slice);
    let waits = |delivery: &Value| {
        let parts = delivery["parts"].as_array().map_or(&[][..], Vec::as_slice);
        ["queued", "sending"].iter().any(|state| delivery["state"] == *state)
            && parts.iter().all(|part| ["waiting", "posting"].iter().any(|state| part["state"] == *state))
    };
    !deliveries.iter().all(waits) || deliveries.is_empty()
}

async fn find(relay: &Relay, uid: &str) -> Result<Option<Found>, StoreError> {
    Ok(relay.store.find_by_key(&[uid.to_owned()]).await?.pop())
}

/// The answer, as the store has it.
fn shown(found: &Found) -> Value {
    let delivery = |delivery: &Value| {
        let parts = delivery["parts"].as_array().map_or(0, Vec::len);
        json!({ "room": delivery["room"], "state": delivery["state"], "parts": parts })
    };
    let deliveries: Vec<Value> = found.deliveries.as_array().into_iter().flatten().map(delivery).collect();
    json!({
        "uid": found.given_uid, "short_uid": found.short_uid, "state": look_up::state(found), "deliveries": deliveries,
    })
}

/// The answer where the store can no longer be read.
fn planned(outcome: &Outcome) -> Value {
    let queued = DeliveryState::Queued.as_str();
    let delivery = |(room, parts): &(String, usize)| json!({ "room": room, "state": queued, "parts": parts });
    let deliveries: Vec<Value> = outcome.deliveries.iter().map(delivery).collect();
    let state = if deliveries.is_empty() { outcome.verdict.as_str() } else { queued };
    json!({ "uid": outcome.uid.given(), "short_uid": outcome.uid.short(), "state": state, "deliveries": deliveries })
}

/// Kept for a person to see, never posted; its uid is used up.
fn rejected(reason: Option<&str>) -> Problem {
    let field = |field, what| Problem::field(StatusCode::BAD_REQUEST, field, what);
    match reason {
        Some("no_route") => {
            field("source", "is not taken to any room by the configured routes; kept as rejected, not posted")
        }
        Some("no_room") => field("source", "goes to rooms that do not exist; kept as rejected, not posted"),
        Some("refused_by_database") => field("body", "or another field holds what cannot be stored; kept as rejected"),
        _ => Problem::new(StatusCode::BAD_REQUEST, "kept as rejected, not posted"),
    }
}

fn not_stored(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "message not stored");
    Problem::unavailable()
}

fn not_read(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "repeated message not read");
    Problem::unreadable()
}
