//! A line said in the room: record it, confirm with it, or obey it. Its effect is idempotent, and done again when it
//! comes again.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command;
use crate::relay::Relay;
use crate::relay::accept::fingerprint;
use crate::relay::prove::Proof;
use crate::store::StoreError;
use crate::store::hear::{Heard as Stored, Line as StoredLine};
use crate::text::Text;

/// Why a room is paused, as health, `!status` and `!failed` say it.
const BOT_REMOVED: &str =
    "a bot was removed from its group; if it was ours, give the room a new one, else: cargo xtask resume";

/// How long others may take whom a command asks, while GroupMe waits for the answer to its callback.
const AT_A_DOOR: Duration = Duration::from_millis(400);

/// A line as GroupMe's callback and `GET /groups/:id/messages` have it
/// (<https://dev.groupme.com/docs/v3#messages>). Unknown fields and types are fine; without group and id it is no line.
#[derive(Clone)]
pub struct Line {
    json: Value,
    group: String,
    id: String,
}

/// An id as text, whether it came as text or as a number.
fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && text.len() <= 128 && !text.contains('\0') => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Line {
    /// Reads one line; `None` if group or id is missing.
    #[must_use]
    pub fn read(json: &Value) -> Option<Self> {
        let (group, id) = (id_of(&json["group_id"])?, id_of(&json["id"])?);
        Some(Self { json: json.clone(), group, id })
    }

    /// As it came.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// GroupMe's id of the line.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `user`, `bot`, `system`, `service`, or something new, as far as it is a short word.
    #[must_use]
    pub fn sender_type(&self) -> &str {
        let word =
            |w: &&str| w.len() <= 32 && !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        self.json["sender_type"].as_str().filter(word).unwrap_or("unknown")
    }

    /// Whether a bot said it.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        self.sender_type() == "bot"
    }

    /// Whether a person said it: only then may it command. A bot that reads its own posts can answer itself for ever.
    #[must_use]
    pub fn is_person(&self) -> bool {
        let (user, sender) = (id_of(&self.json["user_id"]), id_of(&self.json["sender_id"]));
        self.sender_type() == "user" && user.is_some() && user == sender && self.json["system"] != Value::Bool(true)
    }

    /// Whether both are one line: its id, with that text, said by that member or telling that event.
    #[must_use]
    pub fn is_the_same(&self, other: &Self) -> bool {
        let member = |line: &Self| id_of(&line.json["user_id"]);
        let by_the_same = member(self).is_some() && member(self) == member(other);
        self.id == other.id
            && self.text() == other.text()
            && self.is_bot_removal() == other.is_bot_removal()
            && (by_the_same || self.is_bot_removal())
    }

    /// Who said it, as it says.
    #[must_use]
    pub fn author(&self) -> Author {
        let name = Text::clean(self.json["name"].as_str().unwrap_or_default());
        let name: String = name.as_str().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(40).collect();
        let name = if name.is_empty() { "Somebody".to_owned() } else { name };
        Author { id: id_of(&self.json["user_id"]).unwrap_or_default(), name }
    }

    /// What was said; empty for a picture, null for some events.
    #[must_use]
    pub fn text(&self) -> &str {
        self.json["text"].as_str().unwrap_or("")
    }

    /// Its length in code points.
    #[must_use]
    pub fn text_length(&self) -> Option<i32> {
        self.json["text"].as_str().and_then(|t| i32::try_from(t.chars().count()).ok())
    }

    /// When, by GroupMe's clock, to the second.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.json["created_at"].as_i64().and_then(|s| Timestamp::from_second(s).ok())
    }

    /// What a part of ours would have to be matched by this line: its text, or its first picture's URL.
    #[must_use]
    pub fn fingerprint(&self) -> Vec<u8> {
        let picture = self.json["attachments"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|attachment| (attachment["type"] == "image").then(|| attachment["url"].as_str()).flatten());
        fingerprint(self.text(), picture.or_else(|| self.json["picture_url"].as_str()))
    }

    /// A bot was taken out of the group; which one, nothing tells for sure.
    fn is_bot_removal(&self) -> bool {
        self.sender_type() == "system" && self.json["event"]["type"] == "bot.del"
    }

    /// The id of the line that was deleted, as this one tells.
    fn deleted(&self) -> Option<String> {
        let tells = self.sender_type() == "system" && self.json["event"]["type"] == "message.deleted";
        tells.then(|| id_of(&self.json["event"]["data"]["message_id"])).flatten()
    }
}

/// Who said a line. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// GroupMe's id of the member; of what a program asked for, the name of its source.
    #[serde(rename = "user_id")]
    pub id: String,
    /// The name that members see.
    pub name: String,
}

impl std::fmt::Debug for Author {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Author(…)")
    }
}

/// What a line led to.
pub struct Heard {
    /// The rooms that now have something to say.
    pub rooms: Vec<String>,
    /// The message of which it showed that a part is posted, where nobody knew.
    pub found: Option<String>,
}

impl Relay {
    /// Hears a line that came by callback: stores it, confirms with it, obeys it.
    ///
    /// # Errors
    /// The database is unavailable: the line must come again.
    pub async fn hear(&self, line: &Line) -> Result<Heard, StoreError> {
        let word = line.is_person().then(|| command::word(line.text())).flatten();
        let heard = self.store_line(line, "callback", word.as_deref()).await?;
        if line.is_bot_removal() {
            Box::pin(self.bot_removed(line)).await?;
        }
        if let Some(deleted) = line.deleted() {
            self.store.line_deleted(line.group(), &deleted).await?;
        }
        let found = heard.confirmed.filter(|_| heard.found);
        let room = self.settings.rooms.iter().find(|room| room.group == line.group());
        let Some((room, word)) = room.zip(word) else { return Ok(Heard { rooms: Vec::new(), found }) };
        // Also for a repeat: the first may have died between storing the line and obeying it.
        // Boxed, as all that is seldom called: nested, it would lie on the stack of whatever hears a line.
        Box::pin(self.obey(line, room, &word, AT_A_DOOR)).await?;
        Ok(Heard { rooms: vec![room.name.clone()], found })
    }

    /// Pauses the rooms of a group whose bot may be gone. A line that GroupMe does not show stops nothing: a room whose bot
    /// is gone is suspended with the first post that is refused.
    async fn bot_removed(&self, line: &Line) -> Result<(), StoreError> {
        let room = self.settings.rooms.iter().find(|room| room.group == line.group());
        if let (Some(room), true) = (room, self.settings.groupme.access_token.is_some())
            && self.prove(line, room, AT_A_DOOR).await? != Proof::There
        {
            tracing::error!("a line says that a bot was removed, and GroupMe does not show it: no room is paused");
            return Ok(());
        }
        let paused = self.store.pause_group(line.group(), BOT_REMOVED, line.id()).await?;
        tracing::error!(?paused, "a bot was removed from the group: its rooms are paused, and nothing is lost");
        Ok(())
    }

    /// Stores a line and confirms with it. The command's word is stored only where it is one of ours.
    pub(crate) async fn store_line(
        &self,
        line: &Line,
        learnt_by: &'static str,
        word: Option<&str>,
    ) -> Result<Stored, StoreError> {
        let raw = self.strike_out(line.json.to_string().as_bytes());
        let stored = StoredLine {
            group: line.group(),
            id: line.id(),
            created_at: line.created_at(),
            learnt_by,
            sender_type: line.sender_type(),
            text_length: line.text_length(),
            payload_sealed: self.sealed("groupme_callbacks", "payload_sealed", line.id(), &raw),
            command: word.and_then(command::find).map(|command| command.name),
            fingerprints: line.is_bot().then(|| self.fingerprints(line)),
        };
        let heard = self.store.hear(&stored, self.settings.lanes.window).await?;
        if let Some(uid) = &heard.confirmed {
            tracing::info!(uid, learnt_by, "part confirmed");
        }
        Ok(heard)
    }
}
