//! What is known of a message that is posted from here: intent and records in one, so that there is no moment in which a
//! post is in neither. No bot id and no token is in it.
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use talkback::compose::Draft;
use talkback::config::Room;
use talkback::delivery::PartState;
use uuid::Uuid;

use crate::message::Message;

/// Keeps the names of bots apart from all other names.
const BOTS: Uuid = Uuid::from_u128(0x3d1c_7f52_86ab_4c0e_9a31_5f27_e0b4_68d9);

/// One message and what was done about it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) uid: Uuid,
    /// The routing key of the message.
    pub(crate) source: String,
    /// Which bot speaks, by a name that does not tell its id.
    pub(crate) bot: Uuid,
    pub(crate) created: Timestamp,
    /// Nothing of it is begun after this.
    pub(crate) expires: Timestamp,
    pub(crate) parts: Vec<Part>,
    /// Nothing more will be posted of it; what is left is to publish the records.
    pub(crate) ended: bool,
}

/// One call's worth, in the words of the lanes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) picture_url: Option<String>,
    /// `posting` is written before the call: whoever finds it so knows that the caller died.
    pub(crate) state: PartState,
    pub(crate) calls: Vec<Call>,
}

/// One call that GroupMe may have read.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Names its record: published twice, it is one.
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    /// The HTTP status; `None` where no answer came.
    pub(crate) status: Option<u16>,
    pub(crate) published: bool,
}

impl Journal {
    pub(crate) fn begin(message: &Message, parts: Vec<Draft>, room: &Room) -> Self {
        let created = Timestamp::now();
        let part = |draft: Draft| Part {
            text: draft.text,
            picture_url: draft.picture_url,
            state: PartState::Waiting,
            calls: Vec::new(),
        };
        Self {
            uid: message.uid(),
            source: message.source().as_str().to_owned(),
            bot: bot(room),
            created,
            expires: created.checked_add(message.priority().age()).unwrap_or(Timestamp::MAX),
            parts: parts.into_iter().map(part).collect(),
            ended: false,
        }
    }

    /// The first part that is not done with.
    pub(crate) fn next(&self) -> Option<usize> {
        self.parts.iter().position(|part| matches!(part.state, PartState::Waiting | PartState::Posting))
    }

    pub(crate) fn posted(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part.state, PartState::Sent | PartState::Unconfirmed)).count()
    }

    /// Whether GroupMe may have heard of it.
    pub(crate) fn has_begun(&self) -> bool {
        self.parts.iter().any(|part| !part.calls.is_empty())
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.parts.iter().flat_map(|part| &part.calls).all(|call| call.published)
    }

    /// Takes over which records are published from one who published them.
    pub(crate) fn note_published(&mut self, by: &Self) {
        let published = |id: Uuid| by.parts.iter().flat_map(|part| &part.calls).any(|c| c.id == id && c.published);
        for call in self.parts.iter_mut().flat_map(|part| &mut part.calls) {
            call.published |= published(call.id);
        }
    }

    /// The record of a call, as `source.groupme.msg` has it.
    pub(crate) fn record(&self, part: &Part, call: &Call, room: &Room) -> serde_json::Value {
        let mut record = serde_json::json!({
            "type": "log", "source": talkback::route::name_of(&self.source), "wbor_message_id": self.uid.to_string(),
            "text": part.text, "bot_id": room.bot_id.expose_secret(), "code": call.status, "statuscode": call.status,
            "timestamp": call.at.to_string(), "alreadysent": true,
        });
        if let Some(url) = &part.picture_url {
            record["picture_url"] = url.as_str().into();
        }
        record
    }
}

/// A name for a bot that does not tell its id.
pub(crate) fn bot(room: &Room) -> Uuid {
    Uuid::new_v5(&BOTS, room.bot_id.expose_secret().as_bytes())
}
