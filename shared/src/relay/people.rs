//! Who people are: sealed in the database, opened for the room only.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Relay;
use crate::chat::Author;
use crate::command::words::masked;
use crate::message::{Media, Sender};
use crate::seal::Place;
use crate::store::StoreError;
use crate::store::bans::{Ban, Banned, NewBan};
use crate::store::commands::Turn;

/// A ban's cells are bound to its sender: its number is not known before it is written.
fn cell<'a>(column: &'static str, row: &'a str) -> Place<'a> {
    Place { table: "bans", column, row }
}

impl Relay {
    /// Who sent a message.
    pub(crate) fn open_sender(&self, uid: &str, sealed: &[u8]) -> Option<Sender> {
        let place = Place { table: "messages", column: "sender_sealed", row: uid };
        serde_json::from_slice(&self.settings.data_keys.open(place, sealed).ok()?).ok()
    }

    /// How many pictures came with a message; 0 where their key is not there.
    pub(crate) fn count_media(&self, uid: &str, sealed: &[u8]) -> usize {
        let place = Place { table: "messages", column: "media_sealed", row: uid };
        let plain = self.settings.data_keys.open(place, sealed).ok();
        plain.and_then(|plain| serde_json::from_slice::<Vec<Media>>(&plain).ok()).map_or(0, |media| media.len())
    }

    /// By which a sender of this address is found.
    pub(crate) fn address_hash(&self, address: &str) -> Vec<u8> {
        self.settings.lookup.hash("sender", address.as_bytes())
    }

    /// Bans the sender of this hash, whose address is kept where it is known; behind it no message of theirs is accepted
    /// for a room, and what waited is withdrawn.
    pub(crate) async fn ban(
        &self,
        turn: &Turn,
        (hash, address): (&[u8], Option<&str>),
        by: &Author,
        reason: &str,
        term: Option<std::time::Duration>,
    ) -> Result<Banned, StoreError> {
        let row = STANDARD.encode(hash);
        let seal = |column, plain: &[u8]| self.settings.data_keys.seal(cell(column, &row), plain);
        let reason_sealed = (!reason.is_empty()).then(|| seal("reason_sealed", reason.as_bytes()));
        let sender_sealed = address.map(|address| seal("sender_sealed", address.as_bytes()));
        turn.ban(&NewBan {
            sender_hash: hash,
            sender_sealed: sender_sealed.as_deref(),
            by_sealed: &seal("banned_by_sealed", json!(by).to_string().as_bytes()),
            reason_sealed: reason_sealed.as_deref(),
            term: term.map(|term| term.as_secs_f64()),
        })
        .await
    }

    /// Who lifts a ban, sealed for that sender's.
    pub(crate) fn lifted_by(&self, hash: &[u8], by: &Author) -> Vec<u8> {
        let row = STANDARD.encode(hash);
        self.settings.data_keys.seal(cell("lifted_by_sealed", &row), json!(by).to_string().as_bytes())
    }

    /// What a ban's sealed cell says; `None` where it is empty or its key is not there.
    pub(crate) fn open_ban(&self, ban: &Ban, column: &'static str) -> Option<String> {
        let sealed = match column {
            "sender_sealed" => ban.sender_sealed.as_deref()?,
            "reason_sealed" => ban.reason_sealed.as_deref()?,
            _ => &ban.by_sealed,
        };
        let row = STANDARD.encode(&ban.sender_hash);
        String::from_utf8(self.settings.data_keys.open(cell(column, &row), sealed).ok()?).ok()
    }

    /// The masked address of whom a ban is about.
    pub(crate) fn banned_address(&self, ban: &Ban) -> String {
        self.open_ban(ban, "sender_sealed").map_or_else(|| "somebody who was erased".to_owned(), |a| masked(&a))
    }
}
