//! `POST /send`: who may, what is said, and the answer.
use jiff::Timestamp;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde::Serialize;
use serde_json::Value;
use talkback::delivery::DeliveryState;
use talkback::message::{Message, Uid};
use talkback::relay::Relay;
use talkback::relay::accept::Outcome;
use talkback::store::look_up::Found;

use crate::answer;
use crate::document::Document;
use crate::key;
use crate::look_up;
use crate::message::{self, Asked};
use crate::problem::Problem;
use crate::send_request::SendRequest;
use crate::take_in::{Taken, not_stored, take_in};

/// The answer to a message that is stored.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Stored {
    /// The message's uid, as its sender wrote it, or ours.
    uid: String,
    /// What people see in the chat and may type: the uid up to its first `-`.
    short_uid: String,
    /// Where the message stands: its verdict, or the state of its delivery that is least far.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::message_state"))]
    state: String,
    /// One for each room; none while the database is away.
    deliveries: Vec<StoredDelivery>,
    /// Whether it had been taken in before: nothing is posted again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    /// False for an alarm that is in its rooms while no record of it could be made: the database and the broker are away.
    /// Do not send it again.
    #[serde(skip_serializing_if = "is_recorded")]
    recorded: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_recorded(recorded: &bool) -> bool {
    *recorded
}

/// What is on its way to one room.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StoredDelivery {
    /// The room's name.
    room: String,
    /// Where it stands.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::delivery_state"))]
    state: String,
    /// How many posts it is.
    parts: usize,
}

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
    let mut document = Document::open(request)?;
    let raw = document.raw();
    let asked = SendRequest::take(&mut document);
    let key = key::of_both(keys, bearer, asked.password.as_ref())?;
    key::within_limit(relay, key)?;
    let Asked { message, named } = message::read(asked, document, request.headers(), &relay.settings.media.allow)?;
    key::may_send(key, &message)?;
    check_rooms(relay, &message)?;
    check_expiry(relay, &message, named).await?;
    let new = if key.ok200 { StatusCode::OK } else { StatusCode::ACCEPTED };
    let (status, stored) = match take_in(relay, request, key, message, raw).await? {
        Taken::New(found) => (new, Stored::of(&found)),
        Taken::Unread(outcome) => (new, Stored::planned(&outcome)),
        Taken::Unstored { uid, recorded: true } => (new, Stored::elsewhere(&uid, DeliveryState::Queued, true)),
        Taken::Unstored { uid, .. } => (StatusCode::OK, Stored::elsewhere(&uid, DeliveryState::Sent, false)),
        Taken::Repeat(found) => (StatusCode::OK, Stored { duplicate: true, ..Stored::of(&found) }),
    };
    Ok(answer::json(status, &stored))
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

impl Stored {
    /// As the store has it.
    fn of(found: &Found) -> Self {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let delivery = |delivery: &Value| StoredDelivery {
            room: word(&delivery["room"]),
            state: word(&delivery["state"]),
            parts: delivery["parts"].as_array().map_or(0, Vec::len),
        };
        Self {
            uid: found.given_uid.clone(),
            short_uid: found.short_uid.clone(),
            state: look_up::state(found).to_owned(),
            deliveries: found.deliveries.as_array().into_iter().flatten().map(delivery).collect(),
            duplicate: false,
            recorded: true,
        }
    }

    /// As far as is known while the database is away.
    fn elsewhere(uid: &Uid, state: DeliveryState, recorded: bool) -> Self {
        Self {
            uid: uid.given().to_owned(),
            short_uid: uid.short().to_owned(),
            state: state.as_str().to_owned(),
            deliveries: Vec::new(),
            duplicate: false,
            recorded,
        }
    }

    /// As it was planned, where the store can no longer be read.
    fn planned(outcome: &Outcome) -> Self {
        let queued = DeliveryState::Queued.as_str();
        let delivery = |(room, parts): &(String, usize)| StoredDelivery {
            room: room.clone(),
            state: queued.to_owned(),
            parts: *parts,
        };
        let state = if outcome.deliveries.is_empty() { outcome.verdict.as_str() } else { queued };
        Self {
            uid: outcome.uid.given().to_owned(),
            short_uid: outcome.uid.short().to_owned(),
            state: state.to_owned(),
            deliveries: outcome.deliveries.iter().map(delivery).collect(),
            duplicate: false,
            recorded: true,
        }
    }
}
