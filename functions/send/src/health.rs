//! `GET /health`: whether a message sent now would be stored; with a key, how everything is.
use std::time::Duration;

use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::{Body, Request, Response};
use serde::Serialize;
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

/// How it is; without a key nothing but `status`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Health {
    /// Whether a message sent now would be stored.
    status: Status,
    /// Postgres.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Database>,
    /// RabbitMQ, and what waits in its queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<Broker>,
    /// The rooms, if the database can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Rooms>,
    /// The functions without which nothing gets posted but what comes over HTTP, if the database can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    functions: Option<Functions>,
}

/// Whether a message sent now would be stored.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It would.
    Ok,
    /// It would not.
    Unavailable,
}

/// How Postgres is.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Database {
    /// It can be written.
    Ok {
        /// The number of the last migration that it has; null where that could not be read.
        migration: Option<i32>,
        /// The number of the last that this version has: where it is greater, `migrate` is due.
        wanted: Option<i32>,
    },
    /// It cannot.
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// How RabbitMQ is.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Broker {
    /// A message found its way through the stamp.
    Ok {
        /// How long that took, in milliseconds.
        way_ms: u64,
        /// Messages that wait for the consumer.
        waiting: u32,
        /// Messages that wait to be tried again.
        retrying: u32,
        /// Messages that were given up.
        dead: u32,
    },
    /// None did.
    Unavailable {
        /// Why.
        reason: String,
    },
    /// There is none: `AMQP_URL` is not set.
    #[serde(rename = "not configured")]
    NotConfigured,
}

/// How the rooms are, or why that cannot be read.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum Rooms {
    /// Each of them.
    Read(Vec<RoomHealth>),
    /// They could not be read.
    Unread(Unread),
}

/// How one room is.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RoomHealth {
    /// Its name.
    room: String,
    /// Whether it is posted to.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::room_state"))]
    state: String,
    /// Why it is not open, or why it pauses.
    reason: Option<String>,
    /// Deliveries that wait or are being sent.
    queued: i64,
    /// The age of the oldest of them, in seconds.
    oldest_s: Option<f64>,
    /// Nothing is posted before this time.
    #[cfg_attr(test, schemars(schema_with = "crate::openapi::schemas::optional_moment"))]
    paused_until: Option<String>,
    /// Seconds since the last callback about a line in its group; null if none ever came.
    last_callback_s: Option<f64>,
    /// Deliveries that failed, were never seen in the room, or were left to a producer that did not tell that it posted
    /// them; counted up to 1,001.
    trouble: i64,
}

/// When functions last ran, or why that cannot be read.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum Functions {
    /// Those without which nothing gets posted but what comes over HTTP.
    Read {
        /// Reads the queue.
        #[serde(rename = "rabbitmq-consumer")]
        rabbitmq_consumer: Ran,
        /// Posts what is due.
        dispatcher: Ran,
    },
    /// It could not be read.
    Unread(Unread),
}

/// When a function last ran.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Ran {
    /// Seconds since then; null if it never did.
    last_ran_s: Option<f64>,
}

/// What cannot be read now.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Unread {
    /// Always `unavailable`.
    #[cfg_attr(test, schemars(extend("const" = "unavailable")))]
    status: Status,
    /// Why.
    reason: String,
}

/// Tells how it is. A wrong key is told as little as none.
pub(crate) async fn health(relay: &Relay, request: &Request) -> Response<Body> {
    let known = is_known(relay, request.headers());
    let broker = async { if known { Some(broker(relay).await) } else { None } };
    let (database, broker) = tokio::join!(database(relay), broker);
    let keys = !relay.settings.send_keys.is_empty();
    if !keys {
        tracing::error!("no send key is configured (TALKBACK_SEND_KEYS): nothing is served");
    }
    if let Err(reason) = &database {
        tracing::error!(reason, "a message sent now would not be stored");
    }
    let ok = keys && database.is_ok();
    let (code, status) =
        if ok { (StatusCode::OK, Status::Ok) } else { (StatusCode::SERVICE_UNAVAILABLE, Status::Unavailable) };
    let mut told = Health { status, database: None, broker, rooms: None, functions: None };
    if known {
        let mut version = None;
        if database.is_ok() {
            let read = within(relay.store.version());
            let (rooms, functions, read) = tokio::join!(rooms(relay), functions(relay), read);
            told.rooms = Some(rooms);
            told.functions = Some(functions);
            version = read.ok();
        }
        told.database = Some(match database {
            Ok(()) => Database::Ok {
                migration: version.as_ref().and_then(|version| version.applied),
                wanted: version.as_ref().map(|version| version.known),
            },
            Err(reason) => Database::Unavailable { reason },
        });
    }
    answer::json(code, &told)
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

async fn broker(relay: &Relay) -> Broker {
    let Some(broker) = &relay.broker else { return Broker::NotConfigured };
    match timeout(BROKER_PATIENCE, broker.health()).await {
        Ok(Ok(health)) => Broker::Ok {
            way_ms: u64::try_from(health.way.as_millis()).unwrap_or(u64::MAX),
            waiting: health.waiting,
            retrying: health.retrying,
            dead: health.dead,
        },
        Ok(Err(error)) => Broker::Unavailable { reason: error.to_string() },
        Err(_) => Broker::Unavailable { reason: "no answer in time".to_owned() },
    }
}

async fn rooms(relay: &Relay) -> Rooms {
    match within(relay.store.room_states(&relay.room_names())).await {
        Ok(rooms) => Rooms::Read(rooms.into_iter().map(room).collect()),
        Err(reason) => Rooms::Unread(unread(reason)),
    }
}

fn room(room: RoomState) -> RoomHealth {
    RoomHealth {
        room: room.name,
        state: room.state,
        reason: room.reason,
        queued: room.queued,
        oldest_s: room.oldest_s.map(tenths),
        paused_until: room.paused_until.map(|until| until.to_string()),
        last_callback_s: room.heard_s.map(tenths),
        trouble: room.trouble,
    }
}

async fn functions(relay: &Relay) -> Functions {
    let seen = match within(relay.store.functions_seen()).await {
        Ok(seen) => seen,
        Err(reason) => return Functions::Unread(unread(reason)),
    };
    let since = |name: &str| seen.iter().find(|(function, _)| function == name).map(|(_, seconds)| tenths(*seconds));
    let ran = |name| Ran { last_ran_s: since(name) };
    Functions::Read { rabbitmq_consumer: ran("rabbitmq-consumer"), dispatcher: ran("dispatcher") }
}

fn unread(reason: String) -> Unread {
    tracing::error!(reason, "health not read");
    Unread { status: Status::Unavailable, reason }
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
