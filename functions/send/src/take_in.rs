//! Stores a message and waits up to a second for its first post: the one way in of every door of this function.
use std::time::Duration;

use lambda_http::http::StatusCode;
use lambda_http::{Request, RequestExt as _};
use serde_json::Value;
use talkback::delivery::Verdict;
use talkback::message::{Message, Uid};
use talkback::relay::Relay;
use talkback::relay::accept::Outcome;
use talkback::relay::dispatch::{Budget, end_of};
use talkback::relay::plan::{Door, Offer};
use talkback::relay::sent::Took;
use talkback::send_key::SendKey;
use talkback::store::StoreError;
use talkback::store::look_up::Found;
use tokio::time::{Instant, sleep};

use crate::problem::Problem;

/// How long the answer waits for the first post.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked for where somebody else has the room.
const LOOK: Duration = Duration::from_millis(100);

/// What is left of the function's time for the answer itself.
const MARGIN: Duration = Duration::from_secs(1);

/// What became of a message that is stored.
pub(crate) enum Taken {
    /// It is new, and stands so.
    New(Found),
    /// It is new; the store could not be read after it was stored.
    Unread(Outcome),
    /// It was taken in before, and stands so now.
    Repeat(Found),
    /// The database is away: it is on the broker, or, if not `recorded`, in its rooms and nowhere else.
    Unstored { uid: Uid, recorded: bool },
}

/// Takes a message in. `raw` is as it came, without secrets, for a person to see should it be refused.
///
/// # Errors
/// What is no 2xx; of these only a source without a route leaves something stored.
pub(crate) async fn take_in(
    relay: &Relay,
    request: &Request,
    key: &SendKey,
    message: Message,
    raw: Vec<u8>,
) -> Result<Taken, Problem> {
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
    let end = request.lambda_context_ref().and_then(|context| end_of(context.deadline()));
    let before_end = end.and_then(|end| end.checked_sub(MARGIN));
    let outcome = match relay.take_one(offer, before_end).await.map_err(not_stored)? {
        Took::Stored(outcome) => outcome,
        unstored => {
            let recorded = matches!(unstored, Took::Queued);
            tracing::info!(uid = uid.key(), source = source.as_str(), key = key.name, recorded, "taken in unstored");
            return Ok(Taken::Unstored { uid, recorded });
        }
    };
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
            Ok(Taken::Repeat(found))
        }
        _ => Ok(first_post(&relay.hasty(), &outcome, end).await.map_or(Taken::Unread(outcome), Taken::New)),
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

/// The answer where nothing is known to be stored.
pub(crate) fn not_stored(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "message not stored");
    Problem::unavailable()
}

fn not_read(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "repeated message not read");
    Problem::unreadable()
}
