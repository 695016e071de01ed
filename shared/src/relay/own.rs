//! What Talkback puts on the broker for itself while the database is away, with a proof that it said so: nobody else
//! who may publish can confirm our posts by lying, or speak as the holder of a send key.
//!
//! It goes to `talkback.retry`, not to the source exchange: there is no use for it until the database is back, no
//! binding of the station's need match it, and what was put aside in order comes back in order.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::Relay;
use crate::amqp_event::{Delivery, header};
use crate::broker::{Outgoing, Props, RETRY};
use crate::chat::Line;
use crate::seal::same;

/// Keeps the names of lines apart from all others.
const NAMESPACE: Uuid = Uuid::from_u128(0xc8d1_3a57_02be_4f6e_9b40_77a2_e15d_4c09);

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// The record of a message that was posted without the database.
    Direct,
    /// A line said in the room.
    Line,
    /// A message that came by HTTP.
    Sent,
    /// A call of a lane that could not be recorded.
    Attempt,
}

const ALL: [Own; 4] = [Own::Direct, Own::Line, Own::Sent, Own::Attempt];

impl Own {
    fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Line => "line",
            Self::Sent => "sent",
            Self::Attempt => "attempt",
        }
    }
}

impl Relay {
    /// Something of our own, to come back from the broker after a while. `uid` names it: what comes twice has the same.
    pub(super) fn own(&self, own: Own, uid: Uuid, key: &str, body: &Value) -> Outgoing {
        let (uid, body) = (uid.to_string(), body.to_string().into_bytes());
        let proof = self.own_proof(own, &uid, key, &body);
        let props = Props { message_id: Some(uid.clone()), ..Props::default() }
            .with_header(header::UID, uid.as_str())
            .with_header(header::ROUTING_KEY, key)
            .with_header(header::STAMP_TIME, Timestamp::now().to_string().as_str())
            .with_header(header::OWN, own.as_str())
            .with_header(header::OWN_PROOF, proof.as_str());
        Outgoing { key: RETRY, body, props }
    }

    /// Keeps a line that could not be stored on the broker, from where it is heard as it would have been; whether the
    /// broker has it.
    pub async fn keep_line(&self, line: &Line, limit: Duration) -> bool {
        let Some(broker) = &self.broker else { return false };
        let raw = self.strike_out(line.json().to_string().as_bytes());
        let Ok(body) = serde_json::from_slice(&raw) else { return false };
        let id = Uuid::new_v5(&NAMESPACE, format!("{}/{}", line.group(), line.id()).as_bytes());
        let own = self.own(Own::Line, id, "source.groupme.callback", &body);
        match timeout(limit, broker.publish("", RETRY, &own.body, &own.props, true)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "line not kept by the broker"),
            Err(_) => tracing::error!("line not kept by the broker in time"),
        }
        false
    }

    /// What of our own a message is; `None` also where it only says so.
    pub(super) fn own_of(&self, delivery: &Delivery) -> Option<Own> {
        let text = |name| delivery.headers.text(name);
        let told = text(header::OWN)?;
        let own = ALL.into_iter().find(|own| own.as_str() == told)?;
        let (uid, key) = (text(header::UID)?, text(header::ROUTING_KEY)?);
        let proof = self.own_proof(own, &uid, &key, &delivery.body);
        same(text(header::OWN_PROOF)?.as_bytes(), proof.as_bytes()).then_some(own)
    }

    /// What only we can say of it. Kind, uid and key have no line feed.
    fn own_proof(&self, own: Own, uid: &str, key: &str, body: &[u8]) -> String {
        let said = [own.as_str().as_bytes(), uid.as_bytes(), key.as_bytes(), body].join(&b"\n"[..]);
        STANDARD.encode(self.settings.lookup.hash("own", &said))
    }
}
