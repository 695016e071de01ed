//! Whether GroupMe has a line that came by callback: whoever learns the callback's address can say anything there.
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::Relay;
use crate::channel::ReadBack;
use crate::chat::Line;
use crate::config::Room;
use crate::store::StoreError;
use crate::store::answers::CallNote;

/// What GroupMe says of a line: that it is there, that it is not, or nothing yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    There,
    NotThere,
    Silent,
}

impl Relay {
    /// Looks for a line in its room, with the member's token.
    pub(crate) async fn prove(&self, line: &Line, room: &Room, patience: Duration) -> Result<Proof, StoreError> {
        // GroupMe's lines have a time; and without one there is no telling how far to look back.
        let Some(at) = line.created_at() else { return Ok(Proof::NotThere) };
        let Ok(channel) = self.channel(room) else { return Ok(Proof::Silent) };
        let started = Instant::now();
        let read = channel.read_back(room, Timestamp::as_second(at) - 5, patience).await;
        let (status, error) = match &read {
            ReadBack::Lines(_) => (Some(200), None),
            ReadBack::Failed { status, error } => (*status, Some(error.as_str())),
        };
        self.store
            .note_call(&CallNote {
                uid: None,
                room: Some(&room.name),
                channel: channel.name(),
                operation: "read",
                status,
                ok: error.is_none(),
                latency: started.elapsed(),
                request: &json!({ "group": room.group, "line": line.id() }),
                error,
            })
            .await?;
        let ReadBack::Lines(lines) = read else { return Ok(Proof::Silent) };
        let there = lines.iter().filter_map(|found| Line::read(&found.json)).any(|found| found.is_the_same(line));
        Ok(if there { Proof::There } else { Proof::NotThere })
    }
}
