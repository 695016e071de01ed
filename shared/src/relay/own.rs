//! What Talkback puts on the broker for itself while the database is away, with a proof that it said so: nobody else
//! who may publish can confirm our posts by lying, or speak as the holder of a send key.
//!
//! It goes to `talkback.retry`, not to the source exchange: there is no use for it until the database is back, no
//! binding of the station's need match it, and what was put aside in order comes back in order.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::Relay;
use crate::amqp_event::{Delivery, header};
use crate::broker::{Outgoing, Props, RETRY};
use crate::seal::same;

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
