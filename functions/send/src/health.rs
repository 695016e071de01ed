//! `GET /health`: whether a message sent now would be stored; with a key, how everything is.
use std::time::Duration;

use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::{Body, Request, Response};
use serde_json::{Map, Value, json};
use talkback::relay::Relay;
use talkback::store::StoreError;
use talkback::store::look_up::RoomState;
use tokio::time::timeout;

use crate::answer;
use crate::key;

/// How long the database may take to show that it can be written, and to be read.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the broker may take: its way through the stamp is tried.
const BROKER_PATIENCE: Duration = Duration::from_secs(4);

/// The functions without which nothing gets posted but what comes over HTTP.
const WORKERS: [&str; 2] = ["rabbitmq-consumer", "dispatcher"];

/// Tells how it is. A wrong key is told as little as none.
pub(crate) async fn health(relay: &Relay, request: &Request) -> Response<Body> {
    let known = is_known(relay, request.headers());
    let broker = async { if known { broker(relay).await } else { Value::Null } };
    let (database, broker) = tokio::join!(database(relay), broker);
    let keys = !relay.settings.send_keys.is_empty();
    if !keys {
        tracing::error!("no send key is configured (TALKBACK_SEND_KEYS): nothing is served");
    }
    if let Err(reason) = &database {
        tracing::error!(reason, "a message sent now would not be stored");
    }
    let ok = keys && database.is_ok();
    let (status, word) = if ok { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    let mut told = json!({ "status": word });
    if known {
        told["database"] = match &database {
            Ok(()) => json!({ "status": "ok" }),
            Err(reason) => json!({ "status": "unavailable", "reason": reason }),
        };
        told["broker"] = broker;
        if database.is_ok() {
            let (rooms, functions) = tokio::join!(rooms(relay), functions(relay));
            told["rooms"] = rooms;
            told["functions"] = functions;
        }
    }
    answer::json(status, &told)
}

fn is_known(relay: &Relay, headers: &HeaderMap) -> bool {
    key::bearer(headers).is_ok_and(|bearer| key::known(&relay.settings.send_keys, bearer).is_ok())
}

/// Whether it can be written: that this function ran is noted in it.
async fn database(relay: &Relay) -> Result<(), String> {
    within(async {
        relay.wake().await?;
        relay.store.writable().await
    })
    .await
}

async fn within<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the database is unavailable: no answer in time".to_owned()),
    }
}

async fn broker(relay: &Relay) -> Value {
    let Some(broker) = &relay.broker else { return json!({ "status": "not configured" }) };
    match timeout(BROKER_PATIENCE, broker.health()).await {
        Ok(Ok(health)) => json!({
            "status": "ok", "way_ms": u64::try_from(health.way.as_millis()).unwrap_or(u64::MAX),
            "waiting": health.waiting, "retrying": health.retrying, "dead": health.dead,
        }),
        Ok(Err(error)) => json!({ "status": "unavailable", "reason": error.to_string() }),
        Err(_) => json!({ "status": "unavailable", "reason": "no answer in time" }),
    }
}

async fn rooms(relay: &Relay) -> Value {
    match within(relay.store.room_states(&relay.room_names())).await {
        Ok(rooms) => rooms.iter().map(room).collect(),
        Err(reason) => unread(&reason),
    }
}

fn room(room: &RoomState) -> Value {
    json!({
        "room": room.name, "state": room.state, "reason": room.reason, "queued": room.queued,
        "oldest_s": room.oldest_s.map(tenths), "paused_until": room.paused_until.map(|until| until.to_string()),
        "trouble": room.trouble,
    })
}

/// Seconds since each ran; null for one that never did.
async fn functions(relay: &Relay) -> Value {
    let seen = match within(relay.store.functions_seen()).await {
        Ok(seen) => seen,
        Err(reason) => return unread(&reason),
    };
    let since = |name: &str| seen.iter().find(|(function, _)| function == name).map(|(_, seconds)| tenths(*seconds));
    let told = WORKERS.map(|name| (name.to_owned(), json!({ "last_ran_s": since(name) })));
    Value::Object(Map::from_iter(told))
}

fn unread(reason: &str) -> Value {
    tracing::error!(reason, "health not read");
    json!({ "status": "unavailable", "reason": reason })
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
