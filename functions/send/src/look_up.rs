//! `GET /messages/{uid or short uid}`: what became of a message, for the key that sent it.
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use talkback::delivery::{DeliveryState, Verdict, message_state};
use talkback::relay::Relay;
use talkback::store::look_up::Found;

use crate::answer;
use crate::key;
use crate::problem::Problem;

/// Shows one message. `?source=` chooses where several sources use the same uid.
///
/// # Errors
/// 401, 404 also for what another key sent, 409 with candidates where several are meant, 503.
pub(crate) async fn look_up(relay: &Relay, request: &Request, uid: &str) -> Result<Response<Body>, Problem> {
    let key = key::known(&relay.settings.send_keys, key::bearer(request.headers())?)?;
    let missing = || Problem::field(StatusCode::NOT_FOUND, "uid", "is not known to this key");
    if uid.len() > 64 || !uid.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(missing());
    }
    let found = relay.store.find(uid, Some(&key.name)).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "message not looked up");
        Problem::unreadable()
    })?;
    let found = narrow(found, uid, wanted_source(request).as_deref());
    match &found[..] {
        [] => Err(missing()),
        [found] => {
            let whole = whole(found).map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "stored message not understood");
                Problem::unreadable()
            })?;
            Ok(answer::json(StatusCode::OK, &whole))
        }
        several => Err(Problem::ambiguous(several.iter().map(candidate).collect())),
    }
}

/// A full uid means its own message, also where it is the short one of others.
fn narrow(found: Vec<Found>, uid: &str, source: Option<&str>) -> Vec<Found> {
    let of_source = |found: &Found| source.is_none_or(|source| found.source.strip_prefix("source.") == Some(source));
    let found: Vec<Found> = found.into_iter().filter(of_source).collect();
    let (full, short): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|found| found.given_uid.eq_ignore_ascii_case(uid));
    if full.is_empty() { short } else { full }
}

fn wanted_source(request: &Request) -> Option<String> {
    let mut pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, source) = pairs.find(|(name, _)| *name == "source")?;
    let source = percent_decode_str(source).decode_utf8_lossy();
    Some(source.strip_prefix("source.").unwrap_or(&source).to_owned())
}

/// Where a message stands: its verdict, or its delivery that is least far.
pub(crate) fn state(found: &Found) -> &str {
    let word = |delivery: &Value| delivery["state"].as_str().and_then(DeliveryState::parse);
    let states: Vec<DeliveryState> = found.deliveries.as_array().into_iter().flatten().filter_map(word).collect();
    Verdict::parse(&found.verdict).map_or(&found.verdict, |verdict| message_state(verdict, &states))
}

/// Which message is meant, and where it stands.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Candidate {
    /// As its sender wrote it.
    uid: String,
    /// What people see in the chat and may type.
    short_uid: String,
    /// Where it came from, with its leading `source.`.
    source: String,
    /// When it was taken in.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::moment"))]
    accepted_at: String,
    /// Its verdict, or the state of its delivery that is least far.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::message_state"))]
    state: String,
}

/// What became of a message.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LookedUp {
    #[serde(flatten)]
    message: Candidate,
    /// What was decided when it was taken in.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::verdict"))]
    verdict: String,
    /// Why, where it was not accepted.
    verdict_reason: Option<String>,
    /// One for each room.
    deliveries: Vec<Delivery>,
}

/// What became of a message in one room.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Delivery {
    /// The room's name.
    room: String,
    /// Where it stands.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::delivery_state"))]
    state: String,
    /// Why it stands there.
    cause: String,
    /// One for each post.
    parts: Vec<Part>,
    /// Every change of its state, the first first.
    events: Vec<Change>,
}

/// One post.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Part {
    /// Its number, from 1.
    n: i64,
    /// What it is: a text, a picture, a closing line, a notice.
    kind: String,
    /// Where it stands.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::part_state"))]
    state: String,
    /// How often it was tried.
    attempt: i64,
}

/// One change of a delivery's state.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Change {
    /// When.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::moment"))]
    at: String,
    /// The state before; null for the first.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::optional_delivery_state"))]
    from: Option<String>,
    /// The state after.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::delivery_state"))]
    to: String,
    /// Why.
    cause: String,
}

fn whole(found: &Found) -> Result<LookedUp, serde_json::Error> {
    Ok(LookedUp {
        message: candidate(found),
        verdict: found.verdict.clone(),
        verdict_reason: found.verdict_reason.clone(),
        deliveries: Vec::deserialize(&found.deliveries)?,
    })
}

fn candidate(found: &Found) -> Candidate {
    Candidate {
        uid: found.given_uid.clone(),
        short_uid: found.short_uid.clone(),
        source: found.source.clone(),
        accepted_at: found.accepted_at.to_string(),
        state: state(found).to_owned(),
    }
}

#[cfg(test)]
mod tests;
