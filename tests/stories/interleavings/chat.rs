//! The chat's side: what it shows, sooner or later, and what comes back of it.
use std::time::Duration;

use serde_json::json;
use talkback::chat::Line;
use talkback::store::hear::Line as StoredLine;
use talkback::store::lanes::Claimed;

use super::town::{Held, KINDS, Kind, Moment, Town, WINDOW};
use crate::process::chance::Chance;

/// What the chat does in time does it within this.
const SOON: Duration = Duration::from_secs(1);

/// A request that was read, and is not shown yet.
pub struct Arriving {
    pub read: Moment,
    pub room: Kind,
    pub claimed: Claimed,
}

/// A line in a room.
pub struct Shown {
    pub at: Moment,
    pub room: Kind,
    pub delivery: i64,
    pub part: i16,
    pub attempt: i32,
    pub text: String,
    /// How often it came back.
    pub heard: usize,
}

impl Town {
    /// What comes within that time: requests that were read are shown, and where lines come back at once, they do.
    pub async fn let_come(&mut self, within: Duration) -> Held {
        let until = self.now() + within;
        let (due, later) =
            std::mem::take(&mut self.arriving).into_iter().partition(|a: &Arriving| a.read + SOON <= until);
        self.arriving = later;
        let due: Vec<Arriving> = due;
        for arrival in due {
            // When it came in time, however late it is looked at.
            self.show(arrival.room, &arrival.claimed, arrival.read + SOON)?;
        }
        for at in 0..self.shown.len() {
            let line = &self.shown[at];
            if line.room == Kind::Prompt && line.heard == 0 && line.at + SOON <= until {
                self.hear(at).await?;
            }
        }
        Ok(())
    }

    /// Shows a part in the room: not twice, where somebody can tell.
    pub fn show(&mut self, room: Kind, claimed: &Claimed, at: Moment) -> Held {
        self.note(format!("{room:?} shows {} part {}, attempt {}", claimed.uid, claimed.part, claimed.attempt));
        let part = self.parts.entry((claimed.delivery, claimed.part)).or_default();
        part.seen += 1;
        let (seen, replayed) = (part.seen, part.replayed);
        self.total.twice += usize::from(seen > 1);
        self.shown.push(Shown {
            at,
            room,
            delivery: claimed.delivery,
            part: claimed.part,
            attempt: claimed.attempt,
            text: claimed.text.clone(),
            heard: 0,
        });
        if seen > 1 && !replayed && (room.tells() || room == Kind::Giver) {
            return Err(format!("doubled: {} part {} is seen {seen} times in {room:?}", claimed.uid, claimed.part));
        }
        Ok(())
    }

    fn line(&self, at: usize) -> Line {
        let shown = &self.shown[at];
        let line = json!({
            "group_id": shown.room.group(), "id": format!("line-{at}"), "sender_type": "bot", "text": shown.text,
            "created_at": jiff::Timestamp::now().as_second(),
        });
        Line::read(&line).unwrap()
    }

    /// The line comes back.
    async fn hear(&mut self, at: usize) -> Held {
        let line = self.line(at);
        self.relay.hear(&line).await.map_err(|error| format!("not heard: {error}"))?;
        self.heard(at);
        Ok(())
    }

    fn heard(&mut self, at: usize) {
        let shown = &mut self.shown[at];
        shown.heard += 1;
        let (delivery, part) = (shown.delivery, shown.part);
        self.note(format!("line {at} is heard: delivery {delivery} part {part}"));
        self.parts.entry((delivery, part)).or_default().proven = true;
    }

    /// Some line comes back, perhaps once more.
    pub async fn call_back(&mut self, chance: &mut Chance) -> Held {
        let able = |room| matches!(room, Kind::Prompt | Kind::Lossy);
        let lines: Vec<usize> = (0..self.shown.len()).filter(|at| able(self.shown[*at].room)).collect();
        if lines.is_empty() {
            return Ok(());
        }
        self.hear(chance.one_of(&lines)).await
    }

    /// Somebody else says something: callbacks do come.
    pub async fn a_person_speaks(&mut self, chance: &mut Chance) -> Held {
        let room = chance.one_of(&[Kind::Prompt, Kind::Lossy]);
        let line = json!({
            "group_id": room.group(), "id": format!("said-{}", self.log.len()), "sender_type": "user", "user_id": "1",
            "sender_id": "1", "text": "hello",
        });
        self.note(format!("a person speaks in {room:?}"));
        self.relay.hear(&Line::read(&line).unwrap()).await.map_err(|error| format!("not heard: {error}"))?;
        Ok(())
    }

    /// Reads the room for a part, as a holder does.
    pub async fn read_room(&mut self, claimed: &Claimed) -> Held {
        let room = kind(&claimed.room);
        for at in 0..self.shown.len() {
            if self.shown[at].room != room || self.shown[at].text != claimed.text {
                continue;
            }
            let line = self.line(at);
            let stored = StoredLine {
                group: line.group(),
                id: line.id(),
                created_at: line.created_at(),
                learnt_by: "read",
                sender_type: line.sender_type(),
                text_length: line.text_length(),
                payload_sealed: b"sealed".to_vec(),
                command: None,
                fingerprints: Some(vec![line.fingerprint()]),
            };
            self.relay.store.hear(&stored, WINDOW).await.map_err(|error| format!("not heard: {error}"))?;
            self.heard(at);
        }
        Ok(())
    }
}

pub fn kind(room: &str) -> Kind {
    KINDS.into_iter().find(|kind| kind.name() == room).unwrap()
}
