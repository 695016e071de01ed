//! A line of a room, and how GroupMe writes it down: one form for callbacks and for reading the room.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderType {
    /// A bot, by `POST /bots/post`.
    Bot,
    /// A member.
    User,
    /// GroupMe itself: somebody joined, the name changed, a bot was removed.
    System,
}

/// One line as the room shows it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Ascending decimal digits, unique over all groups.
    pub id: String,
    /// The room.
    pub group_id: String,
    /// Who said it.
    pub sender_type: SenderType,
    /// The sender's number; for a bot this is not its `bot_id`, which is a secret.
    pub sender_id: String,
    /// Equal to `sender_id` for members.
    pub user_id: String,
    /// The sender's name.
    pub name: String,
    /// The words; `None` where GroupMe sends null.
    pub text: Option<String>,
    /// The picture of the line.
    pub picture_url: Option<String>,
    /// Unix time in seconds, as GroupMe tells it.
    pub created_at: i64,
    /// GroupMe's own key of the line.
    pub source_guid: String,
    /// When it was shown, on the monotonic clock: for checks of the pace.
    pub at: Instant,
    /// Which bot posted it; never part of what GroupMe tells.
    pub bot_id: Option<String>,
    /// What a system line reports: `{"type": …, "data": …}`.
    pub event: Option<Value>,
}

impl Line {
    /// The body of the callback.
    pub(crate) fn callback_body(&self) -> Value {
        let attachments: Vec<Value> = self.picture_url.iter().map(|url| json!({"type": "image", "url": url})).collect();
        let mut body = json!({
            "attachments": attachments,
            "avatar_url": null,
            "created_at": self.created_at,
            "group_id": self.group_id,
            "id": self.id,
            "name": self.name,
            "sender_id": self.sender_id,
            "sender_type": self.sender_type,
            "source_guid": self.source_guid,
            "system": self.sender_type == SenderType::System,
            "text": self.text,
            "user_id": self.user_id,
        });
        if let Some(event) = &self.event {
            body["event"] = event.clone();
        }
        body
    }

    /// The line in `GET /groups/:id/messages`, which also tells who liked it.
    pub(crate) fn history_entry(&self) -> Value {
        let mut entry = self.callback_body();
        entry["favorited_by"] = json!([]);
        entry
    }
}
