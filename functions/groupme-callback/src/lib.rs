//! GroupMe's callback: every line said in the room. Nothing signs it: the token in the path is the only credential.
//! Answers within a second, since GroupMe asks again when it has to wait.
mod door;
use std::time::Duration;

use lambda_http::{Body, Request, RequestExt as _, Response};
use talkback::chat::Heard;
use talkback::relay::Relay;
use talkback::relay::dispatch::{Budget, end_of};
use talkback::store::StoreError;
use tokio::time::timeout;

pub use door::{Refusal, open};

/// How long storing a line may take.
const PATIENCE: Duration = Duration::from_millis(900);

/// How long the broker may take with a line that could not be stored.
const ASIDE: Duration = Duration::from_millis(1500);

/// How long an answer is posted here, where no dispatcher is at work.
const BUDGET: Duration = Duration::from_millis(500);

/// Hears one line.
pub async fn handle(relay: &Relay, request: Request) -> Response<Body> {
    let line = match door::open(&relay.settings, &request) {
        Ok(Some(line)) => line,
        Ok(None) => return door::answer(200),
        Err(refusal) => {
            // Best effort: a refusal needs no database to be one.
            drop(timeout(PATIENCE, relay.store.count_refusal(refusal.as_str())).await);
            return door::refuse(refusal);
        }
    };
    let heard = timeout(PATIENCE, async {
        relay.wake().await?;
        let heard = relay.hear(&line).await?;
        Ok::<_, StoreError>((!heard.rooms.is_empty() && !relay.dispatcher_works().await?, heard))
    });
    match heard.await.unwrap_or(Err(StoreError::Unavailable("no answer in time"))) {
        Ok((alone, Heard { rooms, found })) => {
            relay.tell_found(found).await;
            // A slow GroupMe keeps a call in the air for longer than it waits for this answer: a dispatcher that is at
            // work anyway posts within a second. Only where there is none is it done here.
            if alone {
                let end = request.lambda_context_ref().and_then(|context| end_of(context.deadline()));
                if let Err(error) = relay.hasty().dispatch(&Budget::door(BUDGET, end, rooms)).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "posting is left to the dispatcher");
                }
            }
            door::answer(200)
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "line not stored");
            // It is heard when the database is back; where the broker does not take it either, GroupMe asks again.
            door::answer(if relay.keep_line(&line, ASIDE).await { 200 } else { 503 })
        }
    }
}
