//! A call that was made and could not be written down before its function had to end: what is known of it goes by the
//! broker, keyed by its attempt, and counts as a late answer when the database is back. A late answer is proof.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::Relay;
use super::own::Own;
use crate::broker::RETRY;
use crate::store::StoreError;
use crate::store::lanes::{CallReport, Claimed, Outcome, Then};

/// How long the broker may take.
const LIMIT: Duration = Duration::from_secs(7);

/// Keeps the names of these messages apart from all others.
const NAMESPACE: Uuid = Uuid::from_u128(0x71e6_0c3d_9f58_4b1a_86d2_c4a9_35f0_1be7);

/// A call, as it is to be written down.
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    token: String,
    delivery: i64,
    part: i16,
    attempt: i32,
    uid: String,
    room: String,
    channel: String,
    outcome: String,
    status: Option<u16>,
    latency: Duration,
    request: Value,
    response: Option<Value>,
    error: Option<String>,
    pause: Duration,
    room_fingerprint: Vec<u8>,
}

impl Attempt {
    /// What such a message tells.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

impl Relay {
    /// Keeps a call on the broker; whether it has it.
    pub(super) async fn keep_attempt(&self, token: &str, report: &CallReport<'_>) -> bool {
        let Some(broker) = &self.broker else { return false };
        let claimed = report.claimed;
        let attempt = Attempt {
            token: token.to_owned(),
            delivery: claimed.delivery,
            part: claimed.part,
            attempt: claimed.attempt,
            uid: claimed.uid.clone(),
            room: claimed.room.clone(),
            channel: report.channel.to_owned(),
            outcome: report.outcome.as_str().to_owned(),
            status: report.status,
            latency: report.latency,
            request: report.request.clone(),
            response: report.response.clone(),
            error: report.error.clone(),
            pause: report.pause,
            room_fingerprint: report.room_fingerprint.clone(),
        };
        let name = format!("{}/{}/{}/{token}", claimed.delivery, claimed.part, claimed.attempt);
        let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
        let Ok(body) = serde_json::to_value(&attempt) else { return false };
        let own = self.own(Own::Attempt, id, "source.groupme.msg", &body);
        match timeout(LIMIT, broker.publish("", RETRY, &own.body, &own.props, true)).await {
            Ok(Ok(())) => {
                tracing::warn!(room = attempt.room, uid = attempt.uid, "call not recorded yet: the broker keeps it");
                return true;
            }
            Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "call not kept by the broker"),
            Err(_) => tracing::error!("call not kept by the broker in time"),
        }
        false
    }

    /// Writes such a call down, as the one who made it would have.
    pub(super) async fn record_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let claimed = Claimed {
            room: attempt.room.clone(),
            delivery: attempt.delivery,
            uid: attempt.uid.clone(),
            part: attempt.part,
            attempt: attempt.attempt,
            text: String::new(),
            text_sealed: None,
            picture_url: None,
            claimed_at: Timestamp::now(),
            failures: 0,
            deliver_in: None,
            waited: None,
        };
        let mut report = CallReport {
            claimed: &claimed,
            channel: &attempt.channel,
            outcome: Outcome::parse(&attempt.outcome).unwrap_or(Outcome::Unknown),
            status: attempt.status,
            latency: attempt.latency,
            request: attempt.request.clone(),
            response: attempt.response.clone(),
            error: attempt.error.clone(),
            pause: attempt.pause,
            room_fingerprint: attempt.room_fingerprint.clone(),
        };
        let lanes = &self.settings.lanes;
        match self.store.record(&attempt.token, &report, lanes, Then::LetGo).await {
            // What a stranger answered is the only input here that we did not make.
            Err(error) if error.is_bad_input() && report.response.take().is_some() => {
                self.store.record(&attempt.token, &report, lanes, Then::LetGo).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}
